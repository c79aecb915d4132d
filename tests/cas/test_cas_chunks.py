"""ChunkWriter: chunks in any order, nothing wrong kept, a crash costs one chunk."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest

from mesh.cas import chunks as chunks_module
from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.cas.chunks import ChunkWriter
from mesh.errors import StoreBroken, StoreFull
from mesh.limits import BLOB_CHUNK_BYTES, PARTIAL_BLOBS_MAX
from mesh.types import Digest
from mesh.wire.blobid import TAG, blob_id, manifest_of
from mesh.wire.errors import WireError
from sim.disk import SimDisk
from sim.kernel.world import World

CHUNK = BLOB_CHUNK_BYTES
DATA = random.Random(1).randbytes(5 * CHUNK + 77)
ID = blob_id(DATA)


MANIFEST = manifest_of(DATA)


def piece(index: int, data: bytes = DATA) -> bytes:
    return data[index * CHUNK : (index + 1) * CHUNK]


def new_disk(seed: int = 1) -> SimDisk:
    return SimDisk(World(seed), "disk")


def store_on(disk: SimDisk) -> BlobStore:
    return BlobStore(disk.open())


def names(disk: SimDisk, folder: str) -> list[str]:
    return [name for name, _ in disk.seen if f"/{folder}/" in name]


@pytest.mark.parametrize("data", [b"", b"small", piece(0)[: 100 * 1024], DATA, TAG + b"tricky"])
def test_a_blob_is_there_when_all_its_chunks_are(data: bytes) -> None:
    disk, digest = new_disk(), blob_id(data)
    store, manifest = store_on(disk), manifest_of(data)
    with store.writer(digest, manifest) as writer:
        order = list(range(manifest.chunks))[::-1]
        for index in order:
            assert not store.has(digest)
            assert writer.put_chunk(index, piece(index, data))
            assert not writer.put_chunk(index, piece(index, data))  # a duplicate is harmless
        assert writer.missing_chunks() == []
        writer.finish()
    for each in (store, store_on(disk)):
        assert each.read(digest) == data
        assert each.manifest_of(digest).digests == manifest.digests
    assert names(disk, "part") == names(disk, "tmp") == []


def test_what_is_wrong_is_refused_and_the_rest_goes_on() -> None:
    store = store_on(new_disk())
    with store.writer(ID, MANIFEST) as writer:
        for index, data, reason in (
            (0, piece(1), "wrong-digest"),
            (0, piece(0)[:-1], "chunk-size"),
            (5, piece(0), "chunk-size"),
            (6, piece(0), "chunk-index"),
            (-1, piece(0), "chunk-index"),
        ):
            with pytest.raises(WireError) as caught:
                writer.put_chunk(index, data)
            assert caught.value.reason == reason
        with pytest.raises(WireError) as caught:
            writer.finish()
        assert caught.value.reason == "truncated"
        for index in writer.missing_chunks():
            writer.put_chunk(index, piece(index))
        writer.finish()
    assert store.read(ID) == DATA


def test_a_manifest_of_another_blob_is_refused() -> None:
    store = store_on(new_disk())
    with pytest.raises(WireError) as caught:
        store.writer(Digest(bytes(32)), MANIFEST)
    assert caught.value.reason == "manifest"
    assert list(store.entries()) == []


@pytest.mark.parametrize("crash_after", range(6))
def test_after_a_crash_only_what_was_being_written_is_fetched_again(crash_after: int) -> None:
    disk = new_disk()
    writer = store_on(disk).writer(ID, MANIFEST)
    for index in range(crash_after):
        writer.put_chunk(index, piece(index))
    writer._file.write_at(crash_after * CHUNK, piece(crash_after)[:1000])  # kill -9 in the middle
    again = store_on(disk)
    assert not again.has(ID)
    with again.writer(ID, MANIFEST) as writer:
        assert writer.missing_chunks() == list(range(crash_after, 6))
        assert writer.resumed_chunks == crash_after
        for index in writer.missing_chunks():
            writer.put_chunk(index, piece(index))
        writer.finish()
    assert store_on(disk).read(ID) == DATA


@pytest.mark.parametrize("seed", range(12))
def test_after_a_power_cut_no_chunk_is_believed_that_is_not_there(seed: int) -> None:
    disk = new_disk(seed)
    writer = store_on(disk).writer(ID, MANIFEST)
    for index in range(5):
        writer.put_chunk(index, piece(index))
    disk.power_cut()
    with store_on(disk).writer(ID, MANIFEST) as writer:
        for index in writer.missing_chunks():
            writer.put_chunk(index, piece(index))
        writer.finish()
    assert store_on(disk).read(ID) == DATA


def test_a_claim_without_its_chunk_is_found_out() -> None:
    """What a journal written before the data would leave."""
    disk = new_disk()
    writer = store_on(disk).writer(ID, MANIFEST)
    for index in range(5):
        writer.put_chunk(index, piece(index))
    writer._file.write_at(2 * CHUNK + 5, b"rot")
    again = store_on(disk).writer(ID, MANIFEST)
    assert again.missing_chunks() == [2, 5]
    again.close()
    third = store_on(disk).writer(ID, MANIFEST)
    assert third.missing_chunks() == [2, 5]
    third.close()


def test_two_receive_the_same_blob_without_meeting() -> None:
    disk = new_disk()
    store = store_on(disk)
    with store.writer(ID, MANIFEST) as first, store.writer(ID, MANIFEST) as second:
        for index in range(6):
            first.put_chunk(index, piece(index))
        assert len(second.missing_chunks()) == 6
        for index in range(6):
            second.put_chunk(index, piece(index))
        second.finish()
        first.finish()
    assert store_on(disk).read(ID) == DATA
    assert names(disk, "part") == names(disk, "tmp") == []


def test_what_is_given_up_stays_only_when_something_was_there() -> None:
    disk = new_disk()
    store = store_on(disk)
    store.writer(ID, MANIFEST).close()
    assert names(disk, "part") == []
    with store.writer(ID, MANIFEST) as writer:
        writer.put_chunk(3, piece(3))
    assert len(names(disk, "part")) == 2
    store.trim(0)
    assert names(disk, "part") == []


def test_unfinished_fetches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PARTIAL_BLOBS_MAX >= 3
    monkeypatch.setattr(chunks_module, "PARTIAL_BLOBS_MAX", 3)
    disk = new_disk()
    store = store_on(disk)
    for number in range(8):
        data = bytes([number]) * (CHUNK + 1)
        with store.writer(blob_id(data), manifest_of(data)) as writer:
            writer.put_chunk(1, data[CHUNK:])
    assert len([name for name in names(disk, "part") if "." not in name]) <= 4


def test_a_full_or_failing_disk_is_said_and_costs_nothing_that_was_there() -> None:
    disk = new_disk()
    store = store_on(disk)
    with store.writer(ID, MANIFEST) as writer:
        writer.put_chunk(0, piece(0))
        fault = disk.fill()
        with pytest.raises(StoreFull):
            writer.put_chunk(1, piece(1))
        fault.undo()
        fault = disk.fail_writes()
        with pytest.raises(StoreBroken):
            writer.put_chunk(2, piece(2))
        fault.undo()
        assert writer.missing_chunks() == [1, 2, 3, 4, 5]
        for index in writer.missing_chunks():
            writer.put_chunk(index, piece(index))
        writer.finish()
    assert store_on(disk).read(ID) == DATA


def test_chunks_are_served_one_by_one_and_a_damaged_one_is_no_answer() -> None:
    disk = new_disk()
    store = store_on(disk)
    store.put(DATA)
    again = store_on(disk)
    assert [again.read_chunk(ID, index) for index in range(6)] == [piece(n) for n in range(6)]
    with pytest.raises(IndexError):
        again.read_chunk(ID, 6)
    reads_before_rot = again.manifest_of(ID)
    disk.rot(again.name(ID))
    damaged: list[Digest] = []
    again.when_damaged(damaged.append)
    answers = 0
    for index in range(6):
        try:
            assert sha256(again.read_chunk(ID, index)).digest() == reads_before_rot.digest(index)
            answers += 1
        except BlobMissing:
            break
    assert answers < 6
    assert damaged == [ID]
    assert not again.has(ID)


def test_a_manifest_is_known_to_the_next_process_without_reading_the_blob() -> None:
    disk = new_disk()
    store_on(disk).put(DATA)
    store_on(disk).manifest_of(ID)
    again = store_on(disk)
    disk.fail_reads(names="store/cas/??/*")
    assert again.manifest_of(ID) == MANIFEST


def test_the_writer_keeps_small_blobs_in_a_pack() -> None:
    store = store_on(new_disk())
    kept: dict[Digest, bytes] = {}
    writer = ChunkWriter(
        store._shelf,
        blob_id(b"small"),
        manifest_of(b"small"),
        lambda digest, data: kept.update({digest: data}),
    )
    with writer:
        writer.put_chunk(0, b"small")
        writer.finish()
    assert kept == {blob_id(b"small"): b"small"}
