"""RealDisk's large files and its lock, where only real files show the difference."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.ports.disk import AlreadyLocked, NotPlainFile
from mesh.ports.real.disk import RealDisk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[RealDisk]:
    disk = RealDisk(tmp_path / "home")
    yield disk
    disk.close()


def put(disk: RealDisk, name: str, data: bytes) -> None:
    with disk.create(name) as file:
        file.write(data)


def test_a_new_file_is_read_only_for_others_and_exists_once(disk: RealDisk) -> None:
    put(disk, "a/b", b"content")
    assert disk.path("a/b").stat().st_mode & 0o777 == 0o444
    with pytest.raises(FileExistsError):
        disk.create("a/b")
    with disk.open("a/b") as file:
        assert (file.read(3), file.read(100), file.read(100)) == (b"con", b"tent", b"")
        assert file.info().size_bytes == 7


def test_state_changes_with_content_and_with_replacement_only(disk: RealDisk) -> None:
    put(disk, "a", b"one")
    put(disk, "b", b"two")
    before = disk.info("a")
    with disk.open("a") as file:
        file.read(10)
        assert before is not None
        assert file.info().state == before.state
    disk.rename("b", "a")
    after = disk.info("a")
    assert after is not None
    assert after.state != before.state
    assert disk.info("b") is None


def test_rename_makes_folders_and_needs_a_source(disk: RealDisk) -> None:
    put(disk, "tmp/1", b"x")
    disk.rename("tmp/1", "deep/down/x")
    assert disk.read("deep/down/x") == b"x"
    with pytest.raises(FileNotFoundError):
        disk.rename("tmp/1", "elsewhere")


def test_an_append_after_a_rename_goes_to_a_new_file(disk: RealDisk) -> None:
    disk.append("log", b"old")
    disk.rename("log", "log.1")
    disk.append("log", b"new")
    assert (disk.read("log.1"), disk.read("log")) == (b"old", b"new")


def test_files_lists_plain_files_sorted(disk: RealDisk) -> None:
    for name in ("f/b", "f/a", "f/deeper/c"):
        put(disk, name, b"12345")
    disk.path("f/link").symlink_to("a")
    assert [(name, info.size_bytes) for name, info in disk.files("f")] == [("a", 5), ("b", 5)]
    assert disk.files("none") == []


def test_take_moves_a_file_in(disk: RealDisk, tmp_path: Path) -> None:
    path = tmp_path / "made"
    path.write_bytes(b"made by an action")
    inode = path.stat().st_ino
    taken = disk.take(str(path), "in/taken")
    assert taken is not None
    with taken:
        assert taken.read(100) == b"made by an action"
    assert not path.exists()
    assert disk.path("in/taken").stat().st_ino == inode


def test_take_leaves_what_has_another_name_or_is_elsewhere(disk: RealDisk, tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"x")
    other.hardlink_to(path)
    assert disk.take(str(path), "taken") is None
    elsewhere = Path("/proc/version")  # a file system of its own
    assert disk.take(str(elsewhere), "taken") is None
    assert not disk.exists("taken")
    assert path.exists()


@pytest.mark.parametrize("kind", ["symlink", "fifo"])
def test_take_and_open_refuse_special_files(disk: RealDisk, tmp_path: Path, kind: str) -> None:
    path = disk.path("special")
    if kind == "symlink":
        path.symlink_to("/etc/hostname")
    else:
        os.mkfifo(path)
    with pytest.raises(NotPlainFile):
        disk.open("special")
    with pytest.raises(NotPlainFile):
        disk.take(str(path), "taken")


def test_remove_tree_and_remove_are_content_with_nothing(disk: RealDisk) -> None:
    put(disk, "t/a/b", b"x")
    disk.remove_tree("t")
    disk.remove_tree("t")
    disk.remove("t/a/b")
    assert not disk.exists("t")


def test_the_lock_has_one_holder_and_says_who(disk: RealDisk) -> None:
    second = RealDisk(disk.root)
    with disk.lock("node.pid", b"17\n"):
        assert disk.read("node.pid") == b"17\n"
        assert disk.root.stat().st_mode & 0o777 == 0o700
        with pytest.raises(AlreadyLocked), second.lock("node.pid", b"18\n"):
            pass
        assert disk.read("node.pid") == b"17\n"
    assert disk.read("node.pid") == b""
    with second.lock("node.pid", b"18\n"):
        pass


def test_a_lock_ends_with_its_process(disk: RealDisk) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from mesh.ports.real.disk import RealDisk\n"
        "context = RealDisk(pathlib.Path(sys.argv[1])).lock('node.pid', b'x')\n"
        "context.__enter__()\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
        "os._exit(9)\n"
    )
    argv = [sys.executable, "-c", program, str(disk.root)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(AlreadyLocked), disk.lock("node.pid", b"y"):
            pass
        other.communicate()
    with disk.lock("node.pid", b"y"):
        pass
