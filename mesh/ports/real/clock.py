"""`Clock` on the machine's clocks.

`monotonic` is CLOCK_MONOTONIC, which stands still while the machine sleeps: a node that wakes up
sees its own lateness, not everybody's silence. All timers share one heap and one task, which is
started by the first of them and ends with the event loop. How late they come is how late this whole
event loop is (`lag_s`). Not here: time zones and formats.
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

LAG_WINDOW_S = 2.0
_SWEEP_MIN = 256


@attrs.define(eq=False)
class RealTimer:
    """See `mesh.ports.Timer`."""

    deadline_s: float
    fn: Callable[[], None] | None

    def cancel(self) -> None:
        self.fn = None


@attrs.define
class _Lateness:
    """The worst delay in this window of time and in the one before."""

    ends_s: float = 0.0
    now_s: float = 0.0
    before_s: float = 0.0

    def note(self, at_s: float, late_s: float) -> None:
        self.turn(at_s)
        self.now_s = max(self.now_s, late_s)

    def turn(self, at_s: float) -> None:
        if at_s >= self.ends_s:
            fresh = at_s < self.ends_s + LAG_WINDOW_S
            self.before_s, self.now_s = (self.now_s if fresh else 0.0), 0.0
            self.ends_s = at_s + LAG_WINDOW_S

    def worst_s(self) -> float:
        return max(self.now_s, self.before_s)


class RealClock:
    """See `mesh.ports.Clock`."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, RealTimer]] = []
        self._order = count()
        self._waiting: trio.CancelScope | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._swept_at = _SWEEP_MIN
        self._lateness = _Lateness()

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep_until(self, deadline_s: float) -> None:
        await trio.sleep(max(0.0, deadline_s - time.monotonic()))

    def call_at(self, deadline_s: float, fn: Callable[[], None]) -> RealTimer:
        token = trio.lowlevel.current_trio_token()
        if self._token is not token:  # (tests run several event loops, one after the other)
            self._token, self._waiting = token, None
            self._heap.clear()
            trio.lowlevel.spawn_system_task(self._run)
        # A deadline that has passed already makes nobody late.
        deadline_s = max(deadline_s, time.monotonic())
        timer = RealTimer(deadline_s, fn)
        heapq.heappush(self._heap, (deadline_s, next(self._order), timer))
        if self._waiting is not None and self._heap[0][2] is timer:
            self._waiting.deadline = self._trio_deadline(deadline_s)
        return timer

    def lag_s(self) -> float:
        """The worst delay of a timer in the last LAG_WINDOW_S or a little more, and of the one that
        should be running right now."""
        now_s = time.monotonic()
        self._lateness.turn(now_s)
        overdue_s = now_s - self._heap[0][0] if self._heap else 0.0
        return max(overdue_s, self._lateness.worst_s())

    async def _run(self) -> None:
        while True:
            self._fire_due()
            self._drop_cancelled()
            due_s = self._heap[0][0] if self._heap else float("inf")
            with trio.CancelScope(deadline=self._trio_deadline(due_s)) as self._waiting:
                await trio.sleep_forever()

    def _fire_due(self) -> None:
        """Call what is due now; what these calls set anew waits for the next turn of the loop."""
        now_s = time.monotonic()
        due = []
        while self._heap and self._heap[0][0] <= now_s:
            due.append(heapq.heappop(self._heap))
        for deadline_s, _, timer in due:
            fn, timer.fn = timer.fn, None
            if fn is None:
                continue
            self._lateness.note(now_s, now_s - deadline_s)
            try:
                fn()
            except Exception:
                logger.exception("a timer failed")

    def _drop_cancelled(self) -> None:
        """Cancelled timers leave when they are due, or here when there are too many of them."""
        if len(self._heap) > self._swept_at:
            self._heap = [entry for entry in self._heap if entry[2].fn is not None]
            heapq.heapify(self._heap)
            self._swept_at = max(_SWEEP_MIN, 2 * len(self._heap))

    @staticmethod
    def _trio_deadline(due_s: float) -> float:
        return trio.current_time() + max(0.0, due_s - time.monotonic())
