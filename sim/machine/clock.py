"""The clocks of one machine, and `mesh.ports.Clock` for the process that runs on it.

The hardware counts nanoseconds since it was switched on, at its own rate: a drift of 1.001 gains a
millisecond a second. The wall clock is the same count from another origin, and may be stepped. All
arithmetic is of integers, so that a timer set for `monotonic() + x` fires exactly when
`monotonic()` says so, whatever the rate.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

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

    def skip(self, duration_s: float) -> None:
        """Both clocks have gone on that long, with nothing happening in the world meanwhile.
        Whoever has timers looks at them again."""
        self._base_ns, self._base_world_ns = (
            self.monotonic_ns() + to_ns(duration_s),
            (self._world.now_ns),
        )
        self._read_at_ns = -1

    def reboot(self) -> None:
        """Count from zero again; the battery has kept the wall clock."""
        self._wall_offset_ns += self.monotonic_ns()
        self._base_ns, self._base_world_ns = 0, self._world.now_ns
        self._read_at_ns = -1

    def on_rate_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Returns how to stop listening."""
        self._rate_listeners.append(listener)
        return lambda: self._rate_listeners.remove(listener)


class SimTimer:
    """See `mesh.ports.Timer`."""

    __slots__ = ("_clock", "due_ns", "due_s", "event", "fn", "sleeper")

    def __init__(
        self, clock: SimClock, due_s: float, fn: Callable[[], None], *, sleeper: bool
    ) -> None:
        self._clock = clock
        self.due_s = due_s
        self.due_ns = -1
        """Of the world; of a timer that is set."""
        self.fn: Callable[[], None] | None = fn
        self.sleeper = sleeper
        """A task waits for it."""
        self.event: Event | None = None

    def cancel(self) -> None:
        self._clock.pending.pop(self, None)
        self.fn = None
        if self.event is not None:
            self.event.action = None

    def due(self) -> None:
        """Its moment has come; whether the process runs is for the processor to say."""
        self.event = None
        self._clock.processor.soon(self._fire)

    def wake(self) -> None:
        """A task sleeps until now; it is held back itself while the processor is not ours."""
        fn = self.fn
        self.cancel()
        if fn is not None:
            fn()

    def _fire(self) -> None:
        fn = self.fn
        if fn is not None:
            self._clock.fires(self)
            fn()


class SimClock:
    """See `mesh.ports.Clock`: of one life of a process."""

    def __init__(self, world: World, hardware: HardwareClock, processor: Processor) -> None:
        self._world = world
        self._hardware = hardware
        self.processor = processor
        self.pending: dict[SimTimer, None] = {}
        """In the order in which they were made."""
        self._forget = hardware.on_rate_change(self._set_anew)
        self._late: tuple[float, float] = (0.0, 0.0)
        self.monotonic = hardware.monotonic
        self.wall = hardware.wall

    async def sleep_until(self, deadline_s: float) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._hardware.monotonic() >= deadline_s or not self.processor.alive:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        task = trio.lowlevel.current_task()
        timer = SimTimer(self, deadline_s, lambda: trio.lowlevel.reschedule(task), sleeper=True)

        def give_up(_: object) -> trio.lowlevel.Abort:
            timer.cancel()
            return trio.lowlevel.Abort.SUCCEEDED

        self.pending[timer] = None
        timer.event = self._world.at_ns(self._world_ns(timer), timer.wake)
        await trio.lowlevel.wait_task_rescheduled(give_up)

    def call_at(self, deadline_s: float, fn: Callable[[], None]) -> SimTimer:
        now_s = self._hardware.monotonic()
        # A deadline that has passed already makes nobody late.
        due_s = deadline_s if deadline_s > now_s else now_s
        timer = SimTimer(self, due_s, fn, sleeper=False)
        self.pending[timer] = None
        if self.processor.alive:
            timer.due_ns = self._world_ns(timer)
            timer.event = self._world.at_ns(timer.due_ns, timer.due)
        return timer

    def lag_s(self) -> float:
        """The worst lateness of a timer within the last LAG_WINDOW_S."""
        at_s, late_s = self._late
        return late_s if self._hardware.monotonic() - at_s <= LAG_WINDOW_S else 0.0

    def end(self) -> None:
        """The process is no more: nothing fires, and who sleeps behind a shield may go."""
        self._forget()
        for timer in list(self.pending):
            if timer.sleeper:
                timer.wake()
            else:
                timer.cancel()

    def fires(self, timer: SimTimer) -> None:
        """It does so now: how late?"""
        self.pending.pop(timer, None)
        timer.fn = None
        if self._world.now_ns == timer.due_ns:
            return
        now_s = self._hardware.monotonic()
        late_s = now_s - timer.due_s
        if late_s > ROUNDING_S and late_s >= self.lag_s():
            self._late = (now_s, late_s)

    # -- inside ----------------------------------------------------------------------------------
    def _world_ns(self, timer: SimTimer) -> int:
        return NEVER_NS if timer.due_s == inf else self._hardware.world_ns(timer.due_s)

    def _set_anew(self) -> None:
        """The rate has changed: every pending timer is due at another moment of the world."""
        for timer in self.pending:
            event = timer.event
            if event is not None and event.action is not None:
                action = event.action
                event.cancel()
                timer.due_ns = self._world_ns(timer)
                timer.event = self._world.at_ns(timer.due_ns, action)
