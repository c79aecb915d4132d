"""The table of members: what is held about each, and an 8-byte hash over all of it.

Rules: only roster members are in it; (epoch, incarnation, state) of a member only grows; the hash
is the XOR of one hash per member, so it is kept up to date in constant time, and two tables with
the same hash need not talk. Only what is signed counts in it: alive, dead (by certificate) or left;
suspicion and being unreachable are opinions, and every node has them at another moment. Addresses
and loads are not in it either. Who is struck off the roster leaves a tombstone for
SWIM_TOMBSTONE_S, so that its old records stay old should it return.
Deliberately not here: which statement may change what (`membership`, `cases`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b

import attrs

from mesh.limits import SWIM_TOMBSTONE_S, SWIM_TOMBSTONES_MAX
from mesh.swim.effects import NO_LOAD, SUSPECT, MemberView, State
from mesh.swim.messages import HASH_BYTES, Statement, prefix_of
from mesh.swim.records import Charge, Record
from mesh.types import Address, NodeId
from mesh.wire.messages import Load

Version = tuple[int, int, int]


def agreed(state: State) -> State:
    """What of a state the whole mesh can agree about."""
    return state if state >= State.DEAD else State.ALIVE


def mark_of(record: Record, state: State) -> int:
    """64 bits that differ when two tables should exchange what they hold about a member."""
    parts = (record.node, record.epoch.to_bytes(8, "big"), record.incarnation.to_bytes(4, "big"))
    data = b"".join((*parts, bytes([agreed(state)])))
    return int.from_bytes(blake2b(data, digest_size=HASH_BYTES).digest(), "big")


@attrs.frozen
class Held:
    """A charge that was checked, and how it came."""

    charge: Charge
    statement: Statement
    at_s: float


@attrs.define
class Member:
    """Everything held about one member."""

    node_id: NodeId
    record: Record
    statement: Statement
    """The record as its subject signed it: what is passed on to others."""
    host: str
    state: State
    since_s: float
    mark: int
    """`mark_of(record, state)`, kept because it is needed at every change."""
    charges: dict[bytes, Held] = attrs.field(factory=dict)
    """Against its present epoch and incarnation, by the accuser's prefix."""
    load: Load = NO_LOAD
    load_number: int = 0
    load_told: int = 0
    """The number of our own load that it was told last, and how often."""
    load_tellings: int = 0
    renewed_s: float = float("-inf")
    renewals: int = 0
    """New records in the second that began at `renewed_s`."""
    rtt_s: float | None = None
    heard_s: float = float("-inf")
    """When it was last heard directly: its own datagram, or bytes on a stream."""

    @property
    def prefix(self) -> bytes:
        return self.record.node

    @property
    def reachable(self) -> bool:
        """Alive, or only suspected: who is probed and gossiped to."""
        return self.state <= SUSPECT

    def is_restless(self, now_s: float, renewals_max: int) -> bool:
        """Count one more record; whether there were too many within a second."""
        if now_s - self.renewed_s >= 1.0:
            self.renewed_s, self.renewals = now_s, 0
        self.renewals += 1
        return self.renewals > renewals_max

    @property
    def address(self) -> Address:
        return (self.host, self.record.swim_port)

    @property
    def version(self) -> Version:
        """The order of what is said about a member: restart, refutation, then how bad it is."""
        return (self.record.epoch, self.record.incarnation, self.state)

    def view(self) -> MemberView:
        record = self.record
        return MemberView(
            node_id=self.node_id,
            state=self.state,
            since_s=self.since_s,
            epoch=record.epoch,
            incarnation=record.incarnation,
            address=self.address,
            peer_port=record.peer_port,
            join_port=record.join_port,
            load=self.load,
            rtt_s=self.rtt_s,
        )


class ReachableIds:
    """The ids of alive and suspect members, without making a list of them."""

    def __init__(self, members: Mapping[NodeId, Member]) -> None:
        self._members = members

    def __contains__(self, node: object, /) -> bool:
        member = self._members.get(node)  # type: ignore[call-overload]
        return member is not None and member.state <= SUSPECT

    def __iter__(self) -> Iterator[NodeId]:
        return (node for node, each in self._members.items() if each.state <= SUSPECT)


