"""The chains of headers that a fold has seen: of an honest feed one, of a forked one several.

A **strand** is an unbroken run of frames of one feed, each the parent of the next. What a fold
keeps of an event is the number of its strand and its place in the feed, and whether it counts is
then two comparisons with the strand's window `low <= seq < high`. So cuts, forks and checkpoints,
which are rare, move windows, and rows stay where they are.

- A frame joins the strand whose newest frame is its parent; else it begins one. Frames may come in
  any order: strands link by digest, when somebody asks.
- 40 bytes a frame.

Not here: what the windows are (`windows`), and whether frames are genuine (`mesh.log`).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator

from mesh.log.frame import SignedHeader
from mesh.log.model import NO_PARENT, Dot, FeedId
from mesh.types import DIGEST_BYTES, NodeId

ENDLESS = 2**63 - 1
"""The `high` of a window that nothing limits."""


class Strand:
    """See the module's head. Frames are added by `Strands` only."""

    __slots__ = ("_digests", "_ends", "feed", "high", "index", "low", "prev", "start")

    def __init__(self, index: int, feed: FeedId, start: int, prev: bytes) -> None:
        self.index = index
        self.feed = feed
        self.start = start
        self.prev = prev
        """Digest of the header before the first; NO_PARENT at the beginning of the feed."""
        self.low = 0
        self.high = 0
        """Events from `low` and below `high` count."""
        self._ends = array("Q")
        self._digests = bytearray()

    @property
    def end(self) -> int:
        return self._ends[-1] if self._ends else self.start

    @property
    def tip(self) -> bytes:
        """Digest of the newest header."""
        return bytes(self._digests[-DIGEST_BYTES:]) if self._ends else self.prev

    def counts(self, seq: int) -> bool:
        return self.low <= seq < self.high

    def dot(self, seq: int) -> Dot:
        return Dot(self.feed, seq)

    def append(self, signed: SignedHeader) -> None:
        assert signed.seq == self.end
        self._ends.append(signed.end)
        self._digests += signed.digest

    def has(self, end: int, digest: bytes) -> bool:
        """Whether one of its frames ends at `end` and has this digest."""
        at = bisect_left(self._ends, end)
        if at == len(self._ends) or self._ends[at] != end:
            return False
        return self._digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES] == digest


class Strands:
    """All strands of all feeds."""

    def __init__(self) -> None:
        self.all: list[Strand] = []
        self._by_feed: dict[FeedId, list[Strand]] = {}
        self._by_node: dict[NodeId, dict[FeedId, None]] = {}

    def __getitem__(self, index: int) -> Strand:
        return self.all[index]

    def of_feed(self, feed: FeedId) -> list[Strand]:
        return self._by_feed.get(feed, [])

    def of_node(self, node: NodeId) -> Iterator[Strand]:
        for feed in self._by_node.get(node, ()):
            yield from self._by_feed[feed]

    def nodes(self) -> tuple[NodeId, ...]:
        return tuple(self._by_node)

    def add(self, signed: SignedHeader) -> tuple[Strand, bool] | None:
        """Put a header in its place: its strand, and whether that is new; None when it was here."""
        feed, seq, prev = signed.feed, signed.seq, signed.header.prev
        strands = self._by_feed.get(feed)
        if strands is None:
            strands = self._by_feed[feed] = []
            self._by_node.setdefault(feed.node, {})[feed] = None
        if len(strands) > 1 and any(each.has(signed.end, signed.digest) for each in strands):
            return None
        for strand in strands:
            if strand.end == seq and strand.tip == prev:
                strand.append(signed)
                return strand, False
        if len(strands) == 1 and strands[0].has(signed.end, signed.digest):
            return None
        strand = Strand(len(self.all), feed, seq, prev)
        strand.append(signed)
        self.all.append(strand)
        strands.append(strand)
        return strand, True

    def holder(self, signed: SignedHeader) -> Strand:
        """The strand that has this header."""
        strand = self._holder(signed.feed, signed.end, signed.digest)
        assert strand is not None
        return strand

    def forget(self, node: NodeId) -> list[Strand]:
        """Take all strands of a node out. Nothing on them counts any more; their numbers are not
        given again, because rows may still name them."""
        gone = list(self.of_node(node))
        for feed in self._by_node.pop(node, ()):
            del self._by_feed[feed]
        for strand in gone:
            strand.low, strand.high = ENDLESS, 0
        return gone

    def ancestry(self, feed: FeedId, count: int, head: bytes) -> dict[int, int]:
        """What leads to the header `head`, after which the feed has `count` events: by the number
        of a strand the place up to which it is part of that. Empty when the header is not here."""
        found: dict[int, int] = {}
        while (strand := self._holder(feed, count, head)) is not None:
            assert strand.index not in found, "digests form no circle"
            found[strand.index] = count
            if strand.prev == NO_PARENT:
                break
            count, head = strand.start, strand.prev
        return found

    def _holder(self, feed: FeedId, count: int, head: bytes) -> Strand | None:
        return next((each for each in self.of_feed(feed) if each.has(count, head)), None)
