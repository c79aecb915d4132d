"""The four signed facts that a mesh's membership is made of.

    Genesis   the root: names the mesh and its founder; SHA-256 of the record is the mesh's id
    Invite    an admin lets holders of a one-time key in
    Admit     a member lets a node in: an admin at will, anybody on the strength of an invite
    Leave     a node goes, or an admin shuts it out

A record travels and is stored as the bytes its author made, and is named by their SHA-256. The
signature is over those received bytes behind a context prefix; nothing is ever re-encoded.

Every record but the genesis names in `under` the admission (or genesis) that gives its author the
right to write it. So the records form a tree of hash pointers whose root is the mesh id, and no
clock is needed to say what came before what.

Here is what can be checked of one record alone; `roster` checks how they hang together.
"""

from __future__ import annotations

import attrs

from mesh.identity.keys import SIGNATURE_BYTES, NodeKey, verify
from mesh.identity.names import check_name
from mesh.identity.roles import Role
from mesh.limits import (
    CERTIFICATE_BYTES_MAX,
    LEAVE_CUT_MAX,
    LEAVE_ENTRIES_MAX,
    NAME_BYTES_MAX,
    RECORD_BYTES_MAX,
)
from mesh.types import DIGEST_BYTES, Digest, MeshId, NodeId, digest_of
from mesh.wire import schema
from mesh.wire.certificate import check_certificate
from mesh.wire.errors import WireError
from mesh.wire.schema import array, c_blob, c_struct, fixed, nested, optional, struct, text, uint

GENESIS, ADMIT, INVITE, LEAVE = range(4)
GENESIS_VERSION = 1
REF_BYTES = 16
"""A Leave names other records by the first 16 bytes of their SHA-256."""

_CONTEXTS = {
    GENESIS: b"vitte-mesh genesis v1\0",
    ADMIT: b"vitte-mesh admit v1\0",
    INVITE: b"vitte-mesh invite v1\0",
    LEAVE: b"vitte-mesh leave v1\0",
}
_PROOF_CONTEXT = b"vitte-mesh invite proof v1\0"


@struct
class Record:
    """How a fact travels: the exact bytes that were signed, and the signature."""

    kind: int = uint(3)
    body: bytes = schema.blob(RECORD_BYTES_MAX)
    signature: bytes = fixed(SIGNATURE_BYTES)


@struct
class Genesis:
    """The founder is the first admin. `nonce` makes two meshes of one name and founder differ."""

    version: int = uint(65_535)
    mesh_name: str = text(NAME_BYTES_MAX)
    nonce: bytes = fixed(32)
    node: NodeId = fixed(32)
    name: str = text(NAME_BYTES_MAX)
    certificate: bytes = schema.blob(CERTIFICATE_BYTES_MAX)


@struct
class Authorship:
    """In which mesh, by whom, and by which admission (the digest of its record)."""

    mesh_id: MeshId = fixed(32)
    by: NodeId = fixed(32)
    under: Digest = fixed(DIGEST_BYTES)


@struct
class Invite:
    """Whoever holds the private half of `key` may be admitted with `role`, `uses` nodes in all.

    `expires_wall_s` (seconds since 1970) is judged by the member that admits, by its own clock;
    the roster itself knows no time.
    """

    author: Authorship = nested(Authorship)
    key: bytes = fixed(32)
    role: int = uint(int(Role.ADMIN))
    uses: int = uint(65_535)
    expires_wall_s: int = uint()


@struct
class Admit:
    """`node` is a member. With `invite` any member may write it, given `proof`: the signature of
    the invite's key over the joiner (see `invite_proof`). Without, the author must be an admin."""

    author: Authorship = nested(Authorship)
    node: NodeId = fixed(32)
    name: str = text(NAME_BYTES_MAX)
    role: int = uint(int(Role.ADMIN))
    certificate: bytes = schema.blob(CERTIFICATE_BYTES_MAX)
    order: int = uint(2**32)
    """How many records the author knew: older admissions keep their display names. Not trusted
    for anything else."""
    invite: Digest | None = optional(c_blob(DIGEST_BYTES, DIGEST_BYTES), default=None)
    proof: bytes = schema.blob(SIGNATURE_BYTES, default=b"")


@struct
class FeedPoint:
    """A place in one feed of a node's log: its first `count` events, the newest header's digest
    being `head`. Nothing but that history leads to that digest (see `mesh.log.model`)."""

    epoch: bytes = fixed(8)
    lane: int = uint(4)
    count: int = uint(2**48)
    head: Digest = fixed(DIGEST_BYTES)


