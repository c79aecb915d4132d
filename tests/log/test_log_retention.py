"""Checkpoints, folded epochs, what goes by size and age, and what is shown as lost."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from log_world import KEYS, continued, digest, feed_of, history, new_log, sealed, snapshot

from mesh.identity.keys import NodeKey
from mesh.identity.records import FeedPoint
from mesh.limits import LOG_COVERS_PER_FEED_MAX, MIB
from mesh.log.checkpoint import is_due
from mesh.log.frame import Frame
from mesh.log.log import Log
from mesh.log.model import EMPTY, FeedId, Head, Lane
from mesh.log.retention import RetentionConfig, choose, clear_up
from mesh.log.segments import Held, Segments
from mesh.state.events import Checkpoint, encode_event
from sim.disk import SimDisk
from sim.world import World

A, B = KEYS[:2]
STATE = digest(7)


def checkpoint(key: NodeKey, at: FeedId, parent: Head, covers: dict[FeedId, Head]) -> Frame:
    event = encode_event(Checkpoint(points(covers), STATE, 10, 1))
    return sealed(key, at, parent, [event])


def points(heads: dict[FeedId, Head]) -> tuple[FeedPoint, ...]:
    return tuple(
        FeedPoint(feed.epoch, feed.lane, heads[feed].count, heads[feed].digest)
        for feed in sorted(heads)
    )


def with_checkpoint(counts: list[int], old_epochs: int = 0) -> tuple[list[Frame], Frame]:
    """A writer's frames on AC in several epochs, and a checkpoint of them all in the newest."""
    frames, heads = list[Frame](), dict[FeedId, Head]()
    for epoch in range(old_epochs + 1):
        feed = feed_of(A, epoch)
        frames += history(A, feed, counts)
        heads[feed] = frames[-1].signed.head
    last = frames[-1]
    return frames, checkpoint(A, last.feed, last.signed.head, heads)


@settings(max_examples=30)
@given(st.integers(0, 4), st.data())
def test_covered_epochs_leave_the_version_vector_in_any_order(
    old_epochs: int, data: st.DataObject
) -> None:
    frames, covering = with_checkpoint([2, 1], old_epochs)
    log = new_log()
    for frame in data.draw(st.permutations([*frames, covering])):
        log.add_frame(frame)
    assert dict(log.heads) == {covering.feed: covering.signed.head}
    assert log.covered(feed_of(A, 0)) == 3
    if old_epochs:
        other = new_log()  # one that never had the old epochs
        for frame in [*frames[-2:], covering]:
            other.add_frame(frame)
        assert other.digest() == log.digest()


def test_an_epoch_that_went_on_behind_the_checkpoint_is_mentioned_again() -> None:
    frames, covering = with_checkpoint([2], old_epochs=1)
    log = new_log()
    for frame in [*frames, covering]:
        log.add_frame(frame)
    old = feed_of(A, 0)
    assert old not in log.heads
    for frame in continued(A, old, log.head(old), [1]):
        log.add_frame(frame)
    assert log.heads[old].count == 3
    assert log.covered(old) == 2


def test_a_checkpoint_of_a_history_that_never_was_covers_nothing() -> None:
    frames = history(A, feed_of(A), [2, 2])
    wrong = {feed_of(A): Head(4, digest(9))}
    covering = checkpoint(A, feed_of(A), frames[-1].signed.head, wrong)
    log = new_log()
    for frame in [*frames, covering]:
        log.add_frame(frame)
    assert log.covered(feed_of(A)) == 0


def test_nobody_covers_the_feeds_of_another() -> None:
    theirs = history(B, feed_of(B), [3])
    stolen = Checkpoint(points({feed_of(B): theirs[0].signed.head}), STATE, 1, 1)
    log = new_log()
    log.add_frame(theirs[0])
    log.add_frame(sealed(A, feed_of(A), EMPTY, [encode_event(stolen)]))
    assert log.covered(feed_of(B)) == 0
    assert feed_of(B) in log.heads


def test_a_checkpoint_that_does_not_count_any_more_covers_nothing_any_more() -> None:
    """It was behind a fork; the one before it is in force again, also when it had been forgotten
    for newer ones."""
    log, feed = new_log(), feed_of(A, 1)
    old = history(A, feed_of(A, 0), [1] * (LOG_COVERS_PER_FEED_MAX + 3))
    head = EMPTY
    covering: list[Frame] = []
    for frame in old:
        log.add_frame(frame)
        covering.append(checkpoint(A, feed, head, {frame.feed: frame.signed.head}))
        head = covering[-1].signed.head
        log.add_frame(covering[-1])
    assert log.covered(feed_of(A, 0)) == len(old)
    for behind in (3, 1, 0):
        parent = covering[behind - 1].signed.head if behind else EMPTY
        log.add_frame(sealed(A, feed, parent, [b"another history"]))
        assert log.covered(feed_of(A, 0)) == behind
    assert log.heads[feed_of(A, 0)].count == len(old)


