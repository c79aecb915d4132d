"""Which of our datagrams a port unreachable quotes: anybody can forge one, nobody can guess this.

Rules: a notice counts only when it quotes the header and the first bytes of the seal of a datagram
that we sent to that address a moment ago; each datagram is refused once. The counter in the header
starts at a random number and the seal looks random, so that only who saw the datagram can quote
it. Bounded: SWIM_REFUSABLE_MAX are remembered at most, the newest half of them always.
Deliberately not here: what a refusal means (`core`, `membership`), how it arrives (ports).
"""

from __future__ import annotations

import attrs

from mesh.limits import SWIM_REFUSABLE_MAX, SWIM_REFUSAL_S
from mesh.swim.sealed import HEADER_BYTES
from mesh.types import Address, NodeId

QUOTE_BYTES = HEADER_BYTES + 16
"""IPv4 obliges routers to quote 8 bytes, which prove nothing; all systems of today quote more."""


@attrs.frozen
class Sent:
    """A datagram that may still be refused."""

    node: NodeId
    address: Address
    sent_s: float


class Refusable:
    """The newest datagrams that we sent."""

    def __init__(self) -> None:
        self._new: dict[bytes, tuple[NodeId, Address, float]] = {}
        self._old: dict[bytes, tuple[NodeId, Address, float]] = {}

    def sent(self, datagram: bytes, node: NodeId, address: Address, now_s: float) -> None:
        self._new[datagram[:QUOTE_BYTES]] = (node, address, now_s)
        if len(self._new) >= SWIM_REFUSABLE_MAX // 2:
            self._new, self._old = {}, self._new

    def match(self, to: Address, quoted: bytes, now_s: float) -> Sent | None:
        """The datagram that was refused; None when the notice proves nothing."""
        quote = quoted[:QUOTE_BYTES]
        known = self._new.pop(quote, None) or self._old.pop(quote, None)
        sent = Sent(*known) if known is not None else None
        if sent is None or sent.address != to or now_s - sent.sent_s > SWIM_REFUSAL_S:
            return None
        return sent
