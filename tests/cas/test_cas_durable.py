"""What the store calls durable is there after a power cut; what is not durable is told to nobody,
and copies of it are asked for all the same."""

from __future__ import annotations

import random

import pytest

from mesh.cas.blobs import BlobStore
from mesh.cas.copies.care import CareConfig, CopyCare, Tell
from mesh.cas.copies.needs import Needs
from mesh.errors import StoreBroken
from mesh.limits import COPIES_GRACE_S, KIB
from mesh.types import Digest, NodeId
from mesh.wire.blob_messages import Holdings, Keep
from mesh.wire.blobid import blob_id, manifest_of
from sim.disk import SimDisk
from sim.disk.troubles import Trouble
from sim.kernel.world import World

LARGE = random.Random(3).randbytes(600 * KIB)
SMALL = b"small"


def store_on(disk: SimDisk) -> BlobStore:
    return BlobStore(disk.open())


@pytest.mark.parametrize("seed", range(8))
def test_what_is_durable_outlives_a_power_cut(seed: int) -> None:
    disk = SimDisk(World(seed), "disk")
    store = store_on(disk)
    large, small, late = store.put(LARGE), store.put(SMALL), LARGE[::-1]
    assert store.is_on_disk(large)
    assert not store.is_durable(large)
    assert not store.is_durable(small)
    store.sync()
    with store.writer(received := blob_id(late), manifest_of(late)) as writer:
        for index in writer.missing_chunks():
            writer.put_chunk(index, late[index * 256 * KIB : (index + 1) * 256 * KIB])
        writer.finish()
    more = store.put(b"more")
    assert store.is_durable(large)
    assert store.is_durable(small)
    assert not store.is_durable(more), "it is in the same pack, behind what was synced"
    assert not store.is_durable(received)
    disk.power_cut()
    again = store_on(disk)
    assert again.read(large) == LARGE
    assert again.read(small) == SMALL


def test_a_disk_that_cannot_sync_makes_nothing_durable() -> None:
    disk = SimDisk(World(1), "disk")
    store = store_on(disk)
    large = store.put(LARGE)
    fault = disk.troubles.add(Trouble("fail-syncs"))
    with pytest.raises(StoreBroken):
        store.sync()
    fault.undo()
    assert not store.is_durable(large)
    store.put(LARGE)
    store.sync()
    assert store.is_durable(large)


class Held:
    """A disk with one blob, durable or not."""

    durable = False

    def has(self, _blob: Digest) -> bool:
        return True

    def is_durable(self, _blob: Digest) -> bool:
        return self.durable

    def size_bytes(self, _blob: Digest) -> int:
        return 100


def test_a_blob_is_told_of_when_it_is_durable() -> None:
    held, peer, blob = Held(), NodeId(b"p" * 32), Digest(b"b" * 32)
    care = CopyCare(CareConfig(NodeId(b"m" * 32)), Needs(10**9), held)
    care.peer_up(peer)
    care.row(Digest(b"a" * 32), {blob: 100})
    said = [effect.message for effect in care.look(1.0) if isinstance(effect, Tell)]
    assert said == []
    assert care.waits_for_sync
    said = [effect.message for effect in care.look(COPIES_GRACE_S + 2.0)]
    assert [type(each) for each in said] == [Keep], "a copy elsewhere is the more needed"
    held.durable = True
    care.synced()
    said = [effect.message for effect in care.look(COPIES_GRACE_S + 4.0)]
    assert [each.add for each in said if isinstance(each, Holdings)] == [blob[:4]]
    assert not care.waits_for_sync
