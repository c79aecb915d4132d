"""When the process of a machine gets to run: always, late, or not at all.

Everything a process does begins with a callback of a port (`soon`) or with a step of a trio task
(`holds`). Both ask here. So a frozen process is exactly frozen, as by SIGSTOP: its tasks stay out
of trio's turns, its callbacks wait in order, its missed timers fire once when it goes on.

    free      runs at once
    frozen    nothing runs until `thaw`
    starved   a wake-up finds the processor busy with others, for a drawn time; then everything that
              has come meanwhile runs, in order, and what follows from it within SLICE_S
    busy      the process itself is stuck in a blocking call until then (a slow disk)

Deliberately not here: what time it is (`clock`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context

import trio

from sim.kernel.nanoseconds import to_ns
from sim.kernel.run import Kernel

SLICE_S = 0.002
"""How long a starved process may run once it has its turn."""
STALLS_KEPT = 64
Draw = Callable[[], float]


class Processor:
    """Of one life of a process; implements `sim.net.Cpu`."""

    def __init__(self, kernel: Kernel, monotonic: Callable[[], float]) -> None:
        self._kernel = kernel
        self._world = kernel.world
        self.monotonic = monotonic
        self.context: Context = copy_context()
        """In which its callbacks run, so that tasks they start belong to it."""
        self.on_error: Callable[[Exception], None] = lambda _: None
        self.gate_changed: Callable[[], None] = lambda: None
        self.alive = True
        self.frozen = False
        self._at_ease = True
        """Nothing holds it up, for as long as nobody says so."""
        self._starving: Draw | None = None
        self._closed_until_ns = 0
        self._open_until_ns = 0
        self._callbacks: deque[Callable[[], None]] = deque()
        self._tasks: list[trio.lowlevel.Task] = []
        self._stalls: deque[tuple[float, float]] = deque(maxlen=STALLS_KEPT)

    # -- what asks -------------------------------------------------------------------------------
    def soon(self, fn: Callable[[], None]) -> None:
        """Run `fn` when the process next gets to run. Never, when it has ended."""
        if not self.alive:
            return
        if not self._callbacks and (self._at_ease or self._may_run()):
            self._run(fn)
        else:
            self._callbacks.append(fn)

    def holds(self, task: trio.lowlevel.Task) -> bool:
        """Keep `task` for later; False when it may run now."""
        if not self.alive or self._may_run():
            return False
        self._tasks.append(task)
        return True

    @property
    def free(self) -> bool:
        """Nothing holds it up: no need to ask for each task."""
        return not self.alive or not (
            self.frozen or self._starving or self._closed_until_ns > self._world.now_ns
        )

    # -- what happens to it ----------------------------------------------------------------------
    def freeze(self) -> None:
        self.frozen, self._at_ease = True, False
        self.gate_changed()

    def thaw(self) -> None:
        self.frozen = False
        self._go_on()

    def starve(self, draw: Draw | None) -> None:
        """From now on wake-ups are late by `draw()` seconds; None ends it."""
        self._starving, self._at_ease = draw, False
        self.gate_changed()
        if draw is None:
            self._go_on()

    def busy_for(self, duration_s: float) -> None:
        """Be stuck in a blocking call."""
        start_ns = max(self._closed_until_ns, self._world.now_ns)
        self._close_until(start_ns + to_ns(duration_s))

    def stalled_share(self, window_s: float) -> float:
        """Which part of the last `window_s` something here waited for the processor, 0 to 1."""
        if not self._stalls:
            return 0.0
        now_s = self._world.now_s
        since_s = now_s - window_s
        stalled_s = sum(max(0.0, min(b, now_s) - max(a, since_s)) for a, b in self._stalls)
        return min(1.0, stalled_s / window_s)

    def end(self) -> None:
        """The process is no more: its callbacks are forgotten; its tasks may unwind."""
        self.alive = False
        self._callbacks.clear()
        self._put_back()
        self.gate_changed()

    # -- inside ----------------------------------------------------------------------------------
    def _may_run(self) -> bool:
        if self.frozen:
            return False
        now_ns = self._world.now_ns
        if now_ns < self._closed_until_ns:
            return False
        if self._starving is None or now_ns <= self._open_until_ns:
            return True
        self._close_until(now_ns + to_ns(self._starving()))
        return now_ns >= self._closed_until_ns

    def _close_until(self, when_ns: int) -> None:
        self._closed_until_ns, self._at_ease = when_ns, False
        self._open_until_ns = when_ns + to_ns(SLICE_S)
        self._stalls.append((self._world.now_s, when_ns / 1e9))
        self._world.at_ns(when_ns, self._go_on)
        self.gate_changed()

    def _go_on(self) -> None:
        """Run what has waited, as long as nothing stops it again."""
        self._put_back()
        while self._callbacks and self.alive and self._may_run():
            self._run(self._callbacks.popleft())
        self._at_ease = self._is_at_ease()
        self.gate_changed()

    def _is_at_ease(self) -> bool:
        held_up = self.frozen or self._starving is not None or self._callbacks
        return not held_up and self._closed_until_ns <= self._world.now_ns

    def _put_back(self) -> None:
        if self.alive and not self._may_run():
            return
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            self._kernel.clock.runner.make_runnable(task)

    def _run(self, fn: Callable[[], None]) -> None:
        try:
            self.context.run(fn)
        except Exception as error:  # noqa: BLE001 - a bug of the program, not of the world
            self.on_error(error)