class Table:
    """Roster members other than ourselves of whom something is known, and the roster itself."""

    def __init__(self, own: Member) -> None:
        self._members: dict[NodeId, Member] = {}
        self._roster: dict[bytes, NodeId] = {}
        self._tombstones: dict[NodeId, tuple[Version, float]] = {}
        self.own = own
        """Ourselves; part of the hash like any other. Changed by `set_own` alone."""
        self._mixed = own.mark
        self.hash = own.mark.to_bytes(HASH_BYTES, "big")
        """Of everybody in the table and ourselves; to be looked at only."""
        self.roster: frozenset[NodeId] = frozenset()
        """Roster members, without ourselves; to be looked at only."""
        self.get: Callable[[NodeId], Member | None] = self._members.get
        """What is held about one other; None when that is nothing."""
        self.reachable_ids = ReachableIds(self._members)
        self.reachable_count = 0
        """Other members that are alive or only suspected."""

    # -- ourselves -------------------------------------------------------------------------------
    def set_own(self, record: Record, statement: Statement) -> None:
        own = self.own
        own.record, own.statement = record, statement
        own.state = State.LEFT if record.left else State.ALIVE
        before = own.mark
        own.mark = mark_of(record, own.state)
        self._mix(before ^ own.mark)

    def _mix(self, marks: int) -> None:
        self._mixed ^= marks
        self.hash = self._mixed.to_bytes(HASH_BYTES, "big")

    # -- others ----------------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def by_prefix(self, prefix: bytes) -> Member | None:
        """The member (never ourselves) that datagrams name so."""
        node = self._roster.get(prefix)
        return self._members.get(node) if node is not None else None

    def resolve(self, prefix: bytes) -> NodeId | None:
        """The roster member with that prefix (never ourselves)."""
        return self._roster.get(prefix)

    def everybody(self) -> Iterator[NodeId]:
        """The whole roster, ourselves included."""
        yield self.own.node_id
        yield from self._roster.values()

    @property
    def unknown_count(self) -> int:
        """Roster members of whom nothing is known."""
        return len(self._roster) - len(self._members)

    def set_roster(self, ids: Iterable[NodeId], now_s: float) -> list[Member]:
        """Replace the roster; returns the members that are struck off. Of two ids that share a
        prefix (a 64-bit collision, so an attack) the smaller is kept, everywhere the same."""
        self._roster = {}
        for node in sorted(ids):
            if prefix_of(node) != self.own.prefix:
                self._roster.setdefault(prefix_of(node), node)
        self.roster = frozenset(self._roster.values())
        gone = [member for member in self if self.resolve(member.prefix) != member.node_id]
        for member in gone:
            del self._members[member.node_id]
            self._mix(member.mark)
            self.reachable_count -= member.reachable
            self._bury(member, now_s)
        return gone

    def _bury(self, member: Member, now_s: float) -> None:
        old = [n for n, (_, at_s) in self._tombstones.items() if now_s - at_s > SWIM_TOMBSTONE_S]
        for node in old:
            del self._tombstones[node]
        if len(self._tombstones) >= SWIM_TOMBSTONES_MAX:
            del self._tombstones[next(iter(self._tombstones))]
        self._tombstones[member.node_id] = (member.version, now_s)

    def is_buried(self, node: NodeId, record: Record) -> bool:
        """Whether the record is no newer than what is remembered of a member struck off."""
        version, _ = self._tombstones.get(node, ((-1, 0, 0), 0.0))
        return (record.epoch, record.incarnation) <= version[:2]

    def put(self, made: Member) -> None:
        """Store somebody new."""
        assert self._roster.get(made.prefix) == made.node_id, "only roster members are in the table"
        assert made.node_id not in self._members
        self._members[made.node_id] = made
        self._mix(made.mark)
        self.reachable_count += made.reachable

    def renew(self, member: Member, record: Record, statement: Statement, now_s: float) -> None:
        """A greater record of its own: whatever was held against the old one is void."""
        assert record.version > member.record.version, "what is held only grows"
        if record.epoch > member.record.epoch:
            member.load_number, member.load_tellings = 0, 0
        member.record, member.statement = record, statement
        member.charges.clear()
        self._enter(member, State.LEFT if record.left else State.ALIVE, now_s)

    def worsen(self, member: Member, state: State, now_s: float) -> None:
        """The same record, a worse state."""
        assert state > member.state, "only a greater record makes it better"
        self._enter(member, state, now_s)

    def _enter(self, member: Member, state: State, now_s: float) -> None:
        self.reachable_count -= member.reachable
        if member.state != state:
            member.since_s = now_s
        member.state = state
        self.reachable_count += member.reachable
        before = member.mark
        member.mark = mark_of(member.record, state)
        self._mix(before ^ member.mark)

    def reachable(self) -> list[Member]:
        """Alive and suspect members."""
        return [member for member in self if member.state <= SUSPECT]

    def size(self) -> int:
        """Reachable members and ourselves: the N of all formulas."""
        return 1 + self.reachable_count
