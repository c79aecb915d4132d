"""Leaves for tests of the shared state: what they said, signed, and how gateways tell it."""

from __future__ import annotations

from hashlib import sha256

import attrs

from mesh.identity.keys import NodeKey
from mesh.leaf.messages import (
    PROOF_CONTEXT,
    Event,
    EventKind,
    Proof,
    chain,
    chain_start,
    proof_text,
)
from mesh.leaf.segment import Segment, segment_of
from mesh.state.events import LeafEvents, LeafLetGo, LeafProof
from mesh.types import NodeId

TOTAL = 40


@attrs.frozen
class Chain:
    """One start of one leaf; `twist` makes another history of it, as a liar would tell it."""

    name: str = "greenhouse"
    start: int = 0
    twist: int = 0

    @property
    def key(self) -> NodeKey:
        return NodeKey(sha256(self.name.encode()).digest())

    @property
    def leaf(self) -> NodeId:
        return self.key.node_id

    @property
    def boot(self) -> bytes:
        return sha256(f"{self.name} {self.start}".encode()).digest()[:8]

    def event(self, number: int) -> Event:
        return Event(number * 10, EventKind.EMITTED, 0, 1, number + self.twist, 0)

    def events(self, first: int, end: int) -> tuple[Event, ...]:
        return tuple(self.event(number) for number in range(first, end))

    def head(self, number: int) -> bytes:
        """Of the chain before that event."""
        head = chain_start(self.boot)
        for event in self.events(0, number):
            head = chain(head, event)
        return head

    def segment(self, first: int, end: int) -> Segment:
        return segment_of(
            self.boot,
            first,
            self.head(first),
            self.events(first, end),
            order=self.start,
            started_unix_ms=1000 * self.start,
        )

    def told(self, first: int, end: int) -> LeafEvents:
        """A gateway took these."""
        piece = self.segment(first, end)
        return LeafEvents(
            self.leaf,
            self.boot,
            self.start,
            piece.started_unix_ms,
            first,
            piece.head,
            0,
            piece.packed,
        )

    def let_go(self, below: int) -> LeafLetGo:
        return LeafLetGo(self.leaf, self.boot, self.start, 1000 * self.start, below)

    def proof(self, number: int) -> LeafProof:
        """The leaf signs its chain before that event."""
        nonce, digest = bytes(16), bytes(16)
        unsigned = Proof(digest, digest, 1, number, self.head(number), b"")
        text = proof_text(nonce, self.boot, unsigned)
        signature = self.key.sign(PROOF_CONTEXT, text)
        return LeafProof(
            self.leaf, self.boot, nonce, digest, digest, 1, number, unsigned.head, signature
        )
