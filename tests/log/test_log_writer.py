"""Our own feeds: when frames are sealed, and that no place is ever signed twice."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_world import KEYS, MESH, continued, digest, feed_of, new_log, snapshot

from mesh.identity.records import FeedPoint
from mesh.limits import LOG_BODY_BYTES_MAX, LOG_EVENT_BYTES_MAX, LOG_FRAME_DELAY_S
from mesh.log.frame import Frame
from mesh.log.log import Log
from mesh.log.model import EMPTY, FeedId, Head, Lane
from mesh.log.segments import Segments
from mesh.log.writer import FeedWriter, WriterConfig
from mesh.state.events import Checkpoint, encode_event
from sim.disk import SimDisk
from sim.world import World

A = KEYS[0]
OPEN = b"opened"


def new_writer(log: Log | None = None, epoch: bytes = bytes(8), now_s: float = 0.0) -> FeedWriter:
    seen = log.digest if log is not None else lambda: bytes(8)
    config = WriterConfig(MESH, A.node_id, A.sign, seen=seen, wall_ms=lambda: 5)
    return FeedWriter(config, epoch, OPEN, now_s)


def events_of(frames: list[Frame]) -> list[tuple[int, bytes]]:
    return [(frame.feed.lane, event) for frame in frames for event in frame.events]


def test_events_wait_a_moment_for_each_other() -> None:
    writer = new_writer()
    assert writer.append(Lane.AC, b"one", 1.0) == []
    assert writer.append(Lane.AC, b"two", 1.02) == []
    assert writer.next_timer_s == pytest.approx(LOG_FRAME_DELAY_S)  # of the open event
    assert writer.handle_timer(0.01) == []
    frames = writer.handle_timer(1.05)
    assert events_of(frames) == [(Lane.CTL, OPEN), (Lane.AC, b"one"), (Lane.AC, b"two")]
    assert writer.next_timer_s is None
    assert writer.waiting == 0
    assert all(frame.signed.header.wall_ms == 5 for frame in frames)


def test_a_full_frame_waits_for_nothing_but_the_opening_comes_first() -> None:
    writer = new_writer()
    frames = [f for n in range(256) for f in writer.append(Lane.AC, b"%d" % n, 0.0)]
    assert [(f.feed.lane, f.signed.header.count) for f in frames] == [(0, 1), (1, 256)]


def test_large_events_share_no_frame_that_would_be_too_large() -> None:
    writer = new_writer()
    large = bytes(LOG_EVENT_BYTES_MAX)
    frames = [f for _ in range(40) for f in writer.append(Lane.EXEC, large, 0.0)]
    frames += writer.flush()
    for frame in frames:
        assert len(frame.body or b"") <= LOG_BODY_BYTES_MAX
        frame.check_body()
    assert sum(frame.signed.header.count for frame in frames) == 41


def test_a_checkpoint_is_alone_in_its_frame_and_after_what_waited() -> None:
    writer = new_writer()
    point = FeedPoint(bytes(8), int(Lane.AC), 1, digest(1))
    checkpoint = encode_event(Checkpoint((point,), digest(2), 0, 0))
    writer.append(Lane.AC, b"before", 0.0)
    frames = writer.append(Lane.AC, checkpoint, 0.0)
    assert events_of(frames) == [(0, OPEN), (1, b"before"), (1, checkpoint)]
    assert [frame.signed.header.count for frame in frames] == [1, 1, 1]


def test_next_dot_is_where_the_event_will_be() -> None:
    writer = new_writer()
    for number in range(300):
        dot = writer.next_dot(Lane.DEP)
        assert dot.seq == number
        writer.append(Lane.DEP, b"event", 0.0)


def test_a_header_is_a_witness_of_what_its_writer_knew() -> None:
    log = new_log()
    writer = new_writer(log)
    before = log.digest()
    (frame,) = writer.flush()
    assert frame.signed.header.seen == before
    log.add_frame(frame, verified=True)
    writer.append(Lane.AC, b"e", 1.0)
    assert writer.flush()[0].signed.header.seen == log.digest() != before


# -- copies of ourselves -------------------------------------------------------------------------
def test_somebody_else_in_our_epoch_is_noticed_and_we_go_on_in_another() -> None:
    log = new_log()
    writer = new_writer(log)
    for frame in writer.flush():
        log.add_frame(frame)
    assert writer.is_ours(log.heads)
    feed = feed_of(A, lane=Lane.CTL)
    for frame in continued(A, feed, log.head(feed), [1], b" by a copy"):
        log.add_frame(frame)
    assert not writer.is_ours(log.heads)

    writer.append(Lane.CTL, b"waiting", 1.0)
    frames = [*writer.rotate(bytes([9]) * 8, OPEN, 2.0), *writer.flush()]
    for frame in frames:
        log.add_frame(frame)
    assert events_of(frames) == [(0, OPEN), (0, b"waiting")]
    assert not log.forks
    assert writer.is_ours(log.heads)
    with pytest.raises(AssertionError):
        writer.rotate(bytes(8), OPEN, 3.0)


def test_own_epochs_that_were_not_known_are_named_once() -> None:
    old, other = feed_of(A, 7), feed_of(A, 8)
    log = new_log()
    for frame in [*continued(A, old, EMPTY, [2]), *continued(A, other, EMPTY, [1])]:
        log.add_frame(frame)
    writer = new_writer(log)
    for frame in writer.flush():
        log.add_frame(frame)
    named: dict[FeedId, Head] = {old: log.head(old)}
    assert writer.unknown_own(log.heads, named) == {other: log.head(other)}
    assert writer.unknown_own(log.heads, {**named, other: log.head(other)}) == {}


class Life:
    """A node that writes, dies, loses power and gets old disks back."""

    def __init__(self, seed: int) -> None:
        self.disk, self.peer, self.all_signed = SimDisk(World(seed), "disk"), new_log(), new_log()
        self.image = self.disk.snapshot()
        self._epochs = itertools.count(1)
        self.start()

    def start(self) -> None:
        self.segments = Segments(self.disk.open())
        self.log = new_log(self.segments)
        for _ in self.log.load():
            pass
        self.writer = new_writer(self.log, next(self._epochs).to_bytes(8, "big"))

    def write(self) -> None:
        for frame in [*self.writer.append(Lane.AC, b"event", 0.0), *self.writer.flush()]:
            assert not self.log.add_frame(frame, verified=True).refused
            self.all_signed.add_frame(frame)

    def commit(self) -> None:
        self.segments.commit(1.0)

    def send(self) -> None:
        for frame in self.log.frames():
            self.peer.add_frame(frame)

    def copy(self) -> None:
        self.image = self.disk.snapshot()

    def power(self) -> None:
        self.disk.power_cut()
        self.start()

    def restore(self) -> None:
        self.disk.restore(self.image)
        self.start()


steps = st.lists(
    st.sampled_from(["write", "write", "commit", "send", "start", "power", "copy", "restore"]),
    max_size=25,
)


@settings(max_examples=60)
@given(steps, st.integers(0, 999))
def test_whatever_happens_to_the_disk_no_place_is_signed_twice(steps: list[str], seed: int) -> None:
    """Everything ever signed, put together, has no fork; and nothing that a peer had is lost."""
    life = Life(seed)
    for step in steps:
        getattr(life, step)()
    assert not life.all_signed.forks
    for frame in life.peer.frames():
        life.log.add_frame(frame)
    life.send()
    assert snapshot(life.log) == snapshot(life.peer)
    assert not life.log.forks
