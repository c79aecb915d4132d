"""What all conversations at one join door share: invitations, open codes, people who wait.

Decides, and writes admissions through the node's identity. Knows no connections: `join_door` holds
one conversation, `mesh.node.joining` the sockets. Time is passed in: `now_s` is monotonic (codes),
`now_wall_s` is the wall clock (invitations, and what people see).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mesh.errors import (
    CodeExpired,
    CodeRefused,
    CodeUnknown,
    JoinFailed,
    MeshError,
    NoSuchCandidate,
    TokenExpired,
    TokenForged,
    TokenSpent,
    TokenUsedUp,
    TooManyCodes,
    WrongMesh,
)
from mesh.identity.codes import CODE_WORDS, Code, make_code
from mesh.identity.fold import Member
from mesh.identity.names import distinct
from mesh.identity.records import Invite, Signed, is_invited, open_record
from mesh.identity.roles import ADMIT, Role
from mesh.identity.tokens import INVITE_SEED_BYTES, format_token, invite_key
from mesh.identity.trust import MeshIdentity
from mesh.limits import CODE_SLOTS, CODES_OPEN_MAX, JOIN_PENDING_MAX
from mesh.types import Address, NodeId, short
from mesh.wire.errors import WireError

_PREFIX_CHARS_MIN = 4


@attrs.frozen
class Applicant:
    """A stranger who has proved to hold the key of `node`."""

    node: NodeId
    name: str
    certificate: bytes = attrs.field(repr=False)


@attrs.frozen
class OpenCode:
    """A code that somebody may use once."""

    code: Code
    role: Role
    expires_s: float
    """Monotonic."""
    ttl_s: float


@attrs.frozen
class Settled:
    """A code is over: used, burnt or expired."""

    code: Code
    outcome: Member | MeshError


@attrs.frozen
class Candidate:
    """Somebody who waits for approval. `name` is unique among them."""

    name: str
    node_id: NodeId
    words: tuple[str, ...]
    address: str
    since: float
    """Wall clock, seconds since 1970."""
    applicant: Applicant = attrs.field(repr=False)


class JoinDesk:
    """One per node. `token` is the source of randomness: size in bytes -> bytes."""

    def __init__(self, identity: MeshIdentity, token: Callable[[int], bytes]) -> None:
        self.identity = identity
        self._token = token
        self._codes: dict[int, OpenCode] = {}
        self._last_slot = 0
        self._candidates: dict[str, Candidate] = {}  # by folded name

    # -- invitations ----------------------------------------------------------------------------
    def invite(
        self, uses: int, role: Role, expires_wall_s: int, addresses: tuple[Address, ...]
    ) -> str:
        """The text of a new invitation. Raises NotAllowed unless we are an admin."""
        seed = self._token(INVITE_SEED_BYTES)
        key = invite_key(seed).node_id
        record = self.identity.write_invite(key, role, uses, expires_wall_s)
        return format_token(seed, record, addresses)

    def open_invite(self, data: bytes) -> Signed:
        """The invite in a record from a stranger. Raises WrongMesh, TokenForged."""
        try:
            signed = open_record(data)
        except WireError:
            raise TokenForged from None
        if not isinstance(signed.fact, Invite):
            raise TokenForged
        if signed.fact.author.mesh_id != self.identity.mesh_id:
            wanted, found = short(signed.fact.author.mesh_id), short(self.identity.mesh_id)
            raise WrongMesh(address="", found=found, wanted=wanted)
        return signed

    def admit_invited(
        self, applicant: Applicant, invite: Signed, proof: bytes, now_wall_s: float
    ) -> Member:
        """Admit on an invitation. A node that is in already is simply told so again.

        Raises TokenForged, TokenExpired, TokenUsedUp, TokenSpent.
        """
        fact = invite.fact
        assert isinstance(fact, Invite)
        if not is_invited(fact, invite.digest, applicant.node, proof):
            raise TokenForged
        self.identity.merge((invite.data,))
        state = self.identity.roster.invite(invite.digest)
        if state is None:
            raise TokenForged
        if now_wall_s >= fact.expires_wall_s:
            raise TokenExpired(ago=_ago(now_wall_s - fact.expires_wall_s))
        known = self.identity.member(applicant.node)
        if known is not None:
            return known
        if applicant.node in state.used_by:
            raise TokenSpent
        if len(state.used_by) >= fact.uses:
            raise TokenUsedUp(uses=fact.uses)
        certificate = applicant.certificate
        self.identity.write_invited(
            invite.digest, applicant.node, applicant.name, certificate, proof
        )
        return self._admitted(applicant)

    def _admitted(self, applicant: Applicant) -> Member:
        member = self.identity.member(applicant.node)
        if member is None:
            raise JoinFailed(address="", why="the admission does not count any more")
        return member

    # -- codes ----------------------------------------------------------------------------------
    def open_code(self, role: Role, ttl_s: float, language: str, now_s: float) -> OpenCode:
        """Make a code. Raises NotAllowed unless we are an admin, TooManyCodes."""
        self.identity.require(ADMIT)
        if len(self._codes) >= CODES_OPEN_MAX:
            raise TooManyCodes(count=CODES_OPEN_MAX)
        slot = self._last_slot % CODE_SLOTS + 1
        while slot in self._codes:
            slot = slot % CODE_SLOTS + 1
        self._last_slot = slot
        code = make_code(slot, self._token(CODE_WORDS), language)
        self._codes[slot] = OpenCode(code, role, now_s + ttl_s, ttl_s)
        return self._codes[slot]

    def code_at(self, slot: int, now_s: float) -> OpenCode:
        """The open code with this number. Raises CodeUnknown."""
        found = self._codes.get(slot)
        if found is None or now_s >= found.expires_s:
            raise CodeUnknown(slot=slot)
        return found

    def burn_code(self, open_code: OpenCode) -> Settled | None:
        """Somebody guessed wrong. None when it was over already."""
        return self._settle(open_code, CodeRefused())

    def use_code(self, open_code: OpenCode, applicant: Applicant, now_s: float) -> Settled:
        """Admit whoever has proved to know the code. Raises CodeUnknown when it is over."""
        if self.code_at(open_code.code.slot, now_s) is not open_code:
            raise CodeUnknown(slot=open_code.code.slot)
        node, name = applicant.node, applicant.name
        self.identity.write_admit(node, name, open_code.role, applicant.certificate)
        settled = self._settle(open_code, self._admitted(applicant))
        assert settled is not None
        return settled

    def expire_codes(self, now_s: float) -> tuple[Settled, ...]:
        """End the codes whose time is over."""
        over = [code for code in self._codes.values() if now_s >= code.expires_s]
        settled = (self._settle(code, CodeExpired(seconds=round(code.ttl_s))) for code in over)
        return tuple(each for each in settled if each is not None)

    def _settle(self, open_code: OpenCode, outcome: Member | MeshError) -> Settled | None:
        if self._codes.get(open_code.code.slot) is not open_code:
            return None
        del self._codes[open_code.code.slot]
        return Settled(open_code.code, outcome)

    # -- approval -------------------------------------------------------------------------------
    def candidates(self) -> tuple[Candidate, ...]:
        """Who waits, longest first."""
        return tuple(self._candidates.values())

    def wait(
        self, applicant: Applicant, words: tuple[str, ...], address: str, now_wall_s: float
    ) -> Candidate:
        """Let somebody wait. Raises JoinFailed when too many do, NotAllowed unless we are admin."""
        self.identity.require(ADMIT)
        if len(self._candidates) >= JOIN_PENDING_MAX:
            raise JoinFailed(address="", why="too many are waiting for approval already")
        name = distinct(applicant.name, self._candidates)
        found = Candidate(name, applicant.node, words, address, now_wall_s, applicant)
        self._candidates[name.casefold()] = found
        return found

    def find(self, wanted: str) -> Candidate:
        """The candidate called `wanted`: its name, its check words, or the beginning of its node
        id when that is unambiguous. Raises NoSuchCandidate."""
        folded = wanted.strip().casefold()
        if folded in self._candidates:
            return self._candidates[folded]
        said = folded.replace("-", " ").split()
        found = [
            candidate
            for candidate in self._candidates.values()
            if tuple(said) == candidate.words
            or (len(folded) >= _PREFIX_CHARS_MIN and candidate.node_id.hex().startswith(folded))
        ]
        if len(found) != 1:
            raise NoSuchCandidate(name=wanted)
        return found[0]

    def approve(self, candidate: Candidate, role: Role) -> Member:
        """Admit a candidate. Raises NotAllowed when we are no admin."""
        applicant = candidate.applicant
        self.identity.write_admit(applicant.node, applicant.name, role, applicant.certificate)
        self.withdraw(candidate)
        return self._admitted(applicant)

    def withdraw(self, candidate: Candidate) -> None:
        """It no longer waits: gone, denied or admitted."""
        if self._candidates.get(candidate.name.casefold()) is candidate:
            del self._candidates[candidate.name.casefold()]


def _ago(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} seconds"
