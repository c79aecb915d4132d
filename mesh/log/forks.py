"""Proofs that a writer signed two histories: two signed headers with the same parent.

    fork = [header_a: bstr, signature_a: bstr, header_b: bstr, signature_b: bstr]

Rules
- Proof is only what has one parent and one place: two headers that merely overlap could be honest
  ones of which one was cut differently. An honest node signs on top of its own newest header and
  never returns to an old epoch, so it cannot make such a pair, whatever it is restored from.
- A proof certifies itself and is checked by anybody, offline, with two signatures. Of one feed the
  lowest place counts; which of several proofs of that place one holds makes no difference.

Not here: what is done about it (`log`), and what it costs the writer (`mesh.state`).
"""

from __future__ import annotations

import attrs

from mesh.identity.keys import SIGNATURE_BYTES
from mesh.limits import LOG_HEADER_BYTES_MAX
from mesh.log.frame import SignedHeader, open_header
from mesh.log.model import FeedId
from mesh.wire.errors import WireError
from mesh.wire.schema import blob, decode_struct, encode_struct, fixed, struct

FORK_BYTES_MAX = 2 * (LOG_HEADER_BYTES_MAX + SIGNATURE_BYTES + 6)


@struct
class ForkRecord:
    """A proof as it travels. The header of the lower digest comes first."""

    header_a: bytes = blob(LOG_HEADER_BYTES_MAX)
    signature_a: bytes = fixed(SIGNATURE_BYTES)
    header_b: bytes = blob(LOG_HEADER_BYTES_MAX)
    signature_b: bytes = fixed(SIGNATURE_BYTES)


@attrs.frozen
class ForkProof:
    """Two headers of one feed with one parent. `check` says whether it is a proof."""

    a: SignedHeader
    b: SignedHeader

    @property
    def feed(self) -> FeedId:
        return self.a.feed

    @property
    def seq(self) -> int:
        """The lowest place of which there are two histories."""
        return self.a.seq

    def encode(self) -> bytes:
        a, b = self.a, self.b
        return encode_struct(ForkRecord(a.data, a.signature, b.data, b.signature))

    def check(self) -> None:
        """Raises WireError("fork") when the two are no fork, or WireError("signature")."""
        a, b = self.a, self.b
        if a.feed != b.feed or a.header.mesh != b.header.mesh:
            raise WireError("fork", "two feeds")
        if a.seq != b.seq or a.header.prev != b.header.prev:
            raise WireError("fork", "two parents")
        if a.digest >= b.digest:
            raise WireError("fork", "one header, or in the wrong order")
        a.verify()
        b.verify()


def fork_of(one: SignedHeader, other: SignedHeader) -> ForkProof:
    """The pair in its one order."""
    return ForkProof(one, other) if one.digest < other.digest else ForkProof(other, one)


def decode_fork(data: bytes) -> ForkProof:
    """Decode a proof; its structure only. Raises WireError."""
    record = decode_struct(ForkRecord, data)
    return ForkProof(
        open_header(record.header_a, record.signature_a),
        open_header(record.header_b, record.signature_b),
    )


def verify_fork(data: bytes) -> ForkProof:
    """Decode and check a proof, offline. Raises WireError."""
    proof = decode_fork(data)
    proof.check()
    return proof