def test_what_is_covered_is_not_wanted() -> None:
    frames, covering = with_checkpoint([2, 2, 2])
    log = new_log()
    log.add_headers([frame.signed for frame in reversed([*frames, covering])])
    assert len(log.wanted(covering.feed)) == 4
    log.add_body(covering.feed, covering.signed.seq, covering.body or b"")
    assert log.wanted(covering.feed) == []
    assert log.lost(covering.feed) == 0


def test_every_checkpoint_names_all_epochs_so_that_the_one_before_may_go() -> None:
    """And a replica that comes back with the oldest epoch finds it covered."""
    log = new_log()
    for epoch in range(5):
        feed = feed_of(A, epoch)
        log.add_frame(history(A, feed, [2])[0])
        covering = checkpoint(A, feed, log.head(feed), by_feed(log))
        log.add_frame(covering)
    assert list(log.heads) == [feed_of(A, 4)]
    late, back = new_log(), new_log()
    back.add_frame(history(A, feed_of(A, 0), [2])[0])
    for other in (late, back):
        for frame in log.frames(A.node_id):
            if frame.feed == feed_of(A, 4):
                other.add_frame(frame)
        assert other.digest() == log.digest()
        assert by_feed(other).keys() == by_feed(log).keys()


def by_feed(log: Log) -> dict[FeedId, Head]:
    named = log.points_to_cover(A.node_id, Lane.AC)
    return {FeedId(A.node_id, p.epoch, p.lane): Head(p.count, p.head) for p in named}


def test_a_checkpoint_is_due_when_there_are_many_epochs() -> None:
    heads = {feed_of(A, epoch, lane): Head(1, digest(1)) for epoch in range(9) for lane in Lane}
    assert is_due(heads, A.node_id)
    assert not is_due(heads, B.node_id)
    fewer = {feed: head for feed, head in heads.items() if feed.epoch[-1] < 8}
    assert not is_due(fewer, A.node_id)


# -- choosing ------------------------------------------------------------------------------------
@st.composite
def bodies(draw: st.DrawFn) -> list[Held]:
    made = []
    age_s = 1000.0
    for number in range(draw(st.integers(0, 12))):
        lane = draw(st.sampled_from([Lane.CTL, Lane.AC]))
        signed = history(A, feed_of(A, number, lane), [1])[0].signed
        age_s -= draw(st.floats(0, 50))
        size_bytes = draw(st.integers(1, MIB))
        made.append(Held(signed.feed, 0, 1, signed.digest, size_bytes, age_s))
    return made


@settings(max_examples=40)
@given(bodies(), st.sets(st.integers(0, 11)), st.integers(1, 5), st.floats(900, 1000))
def test_no_more_goes_than_must_and_lost_only_when_nothing_else_is_left(
    held: list[Held], covered_places: set[int], size_mb: int, age_s: float
) -> None:
    covered = {held[at].digest for at in covered_places if at < len(held)}
    config = RetentionConfig(size_mb, age_s / 3600)
    size_bytes = sum(each.size_bytes for each in held)

    choice = choose(held, lambda signed: signed.digest in covered, config)

    gone = {signed.digest for signed in (*choice.covered, *choice.lost)}
    sizes = {each.digest: each.size_bytes for each in held}
    left = size_bytes - sum(sizes[digest] for digest in gone)
    assert left <= size_mb * MIB
    assert not {signed.digest for signed in choice.lost} & covered
    for each in held:
        if each.digest in covered and each.age_s > age_s + 1e-6:
            assert each.digest in gone
    if choice.lost:
        assert covered <= gone
        assert left + sizes[choice.lost[-1].digest] > size_mb * MIB
        ctl_went = any(signed.feed.lane == Lane.CTL for signed in choice.lost)
        others = {h.digest for h in held if h.feed.lane != Lane.CTL} - covered
        assert not ctl_went or others <= gone


# -- on a disk -----------------------------------------------------------------------------------
def opened(disk: SimDisk) -> tuple[Log, Segments]:
    segments = Segments(disk.open(), segment_bytes=100_000)
    log = new_log(segments)
    for _ in log.load():
        pass
    return log, segments


