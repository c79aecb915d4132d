"""Audit: a log checked offline, the exact place of a break, one event shown to a stranger."""

from __future__ import annotations

import time

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_world import KEYS, MESH, continued, feed_of, history, sealed, spoiled

from mesh.identity.records import FeedPoint
from mesh.log.audit import (
    EXPORT_MAGIC,
    Break,
    check_inclusion,
    export,
    prove,
    verify_export,
    verify_frames,
)
from mesh.log.forks import fork_of, verify_fork
from mesh.log.frame import Frame
from mesh.log.model import EMPTY
from mesh.state.events import Checkpoint, encode_event
from mesh.types import Digest, MeshId
from mesh.wire.errors import WireError

A, B = KEYS[:2]
FEED = feed_of(A)
FRAMES = history(A, FEED, [2, 3, 1, 4])
HONEST = history(B, feed_of(B), [5])


def exported(frames: list[Frame], mesh: MeshId = MESH) -> bytes:
    return b"".join(export(mesh, frames))


def broken(frames: list[Frame]) -> Break | None:
    """Where A's feed breaks; B's must not."""
    report = verify_export(MESH, exported([*frames, *HONEST]))
    by_feed = {each.feed: each for each in report.feeds}
    assert by_feed[feed_of(B)].is_whole
    assert report.is_whole == (by_feed[FEED].broken is None)
    return by_feed[FEED].broken


@settings(max_examples=30)
@given(st.permutations([*FRAMES, *HONEST]))
def test_a_whole_log_is_whole_in_any_order(frames: list[Frame]) -> None:
    report = verify_export(MESH, exported(frames))
    assert report.is_whole
    found = {each.feed: (each.head, each.frames, each.held, each.lost) for each in report.feeds}
    assert found == {
        FEED: (FRAMES[-1].signed.head, 4, 10, 0),
        feed_of(B): (HONEST[-1].signed.head, 1, 5, 0),
    }


@pytest.mark.parametrize("at", range(4))
def test_the_place_of_a_break_is_named(at: int) -> None:
    seq = FRAMES[at].signed.seq

    def with_instead(frame: Frame) -> list[Frame]:
        return [*FRAMES[:at], frame, *FRAMES[at + 1 :]]

    other_body = history(A, feed_of(A, 3), [FRAMES[at].signed.header.count])[0].body
    short = attrs.evolve(FRAMES[at], body=(FRAMES[at].body or b"")[:-1])
    assert broken(with_instead(attrs.evolve(FRAMES[at], body=other_body))) == Break(seq, "root")
    assert broken(with_instead(short)) == Break(seq, "body")
    gap = broken([*FRAMES[:at], *FRAMES[at + 1 :]])
    assert gap == (Break(seq, "gap") if at < 3 else None)
    forked = continued(A, FEED, FRAMES[at - 1].signed.head if at else EMPTY, [1], b" other")
    assert broken([*FRAMES, *forked]) == Break(seq, "fork")


def test_a_spoiled_signature_breaks_the_chain_where_it_is() -> None:
    last = Frame(spoiled(FRAMES[-1].signed), FRAMES[-1].body)
    assert broken([*FRAMES[:-1], last]) == Break(last.signed.seq, "signature")
    middle = Frame(spoiled(FRAMES[1].signed), FRAMES[1].body)
    assert broken([FRAMES[0], middle, *FRAMES[2:]]) == Break(2, "signature")


@pytest.mark.parametrize("at", range(4))
def test_the_newest_signature_vouches_for_all_when_only_that_is_asked(at: int) -> None:
    report = verify_frames(MESH, FRAMES, every_signature=False)
    assert report.is_whole
    bad = [*FRAMES[:at], Frame(spoiled(FRAMES[at].signed), FRAMES[at].body), *FRAMES[at + 1 :]]
    report = verify_frames(MESH, bad, every_signature=False)
    assert not report.is_whole
    assert report.feeds[0].head.count == FRAMES[at].signed.seq


def test_bodies_that_are_not_there_are_counted_as_covered_or_lost() -> None:
    until = FRAMES[1].signed
    point = FeedPoint(FEED.epoch, FEED.lane, until.end, until.digest)
    event = encode_event(Checkpoint((point,), Digest(bytes(32)), 0, 0))
    covering = sealed(A, FEED, FRAMES[-1].signed.head, [event])
    bare = [frame.without_body() for frame in FRAMES[:3]]
    (report,) = verify_frames(MESH, [*bare, FRAMES[3], covering]).feeds
    assert (report.held, report.covered, report.lost) == (5, 5, 1)
    assert report.is_whole


@settings(max_examples=100)
@given(st.data())
def test_a_changed_byte_of_an_exported_file_is_found(data: st.DataObject) -> None:
    whole = bytearray(exported(FRAMES))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    assert not verify_export(MESH, bytes(whole)).is_whole


def test_an_exported_file_that_is_cut_is_found_unless_a_frame_ends_there() -> None:
    whole = exported(FRAMES)
    ends = {len(exported(FRAMES[:count])) for count in range(5)}
    for size in range(len(whole)):
        report = verify_export(MESH, whole[:size])
        assert report.is_whole == (size in ends)
        if whole[:size] == EXPORT_MAGIC + MESH:
            assert report.feeds == ()


def test_a_file_of_another_mesh_is_told_from_garbage() -> None:
    other = MeshId(bytes(32))
    assert verify_export(other, exported(FRAMES)).unreadable == (Break(0, "mesh"),)
    assert verify_export(MESH, b"garbage").unreadable == (Break(0, "not an exported log"),)
    report = verify_export(other, exported(FRAMES, mesh=other))
    assert [each.broken for each in report.feeds] == [Break(0, "mesh")]


# -- one event ----------------------------------------------------------------------------------
@settings(max_examples=30)
@given(st.integers(1, 256), st.data())
def test_one_event_is_shown_in_less_than_a_kilobyte(count: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, count - 1))
    frame = sealed(A, FEED, FRAMES[-1].signed.head, [bytes([n]) * 112 for n in range(count)])
    proof = prove(frame, index).encode()
    shown = check_inclusion(proof)
    assert (shown.event, shown.seq) == (frame.events[index], frame.signed.seq + index)
    assert len(proof) <= 1024


@settings(max_examples=100)
@given(st.data())
def test_a_changed_byte_of_an_inclusion_is_found(data: st.DataObject) -> None:
    proof = bytearray(prove(FRAMES[3], 2).encode())
    proof[data.draw(st.integers(0, len(proof) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(WireError):
        check_inclusion(bytes(proof))


def test_a_fork_proof_is_checked_within_a_millisecond() -> None:
    other = continued(A, FEED, FRAMES[1].signed.head, [2], b" other")[0]
    data = fork_of(FRAMES[2].signed, other.signed).encode()
    best_s = 1.0
    for _ in range(20):
        started = time.process_time()
        verify_fork(data)
        best_s = min(best_s, time.process_time() - started)
    assert best_s < 0.001