@struct
class Leave:
    """`node` is no longer a member by the admissions in `ends`; a later admission is a new life.

    Of what `node` wrote under those admissions only the records in `keeps` remain valid, so that
    those it admitted in good faith stay, and a stolen key can admit nobody afterwards. Entries are
    the first REF_BYTES of record digests.

    The same for its log: of what it wrote in epochs that it opened under those admissions, only
    the history that leads to a head in `cut` counts, and nothing of a feed that is not there. A cut
    is a place in a chain of hashes and not a time, so it cannot be passed by dating back.
    """

    author: Authorship = nested(Authorship)
    node: NodeId = fixed(32)
    ends: tuple[bytes, ...] = array(c_blob(REF_BYTES, REF_BYTES), LEAVE_ENTRIES_MAX)
    keeps: tuple[bytes, ...] = array(c_blob(REF_BYTES, REF_BYTES), LEAVE_ENTRIES_MAX)
    cut: tuple[FeedPoint, ...] = array(c_struct(FeedPoint), LEAVE_CUT_MAX, default=())
    """Sorted by epoch and lane, each once, none empty."""


Fact = Genesis | Admit | Invite | Leave
_CLASSES: dict[int, type[Genesis] | type[Admit] | type[Invite] | type[Leave]] = {
    GENESIS: Genesis,
    ADMIT: Admit,
    INVITE: Invite,
    LEAVE: Leave,
}
_KINDS = {cls: kind for kind, cls in _CLASSES.items()}


@attrs.frozen
class Signed:
    """A record that is sound by itself: well formed, signed by its author."""

    digest: Digest
    data: bytes = attrs.field(repr=False)
    fact: Fact

    @property
    def ref(self) -> bytes:
        return ref_of(self.digest)

    @property
    def author(self) -> NodeId:
        return self.fact.node if isinstance(self.fact, Genesis) else self.fact.author.by

    @property
    def under(self) -> Digest | None:
        return None if isinstance(self.fact, Genesis) else self.fact.author.under


def is_wired_leaf(fact: Fact) -> bool:
    """Whether `fact` admits a microcontroller at the end of a line: it never speaks TLS, so it has
    no certificate; its key proves itself over the line."""
    return isinstance(fact, Admit) and fact.role == Role.LEAF and not fact.certificate


def ref_of(digest: bytes) -> bytes:
    """How a Leave names the record with this digest."""
    return digest[:REF_BYTES]


def sign_record(key: NodeKey, fact: Fact) -> bytes:
    """The record that says `fact`, signed by `key`. Raises WireError when it is out of bounds."""
    kind, body = _KINDS[type(fact)], schema.encode_struct(fact)
    return schema.encode_struct(Record(kind, body, key.sign(_CONTEXTS[kind], body)))


def open_record(data: bytes) -> Signed:
    """Decode and check one record by itself. Raises WireError with a word for counters."""
    if len(data) > RECORD_BYTES_MAX:
        raise WireError("oversized")
    record = schema.decode_struct(Record, data)
    fact: Fact = schema.decode_struct(_CLASSES[record.kind], record.body)
    signed = Signed(digest_of(data), data, fact)
    _check_content(fact)
    if not verify(signed.author, _CONTEXTS[record.kind], record.body, record.signature):
        raise WireError("signature")
    return signed


def _check_content(fact: Fact) -> None:
    if isinstance(fact, Genesis):
        if fact.version != GENESIS_VERSION:
            raise WireError("version", str(fact.version))
        check_name(fact.mesh_name)
    if isinstance(fact, Genesis | Admit):
        check_name(fact.name)
        if not is_wired_leaf(fact):
            check_certificate(fact.certificate, fact.node)
    if isinstance(fact, Admit) and bool(fact.proof) != (fact.invite is not None):
        raise WireError("proof", "an invite and its proof come together")
    if isinstance(fact, Invite) and fact.uses == 0:
        raise WireError("uses", "none")
    if isinstance(fact, Leave):
        _check_leave(fact)


def _check_leave(leave: Leave) -> None:
    if len(leave.ends) + len(leave.keeps) > LEAVE_ENTRIES_MAX:
        raise WireError("oversized", "too many entries")
    feeds = [(point.epoch, point.lane) for point in leave.cut]
    if sorted(set(feeds)) != feeds or not all(point.count for point in leave.cut):
        raise WireError("cut", "feeds out of order, twice, or kept empty")


def invite_proof(invite_key: NodeKey, mesh_id: MeshId, node: NodeId, invite: Digest) -> bytes:
    """What the holder of an invite's key signs to let `node` in: part of the admission for ever."""
    return invite_key.sign(_PROOF_CONTEXT, mesh_id + node + invite)


def is_invited(invite: Invite, invite_digest: Digest, node: NodeId, proof: bytes) -> bool:
    """Whether `proof` is `invite_proof` for this invite and node."""
    data = invite.author.mesh_id + node + invite_digest
    return verify(invite.key, _PROOF_CONTEXT, data, proof)
