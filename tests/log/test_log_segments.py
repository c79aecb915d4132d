"""The log on disk: restarts, power cuts at any byte, flipped bits, old copies, bad disks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_world import KEYS, continued, feed_of, history, log_of, new_log, snapshot

from mesh.errors import StoreFull
from mesh.log.frame import Frame
from mesh.log.log import Log
from mesh.log.records import Kind, encode_record, scan
from mesh.log.segments import FOLDER, Segments
from sim.disk import DiskPort, SimDisk, SimDiskConfig
from sim.world import World

A, B = KEYS[:2]
FEED = feed_of(A)
FRAMES = history(A, FEED, [3, 1, 4, 2, 5, 1])
FIRST = f"{FOLDER}/00000001.seg"


def new_disk(seed: int = 1, quota_bytes: int | None = None) -> SimDisk:
    return SimDisk(World(seed), "disk", SimDiskConfig(quota_bytes=quota_bytes))


def opened(disk: SimDisk, segment_bytes: int = 1 << 20) -> tuple[Log, Segments]:
    """A log as it is after a start on this disk."""
    segments = Segments(disk.open(), segment_bytes)
    log = new_log(segments)
    for _ in log.load():
        pass
    return log, segments


def filled(disk: SimDisk, frames: Iterable[Frame], segment_bytes: int = 1 << 20) -> Segments:
    """The disk after these frames were kept, each in a batch of its own."""
    log, segments = opened(disk, segment_bytes)
    for number, frame in enumerate(frames):
        assert not log.add_frame(frame).refused
        segments.commit(float(number))
    return segments


def bytes_of(disk: SimDisk, name: str = FIRST) -> bytes:
    return disk.open().read(name) or b""


WHOLE = snapshot(log_of(FRAMES))


def file_of_all() -> bytes:
    filled(disk := new_disk(), FRAMES)
    return bytes_of(disk)


FILE = file_of_all()


def rewritten(data: bytes) -> SimDisk:
    """A disk with just this segment."""
    disk = new_disk()
    disk.open().write(FIRST, data)
    return disk


@settings(max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(200, 2000))
def test_a_restart_finds_everything(counts: list[int], segment_bytes: int) -> None:
    frames = history(A, FEED, counts) + history(B, feed_of(B), counts)
    rival = continued(A, FEED, frames[0].signed.head, [1], b" rival")
    disk = new_disk()
    log, segments = opened(disk, segment_bytes)
    for frame in [*frames, *rival]:
        log.add_frame(frame)
        segments.commit(1.0)
    again, found = opened(disk, segment_bytes)
    assert snapshot(again) == snapshot(log)
    assert not found.damage
    assert not found.has_pending, "nothing is written again"
    assert not found.torn_bytes


def test_headers_whose_bodies_come_later_are_found_with_them() -> None:
    disk = new_disk()
    log, segments = opened(disk)
    log.add_headers([frame.signed for frame in reversed(FRAMES)])
    segments.commit(1.0)
    for frame in FRAMES[::2]:
        log.add_body(FEED, frame.signed.seq, frame.body or b"")
    segments.commit(2.0)
    again, _ = opened(disk)
    assert snapshot(again) == snapshot(log)
    assert again.wanted(FEED) == [frame.signed for frame in FRAMES[1::2]][::-1]


def test_a_file_that_ends_anywhere_gives_what_came_before() -> None:
    filled(disk := new_disk(), FRAMES)
    data = bytes_of(disk)
    ends = [r.body_at + r.body_bytes for r in scan(FIRST, data, is_newest=True).records]
    around_ends = {size for end in ends for size in (end - 1, end, end + 1) if size <= len(data)}
    for size in sorted({*range(0, len(data), 5), *around_ends}):
        torn = rewritten(data[:size])
        log, segments = opened(torn)
        whole = sum(1 for end in ends[1:] if end <= size)  # the first says how old the store is
        assert [frame.signed for frame in log.frames()] == [f.signed for f in FRAMES[:whole]]
        assert not segments.damage
        assert len(bytes_of(torn)) == size - segments.torn_bytes
        assert size - segments.torn_bytes in [0, *ends]


@settings(max_examples=60)
@given(st.data())
def test_a_flipped_bit_is_found_and_what_it_hit_can_be_fetched(data: st.DataObject) -> None:
    spoiled = bytearray(FILE)
    spoiled[data.draw(st.integers(0, len(FILE) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    log, segments = opened(rewritten(bytes(spoiled)))
    assert segments.damage or segments.torn_bytes
    good = {frame.signed.digest: frame.body for frame in FRAMES}
    assert all(good[frame.signed.digest] == frame.body for frame in log.frames())
    for frame in FRAMES:
        log.add_frame(frame)
    assert snapshot(log) == WHOLE


def test_a_bit_that_flips_while_the_node_runs_is_found_when_the_body_is_read() -> None:
    disk = new_disk()
    log, segments = opened(disk)
    log.add_frame(FRAMES[0])
    segments.commit(1.0)
    data = bytearray(bytes_of(disk))
    data[-1] ^= 1
    disk.open().write(FIRST, bytes(data))
    assert log.frame(FEED, 0) == FRAMES[0].without_body()
    assert [each.what for each in segments.damage] == ["body"]
    assert log.wanted(FEED) == [FRAMES[0].signed]
    assert log.add_body(FEED, 0, FRAMES[0].body or b"").frames == (FRAMES[0],)
    segments.commit(2.0)
    assert log.frame(FEED, 0) == FRAMES[0]
    assert opened(disk)[0].frame(FEED, 0) == FRAMES[0]


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, 6), st.integers(0, 6))
def test_what_was_committed_survives_the_power_going(seed: int, safe: int, unsafe: int) -> None:
    disk = new_disk(seed)
    log, segments = opened(disk, segment_bytes=400)
    for frame in FRAMES[:safe]:
        log.add_frame(frame)
        segments.commit(1.0)
    for frame in FRAMES[safe : safe + unsafe]:
        log.add_frame(frame)
        batch = segments.batch(1.0)
        assert batch is not None
        segments.disk.append(batch.name, b"".join(line.encode() for line in batch.lines))  # no sync
        segments.written(batch)
    disk.power_cut()
    again, _ = opened(disk, segment_bytes=400)
    kept = [frame.signed for frame in again.frames()]
    assert kept == [frame.signed for frame in FRAMES[: len(kept)]]
    assert len(kept) >= min(safe, len(FRAMES))
    for frame in FRAMES:
        again.add_frame(frame)
    assert snapshot(again) == snapshot(log_of(FRAMES))


@pytest.mark.parametrize("seed", range(12))
def test_the_power_goes_while_a_file_is_rewritten(seed: int) -> None:
    disk = new_disk(seed)
    filled(disk, FRAMES, segment_bytes=200)
    log, segments = opened(disk, segment_bytes=200)
    log.drop(frame.signed for frame in FRAMES[:3])
    segments.commit(9.0)
    disk.watchers.append(power_goes_at(seed % 3))
    with pytest.raises(OSError, match="the power went"):
        segments.compact(at_most=99)
    disk.watchers.clear()
    disk.power_cut()
    again, found = opened(disk, segment_bytes=200)
    assert again.head(FEED) == FRAMES[-1].signed.head
    assert not found.damage
    assert again.lost(FEED) == sum(frame.signed.header.count for frame in FRAMES[:3])


def power_goes_at(rewrite: int) -> Callable[[str, str], None]:
    seen = iter(range(rewrite + 1))

    def watch(operation: str, name: str) -> None:
        if operation == "write" and next(seen) == rewrite:
            raise OSError(f"the power went before {name} was written")

    return watch


def test_dropped_bodies_leave_their_headers_and_room() -> None:
    frames = history(A, FEED, [40] * 12)
    disk = new_disk()
    segments = filled(disk, frames, segment_bytes=3000)
    log, segments = opened(disk, segment_bytes=3000)
    before = segments.size_bytes

    assert log.drop(frame.signed for frame in frames[:8]) == 320
    segments.commit(20.0)
    freed = segments.compact(at_most=99)

    assert freed > 0.8 * sum(len(frame.body or b"") for frame in frames[:8])
    assert segments.size_bytes < before
    for each in (log, opened(disk, segment_bytes=3000)[0]):
        assert each.head(FEED) == frames[-1].signed.head
        assert [frame.signed for frame in each.frames()] == [f.signed for f in frames[8:]]
        assert each.frame(FEED, 0) == frames[0].without_body()
        assert each.wanted(FEED) == []
        assert each.lost(FEED) == 320
        assert each.digest() == log_of(frames).digest()


def test_a_dropped_body_that_comes_back_is_kept_again() -> None:
    disk = new_disk()
    log, segments = opened(disk)
    log.add_frame(FRAMES[0])
    segments.commit(1.0)
    log.drop([FRAMES[0].signed])
    log.add_frame(FRAMES[0])
    segments.commit(2.0)
    segments.compact()
    segments.commit(3.0)
    assert opened(disk)[0].frame(FEED, 0) == log.frame(FEED, 0) == FRAMES[0]


# -- bad disks -------------------------------------------------------------------------------------
def test_a_full_disk_is_told_and_nothing_is_forgotten() -> None:
    disk = new_disk(quota_bytes=700)
    log, segments = opened(disk)
    for frame in FRAMES[:2]:
        log.add_frame(frame)
        segments.commit(1.0)
    for frame in FRAMES[2:]:
        log.add_frame(frame)
    with pytest.raises(StoreFull):
        segments.commit(1.0)
    assert segments.has_pending
    assert log.frame(FEED, 0) == FRAMES[0]
    disk.config = SimDiskConfig()
    segments.commit(2.0)
    assert snapshot(opened(disk)[0]) == snapshot(log)


def test_after_a_sync_that_failed_all_is_written_again_to_another_file() -> None:
    disk = new_disk()
    log, segments = opened(disk)
    log.add_frame(FRAMES[0])
    segments.commit(1.0)
    log.add_frame(FRAMES[1])
    fault = disk.fail_syncs()
    with pytest.raises(OSError, match="Input/output"):
        segments.commit(2.0)
    fault.undo()
    segments.commit(3.0)
    disk.power_cut()
    again, _ = opened(disk)
    assert [frame.signed for frame in again.frames()] == [frame.signed for frame in FRAMES[:2]]


def test_a_file_that_cannot_be_read_costs_only_itself() -> None:
    disk = new_disk()
    filled(disk, FRAMES, segment_bytes=300)
    names = disk.open().names(FOLDER)
    assert len(names) > 3
    disk.fail_reads(names=f"{FOLDER}/{names[1]}")
    log, segments = opened(disk, segment_bytes=300)
    assert segments.damage
    for frame in FRAMES:
        log.add_frame(frame)
    assert snapshot(log) == snapshot(log_of(FRAMES))
    segments.commit(1.0)
    assert snapshot(opened(disk, 300)[0]) == snapshot(log)


def test_an_old_copy_of_the_disk_comes_back_and_everything_else_from_peers() -> None:
    """No fork, nothing lost that a peer has: a new epoch never repeats a place."""
    disk, peer = new_disk(), new_log()
    log, segments = opened(disk)
    for frame in FRAMES[:2]:
        log.add_frame(frame)
        peer.add_frame(frame)
        segments.commit(1.0)
    image = disk.snapshot()
    for frame in FRAMES[2:]:
        log.add_frame(frame)
        peer.add_frame(frame)
        segments.commit(2.0)
    disk.restore(image)
    restored, _ = opened(disk)
    for frame in history(A, feed_of(A, epoch=1), [2]):
        restored.add_frame(frame)
        peer.add_frame(frame)
    for frame in peer.frames():
        restored.add_frame(frame)
    assert snapshot(restored) == snapshot(peer)
    assert not restored.forks


# -- age -------------------------------------------------------------------------------------------
def test_age_is_time_in_use_and_survives_a_restart() -> None:
    disk = new_disk()
    log, segments = opened(disk)
    log.add_frame(FRAMES[0])
    segments.commit(100.0)
    log.add_frame(FRAMES[1])
    segments.commit(1100.0)
    assert [round(held.age_s) for held in segments.held()] == [1000, 0]
    log, segments = opened(disk)
    segments.commit(7.0)  # another clock, and any time switched off
    log.add_frame(FRAMES[2])
    segments.commit(27.0)
    assert [round(held.age_s) for held in segments.held()] == [1020, 20, 0]


# -- records ---------------------------------------------------------------------------------------
@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=30)), max_size=6),
    st.binary(max_size=40),
    st.data(),
)
def test_whole_records_are_found_around_whatever_lies_between(
    parts: list[tuple[bytes, bytes]], junk: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(parts)))
    encoded = [encode_record(Kind.FRAME, head, body) for head, body in parts]
    joined = b"".join((*encoded[:at], junk, *encoded[at:]))
    found = scan("f", joined, is_newest=False)
    assert [(r.head, r.body) for r in found.records] == parts
    assert sum(each.size_bytes for each in found.damage) == len(junk)


def test_a_port_that_is_gone_is_an_error_not_a_loss() -> None:
    disk = new_disk()
    log, segments = opened(disk)
    log.add_frame(FRAMES[0])
    port = segments.disk
    assert isinstance(port, DiskPort)
    port.detach()
    with pytest.raises(OSError, match="process has ended"):
        segments.commit(1.0)
    assert segments.has_pending
