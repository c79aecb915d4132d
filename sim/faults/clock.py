"""Faults of clocks: wall clocks that jump, and clocks that run too fast or too slow.

The monotonic clock never jumps, as the kernel promises; it drifts together with the wall clock.
In the real world: libfaketime, and only the wall clock. Deliberately not here: late wake-ups, which
are the processor's fault (`node`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.faults.model import WHOLE, Kind, Param, Undo
from sim.scenario.model import Fault

if TYPE_CHECKING:
    from sim.stage.base import Stage


def _step(stage: Stage, fault: Fault) -> Undo:
    step_s = fault.number("step_s")
    for node in fault.target:
        stage.clock_step(node, step_s)

    def undo() -> None:
        for node in fault.target:
            stage.clock_step(node, -step_s)

    return undo


def _drift(stage: Stage, fault: Fault) -> Undo:
    for node in fault.target:
        stage.clock_drift(node, fault.number("rate"))

    def undo() -> None:
        for node in fault.target:
            stage.clock_drift(node, 1.0)

    return undo


KINDS = (
    Kind(
        "clock_ahead",
        "clock",
        "the wall clock of {who} jumps {step_s} ahead, later back",
        _step,
        (Param("step_s", 1.0, 864_000.0, "s", log_scale=True),),
        targets=(1, 3),
        worlds=WHOLE,
    ),
    Kind(
        "clock_behind",
        "clock",
        "the wall clock of {who} jumps by {step_s}, later ahead again",
        _step,
        (Param("step_s", -864_000.0, -1.0, "s"),),
        targets=(1, 3),
        worlds=WHOLE,
    ),
    Kind(
        "clock_fast",
        "clock",
        "the clocks of {who} run {rate} times as fast",
        _drift,
        (Param("rate", 1.001, 1.5, "x"),),
        targets=(1, 3),
        worlds=WHOLE,
    ),
    Kind(
        "clock_slow",
        "clock",
        "the clocks of {who} run at {rate} of true time",
        _drift,
        (Param("rate", 0.6, 0.999, "x"),),
        targets=(1, 3),
        worlds=WHOLE,
    ),
)
