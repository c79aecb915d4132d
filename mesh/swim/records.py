"""The kinds of signed statements: what a node says of itself, and what it says of others.

    Record       the subject's own: its epoch, incarnation, addresses, whether it has left
    Charge       an accuser's: this member, in this epoch and incarnation, is silent (or refused);
                 as a vote: ... and its time to refute has run out
    Answer       the subject's own, to one asker: I am here (see `proofs`)

A statement's body is one tag byte and the encoded struct; the signature is over the received bytes,
nothing is ever re-encoded. Every body begins with its author's prefix, at the same place, so that a
flood in the name of strangers is refused before anything is decoded.
Deliberately not here: loads (they change too fast to be signed and passed on: every node tells its
own, in pings and acks, which the seal proves), signing (`voice`), and what a statement changes
(`membership`, `cases`).
"""

from __future__ import annotations

from functools import lru_cache

from mesh.swim.messages import EPOCH_MAX, INCARNATION_MAX, NONCE_BYTES, PREFIX_BYTES
from mesh.wire.errors import WireError
from mesh.wire.schema import (
    boolean,
    decode_struct,
    encode_struct,
    fixed,
    struct,
    text,
    uint,
)

_AUTHOR = slice(3, 3 + PREFIX_BYTES)
"""Behind the tag, the array's head and the byte string's."""
PARSED_KEPT = 4096


@struct
class Record:
    """What a node says of itself. Ordered by (epoch, incarnation, left)."""

    node: bytes = fixed(PREFIX_BYTES)
    epoch: int = uint(EPOCH_MAX)
    """Wall-clock milliseconds at the subject's start, made monotone: one start, one epoch."""
    incarnation: int = uint(INCARNATION_MAX)
    """Raised by the subject alone, to refute."""
    left: bool = boolean()
    """Its last word in this epoch."""
    host: str = text(64)
    """IP literal; empty: where its datagrams come from."""
    swim_port: int = uint(65_535)
    peer_port: int = uint(65_535)
    join_port: int = uint(65_535)

    @property
    def version(self) -> tuple[int, int, bool]:
        return (self.epoch, self.incarnation, self.left)


@struct
class Charge:
    """What an accuser says of a member; it means nothing in another epoch or incarnation."""

    accuser: bytes = fixed(PREFIX_BYTES)
    subject: bytes = fixed(PREFIX_BYTES)
    epoch: int = uint(EPOCH_MAX)
    incarnation: int = uint(INCARNATION_MAX)
    evidence: int = uint(1)
    """An `Evidence`."""
    vote: bool = boolean()
    """The accuser has waited for a refutation as long as it must, and none came."""

    @property
    def weight(self) -> tuple[bool, int]:
        """Of two charges of one accuser the greater replaces the other."""
        return (self.vote, self.evidence)


@struct
class Answer:
    """A node says to whoever asked through others that it is here. Not gossiped."""

    node: bytes = fixed(PREFIX_BYTES)
    asker: bytes = fixed(PREFIX_BYTES)
    nonce: bytes = fixed(NONCE_BYTES)
    """The asker's, for one ping."""


Body = Record | Charge | Answer
_CLASSES: dict[int, type[Body]] = {1: Record, 2: Charge, 3: Answer}
_TAGS = {cls: bytes([tag]) for tag, cls in _CLASSES.items()}


def body_of(said: Body) -> bytes:
    """The bytes that are signed and sent."""
    return _TAGS[type(said)] + encode_struct(said)


def author_of(body: bytes) -> bytes:
    """The prefix of whoever must have signed it; garbage for garbage."""
    return body[_AUTHOR]


@lru_cache(maxsize=PARSED_KEPT)
def parse(body: bytes) -> Body | None:
    """The statement, or None when it is none. Cached, because gossip repeats itself."""
    cls = _CLASSES.get(body[0]) if body else None
    if cls is None:
        return None
    try:
        return decode_struct(cls, body[1:])
    except WireError:
        return None
