"""Building packets: what is said, to whom, and what else fits.

Every packet that has room takes rumours along. Charges against the receiver itself come first, so
that it can refute at once (Lifeguard's buddy system). Deliberately not here: when to send.
"""

from __future__ import annotations

from mesh.swim.book import Letter
from mesh.swim.config import SwimConfig
from mesh.swim.effects import LEFT, SendDatagram
from mesh.swim.membership import Membership
from mesh.swim.messages import (
    PAYLOAD_BYTES_MAX,
    Ack,
    Beat,
    Gossip,
    Ping,
    Relayed,
    Statement,
    Witness,
    pack,
    size_bytes,
)
from mesh.swim.relay import Relay
from mesh.swim.table import Member
from mesh.types import Address, NodeId
from mesh.wire.schema import encode_message

AGAINST_MAX = 2
"""Charges that one packet shows to whom they are against: one is enough to refute, and the second
is for the case that it does not know the first accuser."""
LETTER_PACKETS_MAX = 1


class Packets:
    """Makes SendDatagram effects from what `membership` knows."""

    def __init__(self, config: SwimConfig, facts: Membership) -> None:
        self._config = config
        self._facts = facts
        self._bare_beat = Beat(round(1000 * config.beat_interval_s), ())
        self._bare_beat_bytes = encode_message(self._bare_beat)
        self.usual = {self._bare_beat_bytes: self._bare_beat}
        """By its bytes, what is nearly always heard in a beat; to be looked at only."""

    def to(self, node: NodeId, address: Address, message: object) -> SendDatagram:
        payload = encode_message(message)
        assert len(payload) <= PAYLOAD_BYTES_MAX, "budgets in messages.py keep packets small"
        return SendDatagram(node, address, payload)

    def to_member(self, member: Member, message: object) -> SendDatagram:
        return self.to(member.node_id, member.address, message)

    def ping(
        self, node: NodeId, address: Address, number: int, witness: Witness | None = None
    ) -> SendDatagram:
        """An ordinary ping with rumours."""
        member = self._facts.table.get(node)
        return self.to(node, address, self._ping(member, number, self.facts_for(member), witness))

    def introduction(self, node: NodeId, address: Address, number: int) -> SendDatagram:
        """A ping for somebody who may not know us: who we are, and what is said against it."""
        member = self._facts.table.get(node)
        facts = (self._facts.table.own.statement, *_against(member, self._config.buddy))
        return self.to(node, address, self._ping(member, number, facts))

    def ack(
        self, node: NodeId, address: Address, number: int, proof: Statement | None = None
    ) -> SendDatagram:
        member = self._facts.table.get(node)
        facts = self.facts_for(member, 0 if proof is None else size_bytes(proof))
        ack = Ack(number, self._facts.table.hash, self._facts.load_for(member), facts, proof)
        return self.to(node, address, ack)

    def beat(self, member: Member) -> SendDatagram:
        facts = self.facts_for(member)
        if not facts:
            return SendDatagram(member.node_id, member.address, self._bare_beat_bytes)
        return self.to_member(member, Beat(self._bare_beat.next_ms, facts))

    def relayed(self, relay: Relay, proof: Statement) -> SendDatagram:
        facts = self.facts_for(self._facts.table.get(relay.asker), size_bytes(proof))
        answer = Relayed(relay.asker_number, proof, facts)
        return self.to(relay.asker, relay.asker_address, answer)

    def letter(self, letter: Letter) -> SendDatagram | None:
        """Statements for one member alone; None when it is not known any more."""
        member = self._facts.table.get(letter.to)
        if member is None:
            return None
        packets = pack([letter.statements], LETTER_PACKETS_MAX)
        return self.to_member(member, Gossip(packets[0]))

    def facts_for(
        self, member: Member | None, taken_bytes: int = 0, *, riding: bool = True
    ) -> tuple[Statement, ...]:
        """What to tell `member` (None: somebody unknown) in one packet, `riding` on what is sent
        for another reason; counts as told."""
        quiet = not (self._facts.rumours.queue or self._facts.leaving)
        if quiet and member is not None and not member.charges and member.state != LEFT:
            return ()  # as nearly always
        first = _against(member, self._config.buddy)
        if self._facts.leaving or member is None:
            first.append(self._facts.table.own.statement)
        if not self._facts.rumours.queue or (riding and not self._config.piggyback):
            return tuple(first)
        used_bytes = taken_bytes + sum(map(size_bytes, first))
        limit = self._config.retransmit_limit(self._facts.table.size())
        skip = member.prefix if member is not None else b""
        return (*first, *self._facts.rumours.take(limit, used_bytes, skip))

    def _ping(
        self,
        member: Member | None,
        number: int,
        facts: tuple[Statement, ...],
        witness: Witness | None = None,
    ) -> Ping:
        load = self._facts.load_for(member)
        return Ping(number, self._facts.table.hash, load, facts, witness)


def _against(member: Member | None, buddy: bool) -> list[Statement]:
    """Charges against it, for it to refute; the newest first. Of one that left, its own words."""
    if member is None:
        return []
    if member.state == LEFT:
        return [member.statement]
    if not member.charges or not buddy:
        return []
    held = sorted(member.charges.values(), key=lambda each: -each.at_s)
    return [each.statement for each in held[:AGAINST_MAX]]
