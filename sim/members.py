"""The members of a simulated mesh: keys from the seed, admitted by real signed records.

Node 0 founds the mesh and admits the others, exactly as `vitte mesh init` and `admit` write it;
every disk then holds what a node that joined holds: key, certificate, roster, and where to find
node 0. Records do not depend on the world, so worlds of the same size share them.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

import attrs

from mesh.identity.certificates import make_certificate
from mesh.identity.keys import KEY_FILE, NodeKey
from mesh.identity.records import (
    GENESIS_VERSION,
    Admit,
    Authorship,
    Genesis,
    sign_record,
)
from mesh.identity.roles import Role
from mesh.identity.trust import CERTIFICATE_FILE, ROSTER_FILE, RosterFile
from mesh.node.peers_file import PEERS_FILE, KnownPeer, KnownPeers
from mesh.ports import Disk
from mesh.types import Address, MeshId, NodeId, digest_of
from mesh.wire.schema import encode_struct

MESH_NAME = "simulated"
ROSTER_FILE_VERSION = 1


@attrs.frozen
class Membership:
    """One node's place in the mesh."""

    index: int
    name: str
    key: NodeKey
    certificate: bytes = attrs.field(repr=False)

    @property
    def node_id(self) -> NodeId:
        return self.key.node_id


@attrs.frozen
class Founded:
    """A mesh on paper: its members and the records that make them so."""

    members: tuple[Membership, ...]
    records: tuple[bytes, ...] = attrs.field(repr=False)

    def install(self, index: int, disk: Disk, founder: Address) -> None:
        """Write what member `index` knows after joining. `founder` is node 0's gossip address."""
        member = self.members[index]
        disk.write(KEY_FILE, member.key.seed, private=True)
        disk.write(CERTIFICATE_FILE, member.certificate)
        roster = RosterFile(ROSTER_FILE_VERSION, self.records)
        disk.write(ROSTER_FILE, encode_struct(roster), private=True)
        if index != 0:
            known = KnownPeers((KnownPeer(self.members[0].node_id, *founder),))
            disk.write(PEERS_FILE, encode_struct(known))


@lru_cache(maxsize=8)
def found(size: int) -> Founded:
    """A mesh of `size` members, all but the first with the role of builder."""
    members = tuple(_member(index) for index in range(size))
    first = members[0]
    genesis = Genesis(
        version=GENESIS_VERSION,
        mesh_name=MESH_NAME,
        nonce=bytes(32),
        node=first.node_id,
        name=first.name,
        certificate=first.certificate,
    )
    records = [sign_record(first.key, genesis)]
    root = digest_of(records[0])
    author = Authorship(MeshId(root), first.node_id, root)
    for order, member in enumerate(members[1:], 1):
        fact = Admit(
            author, member.node_id, member.name, int(Role.BUILDER), member.certificate, order
        )
        records.append(sign_record(first.key, fact))
    return Founded(members, tuple(records))


@lru_cache(maxsize=4096)
def _member(index: int) -> Membership:
    key = NodeKey(sha256(f"simulated member {index}".encode()).digest())
    name = f"node{index}"
    return Membership(index, name, key, make_certificate(key, name))
