"""Our own feeds: when events become frames.

Rules
- An epoch is given at the start and never one that was used before; nothing of an old epoch is ever
  read for writing. So whatever the disk has lost or got back, no place is signed twice.
- Events wait for others to share their signature: 256 of them, LOG_FRAME_DELAY_S, or as many bytes
  as a body may have. A checkpoint is sealed alone, after all that waited on its lane.
- The first event of the epoch is the `open` event that the caller gives, on CTL.
- What was not sealed when the process ended was told to nobody; the caller says it again.

Deliberately not here: keeping frames (`log`, `segments`), and what events say (`mesh.state`).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mesh.limits import (
    LOG_BODY_BYTES_MAX,
    LOG_EVENT_BYTES_MAX,
    LOG_FRAME_DELAY_S,
    LOG_FRAME_EVENTS_MAX,
)
from mesh.log.checkpoint import is_checkpoint
from mesh.log.frame import Frame, Sign, seal
from mesh.log.model import EMPTY, EPOCH_BYTES, Dot, FeedId, Head, Lane, VersionVector
from mesh.types import MeshId, NodeId

_EVENT_HEAD_BYTES = 3
_BODY_HEAD_BYTES = 3


@attrs.frozen
class WriterConfig:
    """Who writes."""

    mesh: MeshId
    node: NodeId
    sign: Sign
    """`NodeKey.sign`."""
    seen: Callable[[], bytes]
    """`Log.digest`: what we know when we sign."""
    wall_ms: Callable[[], int]
    """Milliseconds since 1970 UTC, for people to read."""
    frame_events_max: int = LOG_FRAME_EVENTS_MAX
    frame_delay_s: float = LOG_FRAME_DELAY_S


@attrs.define
class _Waiting:
    """Events of one lane that are not sealed yet."""

    events: list[bytes] = attrs.field(factory=list)
    size_bytes: int = _BODY_HEAD_BYTES
    since_s: float = 0.0


class FeedWriter:
    """See the module's head. `open_event` is the first event of the epoch."""

    def __init__(
        self, config: WriterConfig, epoch: bytes, open_event: bytes, now_s: float = 0.0
    ) -> None:
        self.config = config
        self.heads: dict[FeedId, Head] = {}
        """Of everything sealed, also in the epochs before a `rotate`."""
        self._waiting = {lane: _Waiting() for lane in Lane}
        self._begin(epoch, open_event, now_s)

    @property
    def epoch(self) -> bytes:
        return self._epoch

    def feed(self, lane: Lane) -> FeedId:
        return FeedId(self.config.node, self._epoch, int(lane))

    def next_dot(self, lane: Lane) -> Dot:
        """Where the next event appended to this lane will be."""
        sealed = self.heads.get(self.feed(lane), EMPTY).count
        return Dot(self.feed(lane), sealed + len(self._waiting[lane].events))

    @property
    def waiting(self) -> int:
        """Events that are not sealed yet."""
        return sum(len(waiting.events) for waiting in self._waiting.values())

    @property
    def next_timer_s(self) -> float | None:
        """When `flush` is due; None when nothing waits."""
        since = [waiting.since_s for waiting in self._waiting.values() if waiting.events]
        return min(since) + self.config.frame_delay_s if since else None

    def append(self, lane: Lane, event: bytes, now_s: float) -> list[Frame]:
        """Add an event; returns the frames that are full for it. 1 to LOG_EVENT_BYTES_MAX bytes."""
        assert 0 < len(event) <= LOG_EVENT_BYTES_MAX
        if is_checkpoint(event):
            frames = [*self._seal_first(lane), *self._seal(lane)]
            return [*frames, self._sealed(lane, [event])]
        frames = list[Frame]()
        size_bytes = len(event) + _EVENT_HEAD_BYTES
        if self._waiting[lane].size_bytes + size_bytes > LOG_BODY_BYTES_MAX:
            frames += [*self._seal_first(lane), *self._seal(lane)]
        waiting = self._waiting[lane]
        if not waiting.events:
            waiting.since_s = now_s
        waiting.events.append(event)
        waiting.size_bytes += size_bytes
        if len(waiting.events) >= self.config.frame_events_max:
            frames += [*self._seal_first(lane), *self._seal(lane)]
        return frames

    def handle_timer(self, now_s: float) -> list[Frame]:
        """Seal what has waited long enough."""
        due = self.next_timer_s
        return self.flush() if due is not None and now_s >= due else []

    def flush(self) -> list[Frame]:
        """Seal everything that waits, CTL first."""
        return [frame for lane in Lane for frame in self._seal(lane)]

    def rotate(self, epoch: bytes, open_event: bytes, now_s: float) -> list[Frame]:
        """Go on in a new epoch: somebody else writes with our key in ours. What waits is written
        there; the frames of the old epoch stand."""
        assert (self.config.node, epoch) not in {(feed.node, feed.epoch) for feed in self.heads}
        waited = [(lane, list(waiting.events)) for lane, waiting in self._waiting.items()]
        self._waiting = {lane: _Waiting() for lane in Lane}
        self._begin(epoch, open_event, now_s)
        frames = []
        for lane, events in waited:
            for event in events:
                frames += self.append(lane, event, now_s)
        return frames

    def is_ours(self, heads: VersionVector) -> bool:
        """Whether a log has nothing in our epoch that we did not write. If not, there is a copy of
        this very process: `rotate`, and tell people."""
        mine = (feed for feed in map(self.feed, Lane) if feed in heads)
        return all(heads[feed].count <= self.heads.get(feed, EMPTY).count for feed in mine)

    def unknown_own(self, heads: VersionVector, named: VersionVector) -> dict[FeedId, Head]:
        """Own feeds of other epochs, further than `named` (what `open` and `absorb` have said):
        what the next `absorb` event has to name."""
        return {
            feed: head
            for feed, head in heads.items()
            if feed.node == self.config.node
            and feed.epoch != self._epoch
            and named.get(feed, EMPTY).count < head.count
        }

    # -- inside ----------------------------------------------------------------------------------
    def _begin(self, epoch: bytes, open_event: bytes, now_s: float) -> None:
        assert len(epoch) == EPOCH_BYTES
        self._epoch = epoch
        waiting = self._waiting[Lane.CTL]
        waiting.events.append(open_event)
        waiting.size_bytes += len(open_event) + _EVENT_HEAD_BYTES
        waiting.since_s = now_s

    def _seal_first(self, lane: Lane) -> list[Frame]:
        """The `open` event, if it was not sealed yet: nothing of an epoch comes before it."""
        is_open = self.feed(Lane.CTL) in self.heads
        return [] if is_open or lane == Lane.CTL else self._seal(Lane.CTL)

    def _seal(self, lane: Lane) -> list[Frame]:
        waiting = self._waiting[lane]
        if not waiting.events:
            return []
        self._waiting[lane] = _Waiting()
        return [self._sealed(lane, waiting.events)]

    def _sealed(self, lane: Lane, events: list[bytes]) -> Frame:
        config, feed = self.config, self.feed(lane)
        frame = seal(
            config.sign,
            config.mesh,
            feed,
            self.heads.get(feed, EMPTY),
            events,
            wall_ms=config.wall_ms(),
            seen=config.seen(),
        )
        self.heads[feed] = frame.signed.head
        return frame
