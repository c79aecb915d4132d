"""Shrinking a failing scenario: ddmin over its faults, then simpler values, within a budget.

A candidate fails when its first finding is of the same oracle. Besides the shortest failing
scenario the nearest passing one is kept, for `vitte sim diff`. Deliberately not here: saving
(`sim.explore`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import attrs

from sim.scenario.model import BadScenario, Fault, Scenario
from sim.scenario.play import Outcome, PlayConfig, play
from sim.shrink.ddmin import ddmin
from sim.shrink.simplify import candidates

RUNS_MAX = 400
CPU_MAX_S = 60.0


class DoesNotFail(Exception):
    """There is nothing to shrink: `outcome` is in order."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("nothing is wrong")
        self.outcome = outcome


@attrs.frozen
class ShrinkConfig:
    runs_max: int = RUNS_MAX
    cpu_max_s: float = CPU_MAX_S
    on_run: Callable[[int, Scenario, bool], None] | None = None
    """Called after each run: its number, what was played, whether it still failed."""
    play: PlayConfig = attrs.field(factory=PlayConfig)


@attrs.frozen
class Shrunk:
    """What is left."""

    scenario: Scenario
    outcome: Outcome
    passing: Scenario | None
    """The last simpler one that passed: what it lacks is what the bug needs."""
    faults_before: int
    runs: int
    cpu_s: float


class Shrinker:
    """One shrinking."""

    def __init__(self, scenario: Scenario, config: ShrinkConfig) -> None:
        self._config = config
        self._begun_s = time.process_time()
        self.runs = 0
        self.passing: Scenario | None = None
        self.best = scenario
        self.outcome = self._play(scenario)
        if self.outcome.ok:
            raise DoesNotFail(self.outcome)
        self._oracle = self.outcome.findings[0].oracle

    def _play(self, scenario: Scenario) -> Outcome:
        self.runs += 1
        return play(scenario, self._config.play)

    def _spent(self) -> bool:
        cpu_s = time.process_time() - self._begun_s
        return self.runs >= self._config.runs_max or cpu_s >= self._config.cpu_max_s

    def _fails(self, scenario: Scenario) -> bool:
        if self._spent():
            return False
        try:
            outcome = self._play(scenario)
        except BadScenario:
            return False
        same = not outcome.ok and outcome.findings[0].oracle == self._oracle
        if same:
            self.best, self.outcome = scenario, outcome
        elif outcome.ok:
            self.passing = scenario
        if self._config.on_run is not None:
            self._config.on_run(self.runs, scenario, same)
        return same

    def shrink(self) -> Shrunk:
        before = len(self.best.faults)
        original = self.best

        def fails(faults: Sequence[Fault]) -> bool:
            return self._fails(original.with_faults(faults))

        ddmin(original.faults, fails)
        while not self._spent() and any(self._fails(c) for c in candidates(self.best)):
            pass  # start over from the simpler one
        return Shrunk(
            scenario=self.best,
            outcome=self.outcome,
            passing=self.passing,
            faults_before=before,
            runs=self.runs,
            cpu_s=time.process_time() - self._begun_s,
        )


def shrink(scenario: Scenario, config: ShrinkConfig | None = None) -> Shrunk:
    """The shortest scenario with the same bug. Raises DoesNotFail."""
    return Shrinker(scenario, config or ShrinkConfig()).shrink()
