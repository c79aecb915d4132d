"""This node's place in its mesh: key, certificate, roster; kept on disk, asked at every handshake.

The one stateful part of this package. Files: `identity/node.key` (see `keys`),
`identity/certificate.der`, `identity/roster.cbor`.

Rules
- A record of our own is on disk before it is one: what the disk refuses was never written.
- A record of somebody else counts at once, also when the disk refuses it: a removal must not wait
  for room. `is_saved` is False then; the next save has it, and after a restart it comes again.

A node that was removed still loads: `me()` is then None, and only the caller knows what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from mesh.errors import AlreadyInMesh, EnvironmentFault, NotAllowed, RosterUnreadable
from mesh.identity.certificates import (
    certificate_pem,
    make_certificate,
    private_key_pem,
)
from mesh.identity.fold import Member
from mesh.identity.keys import NodeKey, load_key, verify
from mesh.identity.names import clean_name
from mesh.identity.records import (
    GENESIS_VERSION,
    Admit,
    Authorship,
    Fact,
    FeedPoint,
    Genesis,
    Invite,
    Leave,
    ref_of,
    sign_record,
)
from mesh.identity.roles import ADMIT, Role, may
from mesh.identity.roster import Roster, RosterChange
from mesh.limits import LEAVE_ENTRIES_MAX, RECORD_BYTES_MAX, ROSTER_RECORDS_MAX
from mesh.ports import Disk, Env
from mesh.types import Digest, MeshId, NodeId
from mesh.wire.certificate import check_certificate
from mesh.wire.errors import WireError
from mesh.wire.schema import array, c_blob, decode_struct, encode_struct, struct, uint

CERTIFICATE_FILE = "identity/certificate.der"
ROSTER_FILE = "identity/roster.cbor"
STATEMENT_CONTEXT = b"vitte-mesh membership statement v1\0"
"""Before the mesh id and what is signed: see `mesh.swim.records`."""
_FILE_VERSION = 1


@struct
class RosterFile:
    """What ROSTER_FILE holds; the genesis comes first."""

    version: int = uint(65_535)
    records: tuple[bytes, ...] = array(c_blob(RECORD_BYTES_MAX), ROSTER_RECORDS_MAX)


class MeshIdentity:
    """A node that is, or was, in a mesh. Implements `mesh.ports.TrustStore`.

    Methods that write a record save and merge it, and return it for the others. They raise
    NotAllowed when this node's role does not allow it, or when it is out of the mesh, and StoreFull
    or OSError when the disk does not take it.
    """

    def __init__(self, disk: Disk, key: NodeKey, certificate: bytes, roster: Roster) -> None:
        self._disk = disk
        self.key = key
        self.certificate = certificate
        self.roster = roster
        self._pem = (certificate_pem(certificate), private_key_pem(key))
        self._anchors: tuple[bytes, ...] = ()
        self._anchors_generation = -1
        self.is_saved = True
        """Whether the disk has all records that count here."""

    # -- who we are -----------------------------------------------------------------------------
    @property
    def node_id(self) -> NodeId:
        return self.key.node_id

    @property
    def mesh_id(self) -> MeshId:
        return self.roster.mesh_id

    @property
    def mesh_name(self) -> str:
        return self.roster.genesis.mesh_name

    def me(self) -> Member | None:
        """Ourselves as the mesh sees us; None when we are out."""
        return self.roster.member(self.node_id)

    def curve_private(self) -> bytes:
        """Our X25519 private key, 32 bytes."""
        return self.key.curve_private()

    # -- what membership signs --------------------------------------------------------------------
    def sign_statement(self, data: bytes) -> bytes:
        return self.key.sign(STATEMENT_CONTEXT + self.mesh_id, data)

    def verify_statement(self, author: NodeId, data: bytes, signature: bytes) -> bool:
        return verify(author, STATEMENT_CONTEXT + self.mesh_id, data, signature)

    # -- TrustStore -----------------------------------------------------------------------------
    def own_certificate(self) -> tuple[bytes, bytes]:
        return self._pem

    def anchors(self) -> tuple[bytes, ...]:
        if self._anchors_generation != self.roster.generation:
            self._anchors = tuple(member.certificate for member in self.members())
            self._anchors_generation = self.roster.generation
        return self._anchors

    def is_member(self, node: NodeId) -> bool:
        member = self.roster.member(node)
        return member is not None and not member.is_wired_leaf

    def generation(self) -> int:
        return self.roster.generation

    # -- members --------------------------------------------------------------------------------
    def member(self, node: NodeId) -> Member | None:
        return self.roster.member(node)

    def members(self) -> tuple[Member, ...]:
        """Those on the network, by name: all but the leaves at the end of members' lines."""
        return tuple(each for each in self.roster.members() if not each.is_wired_leaf)

    def leaves(self) -> tuple[Member, ...]:
        """The microcontrollers at the end of members' lines, by name."""
        return tuple(each for each in self.roster.members() if each.is_wired_leaf)

    def member_ids(self) -> frozenset[NodeId]:
        return frozenset(member.node_id for member in self.members())

    def allowed(self, node: NodeId, what: str) -> bool:
        """Whether `node` is a member whose role may do `what` (see `roles`)."""
        member = self.roster.member(node)
        return member is not None and may(member.role, what)

    def require(self, what: str) -> Member:
        """Ourselves. Raises NotAllowed when we may not do `what`."""
        me = self.me()
        if me is None:
            raise NotAllowed(role="none: this node is out of the mesh", what=what)
        if not may(me.role, what):
            raise NotAllowed(role=me.role.label, what=what)
        return me

    # -- records --------------------------------------------------------------------------------
    def merge(self, records: Iterable[bytes]) -> RosterChange:
        """Take in records of others, and save when any was new (see `is_saved`)."""
        change = self.roster.merge(records)
        if change:
            self.is_saved = False
            self.save_again()
        return change

    def save_again(self) -> None:
        """Save what the disk has refused; it may refuse again."""
        if not self.is_saved:
            with suppress(EnvironmentFault, OSError):
                self._save(self.roster.records())
                self.is_saved = True

    def write_invite(self, key: bytes, role: Role, uses: int, expires_wall_s: int) -> bytes:
        """Let holders of the private half of `key` (Ed25519 public, 32 bytes) in."""
        me = self.require(ADMIT)
        return self._write(Invite(self._author(me), key, int(role), uses, expires_wall_s))

    def write_admit(self, node: NodeId, name: str, role: Role, certificate: bytes) -> bytes:
        """Admit a node at will."""
        me = self.require(ADMIT)
        order = len(self.roster)
        return self._write(Admit(self._author(me), node, name, int(role), certificate, order))

    def write_admit_leaf(self, node: NodeId, name: str) -> bytes:
        """Admit a microcontroller that has proved its key over a line."""
        return self.write_admit(node, name, Role.LEAF, b"")

    def write_invited(
        self, invite: Digest, node: NodeId, name: str, certificate: bytes, proof: bytes
    ) -> bytes:
        """Admit a node on the strength of an invite that stands in our roster."""
        me = self.me()
        state = self.roster.invite(invite)
        if me is None or state is None:
            raise NotAllowed(role="none: this node is out of the mesh", what=ADMIT)
        author, order = self._author(me), len(self.roster)
        role = state.fact.role
        return self._write(Admit(author, node, name, role, certificate, order, invite, proof))

    def write_leave(self, node: NodeId, cut: tuple[FeedPoint, ...] = ()) -> bytes:
        """Remove a member; ourselves without being an admin. `cut` is how much of its log goes on
        counting: nothing unless it is said. Raises NotAllowed."""
        me = self.me()
        if me is None or node != self.node_id:
            me = self.require(ADMIT)
        ends = tuple(ref_of(signed.digest) for signed in self.roster.admissions_of(node))
        keeps = tuple(ref_of(signed.digest) for signed in self.roster.written_by(node))
        if len(ends) + len(keeps) > LEAVE_ENTRIES_MAX:
            what = f"end a membership that others rest on more than {LEAVE_ENTRIES_MAX} times"
            raise NotAllowed(role=me.role.label, what=what)
        return self._write(Leave(self._author(me), node, ends, keeps, cut))

    def _author(self, me: Member) -> Authorship:
        return Authorship(self.mesh_id, self.node_id, me.admission)

    def _write(self, fact: Fact) -> bytes:
        if not self.roster.has_room_for(fact):
            raise NotAllowed(role="mesh", what="hold more records: its roster is full")
        data = sign_record(self.key, fact)
        self._save((*self.roster.records(), data))
        self.is_saved = True
        change = self.roster.merge((data,))
        assert not change.rejected, f"our own record was refused: {change.rejected}"
        return data

    def _save(self, records: tuple[bytes, ...]) -> None:
        file = RosterFile(_FILE_VERSION, records)
        self._disk.write(ROSTER_FILE, encode_struct(file), private=True)


