"""Something done again and again, by a timer instead of a task."""

from __future__ import annotations

from collections.abc import Callable

from mesh.ports import Clock, Timer


class Periodic:
    """Calls `fn` at `start` and then every `period_s` until `stop`. What `fn` raises at a later
    call is logged by the clock, and the next call comes all the same."""

    def __init__(self, clock: Clock, period_s: float, fn: Callable[[], None]) -> None:
        assert period_s > 0, "it would never let go of the event loop"
        self._clock = clock
        self._period_s = period_s
        self._fn = fn
        self._timer: Timer | None = None

    def start(self) -> None:
        self._timer = self._clock.call_at(self._clock.monotonic() + self._period_s, self.start)
        self._fn()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
