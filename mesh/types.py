"""Names for the few plain values that every layer passes around.

Nothing here has behaviour; a `NodeId` is the node's Ed25519 public key itself, so that whoever can
check a signature needs no directory.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NewType

NodeId = NewType("NodeId", bytes)
"""Ed25519 public key of a node, 32 bytes."""

MeshId = NewType("MeshId", bytes)
"""SHA-256 of the genesis record, 32 bytes: the name of a mesh."""

Digest = NewType("Digest", bytes)
"""SHA-256 of some bytes, 32 bytes: the address of a blob, an action, a result."""

RunId = NewType("RunId", bytes)
"""8 random bytes chosen by the origin of a run."""

Address = tuple[str, int]
"""(host, port): an IPv4 or IPv6 literal and a TCP or UDP port."""


def is_loopback(host: str) -> bool:
    """Whether an IP literal leads back to this machine."""
    return host == "::1" or host.startswith("127.")


DIGEST_BYTES = 32


def digest_of(data: bytes) -> Digest:
    """Return the SHA-256 address of `data`."""
    return Digest(sha256(data).digest())


def short(identifier: bytes) -> str:
    """Return the first 8 hexadecimal digits: enough for people, never used to identify."""
    return identifier.hex()[:8]
