"""How facts change the table: merge, suspicion, verdict, refutation, reclaim.

    unknown --alive--> ALIVE --accused--> SUSPECT --timeout--> DEAD
                         ^------ higher incarnation or epoch ----'        LEFT ends an epoch

Rules: a member is (node id, epoch, incarnation); the greater (epoch, incarnation, state) wins, so
merging in any order gives the same table. Only the subject raises its incarnation, and only to
refute. DEAD heard while repairing tables makes a reachable member SUSPECT first: the news may be as
old as a partition, and the subject must have its chance to refute. Facts about others than roster
members are dropped and counted.
Deliberately not here: packets, timers of probing, signed facts (a later issue).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

import attrs

from mesh.swim.config import SwimConfig
from mesh.swim.dissemination import Rumours
from mesh.swim.effects import MemberChanged, MemberView, SelfInfo, State
from mesh.swim.evidence import Evidence
from mesh.swim.health import Health
from mesh.swim.messages import EPOCH_MAX, INCARNATION_MAX, Fact, prefix_of
from mesh.swim.suspicion import Suspicions
from mesh.swim.table import Member, Table, version
from mesh.types import NodeId
from mesh.wire.messages import Load
from mesh.wire.schema import evolve


@attrs.frozen
class Origin:
    """Where a fact came from: the authenticated sender, its address, and which kind of message."""

    sender: bytes
    """Prefix of the sender."""
    host: str
    repair: bool = False
    """It came by anti-entropy, so it may be old."""


def own_fact(info: SelfInfo) -> Fact:
    """What a starting node says of itself."""
    return Fact(
        node=prefix_of(info.node_id),
        epoch=info.epoch,
        incarnation=0,
        state=State.ALIVE.value,
        accuser=b"",
        host=info.host,
        swim_port=info.swim_port,
        peer_port=info.peer_port,
        join_port=info.join_port,
        load_number=0,
        load=info.load,
    )


class Membership:
    """The table with everything that may change it. Returns what changed, in order."""

    def __init__(self, config: SwimConfig, info: SelfInfo, counters: Counter[str]) -> None:
        self._config = config
        self._info = info
        self._counters = counters
        self.table = Table(own_fact(info))
        self.rumours = Rumours()
        self.suspicions = Suspicions(config)
        self.health = Health(config.awareness_max)
        self.rumours.add(self.table.own)

    # -- ourselves -------------------------------------------------------------------------------
    @property
    def leaving(self) -> bool:
        return self.table.own.state == State.LEFT

    def own_view(self, since_s: float) -> MemberView:
        return Member(self._info.node_id, self.table.own, since_s, 0).view()

    def set_own_load(self, load: Load) -> None:
        own = self.table.own
        self.table.own = evolve(own, load=load, load_number=own.load_number + 1)

    def tell_own_load(self) -> None:
        """Put our present load into gossip, for those who do not ping us soon."""
        self.rumours.add(self.table.own, load_only=True)

    def leave(self) -> None:
        """Say that we go; nothing refutes it in this epoch."""
        self._become(evolve(self.table.own, state=State.LEFT.value))

    def _become(self, fact: Fact) -> None:
        self.table.own = fact
        self.rumours.add(fact)

    def _hear_of_self(self, fact: Fact) -> None:
        own = self.table.own
        if self.leaving or fact.epoch < own.epoch:
            return
        if version(fact) <= version(own):
            return
        # Somebody accuses us, or remembers more than we do (our stored epoch was lost): outdo it.
        self._counters["refuted"] += 1
        self.health.adjust(+1)
        if fact.incarnation < INCARNATION_MAX:
            self._become(evolve(own, epoch=fact.epoch, incarnation=fact.incarnation + 1))
        elif fact.epoch < EPOCH_MAX:
            self._become(evolve(own, epoch=fact.epoch + 1, incarnation=0))

    # -- others ----------------------------------------------------------------------------------
    def hear(self, fact: Fact, origin: Origin, now_s: float) -> list[MemberChanged]:
        """Merge one fact."""
        if fact.node == self.table.own.node:
            self._hear_of_self(fact)
            return []
        node = self.table.resolve(fact.node)
        if node is None:
            self._counters["fact-of-non-member"] += 1
            return []
        known = self.table.get(node)
        located = self._locate(fact, known, origin)
        if located is None:
            self._counters["fact-without-address"] += 1
            return []
        if known is None:
            return self._install(node, located, None, now_s)
        return self._merge(known, located, origin, now_s)

    def _locate(self, fact: Fact, known: Member | None, origin: Origin) -> Fact | None:
        """The fact with an address of one machine; None when it has none."""
        if fact.host:
            return fact if _is_unicast(fact.host) else None
        if fact.node == origin.sender and origin.host:
            return evolve(fact, host=origin.host)
        return evolve(fact, host=known.fact.host) if known is not None else None

    def _merge(
        self, known: Member, fact: Fact, origin: Origin, now_s: float
    ) -> list[MemberChanged]:
        if origin.repair and fact.state == State.DEAD and known.fact.state <= State.SUSPECT:
            fact = evolve(fact, state=State.SUSPECT.value, accuser=origin.sender)
        if version(fact) < version(known.fact):
            return []
        if fact.epoch == known.fact.epoch and fact.load_number < known.fact.load_number:
            newest = known.fact
            fact = evolve(fact, load=newest.load, load_number=newest.load_number)
        if version(fact) > version(known.fact):
            return self._install(known.node_id, fact, known.state, now_s)
        # A copy of an old verdict is no independent accuser: repair never confirms.
        accused = fact.state == State.SUSPECT and not origin.repair
        if accused and self.suspicions.confirm(known.node_id, fact.accuser):
            self.rumours.add(fact)
        return self.hear_load(known, fact.load_number, fact.load, relay=True)

    def hear_load(
        self, known: Member, number: int, load: Load, *, relay: bool
    ) -> list[MemberChanged]:
        """A member's own report, from its ping or (then to be relayed) from gossip."""
        if number <= known.fact.load_number:
            return []
        same = known.fact.load == load
        known.fact = evolve(known.fact, load=load, load_number=number)
        if relay:
            self.rumours.add(known.fact, load_only=True)
        return [] if same else [MemberChanged(known.view(), known.state)]

    def _install(
        self, node: NodeId, fact: Fact, previous: State | None, now_s: float
    ) -> list[MemberChanged]:
        member = self.table.put(node, fact, now_s)
        self.rumours.add(fact)
        if fact.state == State.SUSPECT:
            self.suspicions.start(node, fact.accuser, self.table.size(), now_s)
        else:
            self.suspicions.stop(node)
        self._counters[f"became-{member.state.name.lower()}"] += 1
        return [MemberChanged(member.view(), previous)]

    # -- judgement -------------------------------------------------------------------------------
    def accuse(self, member: Member, _evidence: Evidence, now_s: float) -> list[MemberChanged]:
        """We have evidence against it of our own."""
        accused = evolve(
            member.fact, state=State.SUSPECT.value, accuser=prefix_of(self._info.node_id)
        )
        self._counters["accused"] += 1
        origin = Origin(sender=accused.accuser, host="")
        return self._merge(member, accused, origin, now_s)

    def verdicts(self, now_s: float) -> list[MemberChanged]:
        """Bury those whose suspicion has run out."""
        changes: list[MemberChanged] = []
        for node in self.suspicions.due(now_s):
            member = self.table.get(node)
            assert member is not None
            assert member.state == State.SUSPECT, "a suspicion is stopped when the state changes"
            dead = evolve(
                member.fact, state=State.DEAD.value, accuser=prefix_of(self._info.node_id)
            )
            changes += self._install(node, dead, State.SUSPECT, now_s)
        return changes

    def set_roster(self, ids: Iterable[NodeId], now_s: float) -> list[MemberChanged]:
        """Strike off whoever is not in `ids`."""
        changes: list[MemberChanged] = []
        for member in self.table.set_roster(ids):
            self.suspicions.stop(member.node_id)
            self.rumours.drop(member.fact.node)
            previous = member.state
            last = attrs.evolve(member.view(), state=State.LEFT, since_s=now_s)
            changes.append(MemberChanged(last, previous))
        return changes


@lru_cache(maxsize=4096)
def _is_unicast(host: str) -> bool:
    """Whether `host` is an IP literal of one machine: names would have to be looked up, and
    multicast would let one fact make everybody shout."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return not (address.is_multicast or address.is_unspecified or host == "255.255.255.255")
