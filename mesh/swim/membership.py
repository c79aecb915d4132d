"""How signed statements change the table: records, refutation, leaving, loads.

    unknown --record--> ALIVE --charge--> SUSPECT --time--> UNREACHABLE --quorum--> DEAD
                          ^-------- a record with a higher incarnation or epoch -------'

Rules: everything said about a node's own state is signed by that node and nobody else can say it;
(epoch, incarnation, state) only grows, so merging in any order gives the same table. Only the
subject raises its incarnation, one step at a time, to refute what is charged to its present one.
Before a signature is checked it must be clear that the statement would change something; whoever
passes on a statement with a bad signature is not believed for a while, because members check before
they pass on. Statements about others than roster members are dropped and counted.
Deliberately not here: charges against others (`cases`), packets, probing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address

import attrs

from mesh.limits import SWIM_LIAR_QUIET_S, SWIM_OUTDONE_MAX, SWIM_RENEWALS_MAX
from mesh.swim.book import Book
from mesh.swim.cases import Cases
from mesh.swim.config import SwimConfig
from mesh.swim.effects import MemberChanged, MemberView, SelfInfo, State
from mesh.swim.evidence import Evidence, Signatures
from mesh.swim.health import Health
from mesh.swim.messages import EPOCH_MAX, INCARNATION_MAX, OwnLoad, Statement, prefix_of
from mesh.swim.observers import Observers
from mesh.swim.records import Charge, Record, author_of, parse
from mesh.swim.table import Held, Member, Table, mark_of
from mesh.swim.voice import Voice
from mesh.types import NodeId
from mesh.wire.messages import Load
from mesh.wire.schema import evolve
from mesh.wire.straight import quick


@quick
@attrs.frozen
class Origin:
    """Where statements came from: the authenticated sender, its address, which kind of message."""

    sender: bytes
    """Prefix of the sender."""
    host: str
    repair: bool = False
    """They came by anti-entropy, so they may be old."""


class _Lie(Exception):
    """The packet holds a statement that its author did not sign."""


def own_record(info: SelfInfo) -> Record:
    """What a starting node says of itself."""
    return Record(
        node=prefix_of(info.node_id),
        epoch=info.epoch,
        incarnation=0,
        left=False,
        host=info.host,
        swim_port=info.swim_port,
        peer_port=info.peer_port,
        join_port=info.join_port,
    )


class Membership:
    """The table with everything that may change it. Returns what changed, in order."""

    def __init__(
        self,
        config: SwimConfig,
        info: SelfInfo,
        signatures: Signatures,
        counters: Counter[str],
    ) -> None:
        self._config = config
        self._counters = counters
        self._voice = Voice(signatures, signed=config.signed)
        record = own_record(info)
        self.table = Table(self._own_member(info, record))
        self.observers = Observers(config, self.table, info.node_id)
        self.book = Book(config, self._voice, self.table, self.observers, counters)
        self.cases = Cases(self.book)
        self.rumours = self.book.rumours
        self.suspicions = self.cases.suspicions
        self.health = Health()
        self._liars: dict[bytes, float] = {}
        self._answered: dict[bytes, float] = {}
        self.leaving = False
        """We have said that we go; to be looked at only."""
        self._become(record)

    def _own_member(self, info: SelfInfo, record: Record) -> Member:
        statement = self._voice.say(record)
        mark = mark_of(record, State.ALIVE)
        own = Member(info.node_id, record, statement, info.host, State.ALIVE, 0.0, mark)
        own.load = info.load
        return own

    # -- ourselves -------------------------------------------------------------------------------
    def own_view(self, since_s: float) -> MemberView:
        return attrs.evolve(self.table.own.view(), since_s=since_s)

    def set_own_load(self, load: Load) -> None:
        own = self.table.own
        own.load, own.load_number = load, own.load_number + 1

    def load_for(self, member: Member | None) -> OwnLoad | None:
        """Our load, if `member` may not have it yet: each number is told it a few times."""
        own = self.table.own
        if member is None:
            return OwnLoad(own.load_number, own.load)
        if member.load_told != own.load_number:
            member.load_told, member.load_tellings = own.load_number, 0
        if member.load_tellings >= LOAD_DIRECT_TELLINGS:
            return None
        member.load_tellings += 1
        return OwnLoad(own.load_number, own.load)

    def leave(self) -> None:
        """Say that we go; nothing refutes it in this epoch."""
        self._become(evolve(self.table.own.record, left=True))

    def _become(self, record: Record) -> None:
        statement = self._voice.say(record)
        self.table.set_own(record, statement)
        self.leaving = record.left
        self.rumours.add(record.node, record.node, statement)

    def _hear_of_self(self, record: Record, statement: Statement) -> None:
        """A record of ours that is newer than what we remember: our stored epoch was lost, and we
        begin behind where we were. Outdo it by an epoch, because a datagram of its own epoch may
        be a recorded one. A second process with our key does the same, so there is an end to it."""
        own = self.table.own
        if self.leaving or record.version <= own.record.version:
            return
        if self._counters["outdone-by-self"] >= SWIM_OUTDONE_MAX or record.epoch == EPOCH_MAX:
            self._counters["outdone-too-often"] += 1
            return
        self._check(own.node_id, statement)
        self._counters["outdone-by-self"] += 1
        self._become(evolve(own.record, epoch=record.epoch + 1, incarnation=0))

    def _hear_against_self(
        self, charge: Charge, accuser: NodeId, statement: Statement, now_s: float
    ) -> None:
        """Refute, unless it is about what we no longer are, or that accuser had its answer just
        now. A charge against an incarnation that we never had is a lie by whoever signed it."""
        own = self.table.own
        charged, present = (charge.epoch, charge.incarnation), own.record.version[:2]
        if self.leaving or charged < present:
            return
        last_s = self._answered.get(charge.accuser)
        # Half of what the others refuse (`cases`), so that none believes what we do not answer.
        if last_s is not None and now_s - last_s < self._config.beat_interval_s / 2:
            self._counters["charge-too-often"] += 1
            return
        self._check(accuser, statement)
        self._answered[charge.accuser] = now_s
        if charged > present:
            self._counters["charge-of-future"] += 1
            return
        self._counters["refuted"] += 1
        evidence = Evidence(charge.evidence).name.lower()
        self.book.note(own, "charged", now_s, accuser, evidence)
        self._become(_next(own.record))
        self.book.note(own, "refuted", now_s)
        judges = self.observers.of(own, now_s)
        self.book.write({accuser: None, **dict.fromkeys(judges)}, own.statement)

    # -- others ----------------------------------------------------------------------------------
    def hear(
        self, statements: Sequence[Statement], origin: Origin, now_s: float
    ) -> list[MemberChanged]:
        """Merge the statements of one packet, in their order: records come before charges."""
        if statements and now_s < self._liars.get(origin.sender, float("-inf")):
            self._counters["from-liar"] += len(statements)
            return []
        changes: list[MemberChanged] = []
        fresh: set[NodeId] = set()
        for statement in statements:
            try:
                for change in self._hear_one(statement, origin, fresh, now_s):
                    if change.previous_state is None:
                        fresh.add(change.view.node_id)
                    changes.append(change)
            except _Lie:
                self._counters["bad-signature"] += 1
                self._counters[f"lied.{origin.sender.hex()}"] += 1
                self._liars[origin.sender] = now_s + SWIM_LIAR_QUIET_S
                break
        return _only_last_of(fresh, changes)

    def _hear_one(
        self, statement: Statement, origin: Origin, fresh: set[NodeId], now_s: float
    ) -> list[MemberChanged]:
        prefix = author_of(statement.body)
        author = self.table.resolve(prefix)
        if author is None and prefix != self.table.own.prefix:
            self._counters["statement-by-non-member"] += 1
            return []
        said = parse(statement.body)
        if isinstance(said, Charge):
            return self._hear_charge(said, author, statement, origin, fresh, now_s)
        if author is None:
            if isinstance(said, Record):
                self._hear_of_self(said, statement)
            return []
        if isinstance(said, Record):
            return self._hear_record(said, author, statement, origin, now_s)
        self._counters["statement-malformed"] += 1
        return []

    def _check(self, author: NodeId, statement: Statement) -> None:
        """Raises _Lie."""
        if not self._voice.genuine(author, statement):
            raise _Lie

    # -- records ---------------------------------------------------------------------------------
    def _hear_record(
        self, record: Record, node: NodeId, statement: Statement, origin: Origin, now_s: float
    ) -> list[MemberChanged]:
        known = self.table.get(node)
        if known is not None and record.version <= known.record.version:
            return []
        if self.table.is_buried(node, record):
            self._counters["resurrection"] += 1
            return []
        if known is not None and known.is_restless(now_s, SWIM_RENEWALS_MAX):
            self._counters["record-too-often"] += 1
            return []
        host = _locate(record, statement, known, origin)
        if host is None:
            self._counters["record-without-address"] += 1
            return []
        self._check(node, statement)
        statement = evolve(statement, seen_host="" if record.host else host)
        self.rumours.add(record.node, record.node, statement)
        if known is None:
            return self._meet(node, record, statement, host, now_s)
        self.cases.close(known)
        previous = known.state
        self.table.renew(known, record, statement, now_s)
        known.host = host
        return [self.book.changed(known, previous, now_s)]

    def _meet(
        self, node: NodeId, record: Record, statement: Statement, host: str, now_s: float
    ) -> list[MemberChanged]:
        state = State.LEFT if record.left else State.ALIVE
        mark = mark_of(record, state)
        member = Member(node, record, statement, host, state, now_s, mark)
        self.table.put(member)
        return [self.book.changed(member, None, now_s)]

    def hear_from(self, member: Member, host: str) -> list[MemberChanged]:
        """A datagram of the member itself came from `host`: without an address of its own it is
        there from now on."""
        if member.record.host or host == member.host or not _is_unicast(host):
            return []
        member.host = host
        member.statement = evolve(member.statement, seen_host=host)
        return [MemberChanged(member.view(), member.state)]

    # -- charges and loads -----------------------------------------------------------------------
    def _hear_charge(
        self,
        charge: Charge,
        accuser: NodeId | None,
        statement: Statement,
        origin: Origin,
        fresh: set[NodeId],
        now_s: float,
    ) -> list[MemberChanged]:
        if accuser is None:
            return []  # our own, told back to us
        if charge.subject == self.table.own.prefix:
            self._hear_against_self(charge, accuser, statement, now_s)
            return []
        member = self.table.by_prefix(charge.subject)
        if member is None:
            self._counters["charge-without-record"] += 1
            return []
        if accuser == member.node_id or not self.cases.is_news(member, accuser, charge, now_s):
            return []
        self._check(accuser, statement)
        held = Held(charge, statement, now_s)
        is_fresh = member.node_id in fresh
        return self.cases.hear(member, accuser, held, old=origin.repair, fresh=is_fresh)

    def hear_load(self, member: Member, own: OwnLoad) -> list[MemberChanged]:
        """A member's own report, from its ping or ack."""
        if own.number <= member.load_number:
            return []
        same = member.load == own.load
        member.load, member.load_number = own.load, own.number
        return [] if same else [MemberChanged(member.view(), member.state)]

    def judges(self, node: NodeId, now_s: float) -> list[NodeId]:
        """The observers of a member, best rank first; nobody for somebody unknown."""
        member = self.table.get(node)
        return [] if member is None else self.observers.of(member, now_s)

    # -- the roster ------------------------------------------------------------------------------
    def set_roster(self, ids: Iterable[NodeId], now_s: float) -> list[MemberChanged]:
        """Strike off whoever is not in `ids`."""
        changes: list[MemberChanged] = []
        for member in self.table.set_roster(ids, now_s):
            self.cases.close(member)
            self.rumours.drop(member.prefix, (member.prefix,))
            self.book.history.forget(member.node_id)
            last = attrs.evolve(member.view(), state=State.LEFT, since_s=now_s)
            changes.append(MemberChanged(last, member.state))
        self.observers.roster_changed(now_s)
        return changes