def test_the_cap_holds_for_ever_and_what_went_is_shown() -> None:
    """A dead member whose events nobody covers, and a living one that writes checkpoints."""
    disk = SimDisk(World(1), "disk")
    log, segments = opened(disk)
    config = RetentionConfig(max_buffer_size_mb=1)
    heads = {A: EMPTY, B: EMPTY}
    lost = 0
    for turn in range(40):
        for key in (A, B):
            feed = feed_of(key)
            for _ in range(4):
                frame = sealed(key, feed, heads[key], [bytes([turn]) * 12_000])
                log.add_frame(frame, verified=True)
                heads[key] = frame.signed.head
        frame = checkpoint(A, feed_of(A), heads[A], {feed_of(A): heads[A]})
        log.add_frame(frame, verified=True)
        heads[A] = frame.signed.head
        segments.commit(float(turn))
        choice = clear_up(log, segments, config, lambda state: state == STATE)
        lost += choice.lost_events
        segments.commit(float(turn))
        segments.compact(at_most=99)
        assert segments.size_bytes <= 1 * MIB + 250_000  # one file that is still being written

    assert lost == log.lost(feed_of(B)) > 0
    assert log.lost(feed_of(A)) == 0
    assert log.head(feed_of(A)) == heads[A]
    segments.commit(99.0)
    again, _ = opened(disk)
    assert again.digest() == log.digest()
    assert again.lost(feed_of(B)) == lost
    assert snapshot(again) == snapshot(log)


def test_without_the_state_of_a_checkpoint_nothing_goes_for_it() -> None:
    disk = SimDisk(World(1), "disk")
    log, segments = opened(disk)
    frames, covering = with_checkpoint([2, 2])
    for frame in [*frames, covering]:
        log.add_frame(frame)
    segments.commit(0.0)
    old = attrs.evolve(RetentionConfig(), max_buffer_age_hours=-1.0)
    assert clear_up(log, segments, old, lambda state: False).covered == ()
    gone = clear_up(log, segments, old, lambda state: state == STATE)
    assert [each.digest for each in gone.covered] == [frame.signed.digest for frame in frames]
    assert gone.lost == ()
    assert log.lost(covering.feed) == 0


def test_how_an_epoch_was_opened_stays_while_the_epoch_counts_and_is_wanted_by_newcomers() -> None:
    log, segments = opened(SimDisk(World(1), "disk"))
    feed, later = feed_of(A, 0, Lane.CTL), feed_of(A, 1, Lane.CTL)
    frames = history(A, feed, [1, 2, 2])
    head = frames[-1].signed.head
    covering = checkpoint(A, feed, head, {feed: head})
    for frame in [*frames, covering]:
        log.add_frame(frame)
    segments.commit(0.0)
    old = attrs.evolve(RetentionConfig(), max_buffer_age_hours=-1.0)
    gone = clear_up(log, segments, old, lambda state: state == STATE)
    assert [each.seq for each in gone.covered] == [1, 3]

    newcomer = new_log()
    newcomer.add_headers([frame.signed for frame in reversed([*frames, covering])])
    newcomer.add_body(feed, covering.signed.seq, covering.body or b"")
    assert [signed.seq for signed in newcomer.wanted(feed)] == [0]

    end = covering.signed.head  # the next epoch says it all anew
    log.add_frame(checkpoint(A, later, EMPTY, {feed: end}))
    gone = clear_up(log, segments, old, lambda state: state == STATE)
    assert [each.seq for each in gone.covered] == [0, 5]
    assert log.wanted(feed) == newcomer.wanted(later) == []


def test_what_was_cut_off_goes_at_once_and_comes_back_when_the_writer_is_in_again() -> None:
    disk = SimDisk(World(1), "disk")
    log, segments = opened(disk)
    frames = history(B, feed_of(B), [3, 3, 3])
    for frame in frames:
        log.add_frame(frame)
    segments.commit(1.0)
    segments._current += 1  # so that the file can be rewritten
    head = frames[0].signed.head
    log.cut(B.node_id, {(feed_of(B).epoch, feed_of(B).lane): head})
    choice = clear_up(log, segments, RetentionConfig(), lambda _state: True)
    assert not choice.lost_events, "it is no part of the log"
    assert [held.seq for held in segments.held()] == [0]
    before = segments.size_bytes
    assert segments.compact() > 0
    assert segments.size_bytes < before
    log.uncut(B.node_id)
    for frame in frames:
        log.add_frame(frame)
    segments.commit(2.0)
    for each in (log, opened(disk)[0]):
        assert [frame.signed for frame in each.frames()] == [frame.signed for frame in frames]


def test_what_waits_behind_a_hole_cannot_keep_the_log_above_its_size() -> None:
    disk = SimDisk(World(1), "disk")
    log, segments = opened(disk)
    frames = []
    head = EMPTY
    for _ in range(6):
        frames.append(sealed(B, feed_of(B), head, [bytes(50_000)]))
        head = frames[-1].signed.head
    for frame in frames:
        log.add_frame(frame)
        segments.commit(1.0)
        segments._current += 1
    (first, *_) = disk.open().names("log")
    disk.open().write(f"log/{first}", b"")
    log, segments = opened(disk)
    assert log.head(feed_of(B)) == EMPTY
    config = RetentionConfig(max_buffer_size_mb=0.1)
    clear_up(log, segments, config, lambda _state: True)
    clear_up(log, segments, config, lambda _state: True)
    assert sum(held.size_bytes for held in segments.held()) <= 0.1 * MIB
    for frame in frames:
        log.add_frame(frame)
    assert log.head(feed_of(B)) == head