def load(env: Env) -> MeshIdentity | None:
    """The node's identity; None when it is in no mesh. Raises KeyUnreadable, RosterUnreadable."""
    key = load_key(env.disk)
    roster = load_roster(env.disk)
    if key is None or roster is None:
        return None
    return MeshIdentity(env.disk, key, own_certificate(env.disk, key, "node"), roster)


def load_roster(disk: Disk) -> Roster | None:
    """Who is in the mesh of this home; None when it is in none. Raises RosterUnreadable."""
    data = disk.read(ROSTER_FILE)
    if data is None:
        return None
    try:
        return _read_roster(data)
    except WireError as error:
        raise RosterUnreadable(path=disk.path(ROSTER_FILE), why=str(error)) from None


def _read_roster(data: bytes) -> Roster:
    file = decode_struct(RosterFile, data)
    if file.version != _FILE_VERSION or not file.records:
        raise WireError("version", f"{file.version} of the file's format")
    roster = Roster(file.records[0])
    roster.merge(file.records[1:])
    return roster


def create(env: Env, key: NodeKey, mesh_name: str, node_name: str) -> MeshIdentity:
    """Found a mesh with this node as its first admin. Raises AlreadyInMesh."""
    refuse_second_mesh(env)
    name = clean_name(node_name)
    genesis = Genesis(
        version=GENESIS_VERSION,
        mesh_name=clean_name(mesh_name, fallback="mesh"),
        nonce=env.entropy.token(32),
        node=key.node_id,
        name=name,
        certificate=own_certificate(env.disk, key, name),
    )
    return adopt(env, key, name, (sign_record(key, genesis),))


