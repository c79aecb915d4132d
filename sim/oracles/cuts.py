"""Cuts: who hears nobody any more, and is heard by nobody, sees that in time.

What others think of it is the matter of safety (nobody dies without a reason) and of the canary;
here it is what it thinks itself. Somebody who takes a dead mesh for a living one gives it work,
waits for it, and tells its user that all is well. Deliberately not here: cuts with somebody on both
sides.
"""

from __future__ import annotations

from mesh.swim.effects import State
from sim.oracles.model import Oracle, Report
from sim.scenario.bounds import CONFIGS, detection_s
from sim.scenario.model import Fault, Scenario
from sim.stage.base import Stage

PATIENT = frozenset({"starve", "freeze", "clock_fast", "clock_slow"})
"""In runs with one of these somebody waits longer, for good reason."""


class AloneKnown(Oracle):
    """A node that was cut off from everybody for long enough sees nobody alive."""

    name = "alone-unnoticed"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._alone_s: dict[int, float] = {}
        """Since when, of those whose life goes on."""
        self._bound_s = detection_s(scenario.nodes, CONFIGS[scenario.options.swim])
        self._silent = any(fault.kind in PATIENT for fault in scenario.faults)

    def fault_began(self, fault: Fault) -> None:
        if fault.kind == "isolate":
            for node in fault.target:
                if self.stage.is_up(node):
                    self._alone_s.setdefault(node, self.stage.world.now_s)

    def fault_ended(self, fault: Fault) -> None:
        if fault.kind == "isolate":
            for node in fault.target:
                self._alone_s.pop(node, None)

    def ended(self, node: int, how: str) -> None:  # noqa: ARG002
        self._alone_s.pop(node, None)

    def sampled(self) -> None:
        if self._silent:
            return
        for node, since_s in list(self._alone_s.items()):
            if self.stage.world.now_s - since_s > self._bound_s:
                del self._alone_s[node]
                self._judge(node)

    def _judge(self, node: int) -> None:
        for other in range(self.stage.size):
            view = self.stage.view(node, other) if other != node else None
            if view is not None and view.state == State.ALIVE:
                text = (
                    f"node {node} is cut off for {self._bound_s:g} s, and sees node {other} alive"
                )
                self.fail(text, node, other)
                return
