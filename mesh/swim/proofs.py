"""Proof that a member answered, for those who could only ask through others.

    asker:  PingFor(nonce) -> helper: Ping(witness: asker, nonce) -> member: Ack(proof) -> asker

A helper's word that a member lives would keep a dead one alive for whoever asked a liar, so words
do not count: the member signs the asker's nonce, and the helper passes that on. The nonce is the
asker's newest secret for that ping: a proof cannot be kept for later, nor used by anybody else.

Rules: only the ping that the nonce was made for is proved, once. A member signs at most
SWIM_PROOFS_PER_S_MAX a second: whoever asks for more pays with its own datagrams and gets bare
acks. Bounded by SWIM_PINGS_MAX. Deliberately not here: relays (`relay`), and what proof means
(`prober`).
"""

from __future__ import annotations

from mesh.limits import SWIM_PINGS_MAX, SWIM_PROOFS_PER_S_MAX
from mesh.swim.book import Book
from mesh.swim.choice import Rng
from mesh.swim.messages import NONCE_BYTES, Statement, Witness, prefix_of
from mesh.swim.records import Answer, parse
from mesh.types import NodeId


class Proofs:
    """Our open nonces, and our signatures for others."""

    def __init__(self, book: Book, rng: Rng) -> None:
        self._book = book
        self._rng = rng
        self._open: dict[int, tuple[NodeId, bytes]] = {}
        self._second_s = float("-inf")
        self._signed = 0

    def ask(self, number: int, subject: NodeId) -> bytes:
        """The nonce for our ping `number` of `subject`; the same for all helpers."""
        nonce = int(self._rng() * 2**53).to_bytes(NONCE_BYTES, "big")
        self._open[number] = (subject, nonce)
        if len(self._open) > SWIM_PINGS_MAX:
            del self._open[next(iter(self._open))]
        return nonce

    def forget(self, number: int) -> None:
        """That number is of another ping from now on."""
        self._open.pop(number, None)

    def awaits(self, number: int) -> bool:
        """Whether our ping `number` is still to be proved."""
        return number in self._open

    def proves(self, number: int, proof: Statement | None) -> bool:
        """Whether the member that we asked about in ping `number` signed our nonce."""
        if number not in self._open or proof is None:
            return False
        subject, nonce = self._open[number]
        if parse(proof.body) != Answer(prefix_of(subject), self._book.own_prefix, nonce):
            return False
        if not self._book.voice.genuine(subject, proof):
            return False
        del self._open[number]
        return True

    def answer(self, witness: Witness, now_s: float) -> Statement | None:
        """Our signature that we are here, for somebody who asked through another."""
        if now_s - self._second_s >= 1.0:
            self._second_s, self._signed = now_s, 0
        if self._signed >= SWIM_PROOFS_PER_S_MAX:
            self._book.counters["proofs-refused"] += 1
            return None
        self._signed += 1
        said = Answer(self._book.own_prefix, witness.asker, witness.nonce)
        return self._book.voice.say(said)