def adopt(env: Env, key: NodeKey, node_name: str, records: tuple[bytes, ...]) -> MeshIdentity:
    """Become a node of the mesh whose genesis is `records[0]`, and save that. Raises WireError
    when it is no genesis; the caller has checked that this is the mesh it wants."""
    roster = Roster(records[0])
    roster.merge(records[1:])
    certificate = own_certificate(env.disk, key, node_name)
    identity = MeshIdentity(env.disk, key, certificate, roster)
    identity._save(roster.records())
    return identity


def forget(disk: Disk) -> None:
    """Be in no mesh any more. The key and its certificate stay, so that the node may come back."""
    disk.remove(ROSTER_FILE)


def refuse_second_mesh(env: Env) -> None:
    """Raise AlreadyInMesh when this node is an active member of some mesh."""
    identity = load(env)
    if identity is not None and identity.me() is not None:
        raise AlreadyInMesh(name=identity.mesh_name)


def own_certificate(disk: Disk, key: NodeKey, name: str) -> bytes:
    """The node's certificate, DER; made on first use and then kept, for its bytes are trusted."""
    kept = disk.read(CERTIFICATE_FILE)
    if kept is not None and _is_over(kept, key):
        return kept
    made = make_certificate(key, name)
    disk.write(CERTIFICATE_FILE, made)
    return made


def _is_over(certificate: bytes, key: NodeKey) -> bool:
    try:
        check_certificate(certificate, key.node_id)
    except WireError:
        return False
    return True
