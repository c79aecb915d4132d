"""The table of members: what is held about each, and an 8-byte hash over all of it.

Rules: only roster members are in it; a fact is only ever replaced by a greater `version`; the hash
is the XOR of one hash per member, so it is kept up to date in constant time, and two tables with
the same hash need not talk. SUSPECT counts as ALIVE in the hash: suspicions pass, and every node
passes through them at another moment. Addresses and loads are not in it either.
Deliberately not here: which fact may replace which (`membership`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

import attrs

from mesh.swim.effects import MemberView, State
from mesh.swim.messages import HASH_BYTES, Fact, prefix_of
from mesh.types import Address, NodeId


def version(fact: Fact) -> tuple[int, int, int]:
    """The order of facts about one member: restart, then refutation, then how bad it is."""
    return (fact.epoch, fact.incarnation, fact.state)


def fingerprint(fact: Fact) -> int:
    """64 bits that differ when the facts of two tables should be exchanged."""
    state = State.ALIVE if fact.state == State.SUSPECT else fact.state
    parts = (fact.node, fact.epoch.to_bytes(8, "big"), fact.incarnation.to_bytes(4, "big"))
    data = b"".join((*parts, bytes([state])))
    return int.from_bytes(blake2b(data, digest_size=HASH_BYTES).digest(), "big")


@attrs.define
class Member:
    """Everything held about one member; `fact` is what is passed on to others."""

    node_id: NodeId
    fact: Fact
    since_s: float
    mark: int
    """`fingerprint(fact)`, kept because it is needed at every change."""
    rtt_s: float | None = None
    heard_s: float = float("-inf")
    """When it was last heard directly: its own datagram, or bytes on a stream."""

    @property
    def state(self) -> State:
        return State(self.fact.state)

    @property
    def address(self) -> Address:
        return (self.fact.host, self.fact.swim_port)

    def view(self) -> MemberView:
        fact = self.fact
        return MemberView(
            node_id=self.node_id,
            state=self.state,
            since_s=self.since_s,
            epoch=fact.epoch,
            incarnation=fact.incarnation,
            address=self.address,
            peer_port=fact.peer_port,
            join_port=fact.join_port,
            load=fact.load,
            rtt_s=self.rtt_s,
        )


class Table:
    """Roster members other than ourselves of whom something is known, and the roster itself."""

    def __init__(self, own: Fact) -> None:
        self._members: dict[NodeId, Member] = {}
        self._roster: dict[bytes, NodeId] = {}
        self._own = own
        self._hash = fingerprint(own)

    @property
    def own(self) -> Fact:
        """The fact about ourselves; part of the hash like any other."""
        return self._own

    @own.setter
    def own(self, fact: Fact) -> None:
        self._hash ^= fingerprint(self._own) ^ fingerprint(fact)
        self._own = fact

    @property
    def hash(self) -> bytes:
        return self._hash.to_bytes(HASH_BYTES, "big")

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def get(self, node: NodeId) -> Member | None:
        return self._members.get(node)

    def resolve(self, prefix: bytes) -> NodeId | None:
        """The roster member with that prefix (never ourselves)."""
        return self._roster.get(prefix)

    def set_roster(self, ids: Iterable[NodeId]) -> list[Member]:
        """Replace the roster; returns the members that are struck off. Of two ids that share a
        prefix (a 64-bit collision, so an attack) the smaller is kept, everywhere the same."""
        self._roster = {}
        for node in sorted(ids):
            if prefix_of(node) != self._own.node:
                self._roster.setdefault(prefix_of(node), node)
        gone = [member for member in self if self.resolve(member.fact.node) != member.node_id]
        for member in gone:
            del self._members[member.node_id]
            self._hash ^= member.mark
        return gone

    def put(self, node: NodeId, fact: Fact, now_s: float) -> Member:
        """Store a fact that is new or greater than what was held."""
        assert self._roster.get(fact.node) == node, "only roster members may be in the table"
        member = self._members.get(node)
        mark = fingerprint(fact)
        if member is None:
            member = self._members[node] = Member(node, fact, now_s, mark)
        else:
            assert version(fact) >= version(member.fact), "facts only grow"
            if member.state != fact.state:
                member.since_s = now_s
            self._hash ^= member.mark
            member.fact, member.mark = fact, mark
        self._hash ^= mark
        return member

    def reachable(self) -> list[Member]:
        """Alive and suspect members: who is probed and gossiped to."""
        return [member for member in self if member.fact.state <= State.SUSPECT]

    def size(self) -> int:
        """Reachable members and ourselves: the N of all formulas."""
        return 1 + sum(member.fact.state <= State.SUSPECT for member in self)
