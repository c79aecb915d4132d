"""Placing outputs: atomically, in order, and never outside the mount."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.action.model import DIRECTORY, EXECUTABLE, FILE, SYMLINK, TreeEntry
from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.cas.filehash import FileHasher
from mesh.cas.place import Placer
from mesh.errors import CannotPlace, MeshError, PathEscapes, StoreFull
from mesh.ports.real.disk import RealDisk
from mesh.types import digest_of

MOUNT = "/vitte/project"


class World:
    """A store, a project, and a place outside of it that must stay as it is."""

    def __init__(self, base: Path) -> None:
        self.project = base / "project"
        self.outside = base / "outside"
        for folder in (self.project, self.outside):
            folder.mkdir()
        (self.outside / "precious").write_text("precious")
        self.store = BlobStore(RealDisk(base / "blobs"))
        self.hasher = FileHasher()
        self.placer = Placer(self.store, {MOUNT: self.project}, self.hasher)

    def file(self, path: str, data: bytes = b"data", kind: int = FILE) -> TreeEntry:
        return TreeEntry(f"{MOUNT}/{path}", kind, self.store.put(data), len(data))

    def place(self, *entries: TreeEntry, keep_unchanged: bool = False) -> list[str]:
        placed = self.placer.place(entries, keep_unchanged=keep_unchanged)
        return [path.removeprefix(MOUNT + "/") for path in placed.written]

    def outside_is_untouched(self) -> bool:
        names = [entry.name for entry in self.outside.iterdir()]
        return names == ["precious"] and (self.outside / "precious").read_text() == "precious"

    def litter(self) -> list[str]:
        return [str(path) for path in self.project.rglob(".vitte-*")]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def link(path: str, target: str) -> TreeEntry:
    return TreeEntry(f"{MOUNT}/{path}", SYMLINK, link=target)


def test_files_links_and_directories(world: World) -> None:
    written = world.place(
        world.file("a/b/lib.o", b"object"),
        world.file("bin/tool", b"#!", EXECUTABLE),
        link("bin/alias", "tool"),
        TreeEntry(f"{MOUNT}/empty/dir", DIRECTORY),
    )
    assert written == ["a/b/lib.o", "bin/tool", "bin/alias", "empty/dir"]
    assert (world.project / "a/b/lib.o").read_bytes() == b"object"
    assert (world.project / "bin/alias").readlink() == Path("tool")
    assert (world.project / "empty/dir").is_dir()
    assert world.litter() == []


def test_modes_follow_the_umask(world: World) -> None:
    before = os.umask(0o027)
    try:
        world.place(world.file("f"), world.file("x", b"x", EXECUTABLE))
    finally:
        os.umask(before)
    assert (world.project / "f").stat().st_mode & 0o777 == 0o640
    assert (world.project / "x").stat().st_mode & 0o777 == 0o750


def test_existing_files_and_links_are_replaced_not_written_through(world: World) -> None:
    (world.project / "link").symlink_to(world.outside / "precious")
    (world.project / "hard").hardlink_to(world.outside / "precious")
    world.place(world.file("link", b"new"), world.file("hard", b"new"))
    assert not (world.project / "link").is_symlink()
    assert (world.project / "hard").read_bytes() == b"new"
    assert world.outside_is_untouched()


def test_mtimes_are_in_the_order_of_the_entries(world: World) -> None:
    names = [f"f{number}" for number in range(20)]
    world.place(*(world.file(name, name.encode()) for name in names))
    stamps = [(world.project / name).stat().st_mtime_ns for name in names]
    assert stamps == sorted(stamps)


def test_unchanged_outputs_keep_their_mtime_only_when_asked(world: World) -> None:
    entries = [world.file("same", b"1"), world.file("other", b"2"), link("l", "same")]
    world.place(*entries)
    os.utime(world.project / "same", (1, 1))
    entries[1] = world.file("other", b"3")
    assert world.place(*entries, keep_unchanged=True) == ["other"]
    assert (world.project / "same").stat().st_mtime == 1
    assert world.place(*entries) == ["same", "other", "l"]
    assert (world.project / "same").stat().st_mtime > 1


def test_same_content_but_other_mode_is_written(world: World) -> None:
    world.place(world.file("tool", b"#!"))
    assert world.place(world.file("tool", b"#!", EXECUTABLE), keep_unchanged=True) == ["tool"]
    assert os.access(world.project / "tool", os.X_OK)


def test_hasher_knows_what_was_placed(world: World) -> None:
    world.place(world.file("f", b"content"))
    assert world.hasher.digest(world.project / "f") == digest_of(b"content")
    assert world.hasher.hashed_files == 0


# -- nothing outside, ever -----------------------------------------------------------------------
@pytest.mark.parametrize("folder_link", ["../outside", "ABSOLUTE", "inner/../../outside", "hop"])
def test_never_through_a_link_that_leads_out(world: World, folder_link: str) -> None:
    target = str(world.outside) if folder_link == "ABSOLUTE" else folder_link
    (world.project / "inner").mkdir()
    (world.project / "hop").symlink_to("inner/up")
    (world.project / "inner/up").symlink_to("../../outside")
    (world.project / "out").symlink_to(target)
    with pytest.raises(PathEscapes):
        world.place(world.file("out/precious", b"overwritten"))
    with pytest.raises(PathEscapes):
        world.place(TreeEntry(f"{MOUNT}/out/made", DIRECTORY))
    assert world.outside_is_untouched()
    assert world.litter() == []


def test_a_link_that_stays_inside_is_followed(world: World) -> None:
    (world.project / "real/deep").mkdir(parents=True)
    (world.project / "short").symlink_to("real/deep/../deep")
    world.place(world.file("short/f", b"x"))
    assert (world.project / "real/deep/f").read_bytes() == b"x"


def test_link_loop_is_an_error(world: World) -> None:
    (world.project / "a").symlink_to("b")
    (world.project / "b").symlink_to("a")
    with pytest.raises(CannotPlace):
        world.place(world.file("a/f"))


@pytest.mark.parametrize(
    "bad",
    [
        TreeEntry("/etc/passwd", FILE),
        TreeEntry(f"{MOUNT}/../outside/precious", FILE),
        TreeEntry(f"{MOUNT}x/f", FILE),
        TreeEntry("relative", FILE),
        TreeEntry(f"{MOUNT}/l", SYMLINK, link="/etc/passwd"),
        TreeEntry(f"{MOUNT}/l", SYMLINK, link="../../outside"),
        TreeEntry(f"{MOUNT}/nul\0byte", FILE),
    ],
)
def test_bad_entries_are_refused_before_anything_is_written(world: World, bad: TreeEntry) -> None:
    with pytest.raises(PathEscapes):
        world.place(world.file("good"), bad)
    assert list(world.project.iterdir()) == []
    assert world.outside_is_untouched()


def test_entry_below_a_link_of_the_same_result_is_refused(world: World) -> None:
    with pytest.raises(PathEscapes):
        world.place(link("out", "elsewhere"), world.file("out/f"))


def test_the_mount_itself_is_no_file(world: World) -> None:
    with pytest.raises(PathEscapes):
        world.place(TreeEntry(MOUNT, FILE, world.store.put(b"x"), 1))


parts = st.sampled_from(["a", "b", "up", "abs", "in", "..", ".", "", "loop"])


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(parts, min_size=1, max_size=5), min_size=1, max_size=4))
def test_whatever_the_paths_nothing_leaves(world: World, paths: list[list[str]]) -> None:
    for name, target in {
        "up": "..",
        "abs": str(world.outside),
        "in": "a/../b",
        "loop": "loop",
    }.items():
        if not (world.project / name).is_symlink():
            (world.project / name).unlink(missing_ok=True)
            (world.project / name).symlink_to(target)
    with contextlib.suppress(MeshError):
        world.place(*(world.file("/".join(path) + "/f") for path in paths))
    assert world.outside_is_untouched()
    assert {entry.name for entry in world.project.parent.iterdir()} == {
        "project",
        "outside",
        "blobs",
    }
    assert world.litter() == []


# -- trouble -------------------------------------------------------------------------------------
def test_directory_in_the_way(world: World) -> None:
    (world.project / "out").mkdir()
    with pytest.raises(CannotPlace, match="out"):
        world.place(world.file("out"))
    assert world.litter() == []


def test_file_in_the_way_of_a_directory(world: World) -> None:
    (world.project / "out").write_text("a file")
    with pytest.raises(CannotPlace):
        world.place(world.file("out/f"))
    assert (world.project / "out").read_text() == "a file"


def test_missing_blob_leaves_the_old_file(world: World) -> None:
    (world.project / "f").write_text("old")
    with pytest.raises(BlobMissing):
        world.place(TreeEntry(f"{MOUNT}/f", FILE, digest_of(b"nowhere"), 7))
    assert (world.project / "f").read_text() == "old"
    assert world.litter() == []


def test_missing_mount(world: World, tmp_path: Path) -> None:
    with pytest.raises(CannotPlace):
        Placer(world.store, {MOUNT: tmp_path / "nowhere"}).place([world.file("f")])


def test_full_disk_leaves_the_old_file(world: World) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(world.project)]
    if subprocess.run(mount).returncode:
        pytest.skip("mounting a tmpfs is not permitted")
    try:
        (world.project / "f").write_text("old")
        with pytest.raises(StoreFull):
            world.place(world.file("f", b"x" * 200_000))
        assert (world.project / "f").read_text() == "old"
        assert world.litter() == []
    finally:
        subprocess.run(["umount", world.project], check=True)
