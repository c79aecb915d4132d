"""A node's key: Ed25519, whose public half is the node's id.

Every signature is over a context prefix and the data, so that what was signed as one kind of record
can never be presented as another. The key lives in one file of 32 bytes (the RFC 8032 seed), mode
0600; there is no passphrase, because a node must start unattended.
"""

from __future__ import annotations

import attrs
from nacl.bindings import crypto_sign
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from mesh.errors import KeyUnreadable
from mesh.ports import Disk, Entropy
from mesh.types import NodeId, short

KEY_FILE = "identity/node.key"
SEED_BYTES = 32
SIGNATURE_BYTES = 64
_OTHERS_MODE = 0o077


@attrs.frozen(repr=False)
class NodeKey:
    """An Ed25519 key pair. Two with the same seed are equal."""

    seed: bytes = attrs.field()
    """The RFC 8032 private key, 32 bytes. Never printed."""
    _signing: SigningKey = attrs.field(init=False, eq=False)
    node_id: NodeId = attrs.field(init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        assert len(self.seed) == SEED_BYTES
        signing = SigningKey(self.seed)
        object.__setattr__(self, "_signing", signing)
        object.__setattr__(self, "node_id", NodeId(bytes(signing.verify_key)))

    def __repr__(self) -> str:
        return f"NodeKey({short(self.node_id)})"

    def sign(self, context: bytes, data: bytes) -> bytes:
        """The signature of `context + data`, 64 bytes."""
        return crypto_sign(context + data, self.seed + self.node_id)[:SIGNATURE_BYTES]

    def curve_private(self) -> bytes:
        """The same key for X25519 (RFC 7748), 32 bytes, for boxes between members."""
        return bytes(self._signing.to_curve25519_private_key())


def verify(node: bytes, context: bytes, data: bytes, signature: bytes) -> bool:
    """Whether `node` (an Ed25519 public key) signed `context + data`. Never raises."""
    try:
        VerifyKey(node).verify(context + data, signature)
    except (CryptoError, ValueError, TypeError):
        return False
    return True


def generate_key(entropy: Entropy) -> NodeKey:
    """A new key that is stored nowhere."""
    return NodeKey(entropy.token(SEED_BYTES))


def load_key(disk: Disk) -> NodeKey | None:
    """The node's key, or None when it has none yet. Raises KeyUnreadable."""
    seed = disk.read(KEY_FILE)
    if seed is None:
        return None
    path = disk.path(KEY_FILE)
    if len(seed) != SEED_BYTES:
        raise KeyUnreadable(path=path, why=f"it has {len(seed)} bytes instead of {SEED_BYTES}")
    if path.exists() and path.stat().st_mode & _OTHERS_MODE:
        mode = f"{path.stat().st_mode & 0o777:04o}"
        raise KeyUnreadable(path=path, why=f"others may read it (mode {mode}, must be 0600)")
    return NodeKey(seed)


def load_or_create_key(disk: Disk, entropy: Entropy) -> NodeKey:
    """The node's key, made and stored on first use. Raises KeyUnreadable."""
    key = load_key(disk)
    if key is None:
        key = generate_key(entropy)
        disk.write(KEY_FILE, key.seed, private=True)
    return key
