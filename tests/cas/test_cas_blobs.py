"""BlobStore: what comes out is what its digest says, or nothing does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakKeyDictionary

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.cas import sources
from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.cas.memory import BlobMemory
from mesh.errors import InputChanged, StoreFull
from mesh.limits import BLOB_BYTES_MAX, BLOB_CHUNK_BYTES, SMALL_BLOB_BYTES_MAX
from mesh.ports.disk import NotPlainFile
from mesh.ports.real.disk import RealDisk
from mesh.types import Digest
from mesh.wire.blobid import blob_id
from mesh.wire.errors import WireError

BIG = bytes(range(256)) * 2048 + b"and more"
SMALL = b"small"
ROOTS: WeakKeyDictionary[BlobStore, Path] = WeakKeyDictionary()
"""Where each store of a test is."""
DISKS: WeakKeyDictionary[BlobStore, RealDisk] = WeakKeyDictionary()


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return store_at(tmp_path / "blobs")


def store_at(root: Path) -> BlobStore:
    disk = RealDisk(root)
    store = BlobStore(disk, "here")
    ROOTS[store], DISKS[store] = root, disk
    return store


def reopened(store: BlobStore) -> BlobStore:
    """The store as the next process sees it: nothing in memory, nothing checked."""
    return store_at(ROOTS[store])


def file_of(store: BlobStore, digest: Digest) -> Path:
    """The store's own file of a blob."""
    return ROOTS[store] / store.name(digest)


def damage(store: BlobStore, data: bytes) -> None:
    """Flip a bit of the last byte, wherever the blob is."""
    folder = ROOTS[store] / "here"
    for path in [file_of(store, blob_id(data)), *folder.glob("packs/*.pack")]:
        if path.exists() and data in (found := path.read_bytes()):
            path.chmod(0o644)
            end = found.index(data) + len(data) - 1
            path.write_bytes(found[:end] + bytes([found[end] ^ 1]) + found[end + 1 :])
            return
    raise AssertionError("nowhere")


def use(store: BlobStore, way: str, digest: Digest, dest: Path) -> object:
    if way == "copy_out":
        return store.copy_out(digest, dest)
    if way == "read_chunk":
        return store.read_chunk(digest, store.manifest_of(digest).chunks - 1)
    return getattr(store, way)(digest)


def litter(store: BlobStore) -> list[str]:
    folder = ROOTS[store] / "here" / "tmp"
    return [entry.name for entry in folder.iterdir()] if folder.exists() else []


@pytest.mark.parametrize("data", [b"", SMALL, BIG])
def test_put_then_get_in_every_way(store: BlobStore, tmp_path: Path, data: bytes) -> None:
    digest = store.put(data)
    for each in (store, reopened(store)):
        assert each.has(digest)
        assert each.size(digest) == len(data)
        assert each.read(digest) == data
        manifest = each.manifest_of(digest)
        chunks = [each.read_chunk(digest, index) for index in range(manifest.chunks)]
        assert b"".join(chunks) == data
        assert manifest.blob_id() == digest
        dest = tmp_path / f"out-{id(each)}"
        each.copy_out(digest, dest, executable=True)
        assert dest.read_bytes() == data
        assert dest.stat().st_mode & 0o777 == 0o755
    if len(data) > SMALL_BLOB_BYTES_MAX:
        assert file_of(store, digest).stat().st_mode & 0o777 == 0o444
    assert litter(store) == []


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=200), max_size=8))
def test_every_blob_is_under_its_own_digest(store: BlobStore, contents: list[bytes]) -> None:
    digests = [store.put(data) for data in contents]
    again = reopened(store)
    assert [again.read(digest) for digest in digests] == contents
    assert again.missing(digests) == []


