"""Building packets: what is said, to whom, and what else fits.

Every packet that has room takes rumours along. Bad news about the receiver itself comes first, so
that it can refute at once (Lifeguard's buddy system). Deliberately not here: when to send.
"""

from __future__ import annotations

from mesh.swim.config import SwimConfig
from mesh.swim.effects import SendDatagram, State
from mesh.swim.membership import Membership
from mesh.swim.messages import PAYLOAD_BYTES_MAX, Ack, Fact, Ping, Relayed, size_bytes
from mesh.swim.relay import Relay
from mesh.swim.table import Member
from mesh.types import Address, NodeId
from mesh.wire.schema import encode_message


class Packets:
    """Makes SendDatagram effects from what `membership` knows."""

    def __init__(self, config: SwimConfig, facts: Membership) -> None:
        self._config = config
        self._facts = facts

    def to(self, node: NodeId, address: Address, message: object) -> SendDatagram:
        payload = encode_message(message)
        assert len(payload) <= PAYLOAD_BYTES_MAX, "budgets in messages.py keep packets small"
        return SendDatagram(node, address, payload)

    def to_member(self, member: Member, message: object) -> SendDatagram:
        return self.to(member.node_id, member.address, message)

    def ping(self, node: NodeId, address: Address, number: int) -> SendDatagram:
        """An ordinary ping with rumours."""
        facts = self.facts_for(self._facts.table.get(node))
        return self.to(node, address, self._ping(number, facts))

    def introduction(self, node: NodeId, address: Address, number: int) -> SendDatagram:
        """A ping for somebody who may not know us: who we are and what we think of it."""
        member = self._facts.table.get(node)
        about = () if member is None else (member.fact,)
        return self.to(node, address, self._ping(number, (self._facts.table.own, *about)))

    def ack(self, node: NodeId, address: Address, number: int) -> SendDatagram:
        own = self._facts.table.own
        facts = self.facts_for(self._facts.table.get(node))
        ack = Ack(number, self._facts.table.hash, own.load_number, own.load, facts)
        return self.to(node, address, ack)

    def relayed(self, relay: Relay, *, reached: bool) -> SendDatagram:
        facts = self.facts_for(self._facts.table.get(relay.asker))
        answer = Relayed(relay.asker_number, reached, facts)
        return self.to(relay.asker, relay.asker_address, answer)

    def facts_for(self, member: Member | None) -> tuple[Fact, ...]:
        """What to tell `member` (None: somebody unknown) in one packet; counts as told."""
        first: list[Fact] = []
        skip = b""
        if member is not None:
            skip = member.fact.node
            if member.state != State.ALIVE:
                first.append(member.fact)
        if self._facts.leaving:
            first.append(self._facts.table.own)
        used_bytes = sum(size_bytes(fact) for fact in first)
        limit = self._config.retransmit_limit(self._facts.table.size())
        return (*first, *self._facts.rumours.take(limit, used_bytes, skip))

    def _ping(self, number: int, facts: tuple[Fact, ...]) -> Ping:
        own = self._facts.table.own
        return Ping(number, self._facts.table.hash, own.load_number, own.load, facts)
