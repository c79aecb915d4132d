"""What binds a join conversation together: transcript, signatures, MACs and check words.

Both sides hash every message of the conversation, in order, with the door's node id (which TLS
proved to the joiner). Whoever sits in between has another node id, hence another transcript, and
can use nothing of what it relays.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from mesh.identity.keys import NodeKey, verify
from mesh.identity.words import words_of
from mesh.types import MeshId, NodeId

CHECK_WORDS = 3
_TRANSCRIPT = b"vitte-mesh join v1\0"
_CONSENT = b"vitte-mesh join consent v1\0"
_COMMITMENT = b"vitte-mesh join commitment v1\0"
_WORDS = b"vitte-mesh check words v1\0"


class Transcript:
    """A running hash over the messages so far."""

    def __init__(self, door: NodeId) -> None:
        self._hash = sha256(_TRANSCRIPT + door)

    def feed(self, payload: bytes) -> None:
        self._hash.update(len(payload).to_bytes(4, "big") + payload)

    def sign(self, key: NodeKey) -> bytes:
        """A signature over the conversation so far, 64 bytes."""
        return key.sign(_CONSENT, self._hash.digest())

    def is_signed(self, signer: bytes, signature: bytes) -> bool:
        return verify(signer, _CONSENT, self._hash.digest(), signature)

    def mac(self, key: bytes, label: bytes, data: bytes = b"") -> bytes:
        """HMAC-SHA-256 over the conversation so far and `data`; `label` keeps uses apart."""
        return hmac.digest(key, label + b"\0" + self._hash.digest() + data, sha256)

    def is_mac(self, mac: bytes, key: bytes, label: bytes, data: bytes = b"") -> bool:
        return hmac.compare_digest(mac, self.mac(key, label, data))


def commitment(joiner: NodeId, nonce: bytes) -> bytes:
    """What the joiner sends before it knows the door's nonce, 32 bytes."""
    return sha256(_COMMITMENT + joiner + nonce).digest()


def check_words(
    mesh_id: MeshId, joiner: NodeId, door: NodeId, joiner_nonce: bytes, door_nonce: bytes
) -> tuple[str, ...]:
    """The words that people compare: 24 bits, always from the English list, so that both ends show
    the same. Neither end could choose its nonce knowing the other's, so a relay that shows two
    conversations can only hope for 1 in 16 million."""
    fields = (_WORDS, mesh_id, joiner, door, joiner_nonce, door_nonce)
    return words_of(sha256(b"".join(fields)).digest()[:CHECK_WORDS])
