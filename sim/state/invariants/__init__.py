"""What must hold of the replicated state. Each is an oracle; its `name` is in findings and mutants.

    signing    who signs what: never twice, and nobody honest is found guilty
    history    what is kept: whole, provable, nothing that a peer has is lost
    equality   after the heal: the same log, the same views, the fold of everything at once
    rosters    who is in
    theft      stolen keys that are found out, and what was made from their word
    leaf       what gateways make of a leaf
    views      registers never go back, the last word counts, no removed writer's late word does
    cost       how much is said and held

Numbers in the docstrings are those of the design's list. Not here: what is promised of blobs, 13 to
17 (`sim.blobs`); the mutants that must violate each (`sim.mutants.replicas`).
"""

from __future__ import annotations

from sim.oracles.model import Oracle
from sim.state.invariants.cost import (
    BoundedOrphans,
    BoundedUnwritten,
    ClearsUp,
    QuietWhenEqual,
    SmallLists,
)
from sim.state.invariants.equality import EqualCovers, EqualLogs, EqualViews, FoldOfAll
from sim.state.invariants.history import LostShown, NothingLost, NothingWanted, Whole
from sim.state.invariants.leaf import LeafOnce
from sim.state.invariants.rosters import EqualRosters, InvitesAsOften, RemovedAdmitNobody
from sim.state.invariants.signing import ForksKnown, HonestUnblamed, HonestUnforked, NeverTwice
from sim.state.invariants.theft import TaintedWithheld, ThiefUnheard
from sim.state.invariants.views import LastWords, NeverBack, NoLatePoison, NoMinorityTrust

INVARIANTS: tuple[type[Oracle], ...] = (
    NeverTwice,
    HonestUnforked,
    HonestUnblamed,
    ForksKnown,
    EqualLogs,
    EqualViews,
    FoldOfAll,
    NothingLost,
    NothingWanted,
    Whole,
    NeverBack,
    LastWords,
    NoLatePoison,
    NoMinorityTrust,
    ClearsUp,
    BoundedOrphans,
    BoundedUnwritten,
    QuietWhenEqual,
    SmallLists,
    LostShown,
    EqualRosters,
    RemovedAdmitNobody,
    InvitesAsOften,
    LeafOnce,
    EqualCovers,
    ThiefUnheard,
    TaintedWithheld,
)
assert len({each.name for each in INVARIANTS}) == len(INVARIANTS), "each has a name of its own"
