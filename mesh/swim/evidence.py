"""What speaks against a member, and how statements are signed.

`Evidence` is what whoever watches a member hands to `Swim.accuse`; a sign of life that came by
another way than datagrams (a stream that carried bytes) goes to `Swim.heard`. `Signatures` is the
node's key as membership sees it: passed in, so that the core stays pure and a simulation can do
without real cryptography.
Deliberately not here: how evidence is gathered (`prober`, links), and what it leads to
(`membership`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

from mesh.types import MeshId, NodeId


class Evidence(IntEnum):
    """Why a member is accused. Part of what accusers sign, so numbers are for ever."""

    SILENT = 0
    """A probe failed: no ack, directly and through others."""
    REFUSED = 1
    """Its machine answered that nobody is there: a refused datagram that quoted our own, or a
    stream that was reset. Hard: the process is gone, unless something on the way lies."""


class Signatures(Protocol):
    """Ed25519 over statements of one mesh; the implementations prefix a context of their own."""

    @property
    def mesh_id(self) -> MeshId:
        """Bound into all that is signed: what is said in one mesh means nothing in another."""
        ...

    def sign_statement(self, data: bytes) -> bytes:
        """Our signature, 64 bytes."""
        ...

    def verify_statement(self, author: NodeId, data: bytes, signature: bytes) -> bool:
        """Whether `author` signed `data`. Never raises."""
        ...
