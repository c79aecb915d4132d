"""Keeping our share of the log small: owner checkpoints when they are due, and retention.

Rules
- A checkpoint of one of our lanes is due after CHECKPOINT_EVENTS events, or when its epochs, one
  for each start of this process, would make version vectors long. Its blob is on the disk before
  anybody hears of it. It waits for the state of the one before, which it must hold, too, and for
  bodies that the disk has spoiled; what nobody had for OWN_STATE_WAIT_S is given up. A lane of
  which we have dropped something for want of room gets none: others may have it.
- A feed that has become long is followed by another epoch: nobody takes feeds without end.
- Bodies go by `max_buffer_size_mb` and `max_buffer_age_hours`. What no checkpoint stands for is
  lost then; it is counted and told to the views.
- Bodies are read again and again, SCRUB_FRAMES at a time: what the disk has spoiled is wanted from
  others before anybody here needs it.
- At most one file is rewritten in one turn of the event loop.

Not here: what goes (`mesh.log.retention`), what a checkpoint says (`mesh.state`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import trio

from mesh.errors import EnvironmentFault
from mesh.limits import LOG_EPOCHS_BEFORE_CHECKPOINT, STATE_CHECKPOINT_EVENTS
from mesh.log.model import FeedId, Lane
from mesh.log.retention import Choice, clear_up
from mesh.log.segments import Segments
from mesh.node.state.replica import Act, Replica
from mesh.state.runs import RunKey
from mesh.state.views import Draft, KeptState

if TYPE_CHECKING:
    from mesh.node.state.driver import StateParts

UPKEEP_EVERY_S = 60.0
OWN_STATE_WAIT_S = 3600.0
SCRUB_FRAMES = 256
"""About 20 milliseconds."""
CHECKPOINT_LANES = (Lane.AC, Lane.EXEC, Lane.DEP, Lane.LEAF, Lane.CTL)
"""CTL last: its checkpoint names what the others have just become."""
logger = logging.getLogger(__name__)


class Upkeep:
    """See the module's head."""

    def __init__(
        self,
        parts: StateParts,
        segments: Segments,
        replica: Replica,
        do: Callable[[Iterable[Act]], None],
    ) -> None:
        self._parts = parts
        self._segments = segments
        self._replica = replica
        self._do = do
        self.checkpoints = 0
        """Written since the start."""
        self.lost_events = 0
        """Dropped since the start, and no checkpoint stood for them."""
        self.trouble = ""
        self._begun_s = parts.env.clock.monotonic()
        self._scrub_at: tuple[FeedId, int] | None = None
        """Where to go on reading; None: at the beginning."""
        self.keep_run: Callable[[RunKey], bool] = lambda _run: True
        """Whether a checkpoint goes on speaking of a run."""

    async def run(self) -> None:
        """Look after the log until cancelled."""
        clock = self._parts.env.clock
        while True:
            await self.look()
            await clock.sleep_until(clock.monotonic() + UPKEEP_EVERY_S)

    async def look(self) -> None:
        """Do what is due. What the disk refuses is tried again the next time."""
        try:
            self._do(self._replica.renew_long(self._parts.env.clock.monotonic()))
            for lane in CHECKPOINT_LANES:
                if self.is_due(lane):
                    await self.checkpoint(lane)
            self.clear()
            self._segments.compact(at_most=1)
            self.scrub()
            self.trouble = ""
        except (OSError, EnvironmentFault) as error:
            if not self.trouble:
                logger.warning("the log could not be looked after: %s", error)
            self.trouble = str(error) or type(error).__name__

    # -- checkpoints -----------------------------------------------------------------------------
    def is_due(self, lane: Lane) -> bool:
        """Whether what we wrote on the lane should become one state."""
        log, me = self._replica.log, self._replica.config.me
        waits_s = self._parts.env.clock.monotonic() - self._begun_s
        if self._replica.lacks_own(lane) and waits_s < OWN_STATE_WAIT_S:
            return False
        feeds = [feed for feed in log.feeds_of(me) if feed.lane == lane and feed in log.heads]
        events = sum(log.heads[feed].count - log.covered(feed) for feed in feeds)
        return events >= STATE_CHECKPOINT_EVENTS or len(feeds) > LOG_EPOCHS_BEFORE_CHECKPOINT

    async def checkpoint(self, lane: Lane) -> None:
        """Write one. Raises StoreFull, StoreBroken."""
        store, clock = self._parts.store, self._parts.env.clock
        with store.in_use():
            draft, acts = self._replica.draft_checkpoint(lane, clock.monotonic(), self.keep_run)
            self._do(acts)
            if draft is None:
                return
            with trio.CancelScope(shield=True):
                kept = await self._parts.env.exec.run_sync(self._store, draft.state)
            self._do(self._replica.write_checkpoint(draft, kept, clock.monotonic()))
            self.checkpoints += 1

    def _store(self, draft: Draft) -> KeptState:
        kept = draft.finish()
        self._parts.store.put_all([kept.data], durable=True)
        return kept

    # -- damage ----------------------------------------------------------------------------------
    def scrub(self) -> None:
        """Read the next bodies of the log."""
        log, before = self._replica.log, len(self._segments.damage)
        room, feeds = SCRUB_FRAMES, sorted(log.heads)
        while feeds and room > 0:
            feed, seq = self._scrub_at or (feeds[0], 0)
            headers = log.headers(feed, seq, log.head(feed).count, room)
            for signed in headers:
                log.frame(feed, signed.seq)
            room -= len(headers)
            if room > 0:  # the end of this feed
                later = [each for each in feeds if each > feed]
                self._scrub_at = (later[0], 0) if later else None
                if not later:
                    break
            else:
                self._scrub_at = (feed, headers[-1].end)
        if len(self._segments.damage) > before:
            self._do(self._replica.look_for_gaps(self._parts.env.clock.monotonic()))

    # -- retention -------------------------------------------------------------------------------
    def clear(self) -> Choice:
        """Let bodies go."""
        replica, store = self._replica, self._parts.store
        choice = clear_up(replica.log, self._segments, self._parts.retention, store.has)
        gone: dict[FeedId, int] = {}
        for held in choice.lost:
            gone[held.feed] = max(gone.get(held.feed, 0), held.end)
        for feed, below in gone.items():
            replica.lost(feed, below)
        self._do(())
        self.lost_events += choice.lost_events
        return choice
