"""trio's clock as the event loop of the world.

trio asks its clock how long to sleep exactly when no task can run: the moment in which nothing in
the world moves. `SimClock` then runs world events until one of them wakes a task, or jumps to the
next deadline of a cancel scope, and says "no time at all". So there is no delivery task, no idle
threshold, and no thread that could be forgotten.

In this order, each time trio asks:
1. somebody waits in `wait_all_tasks_blocked`: it is let go, time stands still;
2. a signal handler or trio's shutdown wants a call: back to trio, time stands still;
3. real work is in flight (`real_work`): wait for it, time stands still;
4. world events up to the next deadline, those at the very deadline included: what arrived in time
   is there before a timeout fires. Back to trio as soon as a task can run;
5. jump to the deadline. Without one, and without events, nothing will ever happen: `Deadlock`.

Nothing may be raised from here, or trio thinks that it is broken: errors go to `stop`, which
cancels the main task, and `sim.kernel.run` raises them in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

import trio

from sim.kernel.deadlock import describe_waiting
from sim.kernel.findings import Deadlock, Livelock
from sim.kernel.housekeeping import Housekeeping
from sim.kernel.nanoseconds import to_ns
from sim.kernel.order import SeededOrder
from sim.kernel.trio_internals import RunnerView
from sim.kernel.world import World

NEVER_NS = 1 << 80
"""Later than any event."""
LET_IDLE_GO_S = 1e-9
WAIT_FOR_REAL_S = 3600.0
"""Real work wakes trio up when it ends; this is only the longest nap."""


def _or_never(deadline_s: float) -> int:
    return NEVER_NS if deadline_s == inf else to_ns(deadline_s)


class SimClock(trio.abc.Clock):
    """Drives one world in one `trio.run`."""

    def __init__(self, world: World, order: SeededOrder, housekeeping: Housekeeping) -> None:
        self._world = world
        self._order = order
        self._housekeeping = housekeeping
        self._runner: RunnerView
        self._real_work = 0
        self.scope = trio.CancelScope()
        """The main task's; cancelled by `stop`."""
        self.stopped_by: Exception | None = None

    # -- trio.abc.Clock --------------------------------------------------------------------------
    def start_clock(self) -> None:
        self._runner = RunnerView()

    def current_time(self) -> float:
        return self._world.now_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        runner = self._runner
        if runner.someone_waits_for_idle():
            return LET_IDLE_GO_S
        if runner.calls_wait():
            return 0.0
        if self._real_work:
            return WAIT_FOR_REAL_S
        self._housekeeping.tidy(self._world.events_done)
        self._order.time_moved()
        try:
            return self._run_events(deadline)
        except Livelock as error:
            self.stop(error)
            return 0.0

    # -- for the run and the ports ---------------------------------------------------------------
    @property
    def runner(self) -> RunnerView:
        return self._runner

    def stop(self, error: Exception) -> None:
        """End the run with `error`."""
        if self.stopped_by is None:
            self.stopped_by = error
        self.scope.cancel()

    @contextmanager
    def real_work(self) -> Iterator[None]:
        """Time stands still while something real (a thread, a process) is waited for."""
        self._real_work += 1
        try:
            yield
        finally:
            self._real_work -= 1

    # -- the loop --------------------------------------------------------------------------------
    def _run_events(self, deadline_s: float) -> float:
        world, runner = self._world, self._runner
        runnable, (calls, last_calls) = runner.runnable, runner.call_queues
        moved_s = deadline_s

        def enough() -> bool:
            """Whether the event gave tasks something to do, or moved the deadline."""
            nonlocal moved_s
            if runnable or calls or last_calls:
                return True
            moved_s = runner.next_deadline_s()
            return moved_s != deadline_s

        deadline_ns = _or_never(deadline_s)
        while world.run_by(deadline_ns, enough):
            if runnable or calls or last_calls:
                return 0.0
            deadline_s, deadline_ns = moved_s, _or_never(moved_s)
        if deadline_s == inf:
            return self._nothing_will_happen()
        world.advance_to(max(world.now_ns, deadline_ns))
        return 0.0

    def _nothing_will_happen(self) -> float:
        if self.stopped_by is not None:
            # Cancelled, and still somebody waits behind a shield: there is no clean way out.
            raise self.stopped_by
        self.stop(Deadlock(describe_waiting()))
        return 0.0
