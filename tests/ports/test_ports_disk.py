"""RealDisk: whole or not at all, never outside its root, and a full disk says so."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.errors import StoreFull
from mesh.ports.disk import NotPlainFile
from mesh.ports.real.disk import RealDisk


def fds() -> list[str]:
    return [entry.name for entry in Path("/proc/self/fd").iterdir()]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[RealDisk]:
    disk = RealDisk(tmp_path / "home")
    yield disk
    disk.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[RealDisk]:
    """A disk with 64 KiB of room."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    where = tmp_path / "small"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", where])
    if mounted.returncode != 0:
        pytest.skip("mounting a tmpfs is not permitted")
    disk = RealDisk(where)
    yield disk
    disk.close()
    subprocess.run(["umount", where], check=True)


def test_write_then_read(disk: RealDisk) -> None:
    disk.write("a/b/c", b"one")
    disk.write("a/b/c", b"two")
    assert disk.read("a/b/c") == b"two"
    assert disk.read("a/b/none") is None
    assert disk.names("a/b") == ["c"]
    assert disk.names("nowhere") == []


def test_private_files_are_0600(disk: RealDisk) -> None:
    disk.write("key", b"secret", private=True)
    disk.write("open", b"public")
    assert disk.path("key").stat().st_mode & 0o777 == 0o600
    assert disk.path("open").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a\0b"])
def test_names_may_not_escape(disk: RealDisk, name: str) -> None:
    with pytest.raises(ValueError, match="relative path"):
        disk.write(name, b"x")
    with pytest.raises(ValueError, match="relative path"):
        disk.append(name, b"x")


def test_persist_wants_a_file_that_is_there(disk: RealDisk) -> None:
    with disk.create("a/new/folder/file") as file:
        file.write(b"x" * 1000)
    disk.rename("a/new/folder/file", "b/file")
    disk.persist("b/file")
    assert disk.read("b/file") == b"x" * 1000
    with pytest.raises(FileNotFoundError):
        disk.persist("a/new/folder/file")
    with pytest.raises(NotPlainFile):
        disk.persist("b")


def test_append_sync_truncate(disk: RealDisk) -> None:
    disk.append("log/0", b"abc")
    disk.append("log/0", b"def")
    disk.sync("log/0")
    disk.truncate("log/0", 4)
    disk.append("log/0", b"!")
    assert disk.read("log/0") == b"abcd!"


def test_append_after_replacement_goes_to_the_new_file(disk: RealDisk) -> None:
    disk.append("log", b"old")
    disk.write("log", b"new")
    disk.append("log", b"+")
    assert disk.read("log") == b"new+"
    disk.remove("log")
    disk.append("log", b"again")
    assert disk.read("log") == b"again"


def test_many_appended_files_keep_few_descriptors(disk: RealDisk) -> None:
    before = len(fds())
    for number in range(100):
        disk.append(f"log/{number}", b"x")
    assert len(fds()) - before <= 16
    assert len(disk.names("log")) == 100


def test_failed_write_keeps_the_old_content(
    disk: RealDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.write("state", b"good")

    def broken(fd: int) -> None:
        raise OSError(5, "I/O error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="I/O error"):
        disk.write("state", b"bad")
    assert disk.read("state") == b"good"
    assert disk.names("") == ["state"]


def test_full_disk_is_an_error_and_damages_nothing(small_disk: RealDisk) -> None:
    small_disk.write("state", b"good")
    small_disk.append("log", b"whole")
    with pytest.raises(StoreFull):
        small_disk.write("state", b"x" * 100_000)
    with pytest.raises(StoreFull):
        small_disk.append("log", b"x" * 100_000)
    assert small_disk.read("state") == b"good"
    assert small_disk.read("log") == b"whole"
