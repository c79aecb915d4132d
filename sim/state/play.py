"""Playing a scenario on replicas.

Deliberately not here: phases and oracles (`sim.scenario.play`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from sim.crypto import crypto
from sim.scenario.model import Scenario
from sim.stage.base import Stage
from sim.state.stage import StateStage

if TYPE_CHECKING:
    from sim.stage import Playable

P = TypeVar("P", bound="Playable")


def perform_state(scenario: Scenario, direct: Callable[[Stage], P]) -> P:
    """Build the stage, let `direct` put a play on it, and play it. Each signature is checked once
    for all replicas: the answer is the same for all of them."""
    with crypto("remembered"):
        stage = StateStage(scenario)
        director = direct(stage)
        stage.run(director.end_s, director.stopped)
    return director
