"""WorkTree: whatever happened before, the tree holds the next action's inputs and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.action.model import DIRECTORY, EXECUTABLE, FILE, SYMLINK, Tree, TreeEntry, check_entries
from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.errors import CannotPlace, StoreFull
from mesh.executor import worktree
from mesh.executor.worktree import INPUT_MTIME_NS, WorkTree
from mesh.ports.real.disk import RealDisk
from mesh.types import digest_of
from mesh.wire.errors import WireError

MOUNT = "/m/p"


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(RealDisk(tmp_path / "blobs"))


@pytest.fixture
def work(tmp_path: Path, store: BlobStore) -> WorkTree:
    return WorkTree(tmp_path / "work", tmp_path / "trash", store)


def picture(root: Path) -> dict[str, object]:
    """Everything an action could tell apart, except times of directories."""
    seen: dict[str, object] = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder) / name
            info = path.lstat()
            if path.is_symlink():
                look: object = str(path.readlink())
            elif path.is_dir():
                look = ("dir", info.st_mode & 0o7777)
            else:
                look = (path.read_bytes(), info.st_mode & 0o7777, info.st_mtime_ns)
            seen[str(path.relative_to(root))] = look
    return seen


def file(store: BlobStore, path: str, data: bytes, kind: int = FILE) -> TreeEntry:
    return TreeEntry(f"{MOUNT}/{path}", kind, store.put(data), len(data))


def test_modes_and_times(work: WorkTree, store: BlobStore, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        entries = (file(store, "a/f", b"1"), file(store, "a/x", b"2", EXECUTABLE))
        work.prepare(Tree(entries), [MOUNT, f"{MOUNT}/out"])
    finally:
        os.umask(before)
    seen = picture(tmp_path / "work")
    assert seen["m/p/a/f"] == (b"1", 0o644, INPUT_MTIME_NS)
    assert seen["m/p/a/x"] == (b"2", 0o755, INPUT_MTIME_NS)
    assert seen["m/p/out"] == ("dir", 0o755)


def test_unchanged_files_are_not_copied_again(
    work: WorkTree, store: BlobStore, tmp_path: Path
) -> None:
    kept, gone = file(store, "kept", b"kept"), file(store, "gone", b"gone")
    work.prepare(Tree((gone, kept)), [MOUNT])
    inode = (tmp_path / "work/m/p/kept").stat().st_ino
    work.prepare(Tree((kept,)), [MOUNT])
    assert (tmp_path / "work/m/p/kept").stat().st_ino == inode
    assert set(picture(tmp_path / "work")) == {"m", "m/p", "m/p/kept"}


def test_content_changed_behind_equal_times_is_found(
    work: WorkTree, store: BlobStore, tmp_path: Path
) -> None:
    """The worst case: same size, same mtime, in the same tick of the clock as our own write."""
    tree = Tree((file(store, "f", b"good"),))
    work.prepare(tree, [MOUNT])
    path = tmp_path / "work/m/p/f"
    path.write_bytes(b"evil")
    os.utime(path, ns=(INPUT_MTIME_NS, INPUT_MTIME_NS))
    # As if the clock had not ticked: the record agrees with what is there now.
    info = path.lstat()
    look = (info.st_ino, info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    record = work._records[f"{MOUNT}/f"]
    work._records[f"{MOUNT}/f"] = type(record)(record.entry, look)
    work.prepare(tree, [MOUNT])
    assert path.read_bytes() == b"good"


names = st.sampled_from(["a", "b", "c", "d/a", "d/b", "d/e/f", "d", "a/b"])


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[str, int, bytes, str]]:
    paths = draw(st.lists(names, unique=True, max_size=5))
    return [
        (
            path,
            draw(st.sampled_from([FILE, EXECUTABLE, SYMLINK, DIRECTORY])),
            draw(st.sampled_from([b"", b"one", b"two", b"x" * 70_000])),
            draw(st.sampled_from(["a", "d/a", "nowhere"])),
        )
        for path in sorted(paths)
    ]


def build(store: BlobStore, spec: list[tuple[str, int, bytes, str]]) -> Tree | None:
    entries = []
    for path, kind, data, link in spec:
        where = f"{MOUNT}/{path}"
        if kind == SYMLINK:
            entries.append(TreeEntry(where, SYMLINK, link="../" * path.count("/") + link))
        elif kind == DIRECTORY:
            entries.append(TreeEntry(where, DIRECTORY))
        else:
            entries.append(file(store, path, data, kind))
    try:
        check_entries(tuple(entries), (MOUNT,))
    except WireError:
        return None  # only checked trees are ever prepared
    return Tree(tuple(entries))


HAVOC = [
    "rm -rf a", "echo new > a", "chmod 000 d", "mkdir -p a/b/c", "ln -sfn $OUTSIDE d", "mv d a",
    "echo x >> a", "rm -rf d; ln -s . d", "touch -d 2001-09-09 a b", "chmod 755 b",
    "mkfifo c", "chmod 500 .",
]  # fmt: skip


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.tuples(trees(), st.lists(st.sampled_from(HAVOC), max_size=2)), max_size=4))
def test_incremental_equals_fresh(
    store: BlobStore,
    tmp_path: Path,
    steps: list[tuple[list[tuple[str, int, bytes, str]], list[str]]],
) -> None:
    shutil.rmtree(tmp_path / "work", ignore_errors=True)
    work = WorkTree(tmp_path / "work", tmp_path / "trash", store)
    for spec, havoc in steps:
        tree = build(store, spec)
        if tree is None:
            continue
        work.prepare(tree, [MOUNT])
        fresh = WorkTree(tmp_path / "fresh", tmp_path / "trash2", store)
        fresh.prepare(tree, [MOUNT])
        assert picture(tmp_path / "work") == picture(tmp_path / "fresh")
        shutil.rmtree(tmp_path / "fresh")
        if havoc:
            # Commands of one script may follow the link of another: it leads to a folder of ours.
            outside = tmp_path / "outside"
            outside.mkdir(exist_ok=True)
            script = "; ".join(havoc)
            where = tmp_path / "work" / MOUNT.lstrip("/")
            subprocess.run(
                ["/bin/sh", "-c", script],
                cwd=where,
                env={**os.environ, "OUTSIDE": str(outside)},
                stderr=subprocess.DEVNULL,
            )


def test_failed_preparation_can_be_repeated(
    work: WorkTree, store: BlobStore, tmp_path: Path
) -> None:
    absent = TreeEntry(f"{MOUNT}/z", FILE, digest_of(b"later"), 5)
    tree = Tree((file(store, "a", b"1"), absent))
    with pytest.raises(BlobMissing):
        work.prepare(tree, [MOUNT])
    store.put(b"later")
    work.prepare(tree, [MOUNT])
    assert (tmp_path / "work/m/p/z").read_bytes() == b"later"


def test_directory_needed_where_an_input_is(work: WorkTree, store: BlobStore) -> None:
    with pytest.raises(CannotPlace):
        work.prepare(Tree((file(store, "a", b"1"),)), [MOUNT, f"{MOUNT}/a/out"])


def test_path_too_long_for_the_system(work: WorkTree, store: BlobStore) -> None:
    with pytest.raises(CannotPlace):
        work.prepare(Tree((file(store, "n" * 300, b"1"),)), [MOUNT])


def test_full_disk(store: BlobStore, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", small]).returncode:
        pytest.skip("mounting a tmpfs is not permitted")
    try:
        work = WorkTree(small / "work", small / "trash", store)
        big = Tree((file(store, "big", b"x" * 1_000_000),))
        with pytest.raises(StoreFull):
            work.prepare(big, [MOUNT])
        work.prepare(Tree((file(store, "a", b"fits"),)), [MOUNT])
        assert set(picture(small / "work")) == {"m", "m/p", "m/p/a"}
    finally:
        subprocess.run(["umount", small], check=True)


# -- directories that are not listed again -------------------------------------------------------
@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change was long enough ago for the next one to show."""
    now_ns = worktree.file_time_ns
    monkeypatch.setattr(worktree, "file_time_ns", lambda: now_ns() + 10**9)


