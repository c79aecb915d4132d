"""Who the nodes of the simulated mesh are: keys, the mesh's name, the records that founded it.

Node 0 founds the mesh, and the first ADMINS nodes are admins, so that two can fall out with each
other. Everything is a function of the number of nodes: the same in every run and process.
Deliberately not here: what becomes of the roster (`rosters`).
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from mesh.identity.certificates import make_certificate
from mesh.identity.keys import NodeKey
from mesh.identity.records import GENESIS_VERSION, Admit, Authorship, Genesis, sign_record
from mesh.identity.roles import Role
from mesh.types import Digest, MeshId, digest_of

ADMINS = 2


@cache
def key_of(who: int | str) -> NodeKey:
    """The key of a node, by its number, or of a guest."""
    return NodeKey(sha256(f"simulated replica {who}".encode()).digest())


@cache
def certificate_of(who: int | str) -> bytes:
    return make_certificate(key_of(who), name_of(who))


def name_of(who: int | str) -> str:
    return f"node-{who}"


@cache
def genesis() -> bytes:
    nonce, founder = bytes(32), key_of(0)
    fact = Genesis(
        GENESIS_VERSION, "simulated", nonce, founder.node_id, name_of(0), certificate_of(0)
    )
    return sign_record(founder, fact)


MESH = MeshId(digest_of(genesis()))


@cache
def founding(nodes: int) -> tuple[bytes, ...]:
    """The records of a mesh of so many nodes, the genesis first."""
    author = Authorship(MESH, key_of(0).node_id, Digest(MESH))
    records = [genesis()]
    for index in range(1, nodes):
        role = Role.ADMIN if index < ADMINS else Role.BUILDER
        fact = Admit(
            author, key_of(index).node_id, name_of(index), int(role), certificate_of(index), index
        )
        records.append(sign_record(key_of(0), fact))
    return tuple(records)
