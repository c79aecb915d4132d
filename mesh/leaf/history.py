"""All events of one leaf that the mesh has kept: the union of what gateways took, in any order.

    History().add(segment) -> the parts of it that are new; Contradicts when the chain disagrees

An event is named for ever by its leaf, the boot nonce of its start and its number. A segment is a
piece of one start without gaps, with the head of the chain before it. Merging is a set union, so
gateways that saw the same leaf in turn, or tell each other late or twice, end with the same events,
each once. Where segments meet or overlap their chains must agree: nobody changes an event that
another has kept. What is missing between segments was dropped by the leaf, or is still at a gateway
that has not been heard: `missing` says how many.

Pure. Deliberately not here: the disk, messages, who may add what.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from mesh.leaf.events import Stream
from mesh.leaf.messages import Event, chain
from mesh.limits import LEAF_EVENTS_KEPT_MAX, LEAF_STARTS_KEPT_MAX


class Contradicts(ValueError):
    """The chain of a segment is not that of the events we have."""


@attrs.frozen
class Segment:
    """Events `first`, `first` + 1... of one start."""

    boot_nonce: bytes
    first: int
    head: bytes
    """Of the chain before `first`."""
    started_unix_ms: int
    """When that start was, by the gateway's clock: for people only."""
    events: tuple[Event, ...]

    @property
    def end(self) -> int:
        return self.first + len(self.events)


@attrs.define
class Span:
    """Events that follow each other without a gap."""

    first: int
    head: bytes
    tail: bytes
    """Head of the chain after the last one."""
    events: list[Event]

    @property
    def end(self) -> int:
        return self.first + len(self.events)


@attrs.define
class Start:
    """One start of the leaf."""

    boot_nonce: bytes
    started_unix_ms: int
    forgotten: int = 0
    """Events below this number were kept once, and are not any more."""
    spans: list[Span] = attrs.Factory(list)
    """By number, never touching each other."""

    @property
    def end(self) -> int:
        return self.spans[-1].end if self.spans else self.forgotten

    @property
    def count(self) -> int:
        return sum(len(span.events) for span in self.spans)

    @property
    def missing(self) -> int:
        return self.end - self.forgotten - self.count

    def ranges(self) -> tuple[tuple[int, int], ...]:
        return tuple((span.first, span.end) for span in self.spans)


class History:
    """See the module's head. Holds at most `events_max` events: the oldest go first."""

    def __init__(self, events_max: int = LEAF_EVENTS_KEPT_MAX) -> None:
        self._events_max = events_max
        self._starts: dict[bytes, Start] = {}
        self.count = 0

    def starts(self) -> list[Start]:
        """Oldest first."""
        return sorted(self._starts.values(), key=lambda each: each.started_unix_ms)

    @property
    def missing(self) -> int:
        return sum(start.missing for start in self._starts.values())

    def stream(self, boot_nonce: bytes) -> Stream:
        """Where a gateway goes on with that start."""
        start = self._starts.get(boot_nonce)
        if start is None or not start.spans:
            return Stream(boot_nonce)
        return Stream(boot_nonce, start.end, start.spans[-1].tail, start.missing)

    # -- merging ---------------------------------------------------------------------------------
    def news(self, segment: Segment) -> tuple[Segment, ...]:
        """The parts that are not here yet, in order. Raises Contradicts; changes nothing."""
        start = self._starts.get(segment.boot_nonce)
        if start is None:
            return (segment,) if segment.events else ()
        heads = _heads(segment)
        for span in start.spans:
            for number, head in ((span.first, span.head), (span.end, span.tail)):
                if segment.first <= number <= segment.end and heads[number - segment.first] != head:
                    raise Contradicts(f"at event {number}")
        return tuple(_without(segment, heads, start))

    def add(self, segment: Segment) -> tuple[Segment, ...]:
        """Merge; gives the parts that were new. Raises Contradicts."""
        new = self.news(segment)
        for part in new:
            self._insert(part)
        while self.count > self._events_max or len(self._starts) > LEAF_STARTS_KEPT_MAX:
            self._forget()
        return new

    def _insert(self, part: Segment) -> None:
        fresh = Start(part.boot_nonce, part.started_unix_ms)
        start = self._starts.setdefault(part.boot_nonce, fresh)
        tail = _heads(part)[-1]
        spans = [*start.spans, Span(part.first, part.head, tail, list(part.events))]
        spans.sort(key=lambda span: span.first)
        start.spans = []
        for span in spans:
            last = start.spans[-1] if start.spans else None
            if last is not None and last.end == span.first:
                last.events += span.events
                last.tail = span.tail
            else:
                start.spans.append(span)
        self.count += len(part.events)

    def _forget(self) -> None:
        """Let go of the oldest events: a tenth of all, of the oldest start."""
        oldest = self.starts()[0]
        if len(self._starts) > LEAF_STARTS_KEPT_MAX or not oldest.spans:
            self.count -= oldest.count
            del self._starts[oldest.boot_nonce]
            return
        span = oldest.spans[0]
        dropped = span.events[: max(1, self._events_max // 10)]
        for event in dropped:
            span.head = chain(span.head, event)
        del span.events[: len(dropped)]
        span.first += len(dropped)
        oldest.forgotten = span.first
        self.count -= len(dropped)
        if not span.events:
            del oldest.spans[0]

    def recall(self, mark: Segment) -> None:
        """At the beginning of a file: the events below `mark.first` were kept once."""
        self._starts[mark.boot_nonce] = Start(mark.boot_nonce, mark.started_unix_ms, mark.first)

    # -- reading ---------------------------------------------------------------------------------
    def marks(self) -> Iterator[Segment]:
        """What `recall` needs to know: a segment without events for each cut start."""
        for start in self.starts():
            if start.forgotten:
                yield Segment(
                    start.boot_nonce, start.forgotten, bytes(32), start.started_unix_ms, ()
                )

    def segments(self, size_max: int) -> Iterator[Segment]:
        """Everything, oldest start first, in segments of at most so many events."""
        for start in self.starts():
            for span in start.spans:
                yield from _cut(start, span, size_max)

    def lacking(
        self, has: Sequence[tuple[bytes, Sequence[tuple[int, int]]]], size_max: int
    ) -> Iterator[Segment]:
        """What somebody lacks who has those ranges, by boot nonce."""
        theirs = {boot: tuple(ranges) for boot, ranges in has}
        for segment in self.segments(size_max):
            ranges = theirs.get(segment.boot_nonce, ())
            if not any(low <= segment.first and segment.end <= high for low, high in ranges):
                yield segment


def _heads(segment: Segment) -> list[bytes]:
    """The head before each event, and after the last."""
    heads = [segment.head]
    for event in segment.events:
        heads.append(chain(heads[-1], event))
    return heads


def _without(segment: Segment, heads: Sequence[bytes], start: Start) -> Iterator[Segment]:
    at = segment.first
    known = [(0, start.forgotten), *start.ranges()]
    for low, high in [*known, (segment.end, segment.end)]:
        until = min(low, segment.end)
        if at < until:
            events = segment.events[at - segment.first : until - segment.first]
            yield attrs.evolve(segment, first=at, head=heads[at - segment.first], events=events)
        at = max(at, high)


def _cut(start: Start, span: Span, size_max: int) -> Iterator[Segment]:
    head = span.head
    for at in range(0, len(span.events), size_max):
        events = tuple(span.events[at : at + size_max])
        yield Segment(start.boot_nonce, span.first + at, head, start.started_unix_ms, events)
        for event in events:
            head = chain(head, event)
