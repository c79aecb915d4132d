"""From a set of rooted records to who is a member: a pure function, the same at every replica.

Records are gone through from the root outwards, by (depth, digest), so that whatever a record rests
on has been judged before it. In this order:

1. A record stands when its author's admission stands, and every Leave that ended that admission
   keeps it. Standing says it was rightly written, not that its subject is still here.
2. Of the admissions on one invite the first `uses` nodes stand; the others are pending. Which ones
   they are depends on the set alone, so partitioned members that admit two on a single-use invite
   agree later.
3. A node is a member while one of its standing admissions has not been ended by a Leave.

Removal always wins: every rooted Leave counts, even one by an admin that is itself removed; two
admins that remove each other are both out. Letting anything else happen would need an order in
time, which nobody can prove.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from mesh.identity.names import distinct
from mesh.identity.records import Admit, Genesis, Invite, Leave, Signed
from mesh.identity.roles import Role
from mesh.identity.standing import Cut, Life, Standing, cut_order
from mesh.types import Digest, NodeId


@attrs.frozen
class Rooted:
    """A record whose chain of `under` leads to the genesis, each author having had the role."""

    signed: Signed
    depth: int

    @property
    def digest(self) -> Digest:
        return self.signed.digest


@attrs.frozen
class Member:
    """An active member. `name` is unique in the mesh, for display only."""

    node_id: NodeId
    name: str
    role: Role
    certificate: bytes = attrs.field(repr=False)
    admitted_by: NodeId
    admission: Digest
    """The record that makes it a member, and under which it writes its own."""

    @property
    def is_wired_leaf(self) -> bool:
        """A microcontroller at the end of some member's line, not on the network itself."""
        return not self.certificate


@attrs.frozen
class Fold:
    """What the records say."""

    members: Mapping[NodeId, Member]
    pending: frozenset[NodeId]
    """Nodes whose admission is one too many for its invite."""
    invited: Mapping[Digest, frozenset[NodeId]]
    """The nodes admitted on each standing invite, those that have left included."""
    standing: Standing
    """All admissions that stand, those that have ended included."""


def rooted_order(record: Rooted) -> tuple[int, Digest]:
    return (record.depth, record.digest)


def fold(records: Iterable[Rooted]) -> Fold:
    """Judge all records. O(n log n); no signature is checked again here."""
    ordered = sorted(records, key=rooted_order)
    leaves = _Leaves(ordered)
    standing: dict[Digest, Signed] = {}
    invited: dict[Digest, set[NodeId]] = {}
    pending: set[NodeId] = set()
    for record in ordered:
        signed = record.signed
        if not _author_stands(signed, standing, leaves):
            continue
        if isinstance(signed.fact, Invite):
            invited[signed.digest] = set()
        elif isinstance(signed.fact, Admit) and not _fits(signed.fact, standing, invited):
            pending.add(signed.fact.node)
            continue
        standing[signed.digest] = signed
    members = _members(standing.values(), leaves)
    return Fold(
        members,
        frozenset(pending - members.keys()),
        {digest: frozenset(nodes) for digest, nodes in invited.items()},
        _standing(standing.values(), leaves),
    )


class _Leaves:
    """Which removals end an admission.

    Whoever came in on an invite and is out does not come back on the same invite: the Leave ends
    every admission of that node on that invite, also one that its author had not seen.
    """

    def __init__(self, records: Iterable[Rooted]) -> None:
        self._by_node: dict[NodeId, list[Leave]] = {}
        self._same_invite: dict[tuple[NodeId, Digest], set[bytes]] = {}
        for record in records:
            fact = record.signed.fact
            if isinstance(fact, Leave):
                self._by_node.setdefault(fact.node, []).append(fact)
            elif isinstance(fact, Admit) and fact.invite is not None:
                refs = self._same_invite.setdefault((fact.node, fact.invite), set())
                refs.add(record.signed.ref)

    def ending(self, admission: Signed) -> list[Leave]:
        fact = admission.fact
        assert isinstance(fact, Genesis | Admit)
        refs = {admission.ref}
        if isinstance(fact, Admit) and fact.invite is not None:
            refs = self._same_invite[fact.node, fact.invite]
        return [leave for leave in self._by_node.get(fact.node, ()) if refs & set(leave.ends)]

    def cuts(self) -> dict[NodeId, tuple[Cut, ...]]:
        """Of all removals, by node."""
        return {
            node: tuple(sorted({leave.cut for leave in leaves}, key=cut_order))
            for node, leaves in self._by_node.items()
        }


def _author_stands(signed: Signed, standing: Mapping[Digest, Signed], leaves: _Leaves) -> bool:
    if signed.under is None:
        return True
    admission = standing.get(signed.under)
    if admission is None:
        return False
    return all(signed.ref in leave.keeps for leave in leaves.ending(admission))


def _fits(
    admit: Admit, standing: Mapping[Digest, Signed], invited: dict[Digest, set[NodeId]]
) -> bool:
    """Take one use of the invite, if any, unless this node already has one. False: pending."""
    if admit.invite is None:
        return True
    invite = standing.get(admit.invite)
    if invite is None:
        return False
    assert isinstance(invite.fact, Invite)
    nodes = invited[admit.invite]
    if admit.node not in nodes and len(nodes) >= invite.fact.uses:
        return False
    nodes.add(admit.node)
    return True


def _members(standing: Iterable[Signed], leaves: _Leaves) -> dict[NodeId, Member]:
    best: dict[NodeId, Signed] = {}
    for signed in standing:
        fact = signed.fact
        if not isinstance(fact, Genesis | Admit) or leaves.ending(signed):
            continue
        known = best.get(fact.node)
        if known is None or _strength(signed) < _strength(known):
            best[fact.node] = signed
    taken: set[str] = set()
    members: dict[NodeId, Member] = {}
    for signed in sorted(best.values(), key=_seniority):
        member = _member(signed, taken)
        taken.add(member.name.casefold())
        members[member.node_id] = member
    return members


def _standing(records: Iterable[Signed], leaves: _Leaves) -> Standing:
    lives: dict[NodeId, list[Life]] = {}
    for signed in records:
        fact = signed.fact
        if isinstance(fact, Genesis | Admit):
            cuts = {leave.cut for leave in leaves.ending(signed)}
            life = Life(signed.ref, _role(fact), tuple(sorted(cuts, key=cut_order)))
            lives.setdefault(fact.node, []).append(life)
    return Standing(
        {node: tuple(sorted(each, key=lambda life: life.ref)) for node, each in lives.items()},
        leaves.cuts(),
    )


def _role(fact: Genesis | Admit) -> Role:
    return Role.ADMIN if isinstance(fact, Genesis) else Role(fact.role)


def _seniority(signed: Signed) -> tuple[int, Digest]:
    assert isinstance(signed.fact, Genesis | Admit)
    return (0 if isinstance(signed.fact, Genesis) else signed.fact.order, signed.digest)


def _strength(signed: Signed) -> tuple[int, int, Digest]:
    """Of several admissions of one node the highest role counts, then the oldest."""
    assert isinstance(signed.fact, Genesis | Admit)
    return (-_role(signed.fact), *_seniority(signed))


def _member(signed: Signed, taken: set[str]) -> Member:
    fact = signed.fact
    assert isinstance(fact, Genesis | Admit)
    return Member(
        node_id=fact.node,
        name=distinct(fact.name, taken),
        role=_role(fact),
        certificate=fact.certificate,
        admitted_by=signed.author,
        admission=signed.digest,
    )
