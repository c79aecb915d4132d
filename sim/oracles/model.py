"""What an oracle is: a judge of runs that looks at everything and changes nothing.

Safety oracles speak up the moment something impossible happens; liveness oracles at the end of a
phase, about what should have happened by then. A finding names its oracle: two findings are the
same bug when their oracles are, which is what shrinking goes by.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from sim.scenario.model import Fault, Scenario
from sim.stage.base import Listener, Stage

FINDINGS_MAX = 20
"""Kept of one run; the first is what matters."""
LOOKS_INSIDE = "it looks inside the nodes"


@attrs.frozen
class Finding:
    """Something that must not be."""

    oracle: str
    at_s: float
    text: str
    nodes: tuple[int, ...] = ()
    detail: str = ""
    """A traceback, if there is one."""


Report = Callable[[Finding], None]


class Oracle(Listener):
    """Override the moments that matter; call `fail` when something is wrong."""

    name = ""
    simulated_only = ""
    """Why it cannot judge real processes; empty when it can."""

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        assert self.name, "an oracle has a name"
        self.stage = stage
        self.scenario = scenario
        self._report = report

    def fail(self, text: str, *nodes: int, detail: str = "") -> None:
        self._report(Finding(self.name, self.stage.world.now_s, text, nodes, detail))

    # -- moments besides those of Listener -------------------------------------------------------
    def fault_began(self, fault: Fault) -> None:
        """A fault is at work."""

    def fault_ended(self, fault: Fault) -> None:
        """It is not any more."""

    def sampled(self) -> None:
        """Once a virtual second."""

    def warmed_up(self) -> None:
        """The end of the warm-up."""

    def healed(self) -> None:
        """All faults have just been ended, or those of the core."""

    def settled(self, core: tuple[int, ...]) -> None:
        """By now everything must be well among `core`."""

    def canary_died(self, canary: int) -> None:
        """A healthy node has just been crashed."""

    def canary_judged(self, canary: int, left: tuple[int, ...]) -> None:
        """By now all who are `left` of the core must know it."""

    def figures(self) -> dict[str, float]:
        """Numbers for the summary."""
        return {}
