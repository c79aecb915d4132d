"""Why a run failed: rewind to points in time, try other futures, see when the bug became likely.

The run is played once. At each point it is forked (`os.fork`) a number of times; every child draws
all its dice anew from there and plays on, and tells whether it ends in the same oracle's finding.
So P(bug | everything up to t) is measured for each t; where it rises is where the cause lies. The
idea is Antithesis' causality analysis; a fork costs 1-2 ms and shares all memory.

Rules: a child writes one byte and leaves by `os._exit`; the parent's run is not disturbed, and ends
with the digest it has without us. Deliberately not here: what the cause is; the entries of the
trace around that time (`sim.diff`, `sim.timeline`) show it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import attrs

from sim.scenario.model import Scenario
from sim.scenario.play import Director, Outcome, PlayConfig, play

FUTURES = 8
POINTS = 6
LIKELY = 0.5
CHILD_CPU_MAX_S = 60


@attrs.frozen
class Rewind:
    """What came of the futures from one point in time."""

    at_s: float
    futures: int
    failed: int

    @property
    def chance(self) -> float:
        return self.failed / self.futures if self.futures else 0.0


@attrs.frozen
class Causality:
    """The curve, and what it says."""

    outcome: Outcome
    rewinds: tuple[Rewind, ...]
    window_s: tuple[float, float] | None
    """Between these times the bug became likely; None when it always or never was."""
    forks: int
    seconds: float
    parent_same: bool
    """The parent's run ended as it does without rewinding."""


class NothingWrong(Exception):
    """The run does not fail: there is no why. `outcome` is in order."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("nothing is wrong")
        self.outcome = outcome


class Rewinder:
    """Forks a play at given points; give `prepare` to the play."""

    def __init__(self, points: Sequence[float], futures: int, oracle: str) -> None:
        self._points = points
        self._futures = futures
        self._oracle = oracle
        self._pipe: int | None = None
        self._director: Director
        self.rewinds: list[Rewind] = []
        self.forks = 0

    @property
    def is_child(self) -> bool:
        return self._pipe is not None

    def prepare(self, director: Director) -> None:
        self._director = director
        for point in self._points:
            director.stage.world.at(point, partial(self._branch, point))
        director.on_finding.append(lambda finding: self._judged(finding.oracle == self._oracle))
        director.stage.world.at(director.end_s, lambda: self._judged(False))

    def _branch(self, at_s: float) -> None:
        if self.is_child:
            return
        failed = 0
        for number in range(self._futures):
            answer = self._fork(f"{at_s} {number}")
            if answer is None:
                return  # we are the child, and this is our future
            failed += answer
        self.rewinds.append(Rewind(at_s, self._futures, failed))

    def _fork(self, salt: str) -> bool | None:
        """True or False: the child's verdict. None: this is the child."""
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.forks += 1
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._pipe = writing
            _limit_cpu()
            self._director.stage.world.reseed(salt)
            return None
        os.close(writing)
        said = os.read(reading, 1)
        os.close(reading)
        os.waitpid(child, 0)
        return said == b"1"

    def _judged(self, failed: bool) -> None:
        if self._pipe is not None:
            os.write(self._pipe, b"1" if failed else b"0")
            os._exit(0)


def _limit_cpu() -> None:
    """A child that finds itself in an endless future ends; it counts as not failed."""
    import resource

    used_s = int(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used_s + CHILD_CPU_MAX_S, used_s + CHILD_CPU_MAX_S))


def points_before(end_s: float, scenario: Scenario, count: int = POINTS) -> list[float]:
    """Points in time: just before each of the last faults, and evenly up to the end."""
    first_s = scenario.phases.warm_up_s
    even = [first_s + (end_s - first_s) * k / (count + 1) for k in range(1, count + 1)]
    before = [f.at_s - 0.001 for f in scenario.faults if f.at_s < end_s][-count:]
    after = [f.until_s + 0.001 for f in scenario.faults if f.for_s and f.until_s < end_s][-count:]
    wanted = sorted({round(at_s, 3) for at_s in (*even, *before, *after) if 0 < at_s < end_s})
    return wanted or [round(end_s * 0.5, 3)]


def causality(
    scenario: Scenario,
    futures: int = FUTURES,
    config: PlayConfig | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Causality:
    """The curve of a failing scenario. Raises NothingWrong."""
    base = config or PlayConfig()
    outcome = play(scenario, base)
    if outcome.ok:
        raise NothingWrong(outcome)
    if on_outcome is not None:
        on_outcome(outcome)
    points = points_before(outcome.findings[0].at_s, scenario)
    rewinder = Rewinder(points, futures, outcome.findings[0].oracle)
    begun_s = time.monotonic()
    again = play(scenario, attrs.evolve(base, prepare=(*base.prepare, rewinder.prepare)))
    assert not rewinder.is_child, "children leave when they are judged"
    return Causality(
        outcome=outcome,
        rewinds=tuple(rewinder.rewinds),
        window_s=_window(rewinder.rewinds, outcome.findings[0].at_s),
        forks=rewinder.forks,
        seconds=time.monotonic() - begun_s,
        parent_same=again.digest == outcome.digest,
    )


def _window(rewinds: Sequence[Rewind], end_s: float) -> tuple[float, float] | None:
    """From the last point at which it was unlikely to the first from which it stayed likely."""
    unlikely = [rewind for rewind in rewinds if rewind.chance < LIKELY]
    if not unlikely:
        return None
    last = unlikely[-1].at_s
    return last, min((r.at_s for r in rewinds if r.at_s > last), default=end_s)
