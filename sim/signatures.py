"""Two keys for statements of simulated nodes: one real, one that costs nothing.

`CheapSignatures` keeps the law that matters in a simulation, that who does not hold a node's key
cannot sign for it, as long as nobody in the world looks up the other's; it is what lets thousands
of nodes run. Attacks are tried with `RealSignatures`. Deliberately not here: the nodes.
"""

from __future__ import annotations

from hashlib import blake2b, sha256

from nacl import bindings
from nacl.exceptions import CryptoError

from mesh.types import MeshId, NodeId

MESH_ID = MeshId(sha256(b"simulated mesh").digest())


class CheapSignatures:
    """A keyed hash; the verifier derives the key from the author's id."""

    def __init__(self, node: NodeId, mesh_id: MeshId = MESH_ID) -> None:
        self._node = node
        self.mesh_id = mesh_id

    def sign_statement(self, data: bytes) -> bytes:
        return self._tag(self._node, data)

    def verify_statement(self, author: NodeId, data: bytes, signature: bytes) -> bool:
        return self._tag(author, data) == signature

    def _tag(self, author: NodeId, data: bytes) -> bytes:
        return blake2b(self.mesh_id + data, key=author, digest_size=64).digest()


class RealSignatures:
    """Ed25519, from the 32 bytes of a seed."""

    def __init__(self, seed: bytes, mesh_id: MeshId = MESH_ID) -> None:
        self._public, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self.mesh_id = mesh_id

    def sign_statement(self, data: bytes) -> bytes:
        signed: bytes = bindings.crypto_sign(self.mesh_id + data, self._secret)
        return signed[:64]

    def verify_statement(self, author: NodeId, data: bytes, signature: bytes) -> bool:
        try:
            bindings.crypto_sign_open(signature + self.mesh_id + data, author)
        except (CryptoError, ValueError, TypeError):
            return False
        return True
