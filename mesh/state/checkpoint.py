"""One lane of one owner as bytes: what a checkpoint says in place of the events it covers.

    state = [version: 1, lane, rows: bstr, chunks: [* bstr .cbor [* [epoch, seq, event: bstr]]]]

Rules
- A state is made of the owner's own events as they were, with the epochs and places they had; so a
  view of the state and what came after it is the view of everything. What the owner leaves out is
  gone: an action it has evicted, a register that holds nothing, a deployment nobody looks at.
- Results of actions, of which there are millions, are rows of fixed size (`attestations`), without
  their places: a fact is the same wherever it was said.
- There is one encoding: rows and events are sorted, each once, all chunks but the last are full.

`docs/events.cddl` is the specification. Not here: what a checkpoint covers (`mesh.log.checkpoint`),
and fetching the blob.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from itertools import pairwise
from typing import cast

import attrs

from mesh.limits import (
    LOG_EVENT_BYTES_MAX,
    STATE_BYTES_MAX,
    STATE_CHUNK_EVENTS,
    STATE_CHUNKS_MAX,
)
from mesh.log.model import EPOCH_BYTES, Dot, FeedId, Lane
from mesh.state.attestations import ROW_BYTES, in_slices, is_packed
from mesh.state.events import ActionResult, Checkpoint, Event, decode_event
from mesh.types import NodeId
from mesh.wire import schema
from mesh.wire.errors import WireError
from mesh.wire.schema import array, blob, c_blob, c_struct, fixed, struct, uint

STATE_VERSION = 1
_CHUNK_BYTES_MAX = STATE_CHUNK_EVENTS * (LOG_EVENT_BYTES_MAX + 32)


@struct
class KeptEvent:
    """An event of the owner, and where it was."""

    epoch: bytes = fixed(EPOCH_BYTES)
    seq: int = uint(2**48)
    data: bytes = blob(LOG_EVENT_BYTES_MAX)


@struct
class KeptEvents:
    """A chunk."""

    events: tuple[KeptEvent, ...] = array(c_struct(KeptEvent), STATE_CHUNK_EVENTS)


@struct
class LaneState:
    """See the module's head."""

    version: int = uint(65_535)
    lane: int = uint(int(Lane.LEAF))
    rows: bytes = blob(STATE_BYTES_MAX)
    chunks: tuple[bytes, ...] = array(c_blob(_CHUNK_BYTES_MAX), STATE_CHUNKS_MAX)


@attrs.frozen
class OpenedState:
    """A state that was found well formed."""

    rows: bytes
    events: tuple[tuple[Dot, bytes, Event], ...]
    """By dot."""

    @property
    def row_count(self) -> int:
        return len(self.rows) // ROW_BYTES + len(self.events)


def encode_state(lane: Lane, rows: bytes, events: Iterable[tuple[Dot, bytes]]) -> bytes:
    """The state with these rows (of `attestations.pack`) and events. Raises WireError when it is
    out of bounds."""
    kept = {(dot.feed.epoch, dot.seq): data for dot, data in events}
    ordered = [KeptEvent(epoch, seq, kept[epoch, seq]) for epoch, seq in sorted(kept)]
    chunks = tuple(
        schema.encode_struct(KeptEvents(tuple(ordered[at : at + STATE_CHUNK_EVENTS])))
        for at in range(0, len(ordered), STATE_CHUNK_EVENTS)
    )
    data = schema.encode_struct(LaneState(STATE_VERSION, int(lane), rows, chunks))
    if len(data) > STATE_BYTES_MAX:
        raise WireError("oversized")
    return data


def open_state(data: bytes, owner: NodeId, lane: int) -> OpenedState:
    """Decode and check a state of this owner's lane. Raises WireError and nothing else."""
    opening = opening_state(data, owner, lane, STATE_BYTES_MAX)
    try:
        while True:
            next(opening)
    except StopIteration as opened:
        return cast("OpenedState", opened.value)


def opening_state(
    data: bytes, owner: NodeId, lane: int, rows_max: int
) -> Generator[None, None, OpenedState]:
    """The same in pieces of about so many rows or events."""
    if len(data) > STATE_BYTES_MAX:
        raise WireError("oversized")
    state = schema.decode_struct(LaneState, data)
    if state.version != STATE_VERSION:
        raise WireError("version", str(state.version))
    if state.lane != lane or (state.rows and lane != Lane.AC):
        raise WireError("lane")
    before = b""
    for rows in in_slices(state.rows, rows_max):
        if not is_packed(rows, before):
            raise WireError("rows")
        before = rows[-ROW_BYTES:]
        yield
    events: list[tuple[Dot, bytes, Event]] = []
    place = (b"", 0)
    for number, chunk in enumerate(state.chunks, 1):
        kept = schema.decode_struct(KeptEvents, chunk).events
        places = [place, *((each.epoch, each.seq) for each in kept)]
        is_full = len(kept) == STATE_CHUNK_EVENTS or (kept and number == len(state.chunks))
        if not is_full or not all(one < other for one, other in pairwise(places)):
            raise WireError("order")
        place = places[-1]
        events += [_opened(each, owner, lane) for each in kept]
        yield
    return OpenedState(state.rows, tuple(events))


def _opened(kept: KeptEvent, owner: NodeId, lane: int) -> tuple[Dot, bytes, Event]:
    event = decode_event(kept.data, lane)
    if isinstance(event, ActionResult | Checkpoint):
        raise WireError("kept", "results are rows, and a checkpoint is not kept")
    return Dot(FeedId(owner, kept.epoch, lane), kept.seq), kept.data, event
