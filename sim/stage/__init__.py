"""Stages: the worlds in which one and the same scenario plays.

base         what faults, oracles and tools may do to a stage and ask of it
membership   membership cores alone, hundreds of them, thousands of times faster than time
mesh         whole nodes
             (replicas of the log alone: `sim.state`)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from sim.scenario.model import Scenario
from sim.stage.base import Stage


class Playable(Protocol):
    """What runs on a stage."""

    @property
    def end_s(self) -> float: ...

    def stopped(self) -> bool: ...


P = TypeVar("P", bound=Playable)


def perform(scenario: Scenario, direct: Callable[[Stage], P]) -> P:
    """Build the stage of a scenario, let `direct` put a play on it, and play it."""
    if scenario.world == "mesh":
        from sim.stage.mesh import perform_mesh

        return perform_mesh(scenario, direct)
    if scenario.world == "state":
        from sim.state.play import perform_state

        return perform_state(scenario, direct)
    from sim.stage.membership import MembershipStage

    stage = MembershipStage(scenario)
    director = direct(stage)
    stage.run(director.end_s, director.stopped)
    return director
