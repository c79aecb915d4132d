"""One feed as one replica holds it: a list of headers, each the parent of the next.

Rules
- The list begins at event 0 and has no gap. It is the part that counts: what is beyond a fork or a
  cut is not in it.
- For each header there is a mark: whether its body is held, still wanted, or was dropped.

Not here: signatures, bodies, and when something may be appended (`log`).
"""

from __future__ import annotations

from bisect import bisect_right

from mesh.limits import LOG_FEED_FRAMES_MAX
from mesh.log.frame import SignedHeader
from mesh.log.model import EMPTY, FeedId, Head

WANTED, HELD, DROPPED = range(3)


class Chain:
    """See the module's head."""

    __slots__ = ("_starts", "cut", "feed", "fork_seq", "head", "headers", "marks")

    def __init__(self, feed: FeedId) -> None:
        self.feed = feed
        self.headers: list[SignedHeader] = []
        self.marks = bytearray()
        self.head = EMPTY
        self.fork_seq: int | None = None
        """The lowest place that was signed twice; nothing from there on is in the list."""
        self.cut: Head | None = None
        """Only ancestors of this head count, the writer having been removed."""
        self._starts: list[int] = []

    @property
    def is_full(self) -> bool:
        return len(self.headers) >= LOG_FEED_FRAMES_MAX

    def append(self, signed: SignedHeader, mark: int) -> None:
        assert signed.seq == self.head.count
        assert signed.header.prev == self.head.digest
        self.headers.append(signed)
        self._starts.append(signed.seq)
        self.marks.append(mark)
        self.head = signed.head

    def find(self, seq: int) -> int | None:
        """Index of the header whose frame has event `seq`."""
        return bisect_right(self._starts, seq) - 1 if 0 <= seq < self.head.count else None

    def index_of(self, signed: SignedHeader) -> int | None:
        """Index of this very header; None when it is not in the list."""
        index = self.find(signed.seq)
        if index is None or self.headers[index].digest != signed.digest:
            return None
        return index

    def rival_of(self, signed: SignedHeader) -> SignedHeader | None:
        """Another header on the same parent."""
        index = self.find(signed.seq)
        if index is None:
            return None
        ours = self.headers[index]
        same_parent = ours.seq == signed.seq and ours.header.prev == signed.header.prev
        return ours if same_parent and ours.digest != signed.digest else None

    def has_head(self, head: Head) -> bool:
        """Whether `head` is, or once was, the head of this list."""
        if head.count == 0:
            return head == EMPTY
        index = self.find(head.count - 1)
        return index is not None and self.headers[index].head == head

    def between(self, from_seq: int, to_seq: int, at_most: int) -> list[SignedHeader]:
        """Headers of frames that have events in [from_seq, to_seq), oldest first."""
        first = self.find(max(from_seq, 0))
        if first is None or to_seq <= from_seq:
            return []
        found = self.headers[first : first + at_most]
        while found and found[-1].seq >= to_seq:
            found.pop()
        return found

    def truncate(self, count: int) -> list[tuple[SignedHeader, int]]:
        """Keep only frames that end at or below `count`; the others, with their marks."""
        keep = len(self.headers)
        while keep and self.headers[keep - 1].end > count:
            keep -= 1
        gone = list(zip(self.headers[keep:], self.marks[keep:], strict=True))
        del self.headers[keep:], self._starts[keep:], self.marks[keep:]
        self.head = self.headers[-1].head if keep else EMPTY
        return gone
