"""The grow-only set of admission records of one mesh, and who is a member by it.

Merging is a set union: commutative, associative, idempotent, so members may hand each other records
in any order, as often as they like (a join-semilattice). A record enters the set once it is
*rooted*: its chain of admissions leads to the genesis and every author had the role it took. That
never changes afterwards; whether it still *counts* is what `fold` says of the whole set.

Not here: time, storage, the network. A record that arrives before what it refers to waits (bounded)
and is not yet part of the set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256

import attrs

from mesh.identity.fold import Fold, Member, Rooted, fold, rooted_order
from mesh.identity.records import (
    Admit,
    Fact,
    Genesis,
    Invite,
    Leave,
    Signed,
    is_invited,
    open_record,
)
from mesh.identity.roles import Role
from mesh.identity.standing import Standing
from mesh.limits import ROSTER_LEAVES_RESERVED, ROSTER_ORPHANS_MAX, ROSTER_RECORDS_MAX
from mesh.types import Digest, MeshId, NodeId, digest_of
from mesh.wire.errors import WireError


@attrs.frozen
class RosterChange:
    """What one merge did."""

    added: tuple[Member, ...] = ()
    left: tuple[Member, ...] = ()
    changed: tuple[Member, ...] = ()
    """Members of before whose name or role is now another."""
    records: tuple[bytes, ...] = ()
    """Those that were new: what others may lack too."""
    rejected: Mapping[str, int] = attrs.field(factory=dict)
    """How many records were refused, by reason."""

    def __bool__(self) -> bool:
        """Whether the set grew."""
        return bool(self.records)


@attrs.frozen
class InviteState:
    """An invite as this roster knows it."""

    digest: Digest
    fact: Invite
    used_by: frozenset[NodeId]


class Roster:
    """The records of one mesh. Raises WireError when `genesis` is not a genesis record."""

    def __init__(self, genesis: bytes) -> None:
        root = open_record(genesis)
        if not isinstance(root.fact, Genesis):
            raise WireError("genesis", "the record is of another kind")
        self.mesh_id = MeshId(root.digest)
        self.genesis = root.fact
        self._rooted: dict[Digest, Rooted] = {root.digest: Rooted(root, 0)}
        self._orphans: dict[Digest, Signed] = {}
        self._fold = fold(self._rooted.values())
        self._digest: Digest | None = None
        self._generation = 0

    # -- reading --------------------------------------------------------------------------------
    @property
    def generation(self) -> int:
        """Grows whenever the members or their certificates change."""
        return self._generation

    def records(self) -> tuple[bytes, ...]:
        """All rooted records, parents before children, in the same order at every replica."""
        ordered = sorted(self._rooted.values(), key=rooted_order)
        return tuple(record.signed.data for record in ordered)

    def digest(self) -> Digest:
        """SHA-256 over the sorted digests of the records: equal sets have equal digests."""
        if self._digest is None:
            self._digest = Digest(sha256(b"".join(sorted(self._rooted))).digest())
        return self._digest

    def members(self) -> tuple[Member, ...]:
        """The active members, by name."""
        return tuple(sorted(self._fold.members.values(), key=lambda member: member.name))

    def member(self, node: NodeId) -> Member | None:
        """The active member with this id."""
        return self._fold.members.get(node)

    def names(self) -> dict[NodeId, str]:
        """What everybody who was ever admitted was called last, those who have left included."""
        facts = [record.signed.fact for record in sorted(self._rooted.values(), key=rooted_order)]
        return {fact.node: fact.name for fact in facts if isinstance(fact, Admit | Genesis)}

    def standing(self) -> Standing:
        """All admissions that were rightly written, and what removals keep of their logs."""
        return self._fold.standing

    def pending(self) -> frozenset[NodeId]:
        """Nodes admitted on an invite that others had used up."""
        return self._fold.pending

    def invite(self, digest: Digest) -> InviteState | None:
        """The invite with this digest, if it is here and stands."""
        used_by = self._fold.invited.get(digest)
        if used_by is None:
            return None
        fact = self._rooted[digest].signed.fact
        assert isinstance(fact, Invite)
        return InviteState(digest, fact, used_by)

    def written_by(self, node: NodeId) -> tuple[Signed, ...]:
        """The records a node has written (its genesis not among them), and nothing of others."""
        ordered = sorted(self._rooted.values(), key=rooted_order)
        return tuple(r.signed for r in ordered if r.signed.author == node and r.signed.under)

    def admissions_of(self, node: NodeId) -> tuple[Signed, ...]:
        """Every record that admits `node`, the genesis included."""
        ordered = sorted(self._rooted.values(), key=rooted_order)
        return tuple(r.signed for r in ordered if _subject(r.signed) == node)

    def __len__(self) -> int:
        return len(self._rooted)

    def has_room_for(self, fact: Fact) -> bool:
        """Whether one more record may enter the set. Removals have room when others have not."""
        reserved = 0 if isinstance(fact, Leave) else ROSTER_LEAVES_RESERVED
        return len(self._rooted) < ROSTER_RECORDS_MAX - reserved

    # -- merging --------------------------------------------------------------------------------
    def merge(self, records: Iterable[bytes]) -> RosterChange:
        """Take in records from anywhere. Never raises; what is refused is counted by reason."""
        rejected: Counter[str] = Counter()
        fresh = self._open_new(records, rejected)
        rooted = self._root(fresh, rejected)
        self._trim_orphans(rejected)
        if not rooted:
            return RosterChange(rejected=dict(rejected))
        before, self._fold = self._fold, fold(self._rooted.values())
        self._digest = None
        change = _difference(before, self._fold)
        if change.added or change.left or change.changed:
            self._generation += 1
        data = tuple(record.data for record in rooted)
        return attrs.evolve(change, records=data, rejected=dict(rejected))

    def _open_new(self, records: Iterable[bytes], rejected: Counter[str]) -> list[Signed]:
        fresh: dict[Digest, Signed] = {}
        for data in records:
            digest = digest_of(data)
            if digest in self._rooted or digest in self._orphans or digest in fresh:
                continue
            try:
                fresh[digest] = self._of_this_mesh(open_record(data))
            except WireError as error:
                rejected[error.reason] += 1
        return list(fresh.values())

    def _of_this_mesh(self, signed: Signed) -> Signed:
        if isinstance(signed.fact, Genesis) or signed.fact.author.mesh_id != self.mesh_id:
            raise WireError("wrong-mesh")
        return signed

    def _root(self, fresh: list[Signed], rejected: Counter[str]) -> list[Signed]:
        """Root what can be rooted of `fresh` and of the orphans; the rest are orphans now."""
        self._orphans.update((signed.digest, signed) for signed in fresh)
        waiting: dict[Digest, list[Signed]] = {}  # by the digest that is missing
        queue = list(self._orphans.values())
        rooted: list[Signed] = []
        while queue:
            signed = queue.pop()
            missing = self._missing(signed)
            if missing is not None:
                waiting.setdefault(missing, []).append(signed)
                continue
            del self._orphans[signed.digest]
            try:
                self._rooted[signed.digest] = self._check_rooted(signed)
            except WireError as error:
                rejected[error.reason] += 1
                continue
            rooted.append(signed)
            queue.extend(waiting.pop(signed.digest, ()))
        return rooted

    def _missing(self, signed: Signed) -> Digest | None:
        """The first record that `signed` refers to and that is not rooted here."""
        for digest in _references(signed):
            if digest not in self._rooted:
                return digest
        return None

    def _check_rooted(self, signed: Signed) -> Rooted:
        """Raise WireError unless the author had the right to write this; all it needs is here."""
        fact, under = signed.fact, self._rooted[_references(signed)[0]].signed
        if _subject(under) != signed.author:
            raise WireError("author", "it acts under somebody else's admission")
        author_is_admin = _granted_role(under) is Role.ADMIN
        if isinstance(fact, Invite) and not author_is_admin:
            raise WireError("not-allowed", "only an admin invites")
        if isinstance(fact, Leave) and fact.node != signed.author and not author_is_admin:
            raise WireError("not-allowed", "only an admin removes others")
        if isinstance(fact, Admit) and fact.invite is not None:
            self._check_invited(fact, fact.invite)
        elif isinstance(fact, Admit) and not author_is_admin:
            raise WireError("not-allowed", "only an admin admits at will")
        self._check_room(fact)
        depth = 1 + max(self._rooted[digest].depth for digest in _references(signed))
        return Rooted(signed, depth)

    def _check_invited(self, admit: Admit, digest: Digest) -> None:
        invite = self._rooted[digest].signed.fact
        if not isinstance(invite, Invite):
            raise WireError("proof", "the invite is none")
        if admit.role != invite.role:
            raise WireError("not-allowed", "the invite gives another role")
        if not is_invited(invite, digest, admit.node, admit.proof):
            raise WireError("proof", "not signed by the invite's key")

    def _check_room(self, fact: Fact) -> None:
        if not self.has_room_for(fact):
            raise WireError("full")

    def _trim_orphans(self, rejected: Counter[str]) -> None:
        for digest in sorted(self._orphans)[ROSTER_ORPHANS_MAX:]:
            del self._orphans[digest]
            rejected["orphan"] += 1


def _references(signed: Signed) -> tuple[Digest, ...]:
    """What must be rooted first: the author's admission, then the invite if there is one."""
    assert signed.under is not None
    if isinstance(signed.fact, Admit) and signed.fact.invite is not None:
        return (signed.under, signed.fact.invite)
    return (signed.under,)


def _subject(signed: Signed) -> NodeId | None:
    return signed.fact.node if isinstance(signed.fact, Genesis | Admit) else None


def _granted_role(signed: Signed) -> Role:
    if isinstance(signed.fact, Genesis):
        return Role.ADMIN
    assert isinstance(signed.fact, Admit)
    return Role(signed.fact.role)


def _difference(before: Fold, after: Fold) -> RosterChange:
    old, new = before.members, after.members
    return RosterChange(
        added=tuple(member for node, member in new.items() if node not in old),
        left=tuple(member for node, member in old.items() if node not in new),
        changed=tuple(m for node, m in new.items() if node in old and old[node] != m),
    )
