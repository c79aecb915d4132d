"""`Clock` on the machine's clocks.

`monotonic` is CLOCK_MONOTONIC, which stands still while the machine sleeps: a node that wakes up
sees its own lateness, not everybody's silence. All timers share one heap and one task, which is
started by the first of them and ends with the event loop. Not here: time zones and formats.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable
from itertools import count

import attrs
import trio

logger = logging.getLogger(__name__)


@attrs.define(eq=False)
class RealTimer:
    """See `mesh.ports.Timer`."""

    deadline_s: float
    fn: Callable[[], None] | None

    def cancel(self) -> None:
        self.fn = None


class RealClock:
    """See `mesh.ports.Clock`."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, RealTimer]] = []
        self._order = count()
        self._waiting: trio.CancelScope | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep_until(self, deadline_s: float) -> None:
        await trio.sleep(max(0.0, deadline_s - time.monotonic()))

    def call_at(self, deadline_s: float, fn: Callable[[], None]) -> RealTimer:
        timer = RealTimer(deadline_s, fn)
        heapq.heappush(self._heap, (deadline_s, next(self._order), timer))
        token = trio.lowlevel.current_trio_token()
        if self._token is not token:  # (tests run several event loops, one after the other)
            self._token, self._waiting = token, None
            trio.lowlevel.spawn_system_task(self._run)
        elif self._waiting is not None and self._heap[0][2] is timer:
            self._waiting.deadline = self._trio_deadline(deadline_s)
        return timer

    async def _run(self) -> None:
        while True:
            self._fire_due()
            due_s = self._heap[0][0] if self._heap else float("inf")
            with trio.CancelScope(deadline=self._trio_deadline(due_s)) as self._waiting:
                await trio.sleep_forever()

    def _fire_due(self) -> None:
        now_s = time.monotonic()
        while self._heap and (self._heap[0][2].fn is None or self._heap[0][0] <= now_s):
            timer = heapq.heappop(self._heap)[2]
            fn, timer.fn = timer.fn, None
            if fn is not None:
                try:
                    fn()
                except Exception:
                    logger.exception("a timer failed")

    @staticmethod
    def _trio_deadline(due_s: float) -> float:
        return trio.current_time() + max(0.0, due_s - time.monotonic())