def change(folder: Path, how: Callable[[], object]) -> None:
    """Change a directory so that it shows, however coarse the kernel's clock."""
    before = folder.stat().st_ctime_ns
    how()
    for _ in range(1_000_000):
        if folder.stat().st_ctime_ns != before:
            return
        (folder / "tick").touch()
        (folder / "tick").unlink()
    raise AssertionError("the clock stands still")


@pytest.mark.usefixtures("later")
def test_quiet_directories_are_not_listed_again(
    work: WorkTree, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree((file(store, "a/f", b"1"), file(store, "b/c/f", b"2")))
    work.prepare(tree, [MOUNT])
    work.prepare(tree, [MOUNT])
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    work.prepare(tree, [MOUNT])
    assert listed == []


@pytest.mark.usefixtures("later")
def test_whatever_happens_in_a_quiet_directory_is_undone(
    work: WorkTree, store: BlobStore, tmp_path: Path
) -> None:
    tree = Tree((file(store, "a/f", b"1"), file(store, "b/c/f", b"2")))
    folder = tmp_path / "work/m/p/b"
    work.prepare(tree, [MOUNT])
    expected = picture(tmp_path / "work")

    def replace_by_file() -> None:
        shutil.rmtree(folder / "c")
        (folder / "c").write_bytes(b"2")

    spoilers: list[Callable[[], object]] = [
        (folder / "stray").touch,
        (folder / "stray").mkdir,
        lambda: shutil.rmtree(folder / "c"),
        lambda: (folder / "c").rename(folder / "d"),
        replace_by_file,
    ]
    for spoil in spoilers:
        work.prepare(tree, [MOUNT])
        work.prepare(tree, [MOUNT])
        change(folder, spoil)
        work.prepare(tree, [MOUNT])
        assert picture(tmp_path / "work") == expected
    (folder / "c" / "f").write_bytes(b"3")  # the directory looks the same, the file does not
    work.prepare(tree, [MOUNT])
    assert picture(tmp_path / "work") == expected
