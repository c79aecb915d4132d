"""One feed as one replica holds it: a list of headers, each the parent of the next.

Rules
- The list begins at event 0 and has no gap. It is the part that counts: what is beyond a fork or a
  cut is not in it.
- For each header there is a mark: whether its body is held, still wanted, was dropped for want of
  room, or was let go because a checkpoint stood for it. The last is wanted again, should none do so
  any more.

Not here: signatures, bodies, and when something may be appended (`log`).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Protocol, overload

from mesh.identity.keys import SIGNATURE_BYTES
from mesh.limits import LOG_FEED_FRAMES_MAX
from mesh.log.frame import SignedHeader, open_header
from mesh.log.model import EMPTY, FeedId, Head
from mesh.types import DIGEST_BYTES, Digest

WANTED, HELD, DROPPED, LET_GO = range(4)


class Headers(Sequence[SignedHeader]):
    """Signed headers as the bytes they came in, opened anew when one is asked for: a node holds
    millions of them, and looks at the newest."""

    __slots__ = ("_digests", "_rows")

    def __init__(self) -> None:
        self._rows: list[bytes] = []
        self._digests = bytearray()

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> SignedHeader: ...
    @overload
    def __getitem__(self, at: slice) -> list[SignedHeader]: ...
    def __getitem__(self, at: int | slice) -> SignedHeader | list[SignedHeader]:
        if isinstance(at, slice):
            return [_opened(row) for row in self._rows[at]]
        return _opened(self._rows[at])

    def digest(self, index: int) -> Digest:
        return Digest(bytes(self._digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]))

    def append(self, signed: SignedHeader) -> None:
        self._rows.append(signed.data + signed.signature)
        self._digests += signed.digest

    def crop(self, count: int) -> None:
        del self._rows[count:], self._digests[count * DIGEST_BYTES :]


def _opened(row: bytes) -> SignedHeader:
    return open_header(row[:-SIGNATURE_BYTES], row[-SIGNATURE_BYTES:])


class HasPlace(Protocol):
    """A header, or what names one."""

    @property
    def feed(self) -> FeedId: ...
    @property
    def seq(self) -> int: ...
    @property
    def digest(self) -> Digest: ...


class Chain:
    """See the module's head."""

    __slots__ = ("_starts", "cut", "feed", "fork_seq", "head", "headers", "marks")

    def __init__(self, feed: FeedId) -> None:
        self.feed = feed
        self.headers = Headers()
        self.marks = bytearray()
        self.head = EMPTY
        self.fork_seq: int | None = None
        """The lowest place that was signed twice; nothing from there on is in the list."""
        self.cut: Head | None = None
        """Only ancestors of this head count, the writer having been removed."""
        self._starts = array("Q")

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

    def start(self, index: int) -> int:
        """First event of the frame at that index."""
        return self._starts[index]

    def end(self, index: int) -> int:
        """Place of the event after its last."""
        return self._starts[index + 1] if index + 1 < len(self._starts) else self.head.count

    def index_of(self, signed: HasPlace) -> int | None:
        """Index of this very header; None when it is not in the list."""
        index = self.find(signed.seq)
        if index is None or self.headers.digest(index) != signed.digest:
            return None
        return index

    def last_lacking(self, before: int) -> int:
        """Index of the last frame below index `before` whose body is not here and was not dropped
        for want of room; -1 when there is none."""
        return max(self.marks.rfind(WANTED, 0, before), self.marks.rfind(LET_GO, 0, before))

    def rival_of(self, signed: SignedHeader) -> SignedHeader | None:
        """Another header on the same parent."""
        index = self.find(signed.seq)
        if index is None or self._starts[index] != signed.seq:
            return None
        ours = self.headers[index]
        same_parent = ours.header.prev == signed.header.prev
        return ours if same_parent and ours.digest != signed.digest else None

    def has_head(self, head: Head) -> bool:
        """Whether `head` is, or once was, the head of this list."""
        if head.count == 0:
            return head == EMPTY
        index = self.find(head.count - 1)
        if index is None or self.end(index) != head.count:
            return False
        return self.headers.digest(index) == head.digest

    def between(self, from_seq: int, to_seq: int, at_most: int) -> list[SignedHeader]:
        """Headers of frames that have events in [from_seq, to_seq), oldest first."""
        first = self.find(max(from_seq, 0))
        if first is None or to_seq <= from_seq:
            return []
        last = bisect_left(self._starts, to_seq)
        return self.headers[first : min(last, first + at_most)]

    def mark_let_go(self, covered: int) -> None:
        """What was dropped below that place had a checkpoint to stand for it."""
        end = self.find(covered) if covered < self.head.count else len(self.marks)
        assert end is not None
        self.marks[:end] = self.marks[:end].replace(bytes((DROPPED,)), bytes((LET_GO,)))

    def truncate(self, count: int) -> list[SignedHeader]:
        """Keep only frames that end at or below `count`; returns the headers of the others."""
        keep = len(self.headers)
        while keep and self.end(keep - 1) > count:
            keep -= 1
        gone = self.headers[keep:]
        self.headers.crop(keep)
        del self._starts[keep:], self.marks[keep:]
        self.head = self.headers[-1].head if keep else EMPTY
        return gone
