"""Faults of processes and machines: they die, stop, stutter, leave, and come back as they please.

Ending a fault brings the node back if the fault is what took it away: a node that something else
has started meanwhile, or taken down again, is left alone.
Deliberately not here: what dying does to disks and sockets (`sim.machine`, `sim.disk`, `sim.net`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from sim.faults.model import WHOLE, Begin, Kind, Param, Undo, over
from sim.scenario.model import Fault

if TYPE_CHECKING:
    from sim.stage.base import Stage

FAREWELL_S = 2.0
"""A node that leaves stays so long to tell everybody, then its process ends."""


def _taking_down(down: Callable[[Stage, int], None]) -> Begin:
    """A `begin` that ends the targets' processes; undo starts them again."""

    def begin(stage: Stage, fault: Fault) -> Undo:
        lives: dict[int, int] = {}
        for node in fault.target:
            if stage.is_up(node):
                down(stage, node)
                lives[node] = stage.life(node)

        def undo() -> None:
            for node, life in lives.items():
                if not stage.is_up(node) and stage.life(node) == life:
                    stage.start(node)

        return undo

    return begin


def _bounce(stage: Stage, fault: Fault) -> Undo:
    for node in fault.target:
        if stage.is_up(node):
            stage.crash(node)
            stage.start(node)
    return over


def _freeze(stage: Stage, fault: Fault) -> Undo:
    frozen = [node for node in fault.target if stage.is_up(node) and not stage.is_frozen(node)]
    for node in frozen:
        stage.freeze(node)

    def undo() -> None:
        for node in frozen:
            if stage.is_frozen(node):
                stage.thaw(node)

    return undo


def _leave(stage: Stage, fault: Fault) -> Undo:
    """Say goodbye, end a little later at the latest; undo starts it again under its old name."""
    lives: dict[int, int] = {}

    def is_that_life(node: int) -> bool:
        return stage.life(node) == lives[node]

    def end(node: int) -> None:
        if is_that_life(node) and stage.is_up(node):
            stage.crash(node)

    def undo() -> None:
        for node in lives:
            end(node)
            if is_that_life(node):
                stage.start(node)

    for node in fault.target:
        if stage.is_up(node) and not stage.is_frozen(node):
            stage.leave(node)
            lives[node] = stage.life(node)
            stage.world.after(FAREWELL_S, partial(end, node))
    return undo


def _stutter(stage: Stage, fault: Fault) -> Undo:
    """Every wake-up comes late by a random time: a machine that is starved of CPU."""
    return stage.starve(fault.target, fault.number("late_min_s"), fault.number("late_max_s"))


def _wipe(stage: Stage, node: int) -> None:
    stage.crash(node)
    stage.wipe(node)


def _old_disk(stage: Stage, fault: Fault) -> Undo:
    """The disk as it was when the fault began is there again when it ends."""
    images = {node: stage.disk(node).snapshot() for node in fault.target}

    def undo() -> None:
        for node, image in images.items():
            if stage.is_up(node):
                stage.crash(node)
            stage.disk(node).restore(image)
            stage.start(node)

    return undo


KINDS = (
    Kind(
        "crash",
        "node",
        "{who}: killed, without a word",
        _taking_down(lambda stage, node: stage.crash(node)),
        targets=(1, 3),
    ),
    Kind(
        "power_cut",
        "node",
        "{who}: the power fails; what was not synced is lost or torn",
        _taking_down(lambda stage, node: stage.power_cut(node)),
        targets=(1, 3),
        worlds=WHOLE,
    ),
    Kind(
        "host_down",
        "node",
        "{who}: off the net, nothing answers there",
        _taking_down(lambda stage, node: stage.host_down(node)),
        targets=(1, 3),
    ),
    Kind(
        "bounce",
        "node",
        "{who}: killed and started again at once",
        _bounce,
        targets=(1, 3),
        lasts=False,
    ),
    Kind(
        "freeze",
        "node",
        "{who}: stopped for a while (SIGSTOP, a closed lid)",
        _freeze,
        targets=(1, 3),
    ),
    Kind("leave", "node", "{who}: gone in good order, and back later", _leave, targets=(1, 2)),
    Kind(
        "starve",
        "node",
        "{who}: starved of CPU, mail is read up to {late_max_s} late",
        _stutter,
        (Param("late_min_s", 0.0, 0.5, "s"), Param("late_max_s", 0.5, 2.5, "s")),
        targets=(1, 5),
    ),
    Kind(
        "amnesia",
        "node",
        "{who}: killed, comes back with an empty disk",
        _taking_down(_wipe),
        worlds=WHOLE,
    ),
    Kind("old_disk", "node", "{who}: an old copy of its disk is restored", _old_disk, worlds=WHOLE),
)
