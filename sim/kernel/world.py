"""Virtual time: a heap of events, named streams of randomness, and a trace of what happened.

Rules
- Time is integer nanoseconds inside; `now_s`, `at` and `after` speak seconds.
- Events at the same time run in the order they were made.
- Every stream of randomness depends on the seed and its own name only, so that using one more never
  shifts the others.
- Nothing here looks at a real clock, and nothing here knows trio: `run_until` is enough for cores,
  `sim.kernel.clock` runs trio on the same heap.
- An exception of an event goes to `on_error` when that is set, and to the caller otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from heapq import heappop, heappush
from math import inf
from random import Random

import attrs

from sim.kernel.findings import FINDINGS_MAX, Finding, Livelock, finding_of
from sim.kernel.nanoseconds import NS_PER_S, to_ns, to_s
from sim.kernel.trace import Trace

EVENTS_AT_ONCE_MAX = 100_000
"""More events than this at one instant are a loop."""


@attrs.define(eq=False)
class Event:
    """A call to be made; `cancel` makes it do nothing."""

    action: Callable[[], object] | None

    def cancel(self) -> None:
        self.action = None


class World:
    """One run of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now_ns = 0
        self.now_s = 0.0
        self.trace = Trace(seed)
        self.findings: list[Finding] = []
        self.on_error: Callable[[Exception], None] | None = None
        self.events_done = 0
        self._heap: list[tuple[int, int, Event]] = []
        self._streams: list[tuple[str, Random]] = []
        self._salt = ""
        self._made = 0
        self._at_once = 0

    # -- randomness ------------------------------------------------------------------------------
    def rng(self, name: str) -> Random:
        """A stream of its own for `name`. Only `random()` and `getrandbits()` give the same values
        on every Python version; draw from others at your own risk."""
        stream = Random(self._key(name))  # noqa: S311 (a simulation must be repeatable)
        self._streams.append((name, stream))
        return stream

    def reseed(self, salt: str) -> None:
        """Other dice from here on, for all streams there are and will be: another future."""
        self._salt = f"/{salt}"
        for name, stream in self._streams:
            stream.seed(self._key(name))

    def _key(self, name: str) -> int:
        return int.from_bytes(sha256(f"{self.seed}/{name}{self._salt}".encode()).digest(), "big")

    # -- events ----------------------------------------------------------------------------------
    def at(self, when_s: float, action: Callable[[], object]) -> Event:
        """Run `action` at that time, or now if it has passed; never when it is infinite."""
        return self.at_ns(to_ns(when_s), action) if when_s != inf else Event(action)

    def after(self, delay_s: float, action: Callable[[], object]) -> Event:
        """As `at`, `delay_s` from now."""
        return self.at_ns(self.now_ns + to_ns(delay_s), action) if delay_s != inf else Event(action)

    def at_ns(self, when_ns: int, action: Callable[[], object]) -> Event:
        event = Event(action)
        self._made += 1
        if when_ns < self.now_ns:  # noqa: PLR1730 - a third of what `max` costs
            when_ns = self.now_ns
        heappush(self._heap, (when_ns, self._made, event))
        return event

    def next_event_ns(self) -> int | None:
        """When the next event is due; cancelled ones at the front are forgotten first."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heappop(heap)
        return heap[0][0] if heap else None

    # -- what happened ---------------------------------------------------------------------------
    def note(self, *what: object) -> None:
        """Add to the trace."""
        self.trace.note(self.now_ns, what)

    def trace_digest(self) -> str:
        return self.trace.digest()

    def found(self, where: str, error: BaseException) -> None:
        """Somebody's bug: keep it, and have it in the trace."""
        self.note("finding", where, type(error).__name__)
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding_of(self.now_s, where, error))

    # -- running ---------------------------------------------------------------------------------
    def run_until(self, end_s: float) -> None:
        """Run all events up to `end_s`, and be there then."""
        end_ns = to_ns(end_s)
        while self.step_by(end_ns):
            pass
        self.advance_to(max(end_ns, self.now_ns))

    def run_while(self, condition: Callable[[], bool], end_s: float) -> bool:
        """Run events while `condition()` holds; True when it ceased to hold before `end_s`."""
        end_ns = to_ns(end_s)
        while condition():
            if not self.step_by(end_ns):
                self.advance_to(max(end_ns, self.now_ns))
                return False
        return True

    def advance_to(self, now_ns: int) -> None:
        """Move the time, between events."""
        assert now_ns >= self.now_ns, "time does not go back"
        if now_ns > self.now_ns:
            self.now_ns, self.now_s, self._at_once = now_ns, to_s(now_ns), 0

    def step_by(self, end_ns: int) -> bool:
        """Run the next event; False when there is none up to `end_ns`. Raises Livelock."""
        heap = self._heap
        while heap:
            when_ns, _, event = heap[0]
            action = event.action
            if action is None:  # cancelled
                heappop(heap)
                continue
            if when_ns > end_ns:
                return False
            heappop(heap)
            if when_ns != self.now_ns:
                assert when_ns > self.now_ns, "time does not go back"
                self.now_ns, self.now_s, self._at_once = when_ns, when_ns / NS_PER_S, 0
            self.events_done += 1
            self._at_once += 1
            if self._at_once > EVENTS_AT_ONCE_MAX:
                raise Livelock(f"more than {EVENTS_AT_ONCE_MAX} events at {self.now_s} s")
            if self.on_error is None:
                action()
                return True
            try:
                action()
            except Exception as error:  # noqa: BLE001 - a bug of what is simulated, not of the world
                self.on_error(error)
            return True
        return False