LOAD_DIRECT_TELLINGS = 2
"""Pings and acks to one member that carry a changed load: one of them will arrive."""


def _next(record: Record) -> Record:
    """The record one step on."""
    if record.incarnation < INCARNATION_MAX:
        return evolve(record, incarnation=record.incarnation + 1)
    assert record.epoch < EPOCH_MAX, "epochs are milliseconds: they last for ages"
    return evolve(record, epoch=record.epoch + 1, incarnation=0)


def _only_last_of(fresh: set[NodeId], changes: list[MemberChanged]) -> list[MemberChanged]:
    """Of members met in this packet only what they are at its end: a dead one was never alive."""
    if len(changes) == len(fresh):
        return changes
    last = {c.view.node_id: c for c in changes if c.view.node_id in fresh}
    met = [MemberChanged(change.view, None) for change in last.values()]
    return met + [change for change in changes if change.view.node_id not in fresh]


def _locate(
    record: Record, statement: Statement, known: Member | None, origin: Origin
) -> str | None:
    """The host of one machine; None when there is none."""
    if record.host:
        return record.host if _is_unicast(record.host) else None
    if record.node == origin.sender and origin.host:
        return origin.host
    if known is not None and known.host:
        return known.host
    return statement.seen_host if _is_unicast(statement.seen_host) else None


@lru_cache(maxsize=4096)
def _is_unicast(host: str) -> bool:
    """Whether `host` is an IP literal of one machine: names would have to be looked up, and
    multicast would let one record make everybody shout."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return not (address.is_multicast or address.is_unspecified or host == "255.255.255.255")
