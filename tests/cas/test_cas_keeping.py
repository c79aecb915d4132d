"""Making room, leases, pins and scrubbing: the oldest goes, what is needed stays, rot is found."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from mesh.cas import keep as keep_module
from mesh.cas import scrub
from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.cas.scrub import Scrubber
from mesh.cas.uses import Uses
from mesh.errors import TooManyPins
from mesh.limits import SCRUB_FIRST_S, SCRUB_PASS_EVERY_S, SMALL_BLOB_BYTES_MAX
from mesh.types import Digest
from mesh.wire.blobid import blob_id
from sim.disk import SimDisk
from sim.kernel.world import World

LARGE = SMALL_BLOB_BYTES_MAX + 1000


def new_disk(seed: int = 1) -> SimDisk:
    return SimDisk(World(seed), "disk")


def store_on(disk: SimDisk) -> BlobStore:
    return BlobStore(disk.open())


def fill(store: BlobStore, count: int, size: int) -> list[Digest]:
    return [store.put(bytes([number]) * size) for number in range(count)]


def on_disk(store: BlobStore, digests: list[Digest]) -> list[bool]:
    return [store.is_on_disk(digest) for digest in digests]


# -- making room -----------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [1000, LARGE])
def test_the_least_recently_used_go_first(size: int) -> None:
    store = store_on(new_disk())
    digests = fill(store, 10, size)
    store.read(digests[0])
    assert store.has(digests[2])
    done = store.trim(5 * (size + 100))
    assert done.dropped >= 5
    assert done.kept == 0
    assert store.size_bytes <= 5 * (size + 100)
    left = [number for number, here in enumerate(on_disk(store, digests)) if here]
    assert left == [0, 2, 7, 8, 9]


@pytest.mark.parametrize("size", [1000, LARGE])
def test_the_order_of_use_outlives_the_process(size: int) -> None:
    disk = new_disk()
    store = store_on(disk)
    digests = fill(store, 10, size)
    store.read(digests[0])
    store.save()
    store = store_on(disk)
    assert store.has(digests[2])
    store.save()  # of the order before, what was not used meanwhile keeps its place
    store = store_on(disk)
    store.trim(5 * (size + 100))
    left = [number for number, here in enumerate(on_disk(store, digests)) if here]
    assert left == [0, 2, 7, 8, 9]


@pytest.mark.parametrize("rubbish", [b"", b"x", bytes(800_001)])
def test_a_damaged_order_is_only_a_worse_one(rubbish: bytes) -> None:
    disk = new_disk()
    digests = fill(store_on(disk), 4, LARGE)
    disk.open().write("store/cas/uses", rubbish)
    store = store_on(disk)
    store.trim(2 * (LARGE + 100))
    assert sum(on_disk(store, digests)) == 2


def test_the_order_that_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.cas.uses.BLOB_USES_KEPT", 3)
    uses = Uses(b"".join(bytes([number]) * 8 for number in range(9)))
    assert [uses.earlier(Digest(bytes([number]) * 32)) for number in (5, 6, 8)] == [0, 1, 3]
    uses.touch(Digest(b"\x06" * 32))
    assert uses.dump() == b"\x07" * 8 + b"\x08" * 8 + b"\x06" * 8


def test_small_and_large_share_one_order() -> None:
    store = store_on(new_disk())
    old_small, old_large = store.put(b"s" * 2000), store.put(b"L" * LARGE)
    new_small, new_large = store.put(b"t" * 2000), store.put(b"M" * LARGE)
    store.trim(LARGE + 2500)
    assert on_disk(store, [old_small, old_large, new_small, new_large]) == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("size", [1000, LARGE])
def test_leased_pinned_and_last_copies_stay_however_old(size: int) -> None:
    disk = new_disk()
    store = store_on(disk)
    leased, pinned, last, other, *_ = digests = fill(store, 8, size)
    store.keep.pin(pinned, "release")
    store.last_copy = lambda digest: digest == last
    with store.keep.lease(lambda: [leased]):
        done = store.trim(0)
        assert on_disk(store, [leased, pinned, last, other]) == [True, True, True, False]
        assert (done.dropped, done.kept) == (5, 3)
    store.last_copy = lambda _digest: False
    assert store.trim(0).dropped == 2
    assert on_disk(store, digests) == [False, True, *[False] * 6]
    again = store_on(disk)
    assert again.keep.pins == {pinned: "release"}
    assert again.trim(0).dropped == 0
    assert again.keep.unpin(pinned)
    assert not again.keep.unpin(pinned)
    assert again.trim(0).dropped == 1
    assert again.size_bytes == 0


def test_what_an_action_that_still_runs_has_touched_stays() -> None:
    store = store_on(new_disk())
    before, asked = fill(store, 2, LARGE)
    with store.in_use():
        made = store.put(b"made" * LARGE)
        assert store.has(asked)
        store.trim(0)
        assert on_disk(store, [before, asked, made]) == [False, True, True]
        with store.in_use():
            later = store.put(b"later" * LARGE)
        store.trim(0)
        assert on_disk(store, [asked, made, later]) == [True, True, True]
    store.trim(0)
    assert on_disk(store, [asked, made, later]) == [False] * 3


def test_a_lease_that_is_taken_while_room_is_made_is_heeded() -> None:
    store = store_on(new_disk())
    digests = fill(store, 6, LARGE)
    asked: list[Digest] = []

    def last_copy(digest: Digest) -> bool:
        if not asked:
            late.enter_context(store.keep.lease(lambda: [digests[4]]))
        asked.append(digest)
        return False

    store.last_copy = last_copy
    with ExitStack() as late:
        store.trim(0)
    assert on_disk(store, digests) == [False, False, False, False, True, False]


def test_a_dropped_blob_does_not_come_back_with_the_next_start() -> None:
    disk = new_disk()
    store = store_on(disk)
    digests = fill(store, 20, 1000)
    store.trim(10_000)
    left = on_disk(store, digests)
    assert on_disk(store_on(disk), digests) == left


# -- pins ------------------------------------------------------------------------------------------
def test_pins_are_bounded_durable_and_survive_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep_module, "BLOB_PINS_MAX", 2)
    disk = new_disk()
    keep = store_on(disk).keep
    keep.pin(blob_id(b"a"), "x" * 1000)
    keep.pin(blob_id(b"b"), "é" * 200)
    keep.pin(blob_id(b"b"), "again")
    with pytest.raises(TooManyPins):
        keep.pin(blob_id(b"c"), "")
    disk.power_cut()
    assert store_on(disk).keep.pins == {blob_id(b"a"): "x" * 256, blob_id(b"b"): "again"}
    disk.tear("store/cas/pins")
    assert store_on(disk).keep.pins == {}


# -- scrubbing -------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [1000, LARGE])
def test_a_scrub_finds_every_flipped_bit_and_says_so(seed: int, size: int) -> None:
    disk = new_disk(seed)
    store = store_on(disk)
    digests = fill(store, 12, size)
    told: list[Digest] = []
    store.when_damaged(told.append)
    where = store.name(digests[7]) if size == LARGE else "store/cas/packs/00000000.pack"
    rotten = 0
    while rotten == 0:  # a bit in the head of a record costs nothing but the next start
        disk.rot(where)
        scrubber = Scrubber(store, 0.0)
        found = scrubber.step(SCRUB_FIRST_S)
        rotten = len(found.damaged)
    assert told == list(found.damaged)
    assert scrubber.passes == 1
    assert found.blobs == 12
    for digest in found.damaged:
        assert not store.is_on_disk(digest)
        with pytest.raises(BlobMissing):
            store_on(disk).read(digest)
    assert store.damaged == rotten


def test_a_scrub_goes_by_steps_and_rests_between_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_on(new_disk())
    fill(store, 10, LARGE)
    scrubber = Scrubber(store, now_s=100.0)
    assert not scrubber.is_due(99.0 + SCRUB_FIRST_S)
    now_s = 100.0 + SCRUB_FIRST_S
    assert scrubber.is_due(now_s)
    steps = 0
    while scrubber.is_due(now_s):
        assert scrubber.step(now_s, max_bytes=3 * LARGE).blobs <= 3
        steps += 1
    assert (steps, scrubber.passes) == (4, 1)
    assert not scrubber.is_due(now_s + SCRUB_PASS_EVERY_S - 1)
    assert scrubber.is_due(now_s + SCRUB_PASS_EVERY_S)
    assert scrub.check(store, iter(()), 10).blobs == 0


def test_what_the_disk_cannot_read_is_not_thrown_away() -> None:
    disk = new_disk()
    store = store_on(disk)
    digests = fill(store, 4, LARGE)
    fault = disk.fail_reads()
    found = Scrubber(store, 0.0).step(SCRUB_FIRST_S)
    assert (found.unreadable, found.damaged) == (4, ())
    fault.undo()
    assert all(on_disk(store, digests))


def test_an_old_store_is_emptied() -> None:
    disk = new_disk()
    port = disk.open()
    port.write("store/blobs/ab/cdef", b"under a name of another form")
    store = BlobStore(port)
    digest = store.put(b"new")
    store.count()
    assert port.names("store/blobs") == []
    assert store.has(digest)
