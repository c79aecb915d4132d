"""Virtual time: a heap of events, named streams of randomness, and a trace of what happened.

Rules: events at the same time run in the order they were made; every stream of randomness depends
on the seed and its own name only, so that using one more never shifts the others; nothing here
looks at a real clock. The trace is folded into one digest: two runs are the same exactly when their
digests are. Deliberately not here: networks (`sim.network`) and what runs (`sim.swim_world`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from hashlib import sha256
from random import Random

import attrs

EVENTS_MAX = 5_000_000
"""A run that needs more has a loop in it."""


@attrs.define
class Event:
    """A call to be made; `cancel` makes it do nothing."""

    action: Callable[[], None] | None

    def cancel(self) -> None:
        self.action = None


class World:
    """One run of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now_s = 0.0
        self._heap: list[tuple[float, int, Event]] = []
        self._made = 0
        self._done = 0
        self._trace = sha256(str(seed).encode())

    def rng(self, name: str) -> Random:
        """A stream of its own for `name`."""
        key = sha256(f"{self.seed}/{name}".encode()).digest()
        return Random(int.from_bytes(key, "big"))  # noqa: S311 (a simulation must be repeatable)

    def at(self, when_s: float, action: Callable[[], None]) -> Event:
        """Run `action` at that time, or now if it has passed."""
        event = Event(action)
        self._made += 1
        heapq.heappush(self._heap, (max(when_s, self.now_s), self._made, event))
        return event

    def after(self, delay_s: float, action: Callable[[], None]) -> Event:
        return self.at(self.now_s + delay_s, action)

    def note(self, *what: object) -> None:
        """Add to the trace."""
        self._trace.update(repr((self.now_s, *what)).encode())

    def trace_digest(self) -> str:
        return self._trace.hexdigest()

    def run_until(self, end_s: float) -> None:
        """Run all events up to `end_s`, and be there then."""
        self.run_while(lambda: True, end_s)

    def run_while(self, condition: Callable[[], bool], end_s: float) -> bool:
        """Run events while `condition()` holds; True when it ceased to hold before `end_s`."""
        while condition():
            if not self._heap or self._heap[0][0] > end_s:
                self.now_s = max(self.now_s, end_s)
                return False
            self._step()
        return True

    def _step(self) -> None:
        when_s, _, event = heapq.heappop(self._heap)
        assert when_s >= self.now_s, "time does not go back"
        self.now_s = when_s
        self._done += 1
        assert self._done <= EVENTS_MAX, "endless simulation"
        if event.action is not None:
            event.action()
