"""A gapless piece of what a leaf has said: how its events are kept, told and compared.

    segment = boot nonce, first, head, 12 bytes for each event

An event is named for ever by its leaf, the boot nonce of its start and its number, and every event
goes into a chain of hashes. A segment carries the head of the chain before its first event, so two
of them that share a place tell at once whether they are of one history: equal heads there mean
equal events before.

Pure. Deliberately not here: what many of them come to (`history`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from mesh.leaf.messages import (
    PACKED_EVENT_BYTES,
    Event,
    chain_packed,
    pack_event,
    unpack_event,
)


@attrs.frozen
class Segment:
    """Events `first`, `first` + 1... of one start."""

    boot_nonce: bytes
    first: int
    head: bytes
    """Of the chain before `first`."""
    packed: bytes = attrs.field(repr=False)
    """`pack_event` of each, one after the other."""
    order: int = 0
    """Starts of this leaf that are known to have been before this one."""
    started_unix_ms: int = 0
    """When that start was, by the gateway's clock: for people only."""
    lost: int = 0
    """Events of this start that the leaf says it had dropped by then."""
    tail: bytes = attrs.field(default=b"", repr=False, eq=False)
    """Head of the chain after the last; computed unless it is given."""

    def __attrs_post_init__(self) -> None:
        assert len(self.packed) % PACKED_EVENT_BYTES == 0, "whole events"
        if not self.tail:
            object.__setattr__(self, "tail", _chained(self.head, self.packed))

    @property
    def count(self) -> int:
        return len(self.packed) // PACKED_EVENT_BYTES

    @property
    def end(self) -> int:
        return self.first + self.count

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(map(unpack_event, _cut(self.packed)))

    def event(self, number: int) -> Event:
        at = (number - self.first) * PACKED_EVENT_BYTES
        return unpack_event(self.packed[at : at + PACKED_EVENT_BYTES])

    def head_at(self, number: int) -> bytes:
        """Of the chain before that event: `first` to `end`."""
        assert self.first <= number <= self.end
        if number == self.end:
            return self.tail
        return _chained(self.head, self.packed[: (number - self.first) * PACKED_EVENT_BYTES])

    def part(self, first: int, end: int) -> Segment:
        """Its events from `first` to below `end`."""
        assert self.first <= first <= end <= self.end
        if (first, end) == (self.first, self.end):
            return self
        low, high = ((each - self.first) * PACKED_EVENT_BYTES for each in (first, end))
        return attrs.evolve(
            self,
            first=first,
            head=self.head_at(first),
            packed=self.packed[low:high],
            tail=self.tail if end == self.end else b"",
        )

    def agrees(self, other: Segment) -> bool:
        """Whether both can be of one history. Where they share no place nothing speaks against
        it; where they do, the heads at the last one do."""
        if self.boot_nonce != other.boot_nonce:
            return True
        last = min(self.end, other.end)
        if max(self.first, other.first) > last:
            return True
        return self.head_at(last) == other.head_at(last)


def segment_of(
    boot_nonce: bytes, first: int, head: bytes, events: Iterable[Event], **more: Any
) -> Segment:
    """A segment of these events; `more`: its other fields."""
    return Segment(boot_nonce, first, head, b"".join(map(pack_event, events)), **more)


def joined(segments: Iterable[Segment], events_max: int) -> Iterator[Segment]:
    """The same events in as few segments as follow from each other, of at most so many events."""
    waiting: Segment | None = None
    for each in segments:
        if waiting is not None and _follows(waiting, each, events_max):
            waiting = attrs.evolve(
                each, first=waiting.first, head=waiting.head, packed=waiting.packed + each.packed
            )
            continue
        if waiting is not None:
            yield waiting
        waiting = each
    if waiting is not None:
        yield waiting


def _follows(one: Segment, other: Segment, events_max: int) -> bool:
    return (
        one.boot_nonce == other.boot_nonce
        and (one.end, one.tail) == (other.first, other.head)
        and one.count + other.count <= events_max
    )


def _chained(head: bytes, packed: bytes) -> bytes:
    for each in _cut(packed):
        head = chain_packed(head, each)
    return head


def _cut(packed: bytes) -> Iterator[bytes]:
    for at in range(0, len(packed), PACKED_EVENT_BYTES):
        yield packed[at : at + PACKED_EVENT_BYTES]