def test_absent_blob_is_missing(store: BlobStore, tmp_path: Path) -> None:
    digest = blob_id(b"nobody put this")
    assert not store.has(digest)
    assert store.missing([digest, digest]) == [digest]
    for use in (store.read, store.size, store.manifest_of):
        with pytest.raises(BlobMissing):
            use(digest)
    with pytest.raises(BlobMissing):
        store.copy_out(digest, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("data", [SMALL, BIG])
def test_put_file_moves_or_copies(store: BlobStore, tmp_path: Path, data: bytes) -> None:
    moved, kept = tmp_path / "moved", tmp_path / "kept"
    moved.write_bytes(data)
    kept.write_bytes(data)
    assert store.put_file(kept) == (blob_id(data), len(data))
    assert store.put_file(moved, move=True) == (blob_id(data), len(data))
    assert kept.exists()
    assert not moved.exists()
    assert reopened(store).read(blob_id(data)) == data


def test_file_with_another_name_is_copied_not_moved(store: BlobStore, tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(BIG)
    other.hardlink_to(path)
    digest, _ = store.put_file(path, move=True)
    other.write_bytes(b"changed through the other name")
    assert reopened(store).read(digest) == BIG


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory"])
def test_special_files_are_refused(store: BlobStore, tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "symlink":
        path.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises((NotPlainFile, IsADirectoryError)):
        store.put_file(path, move=True)
    assert path.is_symlink() or path.exists()


def test_read_refuses_more_than_asked(store: BlobStore) -> None:
    digest = store.put(BIG)
    with pytest.raises(ValueError, match="over 10"):
        store.read(digest, max_bytes=10)


@pytest.mark.parametrize("data", [SMALL, BIG])
@pytest.mark.parametrize("way", ["read", "read_chunk", "manifest_of", "copy_out"])
def test_damaged_blob_is_quarantined(
    store: BlobStore, tmp_path: Path, data: bytes, way: str
) -> None:
    digest = store.put(data)
    damage(store, data)
    store = reopened(store)
    with pytest.raises(BlobMissing):
        use(store, way, digest, tmp_path / "out")
    assert not store.has(digest)
    assert not (tmp_path / "out").exists()
    assert store.stats().damaged == 1
    store.put(data)  # and it can be fetched anew
    assert reopened(store).read(digest) == data


def test_damage_in_the_same_process_is_seen(store: BlobStore, tmp_path: Path) -> None:
    digest = store.put(BIG)
    store.copy_out(digest, tmp_path / "first")
    damage(store, BIG)
    with pytest.raises(BlobMissing):
        store.copy_out(digest, tmp_path / "second")


# -- fetching ------------------------------------------------------------------------------------
def test_receiver_stores_what_is_right(store: BlobStore) -> None:
    digest = blob_id(BIG)
    with store.receiver(digest, len(BIG)) as receiver:
        receiver.write(BIG[:1000])
        assert not store.has(digest)
        receiver.write(BIG[1000:])
        receiver.finish()
    assert reopened(store).read(digest) == BIG


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([b"wrong"], "wrong-digest"),
        ([b"smal"], "truncated"),
        ([b"small", b"!"], "oversized"),
    ],
)
def test_receiver_refuses_what_is_wrong(store: BlobStore, pieces: list[bytes], reason: str) -> None:
    digest = blob_id(SMALL)

    def receive() -> None:
        with store.receiver(digest, len(SMALL)) as receiver:
            for piece in pieces:
                receiver.write(piece)
            receiver.finish()

    with pytest.raises(WireError) as caught:
        receive()
    assert caught.value.reason == reason
    assert not store.has(digest)
    assert litter(store) == []


def test_receiver_refuses_absurd_sizes(store: BlobStore) -> None:
    with pytest.raises(WireError):
        store.receiver(blob_id(b""), BLOB_BYTES_MAX + 1)
    assert litter(store) == []


def test_crash_while_writing_leaves_nothing_visible(store: BlobStore) -> None:
    receiver = store.receiver(blob_id(BIG), len(BIG))
    receiver.write(BIG)
    assert litter(store) != []
    again = reopened(store)
    assert not again.has(blob_id(BIG))
    assert litter(again) == []
    receiver.close()


# -- project files as sources --------------------------------------------------------------------
@pytest.mark.parametrize("data", [SMALL, BIG])
def test_source_serves_without_import(store: BlobStore, tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(data)
    digest = blob_id(data)
    store.add_source(digest, source)
    assert store.has(digest)
    assert store.size(digest) == len(data)
    store.copy_out(digest, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data
    assert store.read(digest) == data
    assert store.stats().blobs == 0


def test_source_is_served_by_chunks_and_brought_in_on_demand(
    store: BlobStore, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(BIG)
    store.add_source(blob_id(BIG), source)
    assert store.read_chunk(blob_id(BIG), 1) == BIG[BLOB_CHUNK_BYTES : 2 * BLOB_CHUNK_BYTES]
    assert store.stats().imported == 0
    store.bring_in(blob_id(BIG))
    assert file_of(store, blob_id(BIG)).read_bytes() == BIG
    source.unlink()
    assert reopened(store).read(blob_id(BIG)) == BIG
    assert store.stats().imported == 1


@pytest.mark.parametrize("data", [SMALL, BIG])
@pytest.mark.parametrize("change", ["other", "removed", "linked"])
@pytest.mark.parametrize("way", ["read", "read_chunk", "manifest_of", "copy_out"])
def test_changed_source_is_an_input_changed(
    store: BlobStore, tmp_path: Path, data: bytes, change: str, way: str
) -> None:
    source, digest = tmp_path / "source", blob_id(data)
    source.write_bytes(data)
    store.add_source(digest, source)
    source.unlink()
    if change == "other":
        source.write_bytes(data[:-1] + b"!")
    elif change == "linked":
        source.symlink_to("/etc/hostname")
    with pytest.raises(InputChanged):
        use(store, way, digest, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert store.stats().blobs == 0


def test_too_many_sources_import_the_oldest(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BLOB_SOURCES_MAX", 4)
    for number in range(10):
        path = tmp_path / str(number)
        path.write_bytes(path.name.encode())
        store.add_source(blob_id(path.name.encode()), path)
    assert store.stats().sources == 4
    for number in range(10):
        assert store.read(blob_id(str(number).encode())) == str(number).encode()


# -- bounds --------------------------------------------------------------------------------------
def test_memory_is_bounded_and_drops_the_oldest() -> None:
    memory = BlobMemory(limit_bytes=100)
    blobs = [bytes([number]) * 40 for number in range(4)]
    for data in blobs:
        memory.put(blob_id(data), data)
    assert memory.size_bytes <= 100
    assert memory.get(blob_id(blobs[0])) is None
    assert memory.get(blob_id(blobs[-1])) == blobs[-1]
    memory.put(blob_id(b"x"), b"x" * (SMALL_BLOB_BYTES_MAX + 1))
    assert memory.get(blob_id(b"x")) is None


def test_trim_removes_the_least_recently_used(store: BlobStore) -> None:
    old, young = store.put(BIG), store.put(BIG + b"2")
    os.utime(file_of(store, old), (1, 1))
    assert store.trim(len(BIG) + 10).freed_bytes == len(BIG)
    again = reopened(store)
    assert not again.has(old)
    assert again.has(young)


@pytest.fixture
def small_store(tmp_path: Path) -> Iterator[BlobStore]:
    """A store with about 100 KiB of room."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    where = tmp_path / "small"
    where.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", where]).returncode:
        pytest.skip("mounting a tmpfs is not permitted")
    store = store_at(where / "blobs")
    yield store
    DISKS[store].close()
    subprocess.run(["umount", where], check=True)


def test_full_disk_damages_nothing(small_store: BlobStore, tmp_path: Path) -> None:
    digest = small_store.put(SMALL)
    (tmp_path / "big").write_bytes(BIG)

    def fetch() -> None:
        with small_store.receiver(blob_id(BIG), len(BIG)) as receiver:
            for start in range(0, len(BIG), 65536):
                receiver.write(BIG[start : start + 65536])
            receiver.finish()

    for fill in (
        lambda: small_store.put(BIG),
        lambda: small_store.put_file(tmp_path / "big"),
        fetch,
    ):
        with pytest.raises(StoreFull):
            fill()
        assert litter(small_store) == []
    assert not small_store.has(blob_id(BIG))
    assert reopened(small_store).read(digest) == SMALL
