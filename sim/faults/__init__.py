"""Fault kinds: the registry of everything that can go wrong.

    KINDS[name]                                every kind there is
    check_fault(fault, nodes, where, world)    raises BadScenario
    begin(stage, fault) -> undo                do it now
    tell(fault) -> sentence                    for stories

Deliberately not here: which faults a run has (`sim.scenario.profiles`) and who schedules them
(`sim.scenario.play`).
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from sim.faults import clock, disk, hostile, network, node, serial, state, stream
from sim.faults.model import STATE, Kind, Undo
from sim.scenario.model import BadScenario, Fault

if TYPE_CHECKING:
    from sim.stage.base import Stage

_ALL = (
    *network.KINDS,
    *stream.KINDS,
    *node.KINDS,
    *clock.KINDS,
    *disk.KINDS,
    *serial.KINDS,
    *hostile.KINDS,
    *state.KINDS,
)


def _in_its_worlds(kind: Kind) -> Kind:
    more = {STATE} if kind.name in state.ALSO_STATE else set()
    return attrs.evolve(kind, worlds=kind.worlds | more)


KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: _in_its_worlds(kind) for kind in _ALL})
assert len(KINDS) == len(_ALL), "every kind has a name of its own"


def kind_of(name: str, where: tuple[str | int, ...] = ()) -> Kind:
    """Raises BadScenario with the nearest name."""
    if name not in KINDS:
        near = get_close_matches(name, KINDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(KINDS)}"
        raise BadScenario((*where, "kind"), f"there is no fault kind {name}{hint}")
    return KINDS[name]


def check_fault(
    fault: Fault, nodes: int, where: tuple[str | int, ...] = (), world: str | None = None
) -> None:
    """Raises BadScenario. Without a world, any that has the kind will do."""
    kind_of(fault.kind, where).check(fault, nodes, where, world)


def begin(stage: Stage, fault: Fault) -> Undo:
    """Do it to the stage; returns what ends it (safe to call when the node is gone)."""
    return KINDS[fault.kind].begin(stage, fault)


def tell(fault: Fault) -> str:
    return KINDS[fault.kind].tell(fault)


def possible(world: str) -> list[str]:
    """Names of the kinds that a world can do, in the order of the registry."""
    return [kind.name for kind in KINDS.values() if world in kind.worlds]
