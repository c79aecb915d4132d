"""The planted bugs, all of them.

Each is one that somebody could have made: a forgotten check, a wrong comparison, a timer that is
not moved. `transport`, `probing`, `facts`, `replicas`, `removals` and `blobs` hold them by what
they break.
Deliberately not here: bugs that no behaviour shows (two such were tried and left out: one telling
of a rumour instead of four, and pings numbered per peer; repairs and shuffling make up for them).
"""

from __future__ import annotations

from sim.mutants.blobs import BLOBS
from sim.mutants.facts import FACTS
from sim.mutants.plant import Mutant
from sim.mutants.probing import PROBING
from sim.mutants.removals import REMOVALS
from sim.mutants.replicas import REPLICAS
from sim.mutants.transport import TRANSPORT

MUTANTS: tuple[Mutant, ...] = (*TRANSPORT, *PROBING, *FACTS, *REPLICAS, *REMOVALS, *BLOBS)
assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS), "every bug has a name of its own"
