"""One run as a graph of steps: what may start, what must be skipped, what is left.

    waiting --needs done--> ready --started--> active --+--> done
        \\--a need failed--> skipped                     +--> failed

Pure. Without `keep_going` the first failure stops new steps from becoming ready.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum


class StepState(Enum):
    WAITING = "waiting"
    READY = "ready"
    ACTIVE = "active"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class RunGraph:
    """Steps by index; `needs[i]` lists the indices that step i needs."""

    def __init__(self, needs: Sequence[Sequence[int]], *, keep_going: bool = False) -> None:
        self.states = [StepState.WAITING] * len(needs)
        self._missing = [len(set(each)) for each in needs]
        self._dependents: list[list[int]] = [[] for _ in needs]
        for index, each in enumerate(needs):
            for need in set(each):
                self._dependents[need].append(index)
        self._keep_going = keep_going
        self._stopped = False
        self._left = len(needs)

    @property
    def finished(self) -> bool:
        """Whether nothing is active and nothing can become ready any more."""
        if self._left == 0:
            return True
        if not self._stopped:
            return False
        return not any(state is StepState.ACTIVE for state in self.states)

    @property
    def stopped(self) -> bool:
        return self._stopped

    def count(self, state: StepState) -> int:
        return sum(each is state for each in self.states)

    def start(self) -> list[int]:
        """Indices that are ready from the beginning."""
        return [self._make_ready(i) for i, missing in enumerate(self._missing) if missing == 0]

    def activate(self, index: int) -> bool:
        """Take a ready step in hand; False when the run was stopped meanwhile."""
        assert self.states[index] is StepState.READY
        if self._stopped:
            return False
        self.states[index] = StepState.ACTIVE
        return True

    def done(self, index: int) -> list[int]:
        """The step succeeded; returns the indices that became ready."""
        assert self.states[index] is StepState.ACTIVE
        self.states[index] = StepState.DONE
        self._left -= 1
        ready = []
        for dependent in self._dependents[index]:
            self._missing[dependent] -= 1
            if self._missing[dependent] == 0 and self.states[dependent] is StepState.WAITING:
                ready.append(self._make_ready(dependent))
        return ready

    def failed(self, index: int) -> list[int]:
        """The step failed; returns the indices that are skipped because of it."""
        assert self.states[index] is StepState.ACTIVE
        self.states[index] = StepState.FAILED
        self._left -= 1
        if not self._keep_going:
            self._stopped = True
        return self._skip_dependents(index)

    def stop(self) -> None:
        """Start nothing more (cancelled, timed out)."""
        self._stopped = True

    def _make_ready(self, index: int) -> int:
        self.states[index] = StepState.READY
        return index

    def _skip_dependents(self, index: int) -> list[int]:
        skipped, stack = [], [index]
        while stack:
            for dependent in self._dependents[stack.pop()]:
                if self.states[dependent] is StepState.WAITING:
                    self.states[dependent] = StepState.SKIPPED
                    self._left -= 1
                    skipped.append(dependent)
                    stack.append(dependent)
        return skipped


def ranks(needs: Sequence[Sequence[int]], weights_s: Sequence[float]) -> list[float]:
    """For each step the longest weighted way from it to an end of the graph, itself included.

    The "upward rank" of list scheduling (Topcuoglu et al. 2002). `needs` must have no cycle.
    """
    dependents: list[list[int]] = [[] for _ in needs]
    open_dependents = [0] * len(needs)
    for index, each in enumerate(needs):
        for need in set(each):
            dependents[need].append(index)
            open_dependents[need] += 1
    rank = list(weights_s)
    ready = [i for i, count in enumerate(open_dependents) if count == 0]
    while ready:
        index = ready.pop()
        rank[index] += max((rank[d] for d in dependents[index]), default=0.0)
        for need in set(needs[index]):
            open_dependents[need] -= 1
            if open_dependents[need] == 0:
                ready.append(need)
    return rank


def indices(steps_needs: Mapping[str, Sequence[str]]) -> list[list[int]]:
    """Turn needs by name into needs by position."""
    position = {name: i for i, name in enumerate(steps_needs)}
    return [[position[need] for need in needs] for needs in steps_needs.values()]
