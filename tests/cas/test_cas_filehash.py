"""FileHasher: right digests always, no reading when nothing changed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mesh.cas import filehash
from mesh.cas.filehash import FileHasher
from mesh.errors import InputChanged
from mesh.types import digest_of
from mesh.wire.blobid import blob_id

OLD_NS = 1_600_000_000_000_000_000


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that every file is old enough, without waiting for it."""
    monkeypatch.setattr(filehash, "RACY_NS", -(10**12))


def test_digest_is_the_blob_id(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 3_000_000)
    assert FileHasher().digest(path) == blob_id(b"x" * 3_000_000)


@pytest.mark.usefixtures("settled")
def test_unchanged_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    hasher = FileHasher()
    assert [hasher.digest(path) for _ in range(3)] == [digest_of(b"one")] * 3
    assert hasher.hashed_files == 1


@pytest.mark.usefixtures("settled")
def test_same_size_and_mtime_but_other_content_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    os.utime(path, ns=(OLD_NS, OLD_NS))
    hasher = FileHasher()
    hasher.digest(path)
    other = tmp_path / "g"
    other.write_bytes(b"two")
    os.utime(other, ns=(OLD_NS, OLD_NS))
    other.replace(path)
    assert hasher.digest(path) == digest_of(b"two")


def test_racy_file_is_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filehash, "RACY_NS", 10**18)
    path = tmp_path / "f"
    path.write_bytes(b"one")
    hasher = FileHasher()
    for expected in (1, 2):
        assert hasher.digest(path) == digest_of(b"one")
        assert hasher.hashed_files == expected
    later = FileHasher(hasher.dump())
    assert len(later) == 1, "it takes its place all the same"
    assert later.digest(path) == digest_of(b"one")
    assert later.hashed_files == 1


def test_change_while_reading_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    real = filehash.hash_fd

    def slow(fd: int) -> object:
        digest = real(fd)
        path.write_bytes(b"longer than before")
        return digest

    monkeypatch.setattr(filehash, "hash_fd", slow)
    with pytest.raises(InputChanged):
        FileHasher().digest(path)


@pytest.mark.usefixtures("settled")
def test_dump_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "ünïcode\udc80"
    path.write_bytes(b"one")
    first = FileHasher()
    first.digest(path)
    second = FileHasher(first.dump())
    assert second.digest(path) == digest_of(b"one")
    assert second.hashed_files == 0


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("cut", [0, 5, 40, -1])
def test_damaged_dump_is_ignored(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    first = FileHasher()
    first.digest(path)
    assert len(FileHasher(first.dump()[:cut])) == 0


def test_remember_avoids_reading(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    hasher = FileHasher()
    hasher.remember(path, digest_of(b"one"))
    assert hasher.digest(path) == digest_of(b"one")
    assert hasher.hashed_files == 0


def test_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filehash, "FILE_HASHES_MAX", 16)
    hasher = FileHasher()
    for number in range(100):
        path = tmp_path / str(number)
        path.write_bytes(b"x")
        hasher.remember(path, digest_of(b"x"))
    assert len(hasher) <= 16
    assert hasher.digest(tmp_path / "99") == digest_of(b"x")
    assert hasher.hashed_files == 0  # the youngest stays


def test_threads_agree(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(50)]
    for path in paths:
        path.write_bytes(path.name.encode())
    hasher, wrong = FileHasher(), []

    def work() -> None:
        for path in paths:
            hasher.remember(path, digest_of(path.name.encode()))
            if hasher.digest(path) != digest_of(path.name.encode()):
                wrong.append(path)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileHasher().digest(tmp_path / "nothing")
