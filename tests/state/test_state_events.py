"""What an event says and its bytes: `docs/events.cddl`, the codec, and the table's fixed layout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from state_world import digest, result

from mesh.identity.records import FeedPoint
from mesh.leaf.messages import Event as LeafEvent
from mesh.leaf.messages import EventKind, pack_event
from mesh.limits import EVENT_MS_MAX
from mesh.log.frame import join_events
from mesh.log.model import Dot, FeedId, Lane
from mesh.state.attestations import (
    ROW_BYTES,
    Attestations,
    is_packed,
    is_result,
    pack,
    split_results,
)
from mesh.state.checkpoint import encode_state, open_state
from mesh.state.events import (
    Absorb,
    ActionResult,
    Checkpoint,
    Deployment,
    Derivation,
    DotRef,
    Event,
    Execution,
    Executions,
    LeafEvents,
    LeafLetGo,
    LeafProof,
    Open,
    Policy,
    Register,
    RunEvent,
    decode_event,
    encode_event,
    lane_of,
)
from mesh.types import NodeId, RunId
from mesh.wire import cbor
from mesh.wire.errors import WireError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "firmware"))

from small_cddl import Schema  # noqa: E402 - the reader that the firmware's files have
from spoil import spoil  # noqa: E402

EVENTS = Schema((ROOT / "docs" / "events.cddl").read_text())
NODE, RUN = NodeId(bytes(range(32))), RunId(b"run 1234")
POINTS = (FeedPoint(bytes(8), 1, 7, digest("x")), FeedPoint(b"epoch 01", 1, 2**48, digest("y")))
DOTS = (DotRef(NODE, bytes(8), 3, 9),)
LEAF_PACKED = b"".join(
    map(
        pack_event,
        [LeafEvent(5, EventKind.ASKED, 1, 2, -3, 4), LeafEvent(0, EventKind(0), 0, 0, 0, 0)],
    )
)
EXAMPLES: list[Event] = [
    Open(digest("a")[:16], POINTS, "host"),
    Absorb(POINTS),
    Checkpoint(POINTS, digest("s"), 1000, 9),
    result("a", ms=EVENT_MS_MAX),
    Derivation(digest("a"), (digest("b")[:16], digest("c")[:16])),
    Executions(
        RUN, NODE, (Execution(3, 0, digest("a"), -9, 300), Execution(9, 1, digest("b"), 0, 0))
    ),
    RunEvent(RUN, 1, "make é", 10, 3, digest("r")),
    RunEvent(RUN, 0, "", 0, 0),
    Register("label", b"x"),
    Register("label", None),
    Deployment("p", digest("a"), 3, ("one", "two"), b"params", DOTS),
    Policy(1, 2, 3, DOTS),
    LeafEvents(NODE, bytes(8), 3, 2**42, 7, digest("h"), 2, LEAF_PACKED),
    LeafProof(NODE, bytes(8), bytes(16), bytes(16), bytes(16), 2, 9, digest("h"), bytes(64)),
    LeafLetGo(NODE, bytes(8), 3, 0, 2**32 - 1),
]
EDGES = [0, 1, 2, 3, 4, 10, 11, 20, 23, 24, 30, 64, 65, 65_535, 65_536, 2**31, 2**48, 2**48 + 1, -1]
ODD = st.one_of(
    st.sampled_from(EDGES),
    st.sampled_from([0, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33, 64, 4096, 4097]).map(bytes),
    st.sampled_from([0, 64, 65, 128, 129, 256, 257]).map("x".__mul__),
    st.sampled_from([None, True, [], [[]]]),
)
BEYOND_CDDL = {"points", "covers", "oversized", "leaf-events"}
"""Refusals of what CDDL cannot say; comments in the file do."""


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    event = draw(st.sampled_from(EXAMPLES))
    return cbor.encode(spoil(draw, cbor.decode(encode_event(event)), ODD))


def refusal(data: bytes) -> str:
    """Why no lane takes it; "" when one does."""
    reasons = set()
    for lane in Lane:
        try:
            decode_event(data, lane)
        except WireError as error:
            reasons.add(error.reason)
        else:
            return ""
    return (reasons - {"lane"} or {"lane"}).pop()


@settings(max_examples=300, deadline=None)
@given(spoiled())
def test_the_specification_and_the_codec_take_the_same(data: bytes) -> None:
    reason = refusal(data)
    if EVENTS.matches("event", cbor.decode(data)):
        assert reason in BEYOND_CDDL | {""}
    else:
        assert reason


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(EXAMPLES), st.data())
def test_one_event_has_one_encoding(event: Event, data: st.DataObject) -> None:
    encoded = encode_event(event)
    wanted = lane_of(event)
    lane = Lane.AC if wanted is None else wanted
    assert decode_event(encoded, lane) == event
    at = data.draw(st.integers(0, len(encoded) - 1))
    other = encoded[:at] + bytes((data.draw(st.integers(0, 255)),)) + encoded[at + 1 :]
    for changed in (other, encoded[:at], encoded + b"\0"):
        try:
            decoded = decode_event(changed, lane)
        except WireError:
            continue
        assert encode_event(decoded) == changed


@pytest.mark.parametrize("event", [each for each in EXAMPLES if lane_of(each) is not None])
def test_an_event_on_another_lane_is_refused(event: Event) -> None:
    other = Lane((int(lane_of(event) or 0) + 1) % 4)
    with pytest.raises(WireError, match="lane"):
        decode_event(encode_event(event), other)


def test_a_result_takes_no_more_than_its_budget() -> None:
    """With its share of a frame of 256 events: at most 120 bytes on the wire."""
    largest = encode_event(result("a", ms=EVENT_MS_MAX))
    header_and_signature = (250 + 64) / 256
    assert len(largest) + 2 + header_and_signature <= 120


# -- the fixed layout ------------------------------------------------------------------------------
times = st.sampled_from([0, 23, 24, 255, 256, 65_535, 65_536, EVENT_MS_MAX])


@settings(max_examples=100, deadline=None)
@given(times, st.integers(0, 1), st.data())
def test_a_body_is_split_as_rows_exactly_when_all_its_events_are_results(
    ms: int, source: int, data: st.DataObject
) -> None:
    event = ActionResult(digest("a"), digest("o"), digest("r"), source, ms)
    encoded = encode_event(event)
    at = data.draw(st.one_of(st.integers(0, len(encoded) - 1), st.sampled_from([0, 1, 104, 105])))
    byte = data.draw(st.sampled_from([0, 1, 2, 10, 23, 24, 25, 26, 27, 88, 127, 128, 134, 255]))
    changed = encoded[:at] + bytes((byte % 256,)) + encoded[at + 1 :]
    for one in (encoded, changed, encoded[:-1], encoded + b"\0", encode_event(EXAMPLES[4])):
        try:
            expected = isinstance(decode_event(one, Lane.AC), ActionResult)
        except WireError:
            expected = False
        assert is_result(one) == expected
        found = split_results(join_events([encoded, one, encoded]), 1)
        assert (found is not None) == expected
        if found is not None:
            table = Attestations()
            table.add_found(found, 5, 70)
            rows = [row.result for name in {digest("a"), one[4:36]} for row in table.of(name)]
            decoded = decode_event(one, Lane.AC)
            assert decoded in rows
            assert len(rows) == 3


def test_the_table_finds_every_action_however_often_it_has_grown() -> None:
    table = Attestations()
    names = [digest(number) for number in range(5000)]
    for strand in (1, 2):
        events = [encode_event(ActionResult(n, digest("o"), digest("r"), 0, 5)) for n in names]
        for at in range(0, len(names), 250):
            found = split_results(join_events(events[at : at + 250]), 2)
            assert found is not None
            taken = table.add_found(found, strand, at)
            assert len(taken.known) == (250 if strand == 2 else 0)
    assert (len(table), table.actions) == (10_000, 5000)
    for at, name in enumerate(names):
        assert [(row.strand, row.seq) for row in table.of(name)] == [(2, at), (1, at)]
    assert table.of(digest("nobody")) == []
    *steps, less = table.compacting(lambda strand: 4990 if strand == 1 else 0, 700)
    assert steps == [None] * 15
    assert less is not None
    assert len(less) == 5010
    assert [row.strand for row in less.of(names[0])] == [2]
    assert [(row.strand, row.seq) for row in less.of(names[-1])] == [(2, 4999), (1, 4999)]


# -- states of checkpoints -------------------------------------------------------------------------
def rows_of(*events: Event) -> list[bytes]:
    table = Attestations()
    for event in events:
        table.add_events([encode_event(event)], 0, 0)
    return [table.row(row) for row in range(1, len(table) + 1)]


def test_rows_have_one_packing() -> None:
    rows = rows_of(*(result(name, ms=ms) for name in "abc" for ms in (1, 500, 70_000)))
    packed = pack(rows * 2)
    assert len(packed) == 9 * ROW_BYTES
    assert is_packed(packed)
    assert not is_packed(packed[:-1])
    assert not is_packed(packed + packed[-ROW_BYTES:])
    assert not is_packed(packed[ROW_BYTES:] + packed[:ROW_BYTES])
    assert not is_packed(bytes(ROW_BYTES))


def test_a_state_is_read_as_it_was_written_and_in_no_other_form() -> None:
    feed = FeedId(NODE, bytes(8), int(Lane.AC))
    derivation = encode_event(EXAMPLES[4])
    kept = [(Dot(feed, seq), derivation) for seq in (3, 1, 2)]
    packed = pack(rows_of(result("a"), result("b")))
    data = encode_state(Lane.AC, packed, kept)
    opened = open_state(data, NODE, Lane.AC)
    assert opened.rows == packed
    assert [(dot.seq, event) for dot, event, _ in opened.events] == [
        (seq, derivation) for seq in (1, 2, 3)
    ]
    assert opened.row_count == 5
    assert EVENTS.matches("state", cbor.decode(data))
    assert all(EVENTS.matches("kept-events", cbor.decode(chunk)) for chunk in chunks_of(data))
    for bad in (
        cbor.encode([2, 1, b"", []]),
        cbor.encode([1, 0, packed, []]),
        cbor.encode([1, 1, packed[1:], []]),
        cbor.encode([1, 1, b"", [cbor.encode([[]])]]),
        cbor.encode([1, 1, b"", [cbor.encode([[[bytes(8), 1, encode_event(result("a"))]]])]]),
        cbor.encode([1, 1, b"", [cbor.encode([[[bytes(8), 2, derivation]] * 2])]]),
        data + b"\0",
    ):
        with pytest.raises(WireError):
            open_state(bad, NODE, Lane.AC)
    with pytest.raises(WireError):
        open_state(data, NODE, Lane.CTL)


def chunks_of(data: bytes) -> list[bytes]:
    item: Any = cbor.decode(data)
    return list(item[3])
