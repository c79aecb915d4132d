"""Frames that arrived before the one they follow.

Rules
- Only frames whose signature was checked get in, and whose body, if it is there, fits.
- So many, of one writer so many and so many bytes; beyond, a frame is refused, and what is missing
  comes by comparing logs. Frames from our own disk are not bounded: they were let in once.

Not here: whether a frame may follow (`log`).
"""

from __future__ import annotations

from collections import Counter, defaultdict

from mesh.limits import (
    LOG_ORPHAN_BYTES_PER_NODE_MAX,
    LOG_ORPHANS_MAX,
    LOG_ORPHANS_PER_NODE_MAX,
)
from mesh.log.frame import Frame
from mesh.log.model import FeedId
from mesh.types import Digest, NodeId

Place = tuple[FeedId, bytes]
"""A feed, and the digest of the header that is missing."""


class Orphans:
    """See the module's head."""

    def __init__(self) -> None:
        self._waiting: defaultdict[Place, dict[Digest, Frame]] = defaultdict(dict)
        self._count: Counter[NodeId] = Counter()
        self._bytes: Counter[NodeId] = Counter()
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def has(self, frame: Frame) -> bool:
        """Whether this frame is waiting already, with as much as it brings."""
        waiting = self._waiting.get(_place(frame), {}).get(frame.signed.digest)
        return waiting is not None and (waiting.body is not None or frame.body is None)

    def has_digest(self, feed: FeedId, digest: Digest) -> bool:
        """Whether the frame of that header is waiting. Looks at all that wait."""
        return any(
            digest in waiting for place, waiting in self._waiting.items() if place[0] == feed
        )

    def add(self, frame: Frame, *, bounded: bool = True) -> bool:
        """Keep it; False when there is no room."""
        node, size = frame.feed.node, len(frame.body or b"")
        if bounded and (
            self._total >= LOG_ORPHANS_MAX
            or self._count[node] >= LOG_ORPHANS_PER_NODE_MAX
            or self._bytes[node] + size > LOG_ORPHAN_BYTES_PER_NODE_MAX
        ):
            return False
        waiting = self._waiting[_place(frame)]
        self._forget(waiting.get(frame.signed.digest))
        waiting[frame.signed.digest] = frame
        self._count[node] += 1
        self._bytes[node] += size
        self._total += 1
        return True

    def take(self, feed: FeedId, parent: Digest) -> list[Frame]:
        """Those that wait for this header, lowest digest first."""
        found = self._waiting.pop((feed, parent), {})
        for frame in found.values():
            self._forget(frame)
        return [found[digest] for digest in sorted(found)]

    def drop(self, feed: FeedId, from_seq: int) -> None:
        """Those of a feed from that place on."""
        for place in [place for place in self._waiting if place[0] == feed]:
            waiting = self._waiting[place]
            for digest in [d for d, frame in waiting.items() if frame.signed.end > from_seq]:
                self._forget(waiting.pop(digest))
            if not waiting:
                del self._waiting[place]

    def _forget(self, frame: Frame | None) -> None:
        if frame is None:
            return
        node = frame.feed.node
        self._count[node] -= 1
        self._bytes[node] -= len(frame.body or b"")
        self._total -= 1
        if not self._count[node]:
            del self._count[node], self._bytes[node]


def _place(frame: Frame) -> Place:
    return frame.feed, frame.signed.header.prev
