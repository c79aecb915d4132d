"""The store and the result cache on disks that fail, rot and lose what was not synced: whatever
comes out is right, and everything else counts as missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.errors import StoreBroken, StoreFull
from mesh.limits import SMALL_BLOB_BYTES_MAX
from mesh.wire.blobid import blob_id
from sim.disk import SimDisk
from sim.kernel.world import World

BIG = bytes(range(256)) * (SMALL_BLOB_BYTES_MAX // 256 + 1)
BLOBS = [BIG + bytes([number]) for number in range(20)]


def new_disk(seed: int = 1) -> SimDisk:
    return SimDisk(World(seed), "disk")


def store_on(disk: SimDisk) -> BlobStore:
    """The store of a process that has just started on this disk."""
    return BlobStore(disk.open())


def fetch(store: BlobStore, data: bytes) -> None:
    with store.receiver(blob_id(data), len(data)) as receiver:
        receiver.write(data)
        receiver.finish()


def test_the_store_works_on_the_simulated_disk(tmp_path: Path) -> None:
    disk = new_disk()
    store = store_on(disk)
    for data in (b"", b"small", BIG):
        digest = store.put(data)
        again = store_on(disk)
        assert again.read(digest) == data
        again.copy_out(digest, tmp_path / digest.hex())
        assert (tmp_path / digest.hex()).read_bytes() == data
    assert store_on(disk).stats().size_bytes == len(BIG) + 5
    (tmp_path / "output").write_bytes(b"made by an action")
    store.put_file(tmp_path / "output", move=True)
    assert not (tmp_path / "output").exists()
    assert store_on(disk).read(blob_id(b"made by an action")) == b"made by an action"


def test_a_disk_that_cannot_write_is_said_and_leaves_no_litter() -> None:
    disk = new_disk()
    store = store_on(disk)
    fault = disk.fail_writes()
    with pytest.raises(StoreBroken):
        store.put(BIG)
    with pytest.raises(StoreBroken):
        fetch(store, BIG)
    fault.undo()
    assert not store.has(blob_id(BIG))
    fetch(store, BIG)
    assert store_on(disk).read(blob_id(BIG)) == BIG


def test_what_cannot_be_read_is_missing_and_comes_back_with_the_disk() -> None:
    disk = new_disk()
    digest = store_on(disk).put(BIG)
    store = store_on(disk)
    fault = disk.fail_reads()
    with pytest.raises(BlobMissing):
        store.read(digest)
    with pytest.raises(BlobMissing):
        store.manifest_of(digest)
    fault.undo()
    assert store.read(digest) == BIG


def test_a_full_disk_is_said_and_hurts_nothing_that_is_stored() -> None:
    disk = new_disk()
    store = store_on(disk)
    digest = store.put(BIG)
    disk.fill()
    with pytest.raises(StoreFull):
        store.put(BIG + b"!")
    assert store_on(disk).read(digest) == BIG


@pytest.mark.parametrize("seed", range(8))
def test_after_a_power_cut_a_blob_is_whole_or_missing(seed: int) -> None:
    disk = new_disk(seed)
    store = store_on(disk)
    for data in BLOBS:
        store.put(data)
    disk.power_cut()
    again = store_on(disk)
    for data in BLOBS:
        try:
            found = again.read(blob_id(data))
        except BlobMissing:
            again.put(data)
            found = again.read(blob_id(data))
        assert found == data


@pytest.mark.parametrize("seed", range(8))
def test_rot_is_noticed_by_whoever_starts_next(seed: int) -> None:
    disk = new_disk(seed)
    store = store_on(disk)
    for data in BLOBS:
        store.put(data)
    disk.rot()
    again = store_on(disk)
    missing = []
    for data in BLOBS:
        try:
            assert again.read(blob_id(data)) == data
        except BlobMissing:
            missing.append(data)
    assert len(missing) == 1
    assert again.stats().damaged == 1


def test_a_read_only_disk_is_said_and_what_it_has_is_still_served() -> None:
    disk = new_disk()
    store = store_on(disk)
    small, big = store.put(b"small"), store.put(BIG)
    fault = disk.read_only()
    for each in (store, store_on(disk)):
        assert each.read(small) == b"small"
        assert each.read_chunk(big, 0) == BIG
        for data in (b"other", BIG + b"other"):
            with pytest.raises(StoreBroken):
                each.put(data)
        assert "Read-only" in each.trouble
        with pytest.raises(OSError, match="Read-only"):
            each.trim(0)
    fault.undo()
    assert store.put(b"other") == blob_id(b"other")
    assert store.trouble == ""
    assert store_on(disk).missing([small, big, blob_id(b"other")]) == []


def test_damage_on_a_read_only_disk_is_missing_every_time() -> None:
    disk = new_disk()
    digests = [store_on(disk).put(data) for data in (b"small" * 100, BIG)]
    names = ("store/cas/packs/00000000.pack", store_on(disk).name(digests[1]))
    store = store_on(disk)
    for name in names:
        inode = disk.seen.get(name)
        assert inode is not None
        inode.data[-1] ^= 1
        inode.version += 1
    disk.read_only()
    for digest in digests:
        for _ in range(2):
            with pytest.raises(BlobMissing):
                store.read(digest)


def test_a_full_disk_is_said_for_small_ones_too() -> None:
    disk = new_disk()
    store = store_on(disk)
    kept = store.put_all([b"%d" % number for number in range(10)], durable=True)
    fault = disk.fill()
    for put in (lambda: store.put(b"more"), lambda: store.put_all([b"more"])):
        with pytest.raises(StoreFull):
            put()
    assert not store.is_on_disk(blob_id(b"more"))
    fault.undo()
    store.put(b"more")
    disk.power_cut()
    assert store_on(disk).missing(kept) == []


def test_a_disk_that_cannot_sync_promises_nothing() -> None:
    disk = new_disk()
    store = store_on(disk)
    disk.fail_syncs()
    with pytest.raises(StoreBroken):
        store.put_all([b"small"], durable=True)
    assert store.read(blob_id(b"small")) == b"small"
