"""One replica's log: order freedom, forks, headers first, cuts, and what a peer can do to it."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_world import (
    KEYS,
    MESH,
    continued,
    feed_of,
    history,
    log_of,
    new_log,
    sealed,
    snapshot,
    spoiled,
)

from mesh.limits import (
    LOG_HEADERS_BATCH_MAX,
    LOG_ORPHANS_PER_NODE_MAX,
)
from mesh.log.forks import decode_fork, fork_of, verify_fork
from mesh.log.frame import Frame
from mesh.log.log import Log, LogConfig
from mesh.log.model import EMPTY, Dot, FeedId, Lane
from mesh.types import MeshId
from mesh.wire.errors import WireError

A, B, C = KEYS[:3]


@st.composite
def trees(draw: st.DrawFn, feed_count: int = 2) -> list[Frame]:
    """Feeds of several writers, some of which sign twice: each frame follows a random one."""
    frames: list[Frame] = []
    for number in range(draw(st.integers(1, feed_count))):
        key = KEYS[number]
        feed = feed_of(key, draw(st.integers(0, 1)), draw(st.sampled_from(list(Lane))))
        own: list[Frame] = []
        is_honest = draw(st.booleans())
        for at in range(draw(st.integers(1, 7))):
            parent = len(own) - 1 if is_honest else draw(st.integers(-1, len(own) - 1))
            head = own[parent].signed.head if parent >= 0 else EMPTY
            own += continued(key, feed, head, [draw(st.integers(1, 3))], b" %d" % at)
        frames += own
    return frames


@settings(max_examples=40)
@given(trees(), st.data())
def test_same_frames_same_log_in_any_order(frames: list[Frame], data: st.DataObject) -> None:
    given_first = log_of(frames)
    log = new_log()
    for frame in data.draw(st.permutations(frames)):
        for _ in range(data.draw(st.integers(1, 2))):
            log.add_frame(frame)
    assert snapshot(log) == snapshot(given_first)


@settings(max_examples=40)
@given(trees(), st.data())
def test_gaps_that_are_filled_later_leave_nothing_behind(
    frames: list[Frame], data: st.DataObject
) -> None:
    """Bodies and headers come by different ways, and two logs that tell each other all they have,
    proofs included, are equal."""
    one, other = new_log(), new_log()
    for frame in data.draw(st.permutations(frames)):
        bare = frame.without_body()
        for log in data.draw(st.sampled_from([[one], [other], [one, other]])):
            log.add_frame(data.draw(st.sampled_from([frame, bare])))
    for log in (one, other):
        for frame in frames:
            log.add_frame(frame)
    for log, from_log in ((one, other), (other, one)):
        for proof in list(from_log.forks.values()):
            log.add_fork(proof)
    assert snapshot(one) == snapshot(other) == snapshot(log_of(frames))


@settings(max_examples=40)
@given(trees(feed_count=3))
def test_what_is_given_out_is_what_counts(frames: list[Frame]) -> None:
    """Frames given out, less those that were withdrawn, are those that a new view would read."""
    log, out = new_log(), dict[Dot, bytes]()
    for frame in frames:
        added = log.add_frame(frame)
        for each in added.frames:
            out[Dot(each.feed, each.signed.seq)] = each.signed.digest
        for feed in added.withdrawn:
            count = log.head(feed).count
            out = {dot: d for dot, d in out.items() if dot.feed != feed or dot.seq < count}
    assert out == {Dot(each.feed, each.signed.seq): each.signed.digest for each in log.frames()}


# -- forks ---------------------------------------------------------------------------------------
def test_a_fork_ends_the_feed_where_it_begins_and_nothing_else() -> None:
    feed = feed_of(A)
    common = history(A, feed, [4, 4])
    ours = continued(A, feed, common[-1].signed.head, [2, 2], b" ours")
    theirs = continued(A, feed, common[-1].signed.head, [3], b" theirs")
    honest = history(B, feed_of(B), [5])
    log = log_of([*common, *ours, *honest])

    added = log.add_frame(theirs[0])

    (proof,) = added.forks
    assert (proof.feed, proof.seq) == (feed, 8)
    assert added.withdrawn == (feed,)
    assert log.head(feed) == common[-1].signed.head
    assert log.head(feed_of(B)).count == 5
    evidence = {signed.digest for signed in log.disputed(feed)}
    assert {ours[0].signed.digest, theirs[0].signed.digest} <= evidence
    assert log.add_frame(ours[1]).refused == {"forked": 1}


def test_a_proof_is_small_travels_and_is_checked_by_anybody() -> None:
    feed = feed_of(A)
    one, other = history(A, feed, [2], b" one")[0], history(A, feed, [3], b" other")[0]
    data = fork_of(one.signed, other.signed).encode()
    assert len(data) <= 600
    assert verify_fork(data) == fork_of(other.signed, one.signed)
    log = log_of([one])
    assert log.add_fork(decode_fork(data)).forks
    assert log.head(feed) == EMPTY
    assert log.add_fork(decode_fork(data)).forks == ()


def test_honest_headers_make_no_proof() -> None:
    feed = feed_of(A)
    first, second = history(A, feed, [2, 2])
    other_feed = history(A, feed_of(A, epoch=1), [2])[0]
    for one, other in ((first, second), (first, other_feed), (first, first)):
        with pytest.raises(WireError, match="fork"):
            fork_of(one.signed, other.signed).check()
    forged = history(B, feed_of(B), [2])[0]
    mimic = spoiled(first.signed)
    for one, other in ((first.signed, mimic), (forged.signed, spoiled(forged.signed))):
        with pytest.raises(WireError, match="signature"):
            fork_of(one, other).check()


def test_a_spoiled_signature_that_its_owner_vouched_for_gives_way_to_a_sound_one() -> None:
    feed = feed_of(A)
    base = history(A, feed, [2])[0]
    sound = continued(A, feed, base.signed.head, [2, 2], b" sound")
    planted = spoiled(continued(A, feed, base.signed.head, [2], b" planted")[0].signed)
    on_top = continued(A, feed, planted.head, [1], b" on top")[0]
    one, other = log_of([base]), log_of([base, *sound])

    assert not one.add_headers([on_top.signed, planted]).refused
    assert one.head(feed) == on_top.signed.head
    added = one.add_headers([sound[1].signed, sound[0].signed])
    assert added.withdrawn == (feed,)
    assert other.add_headers([on_top.signed, planted]).refused == {"signature": 1}
    assert one.head(feed) == other.head(feed) == sound[1].signed.head
    assert one.digest() == other.digest()


# -- headers first -------------------------------------------------------------------------------
def test_headers_come_newest_first_and_bodies_later() -> None:
    feed = feed_of(A)
    frames = history(A, feed, [2, 3, 1])
    log = new_log()
    log.add_headers([frame.signed for frame in reversed(frames)])
    assert log.heads == {feed: frames[-1].signed.head}
    assert log.wanted(feed) == [frame.signed for frame in reversed(frames)]
    for frame in (frames[2], frames[0], frames[1]):
        assert frame.body is not None
        assert log.add_body(feed, frame.signed.seq, frame.body).frames == (frame,)
    assert log.wanted(feed) == []
    assert snapshot(log) == snapshot(log_of(frames))


def test_one_signature_vouches_for_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = []
    feed = feed_of(A)
    frames = history(A, feed, [1] * 20)
    monkeypatch.setattr("mesh.log.frame.verify", lambda *given: bool(checks.append(given) or True))
    log = new_log()
    log.add_headers([frame.signed for frame in reversed(frames)])
    assert log.head(feed).count == 20
    assert len(checks) == 1


@pytest.mark.parametrize("place", range(4))
def test_a_relay_that_spoils_a_signature_is_found_when_it_arrives(place: int) -> None:
    frames = history(A, feed_of(A), [1] * 4)
    headers = [frame.signed for frame in reversed(frames)]
    headers[place] = spoiled(headers[place])
    log = new_log()
    assert log.add_headers(headers).refused == {"signature" if place == 0 else "chain": 1}
    assert log.heads == {}


def test_headers_must_follow_what_is_here() -> None:
    feed = feed_of(A)
    frames = history(A, feed, [1] * 6)
    log = log_of(frames[:2])
    assert log.add_headers([frames[4].signed, frames[3].signed]).refused == {"gap": 1}
    assert not log.add_headers([f.signed for f in reversed(frames[1:5])]).refused
    assert log.head(feed).count == 5
    many = [frame.signed for frame in history(A, feed_of(A, 1), [1] * (LOG_HEADERS_BATCH_MAX + 1))]
    assert log.add_headers(many[::-1]).refused == {"batch": 1}
    assert log.add_headers([]).refused == {"batch": 1}


def test_headers_of_another_history_make_a_proof() -> None:
    feed = feed_of(A)
    common = history(A, feed, [2, 2])
    ours = continued(A, feed, common[0].signed.head, [1, 1], b" ours")
    log = log_of(common)
    added = log.add_headers([ours[1].signed, ours[0].signed])
    assert [proof.seq for proof in added.forks] == [2]
    assert log.head(feed).count == 2


def test_a_body_that_does_not_fit_is_refused() -> None:
    feed = feed_of(A)
    frame, other = history(A, feed, [2])[0], history(A, feed, [2], b" other")[0]
    log = log_of([frame.without_body()])
    assert other.body is not None
    assert log.add_body(feed, 0, other.body).refused in ({"root": 1}, {"body": 1})
    assert log.add_body(feed, 1, other.body).refused == {"unknown": 1}
    assert log.wanted(feed) == [frame.signed]


# -- what a peer can do --------------------------------------------------------------------------
def test_what_is_not_ours_is_refused_and_counted() -> None:
    feed = feed_of(A)
    frame = history(A, feed, [2])[0]
    log = Log(LogConfig(MESH, B.node_id, may_write=lambda node: node != C.node_id))
    foreign = sealed(A, feed, EMPTY, [b"e"], MeshId(bytes(32)))
    stranger = history(C, feed_of(C), [1])[0]
    forged = Frame(spoiled(frame.signed), frame.body)
    wrong_body = attrs.evolve(frame, body=history(A, feed, [2], b" x")[0].body)
    for bad in (foreign, stranger, forged, wrong_body):
        assert log.add_frame(bad).is_nothing
    assert set(log.refused) <= {"mesh", "stranger", "signature", "root", "body"}
    assert sum(log.refused.values()) == 4
    assert snapshot(log) == snapshot(new_log())


def test_frames_out_of_order_are_kept_up_to_a_bound() -> None:
    feed = feed_of(A)
    frames = history(A, feed, [1] * (LOG_ORPHANS_PER_NODE_MAX + 3))
    log = new_log()
    for frame in frames[1:]:
        log.add_frame(frame)
    assert log.refused == {"orphans": 2}
    log.add_frame(frames[0])
    assert log.head(feed).count == LOG_ORPHANS_PER_NODE_MAX + 1


def test_feeds_of_one_writer_are_bounded_and_those_of_others_are_not_touched() -> None:
    log = Log(LogConfig(MESH, B.node_id, feeds_per_node_max=3))
    for epoch in range(5):
        log.add_frame(history(A, feed_of(A, epoch), [1])[0])
    assert len(log.feeds_of(A.node_id)) == 3
    assert log.refused == {"limit": 2}
    assert log.add_frame(history(B, feed_of(B), [1])[0]).frames


# -- cuts ----------------------------------------------------------------------------------------
@given(st.permutations(range(6)), st.integers(0, 5))
def test_of_a_removed_writer_only_ancestors_of_the_cut_count(order: list[int], when: int) -> None:
    feed = feed_of(A)
    frames = history(A, feed, [1] * 6)
    cut = {(feed.epoch, feed.lane): frames[2].signed.head}
    log = new_log()
    for number, index in enumerate(order):
        if number == when:
            log.cut(A.node_id, cut)
        log.add_frame(frames[index])
    assert log.head(feed) == frames[2].signed.head
    assert [frame.signed.seq for frame in log.frames()] == [0, 1, 2]


def test_a_cut_names_a_history_not_a_number() -> None:
    """Back-dated with the stolen key: the same places, other events."""
    feed = feed_of(A)
    true, false = history(A, feed, [1, 1]), history(A, feed, [1, 1], b" forged")
    log = log_of(false)
    added = log.cut(A.node_id, {(feed.epoch, feed.lane): true[1].signed.head})
    assert added.withdrawn == (feed,)
    assert log.head(feed) == EMPTY
    for frame in [*true, *false]:
        log.add_frame(frame)
    assert [frame.signed.digest for frame in log.frames()] != [f.signed.digest for f in false]
    assert log.head(feed) in (EMPTY, true[1].signed.head)


def test_feeds_that_a_cut_does_not_name_count_for_nothing() -> None:
    log = log_of([*history(A, feed_of(A), [2]), *history(A, feed_of(A, 1), [2])])
    other = feed_of(A, 1)
    log.cut(A.node_id, {(other.epoch, other.lane): log.head(other)})
    assert list(log.heads) == [other]
    assert log.add_frame(history(A, feed_of(A, 2), [1])[0]).refused == {"cut": 1}


def test_a_log_says_what_is_where() -> None:
    feed = FeedId(A.node_id, bytes(8), Lane.AC)
    frames = history(A, feed, [2, 3, 1])
    log = log_of(frames)
    assert [s.seq for s in log.headers(feed, 1, 3)] == [0, 2]
    assert [s.seq for s in log.headers(feed, 2, 99)] == [2, 5]
    assert [s.seq for s in log.headers(feed, 0, 99, at_most=2)] == [0, 2]
    assert log.headers(feed, 6, 99) == log.headers(feed_of(B), 0, 9) == ()
    assert log.frame(feed, 4) == frames[1]
    assert log.frame(feed, 6) is None
    assert all(log.knows(feed, frame.signed.head) for frame in frames)
    assert not log.knows(feed, history(A, feed, [2], b"x")[0].signed.head)
    assert str(feed).endswith(".ac")
