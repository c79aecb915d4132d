"""When rules run: triggers, slots and failures of one program, as a sans-IO machine.

    engine = Engine(program, outside, now_ms=0)
    engine.poll(now_ms) -> what happened, in order
    engine.next_due_ms() -> when to poll at the latest; None: only when something outside changes

The twin of `firmware/core/engine.c`: the same program on the same inputs does the same, and tests
hold the two together. The program must have passed the verifier. Deliberately not here: what a
resource is (`Outside`), signatures (`signed`).
"""

from __future__ import annotations

from typing import Protocol

import attrs

from mesh.rules.isa import INT_MAX, INT_MIN
from mesh.rules.program import Edge, Every, OnEdge, OnLine, Program, Resource
from mesh.rules.vm import Asked, Emitted, Machine

FAILED = INT_MIN
"""What a resource reads that does not answer."""


class Outside(Protocol):
    """What rules touch. Nothing here raises: a resource that fails says so."""

    def read(self, resource: Resource) -> int | None:
        """None when it does not answer."""
        ...

    def write(self, resource: Resource, value: int) -> bool:
        """False when it does not answer."""
        ...

    def line_ended(self, resource: Resource) -> bool:
        """Whether a line has ended on that UART since the last call."""
        ...


@attrs.frozen
class Wrote:
    rule: int
    resource: Resource
    value: int


@attrs.frozen
class Said:
    """An event or a question of a rule."""

    rule: int
    message: Emitted | Asked


@attrs.frozen
class ResourceFailed:
    """It does not answer any more; told once until it answers again."""

    rule: int
    resource: Resource


@attrs.frozen
class Ran:
    """The end of one run."""

    rule: int
    steps: int
    slots: tuple[int, ...]


Happened = Wrote | Said | ResourceFailed | Ran


class Engine:
    """One running program."""

    def __init__(self, program: Program, outside: Outside, now_ms: int) -> None:
        self._program = program
        self._outside = outside
        self._started_ms = self._now_ms = now_ms
        self._machines = [Machine(rule.code) for rule in program.rules]
        self.slots = [rule.slots for rule in program.rules]
        self.runs = [0] * len(program.rules)
        self.failures = 0
        """Reads and writes that were not answered."""
        self._failing: set[int] = set()
        self._log: list[Happened] = []
        self._rule = 0
        self._due_ms = [
            now_ms + (rule.trigger.period_ms if isinstance(rule.trigger, Every) else 0)
            for rule in program.rules
        ]
        self._level = [
            self._high(rule.trigger) if isinstance(rule.trigger, OnEdge) else False
            for rule in program.rules
        ]

    # -- verbs -----------------------------------------------------------------------------------
    def poll(self, now_ms: int) -> list[Happened]:
        """Run what has been triggered, in the order of the rules."""
        self._now_ms = now_ms
        lines: dict[int, bool] = {}
        fired = [self._has_fired(index, lines) for index in range(len(self._machines))]
        for index, yes in enumerate(fired):
            if yes:
                self._run(index)
        log, self._log = self._log, []
        return log

    def next_due_ms(self) -> int | None:
        """When the next period ends. Edges and lines are seen by whoever polls more often."""
        due = [
            self._due_ms[index]
            for index, rule in enumerate(self._program.rules)
            if isinstance(rule.trigger, Every)
        ]
        return min(due, default=None)

    def write_input(self, rule: int, slot: int, value: int) -> bool:
        """An answer from outside. False if the program does not declare that slot for it."""
        if not 0 <= rule < len(self.slots) or not 0 <= slot < len(self.slots[rule]):
            return False
        if not self._program.rules[rule].inputs >> slot & 1 or not INT_MIN <= value <= INT_MAX:
            return False
        slots = list(self.slots[rule])
        slots[slot] = value
        self.slots[rule] = tuple(slots)
        return True

    # -- triggers --------------------------------------------------------------------------------
    def _has_fired(self, index: int, lines: dict[int, bool]) -> bool:
        trigger = self._program.rules[index].trigger
        if isinstance(trigger, Every):
            late_ms = self._now_ms - self._due_ms[index]
            if late_ms < 0:
                return False
            # The beat is kept; whole periods that were missed are left out.
            self._due_ms[index] += trigger.period_ms * (late_ms // trigger.period_ms + 1)
            return True
        if isinstance(trigger, OnLine):
            uart = self._program.resources[trigger.resource]
            if uart.channel not in lines:
                lines[uart.channel] = self._outside.line_ended(uart)
            return lines[uart.channel]
        before, self._level[index] = self._level[index], self._high(trigger)
        if before == self._level[index]:
            return False
        return bool(trigger.edge & (Edge.FALLING if before else Edge.RISING))

    def _high(self, trigger: OnEdge) -> bool:
        return bool(self._outside.read(self._program.resources[trigger.resource]))

    # -- Bench, for the machine ------------------------------------------------------------------
    def _run(self, index: int) -> None:
        self._rule = index
        self.runs[index] += 1
        outcome = self._machines[index].run(self.slots[index], self)
        self.slots[index] = outcome.slots
        self._log += [Said(index, message) for message in outcome.messages]
        self._log.append(Ran(index, outcome.steps, outcome.slots))

    def read(self, resource: int) -> int:
        value = self._outside.read(self._program.resources[resource])
        self._answered(resource, value is not None)
        return FAILED if value is None else value

    def write(self, resource: int, value: int) -> None:
        which = self._program.resources[resource]
        good = self._outside.write(which, value)
        self._answered(resource, good)
        if good:
            self._log.append(Wrote(self._rule, which, value))

    def now_ms(self) -> int:
        return self._now_ms - self._started_ms

    def _answered(self, resource: int, good: bool) -> None:
        if good:
            self._failing.discard(resource)
            return
        self.failures += 1
        if resource not in self._failing:
            self._failing.add(resource)
            which = self._program.resources[resource]
            self._log.append(ResourceFailed(self._rule, which))
