"""The planted bugs, all of them, by area.

Each is one that somebody could have made: a forgotten check, a wrong comparison, a timer that is
not moved. An area is what they break; modules hold them by how they are found.
Deliberately not here: bugs that no behaviour shows (two such were tried and left out: one telling
of a rumour instead of four, and pings numbered per peer; repairs and shuffling make up for them).
"""

from __future__ import annotations

from collections.abc import Mapping

from sim.mutants.blobs import BLOBS
from sim.mutants.facts import FACTS
from sim.mutants.links import LINKS
from sim.mutants.plant import Mutant
from sim.mutants.ports import PORTS
from sim.mutants.probing import PROBING
from sim.mutants.removals import REMOVALS
from sim.mutants.replicas import REPLICAS
from sim.mutants.sealed import SEALED
from sim.mutants.work import WORK

AREAS: Mapping[str, tuple[Mutant, ...]] = {
    "membership": (*PROBING, *FACTS),
    "ports": PORTS,
    "transport": (*SEALED, *LINKS),
    "work": WORK,
    "state": (*REPLICAS, *REMOVALS),
    "blobs": BLOBS,
}
MUTANTS: tuple[Mutant, ...] = tuple(mutant for area in AREAS.values() for mutant in area)
AREA_OF: Mapping[str, str] = {mutant.name: area for area in AREAS for mutant in AREAS[area]}
assert len(AREA_OF) == len(MUTANTS), "every bug has a name of its own"
