"""The clocks of one machine, and `mesh.ports.Clock` for the process that runs on it.

The hardware counts nanoseconds since it was switched on, at its own rate: a drift of 1.001 gains a
millisecond a second. The wall clock is the same count from another origin, and may be stepped. All
arithmetic is of integers, so that a timer set for `monotonic() + x` fires exactly when
`monotonic()` says so, whatever the rate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs
import trio

from sim.kernel.nanoseconds import NS_PER_S, to_ns, to_s
from sim.kernel.world import Event, World
from sim.machine.processor import Processor

WALL_START_S = 1_790_000_000
"""Seconds since 1970 at which every world begins."""
LAG_WINDOW_S = 2.0
ROUNDING_S = 1e-6
"""Nobody is late who is late by no more than this: seconds are floats."""
NEVER_NS = 1 << 62
"""146 years: further than any world goes."""
RATE_MIN, RATE_MAX = 0.1, 10.0


class HardwareClock:
    """Survives the processes of its machine, and counts from zero when it is switched on."""

    def __init__(self, world: World, wall_offset_s: float = 0.0, uptime_s: float = 0.0) -> None:
        self._world = world
        self._base_world_ns = world.now_ns
        self._base_ns = to_ns(uptime_s)
        self._rate_ppb = NS_PER_S
        self._wall_offset_ns = to_ns(WALL_START_S + wall_offset_s - uptime_s)
        self._rate_listeners: list[Callable[[], None]] = []
        self._read_at_ns, self._read_s = -1, 0.0

    # -- reading ---------------------------------------------------------------------------------
    def monotonic_ns(self) -> int:
        passed_ns = self._world.now_ns - self._base_world_ns
        if self._rate_ppb != NS_PER_S:
            passed_ns = passed_ns * self._rate_ppb // NS_PER_S
        return self._base_ns + passed_ns

    def monotonic(self) -> float:
        now_ns = self._world.now_ns
        if now_ns != self._read_at_ns:  # a node reads it several times in one moment of the world
            self._read_at_ns, self._read_s = now_ns, self.monotonic_ns() / NS_PER_S
        return self._read_s

    def wall(self) -> float:
        return to_s(self._wall_offset_ns + self.monotonic_ns())

    def world_ns(self, monotonic_s: float) -> int:
        """The first moment of the world at which `monotonic() >= monotonic_s`, if nothing changes
        the rate until then."""
        wait_ns = to_ns(monotonic_s) - self._base_ns
        if self._rate_ppb != NS_PER_S:
            wait_ns = -(-wait_ns * NS_PER_S // self._rate_ppb)
        return self._base_world_ns + wait_ns

    # -- mishaps ---------------------------------------------------------------------------------
    def set_rate(self, rate: float) -> None:
        """Run `rate` times as fast as the world from now on; 1.0 is right."""
        assert RATE_MIN <= rate <= RATE_MAX, rate
        self._base_ns, self._base_world_ns = self.monotonic_ns(), self._world.now_ns
        self._rate_ppb = round(rate * NS_PER_S)
        self._read_at_ns = -1
        for listener in list(self._rate_listeners):
            listener()

    def step_wall(self, step_s: float) -> None:
        """Move the wall clock; timeouts do not notice."""
        self._wall_offset_ns += to_ns(step_s)

    def reboot(self) -> None:
        """Count from zero again; the battery has kept the wall clock."""
        self._wall_offset_ns += self.monotonic_ns()
        self._base_ns, self._base_world_ns = 0, self._world.now_ns
        self._read_at_ns = -1

    def on_rate_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Returns how to stop listening."""
        self._rate_listeners.append(listener)
        return lambda: self._rate_listeners.remove(listener)


@attrs.define(eq=False)
class SimTimer:
    """See `mesh.ports.Timer`."""

    due_s: float
    fn: Callable[[], None] | None
    sleeper: bool = False
    """A task waits for it."""
    event: Event | None = None

    def cancel(self) -> None:
        self.fn = None
        if self.event is not None:
            self.event.cancel()


class SimClock:
    """See `mesh.ports.Clock`: of one life of a process."""

    def __init__(self, world: World, hardware: HardwareClock, processor: Processor) -> None:
        self._world = world
        self._hardware = hardware
        self._processor = processor
        self._timers: dict[SimTimer, None] = {}
        self._forget = hardware.on_rate_change(self._set_anew)
        self._late: tuple[float, float] = (0.0, 0.0)
        self.monotonic = hardware.monotonic
        self.wall = hardware.wall

    async def sleep_until(self, deadline_s: float) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._hardware.monotonic() >= deadline_s or not self._processor.alive:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        task = trio.lowlevel.current_task()
        timer = self._make(deadline_s, lambda: trio.lowlevel.reschedule(task), sleeper=True)

        def give_up(_: object) -> trio.lowlevel.Abort:
            self._drop(timer)
            return trio.lowlevel.Abort.SUCCEEDED

        # The task itself is held back while the processor is not ours; the event is not.
        timer.event = self._world.at_ns(self._when(timer), lambda: self._wake(timer))
        await trio.lowlevel.wait_task_rescheduled(give_up)

    def call_at(self, deadline_s: float, fn: Callable[[], None]) -> SimTimer:
        timer = self._make(deadline_s, fn)
        if self._processor.alive:
            timer.event = self._world.at_ns(self._when(timer), partial(self._due, timer))
        return timer

    def lag_s(self) -> float:
        """The worst lateness of a timer within the last LAG_WINDOW_S."""
        at_s, late_s = self._late
        return late_s if self._hardware.monotonic() - at_s <= LAG_WINDOW_S else 0.0

    def end(self) -> None:
        """The process is no more: nothing fires, and who sleeps behind a shield may go."""
        self._forget()
        for timer in list(self._timers):
            if timer.sleeper:
                self._wake(timer)
            else:
                self._drop(timer)

    # -- inside ----------------------------------------------------------------------------------
    def _make(
        self, deadline_s: float, fn: Callable[[], None], *, sleeper: bool = False
    ) -> SimTimer:
        # A deadline that has passed already makes nobody late.
        timer = SimTimer(max(deadline_s, self._hardware.monotonic()), fn, sleeper)
        self._timers[timer] = None
        return timer

    def _drop(self, timer: SimTimer) -> None:
        self._timers.pop(timer, None)
        timer.cancel()

    def _when(self, timer: SimTimer) -> int:
        if timer.due_s == float("inf"):
            return NEVER_NS
        return self._hardware.world_ns(timer.due_s)

    def _wake(self, timer: SimTimer) -> None:
        fn = timer.fn
        self._drop(timer)
        if fn is not None:
            fn()

    def _due(self, timer: SimTimer) -> None:
        timer.event = None
        self._processor.soon(partial(self._fire, timer))

    def _fire(self, timer: SimTimer) -> None:
        fn = timer.fn
        self._drop(timer)
        if fn is None:
            return
        now_s = self._hardware.monotonic()
        late_s = now_s - timer.due_s
        if late_s > ROUNDING_S and late_s >= self.lag_s():
            self._late = (now_s, late_s)
        fn()

    def _set_anew(self) -> None:
        """The rate has changed: every pending timer is due at another moment of the world."""
        for timer in self._timers:
            event = timer.event
            if event is not None and event.action is not None:
                action = event.action
                event.cancel()
                timer.event = self._world.at_ns(self._when(timer), action)
