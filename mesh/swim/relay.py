"""Pings we send on behalf of others.

A relay ends with the target's ack (passed on) or, when that is late, in a vigil of our own. Whoever
asked is told nothing then: what it does goes by proofs (ADR 0014, 0015). Bounded: beyond
SWIM_RELAYS_MAX requests are refused by silence. Deliberately not here: sending.
"""

from __future__ import annotations

import attrs

from mesh.limits import SWIM_RELAYS_MAX
from mesh.swim.messages import Witness
from mesh.types import Address, NodeId


@attrs.frozen
class Relay:
    asker: NodeId
    asker_address: Address
    asker_number: int
    """The asker's number of the ping, to be repeated in the answer."""
    witness: Witness
    """What the target is to sign."""
    target: NodeId
    number: int
    """Our own ping."""
    sent_s: float
    until_s: float
    """Without an answer until then the target is silent for us, too."""


class Relays:
    """Relays by the number of our own ping to the target."""

    def __init__(self) -> None:
        self.waiting: dict[int, Relay] = {}
        """To be looked at only: empty nearly always."""
        self._late: dict[int, Relay] = {}

    def full(self) -> bool:
        return len(self.waiting) >= SWIM_RELAYS_MAX

    def open(self, number: int, relay: Relay) -> None:
        assert not self.full()
        self.waiting[number] = relay

    def again(self, number: int, relay: Relay) -> None:
        """The target was pinged once more for that asker, whose relay has ended."""
        self._late[number] = relay
        if len(self._late) > SWIM_RELAYS_MAX:
            del self._late[next(iter(self._late))]

    def close(self, number: int) -> Relay | None:
        return self.waiting.pop(number, None) or self._late.pop(number, None)

    def take_due(self, now_s: float) -> list[Relay]:
        """Remove and return the relays whose target stayed silent."""
        if not self.waiting:
            return []
        due = [number for number, relay in self.waiting.items() if relay.until_s <= now_s]
        relays = [self.waiting.pop(number) for number in due]
        for relay in relays:
            self.again(relay.number, relay)  # its answer may still come
        return relays

    def next_s(self) -> float | None:
        if not self.waiting:
            return None
        return min(relay.until_s for relay in self.waiting.values())
