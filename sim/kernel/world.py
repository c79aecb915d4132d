"""Virtual time: a heap of events, named streams of randomness, and a trace of what happened.

Rules
- Time is integer nanoseconds inside; `now_s`, `at` and `after` speak seconds.
- Events at the same time run in the order they were made.
- Every stream of randomness depends on the seed and its own name only, so that using one more never
  shifts the others.
- The heap holds one number per event, made of its time and its turn: numbers compare several times
  as fast as tuples, and what is to be done lies beside it.
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

from sim.kernel.findings import FINDINGS_MAX, Finding, Livelock, finding_of
from sim.kernel.nanoseconds import NS_PER_S, to_ns, to_s
from sim.kernel.trace import Trace

EVENTS_AT_ONCE_MAX = 100_000
"""More events than this at one instant are a loop."""
TURN_BITS = 48
"""Of an event's number in the heap; the upper ones are its time."""


class Event:
    """A call to be made; `cancel` makes it do nothing. Made without an `__init__`, whose call would
    cost more than the event."""

    __slots__ = ("action",)
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
        self._heap: list[int] = []
        self._events: dict[int, Event] = {}
        self._streams: list[tuple[str, Random]] = []
        self._salt = ""
        self._made = 0
        self._at_once, self._at_once_ns = 0, -1

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
        return self.at_ns(to_ns(when_s), action) if when_s != inf else _never(action)

    def after(self, delay_s: float, action: Callable[[], object]) -> Event:
        """As `at`, `delay_s` from now."""
        when_ns = self.now_ns + to_ns(delay_s) if delay_s != inf else None
        return self.at_ns(when_ns, action) if when_ns is not None else _never(action)

    def at_ns(self, when_ns: int, action: Callable[[], object]) -> Event:
        event = Event()
        event.action = action
        self._made = made = self._made + 1
        if when_ns < self.now_ns:  # noqa: PLR1730 - a third of what `max` costs
            when_ns = self.now_ns
        number = when_ns << TURN_BITS | made
        self._events[number] = event
        heappush(self._heap, number)
        return event

    def next_event_ns(self) -> int | None:
        """When the next event is due; cancelled ones at the front are forgotten first."""
        heap, events = self._heap, self._events
        while heap and events[heap[0]].action is None:
            del events[heappop(heap)]
        return heap[0] >> TURN_BITS if heap else None

    def take_event(self) -> tuple[int, Event]:
        """Take the next one out, with its time, to be run by the caller."""
        number = heappop(self._heap)
        return number >> TURN_BITS, self._events.pop(number)

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
        self.run_by(end_ns)
        self.advance_to(max(end_ns, self.now_ns))

    def run_while(self, condition: Callable[[], bool], end_s: float) -> bool:
        """Run events while `condition()` holds; True when it ceased to hold before `end_s`."""
        end_ns = to_ns(end_s)
        if not condition() or self.run_by(end_ns, lambda: not condition()):
            return True
        self.advance_to(max(end_ns, self.now_ns))
        return False

    def advance_to(self, now_ns: int) -> None:
        """Move the time, between events."""
        assert now_ns >= self.now_ns, "time does not go back"
        if now_ns > self.now_ns:
            self.now_ns, self.now_s = now_ns, to_s(now_ns)

    def run_by(self, end_ns: int, enough: Callable[[], bool] | None = None) -> bool:
        """Run events up to `end_ns`, `enough` being asked after each; whether it said so. Raises
        Livelock."""
        heap, events = self._heap, self._events
        end = (end_ns + 1) << TURN_BITS
        while heap and heap[0] < end:
            number = heappop(heap)
            action = events.pop(number).action
            if action is None:  # cancelled
                continue
            self.events_done += 1
            when_ns = number >> TURN_BITS
            if when_ns > self.now_ns:
                self.now_ns, self.now_s = when_ns, when_ns / NS_PER_S
            else:
                assert when_ns == self.now_ns, "time does not go back"
                self._count_at_once()
            try:
                action()
            except Exception as error:
                if self.on_error is None:
                    raise
                self.on_error(error)  # a bug of what is simulated, not of the world
            if enough is not None and enough():
                return True
        return False

    def _count_at_once(self) -> None:
        """One more event at the instant of the one before."""
        if self._at_once_ns != self.now_ns:
            self._at_once_ns, self._at_once = self.now_ns, 1
        self._at_once += 1
        if self._at_once > EVENTS_AT_ONCE_MAX:
            raise Livelock(f"more than {EVENTS_AT_ONCE_MAX} events at {self.now_s} s")


def _never(action: Callable[[], object]) -> Event:
    event = Event()
    event.action = action
    return event
