"""Oracles: who decides whether a run was right.

    ORACLES     all of them; those for whole nodes are silent on a stage without
    oracles_of  those of a world; replicas have their own (`sim.state.invariants`)
    Finding     what one of them found

`membership` and `sealed` are safety, `liveness` is what must have happened by the end of a phase,
`cuts` what one sees who is cut off, `traffic` bounds the cost, `builds` is about runs, `links`
about streams, `keeping` about disks and `mail` about sockets. Deliberately not here: when they are
asked (`sim.scenario.play`).
"""

from __future__ import annotations

from sim.oracles.builds import Leases, Runs
from sim.oracles.cuts import AloneKnown
from sim.oracles.keeping import EpochKept, MembersKept
from sim.oracles.leftovers import NothingLeft
from sim.oracles.links import Faithful, Linked, NothingPiled
from sim.oracles.liveness import CanaryFound, EqualTables, Joined, Reunited
from sim.oracles.mail import MailRead, TimerSet
from sim.oracles.membership import (
    GoodbyeHeard,
    Growing,
    KnownMembers,
    NoDeathInCalm,
    NoFalseDeath,
    Truthful,
)
from sim.oracles.model import Finding, Oracle
from sim.oracles.sealed import OnlyWhatWasSent, Unreadable
from sim.oracles.traffic import NoStorm, QuietWhenCalm

__all__ = ["ORACLES", "Finding", "Oracle"]

ORACLES: tuple[type[Oracle], ...] = (
    KnownMembers,
    Truthful,
    Growing,
    NoFalseDeath,
    NoDeathInCalm,
    GoodbyeHeard,
    OnlyWhatWasSent,
    Unreadable,
    Joined,
    Reunited,
    EqualTables,
    CanaryFound,
    AloneKnown,
    NoStorm,
    QuietWhenCalm,
    Runs,
    Leases,
    NothingLeft,
    Linked,
    NothingPiled,
    Faithful,
    EpochKept,
    MembersKept,
    MailRead,
    TimerSet,
)


def oracles_of(world: str) -> tuple[type[Oracle], ...]:
    """Who judges runs in that world."""
    if world == "state":
        from sim.state.invariants import INVARIANTS

        return INVARIANTS
    return ORACLES
