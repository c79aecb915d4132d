"""SWIM with Lifeguard as one sans-IO state machine: the verbs, and what happens when.

    receive(sender, payload, source, now_s) -> effects     a datagram that was opened and is fresh
    handle_timer(now_s) -> effects                         when next_timer_s() has come
    join, leave, set_load, set_roster                      commands

Rules: no I/O, no clock, no randomness of its own; the sender of a payload is authenticated by
`sealed` before it comes here; nothing a peer sends raises. The driver must hand over all waiting
datagrams before it fires timers, so that late acks count. Each concern is a file: `membership`
(facts), `probe`, `relay`, `repair`, `reconnect`, `dissemination`, `suspicion`, `health`; this one
only connects them. Deliberately not here: sealing and epochs of sessions (`endpoint`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from mesh.limits import DATAGRAM_BYTES_MAX, SWIM_SEEDS_MAX
from mesh.swim import repair
from mesh.swim.choice import Rng, sample
from mesh.swim.config import SwimConfig
from mesh.swim.effects import Effect, MemberChanged, MemberView, SelfInfo, SendDatagram, State
from mesh.swim.membership import Membership, Origin
from mesh.swim.messages import (
    PAYLOAD_BYTES_MAX,
    Ack,
    Buckets,
    Delta,
    Digest,
    Fact,
    Gossip,
    Ping,
    PingFor,
    Relayed,
    prefix_of,
    size_bytes,
)
from mesh.swim.probe import Pings, Probe, ProbeOrder, smoothed_rtt_s
from mesh.swim.reconnect import Reconnector
from mesh.swim.relay import Relay, Relays
from mesh.swim.table import Member, version
from mesh.types import Address, NodeId
from mesh.wire.errors import WireError
from mesh.wire.messages import Load
from mesh.wire.schema import decode_message, encode_message

FAREWELLS_MAX = 32
"""Members told directly that we leave; in bigger meshes gossip tells the rest."""
NACK_SHARE = 0.8
"""A helper gives up after this share of the probe timeout, so that its nack arrives in time."""


class Swim:
    """One node's membership. Times are monotonic seconds of the caller's clock."""

    def __init__(self, config: SwimConfig, self_info: SelfInfo, rng: Rng) -> None:
        self._config = config
        self._info = self_info
        self._rng = rng
        self.counters: Counter[str] = Counter()
        """What was dropped, refuted, accused...: reason -> count."""
        self._facts = Membership(config, self_info, self.counters)
        self._order = ProbeOrder(rng)
        self._pings = Pings()
        self._relays = Relays()
        self._reconnector = Reconnector(config, rng)
        self._seeds: dict[NodeId, Address] = {}
        self._probe: Probe | None = None
        self._next_probe_s: float | None = None
        self._last_gossip_s = float("-inf")
        self._last_load_s = float("-inf")
        self._last_repair_s = float("-inf")
        self._load_changed = False
        self._handlers: dict[type, Callable[[NodeId, Any, Address, float], list[Effect]]] = {
            Ping: self._on_ping,
            Ack: self._on_ack,
            PingFor: self._on_ping_for,
            Relayed: self._on_relayed,
            Gossip: self._on_gossip,
            Buckets: self._on_buckets,
            Digest: self._on_digest,
            Delta: self._on_delta,
        }

    # -- commands --------------------------------------------------------------------------------
    def set_roster(self, ids: Iterable[NodeId], now_s: float) -> list[Effect]:
        """Replace who may be a member. Those struck off are reported LEFT and forgotten."""
        allowed = frozenset(ids)
        changes = self._facts.set_roster(allowed, now_s)
        for node in [seed for seed in self._seeds if seed not in allowed]:
            del self._seeds[node]
            self._reconnector.forget(node)
        return self._after(changes, now_s)

    def set_load(self, load: Load) -> None:
        """Report another load; it rides on pings from now on."""
        if load != self._facts.table.own.load:
            self._facts.set_own_load(load)
            self._load_changed = True

    def join(self, seeds: Iterable[tuple[NodeId, Address]], now_s: float) -> list[Effect]:
        """Contact members at these addresses now, and again until each has answered.

        Seeds that are not on the roster, or reachable already, are ignored.
        """
        effects: list[Effect] = []
        for node, address in seeds:
            member = self._facts.table.get(node)
            if self._facts.table.resolve(prefix_of(node)) != node:
                self.counters["seed-of-non-member"] += 1
            elif member is None or member.state >= State.DEAD:
                if len(self._seeds) < SWIM_SEEDS_MAX or node in self._seeds:
                    self._seeds[node] = address
                    self._reconnector.watch(node, now_s)
                    effects += self._introduce(node, address, now_s)
        return effects

    def leave(self, now_s: float) -> list[Effect]:
        """Tell everyone (or many) that we go. Keep running the timers for a few gossip intervals
        afterwards, so that those who missed it hear it from us again."""
        self._facts.leave()
        self._probe = self._next_probe_s = None
        self._last_gossip_s = now_s
        members = sample(self._facts.table.reachable(), FAREWELLS_MAX, self._rng)
        own = (self._facts.table.own,)
        return [self._send(member, Gossip(own)) for member in members]

    def snapshot(self) -> tuple[MemberView, ...]:
        """Ourselves first (`since_s` 0), then all others known, by node id."""
        others = sorted(self._facts.table, key=lambda member: member.node_id)
        own = self._facts.own_view(0.0)
        return (own, *(member.view() for member in others))

    @property
    def table_hash(self) -> bytes:
        """8 bytes, equal on nodes that agree about everyone."""
        return self._facts.table.hash

    # -- time ------------------------------------------------------------------------------------
    def next_timer_s(self) -> float | None:
        """When `handle_timer` must be called; None when nothing is pending."""
        times = (
            self._probe.next_s() if self._probe is not None else self._next_probe_s,
            self._facts.suspicions.next_s() if not self._facts.leaving else None,
            self._relays.next_s(),
            self._gossip_at_s(),
            self._reconnector.next_s() if not self._facts.leaving else None,
        )
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now_s: float) -> list[Effect]:
        """Do whatever is due."""
        self._forgive_own_absence(now_s)
        effects: list[Effect] = []
        if not self._facts.leaving:
            effects += self._after(self._facts.verdicts(now_s), now_s)
            effects += self._run_probe(now_s)
            effects += self._reconnect(now_s)
            self._share_load(now_s)
        for relay in self._relays.take_due(now_s):
            effects.append(self._relayed(relay, reached=False))
        effects += self._gossip(now_s)
        return effects

    def _forgive_own_absence(self, now_s: float) -> None:
        """If the probe timer fires late, we did not run (starved, stopped, asleep): others' silence
        in that time proves nothing, so what was pending gets the time back."""
        due_s = self._probe.next_s() if self._probe is not None else self._next_probe_s
        if due_s is None or now_s - due_s <= self._config.probe_timeout_s:
            return
        late_s = now_s - due_s
        self.counters["late-timer"] += 1
        self._facts.health.adjust(+1)
        self._facts.suspicions.forgive(late_s)
        if self._probe is not None:
            self._probe.forgive(late_s)

    # -- probing ---------------------------------------------------------------------------------
    def _run_probe(self, now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        probe = self._probe
        if probe is not None:
            if now_s >= probe.ends_s:
                effects += self._probe_failed(probe, now_s)
            elif now_s >= probe.direct_until_s and not probe.indirect:
                return self._ask_helpers(probe)
            else:
                return []
        if self._next_probe_s is not None and now_s >= self._next_probe_s:
            effects += self._start_probe(now_s)
        return effects

    def _start_probe(self, now_s: float) -> list[Effect]:
        candidates = {member.node_id: member for member in self._facts.table.reachable()}
        node = self._order.next(candidates)
        if node is None:
            self._next_probe_s = None
            return []
        scale = self._facts.health.scale
        number = self._pings.open(node, now_s)
        ends_s = now_s + self._config.probe_interval_s * scale
        direct_until_s = now_s + self._config.probe_timeout_s * scale
        self._probe = Probe(node, number, direct_until_s, ends_s)
        self._next_probe_s = ends_s
        return [self._ping(candidates[node], number)]

    def _ask_helpers(self, probe: Probe) -> list[Effect]:
        probe.indirect = True
        target = self._facts.table.get(probe.node)
        if target is None:
            return []
        others = [m for m in self._facts.table.reachable() if m.node_id != probe.node]
        helpers = sample(others, self._config.indirect_probes, self._rng)
        effects: list[Effect] = []
        host, port = target.address
        for helper in helpers:
            probe.helpers[helper.node_id] = False
            facts = self._facts_for(helper)
            request = PingFor(probe.number, target.fact.node, host, port, facts)
            effects.append(self._send(helper, request))
        return effects

    def _probe_failed(self, probe: Probe, now_s: float) -> list[Effect]:
        self._probe = None
        self._facts.health.adjust(probe.missed_helpers())
        member = self._facts.table.get(probe.node)
        if member is None or member.state > State.SUSPECT:
            return []
        return self._after(self._facts.accuse(member, now_s), now_s)

    def _probe_succeeded(self) -> None:
        self._probe = None  # the next one starts on time, at _next_probe_s
        self._facts.health.adjust(-1)

    # -- dissemination, reconnection, load -------------------------------------------------------
    def _gossip_at_s(self) -> float | None:
        if not self._facts.rumours.urgent or not self._facts.table.reachable():
            return None
        return self._last_gossip_s + self._config.gossip_interval_s

    def _gossip(self, now_s: float) -> list[Effect]:
        due_s = self._gossip_at_s()
        if due_s is None or now_s < due_s:
            return []
        self._last_gossip_s = now_s
        members = sample(self._facts.table.reachable(), self._config.gossip_fanout, self._rng)
        packets = ((member, self._facts_for(member)) for member in members)
        return [self._send(member, Gossip(facts)) for member, facts in packets if facts]

    def _reconnect(self, now_s: float) -> list[Effect]:
        node = self._reconnector.take_due(now_s)
        if node is None:
            return []
        self.counters["reconnect-attempt"] += 1
        member = self._facts.table.get(node)
        address = self._seeds.get(node) or (member.address if member is not None else None)
        assert address is not None, "only seeds and dead members are tried"
        return self._introduce(node, address, now_s)

    def _introduce(self, node: NodeId, address: Address, now_s: float) -> list[Effect]:
        """Ping somebody who may not know us, and tell it what we think of it."""
        member = self._facts.table.get(node)
        about = [member.fact] if member is not None else []
        facts = (self._facts.table.own, *about)
        ping = self._make_ping(self._pings.open(node, now_s), facts)
        return [SendDatagram(node, address, encode_message(ping))]

    def _share_load(self, now_s: float) -> None:
        interval_s = self._config.load_interval_s(self._facts.table.size())
        if self._load_changed and now_s - self._last_load_s >= interval_s:
            self._load_changed = False
            self._last_load_s = now_s
            self._facts.tell_own_load()

    # -- sending ---------------------------------------------------------------------------------
    def _send(self, member: Member, message: object) -> SendDatagram:
        return self._send_to(member.node_id, member.address, message)

    def _send_to(self, node: NodeId, address: Address, message: object) -> SendDatagram:
        payload = encode_message(message)
        assert len(payload) <= PAYLOAD_BYTES_MAX, "budgets in messages.py keep packets small"
        return SendDatagram(node, address, payload)

    def _ping(self, member: Member, number: int) -> SendDatagram:
        return self._send(member, self._make_ping(number, self._facts_for(member)))

    def _make_ping(self, number: int, facts: tuple[Fact, ...]) -> Ping:
        own = self._facts.table.own
        return Ping(number, self._facts.table.hash, own.load_number, own.load, facts)

    def _facts_for(self, member: Member | None) -> tuple[Fact, ...]:
        """Rumours for one packet; what is bad news about the receiver itself comes first, so that
        it can refute at once (Lifeguard's buddy system)."""
        first: list[Fact] = []
        skip = b""
        if member is not None:
            skip = member.fact.node
            if member.state != State.ALIVE:
                first.append(member.fact)
        if self._facts.leaving:
            first.append(self._facts.table.own)
        used = sum(size_bytes(fact) for fact in first)
        limit = self._config.retransmit_limit(self._facts.table.size())
        rest = self._facts.rumours.take(limit, used, skip)
        return (*first, *rest)

    def _relayed(self, relay: Relay, *, reached: bool) -> SendDatagram:
        facts = self._facts_for(self._facts.table.get(relay.asker))
        answer = Relayed(relay.asker_number, reached, facts)
        return self._send_to(relay.asker, relay.asker_address, answer)

    # -- receiving -------------------------------------------------------------------------------
    def receive(
        self, sender: NodeId, payload: bytes, source: Address, now_s: float
    ) -> list[Effect]:
        """Handle one opened datagram of a member. Whatever the bytes, it does not raise."""
        if self._facts.table.resolve(prefix_of(sender)) != sender:
            self.counters["non-member"] += 1
            return []
        if len(payload) > DATAGRAM_BYTES_MAX:
            self.counters["oversized"] += 1
            return []
        try:
            message = decode_message(payload)
        except WireError:
            self.counters["malformed"] += 1
            return []
        handler = self._handlers.get(type(message))
        if handler is None:
            self.counters["unexpected-kind"] += 1
            return []
        return handler(sender, message, source, now_s)

    def _hear(
        self, sender: NodeId, facts: Iterable[Fact], source: Address, now_s: float
    ) -> list[Effect]:
        origin = Origin(prefix_of(sender), source[0])
        changes: list[MemberChanged] = []
        for fact in facts:
            changes += self._facts.hear(fact, origin, now_s)
        return self._after(changes, now_s)

    def _hear_load(self, sender: NodeId, message: Ping | Ack, now_s: float) -> list[Effect]:
        member = self._facts.table.get(sender)
        if member is None:
            return []
        changes = self._facts.hear_load(member, message.load_number, message.load, relay=False)
        return self._after(changes, now_s)

    def _on_ping(
        self, sender: NodeId, ping: Ping, source: Address, now_s: float
    ) -> list[Effect]:
        effects = self._hear(sender, ping.facts, source, now_s)
        effects += self._hear_load(sender, ping, now_s)
        own = self._facts.table.own
        facts = self._facts_for(self._facts.table.get(sender))
        ack = Ack(ping.number, self._facts.table.hash, own.load_number, own.load, facts)
        effects.append(self._send_to(sender, source, ack))
        return effects

    def _on_ack(self, sender: NodeId, ack: Ack, source: Address, now_s: float) -> list[Effect]:
        rtt_s = self._pings.close(ack.number, sender, now_s)
        if rtt_s is None:
            self.counters["unasked-ack"] += 1
            return []
        effects = self._hear(sender, ack.facts, source, now_s)
        effects += self._hear_load(sender, ack, now_s)
        member = self._facts.table.get(sender)
        if member is not None:
            member.rtt_s = smoothed_rtt_s(member.rtt_s, rtt_s)
        if self._probe is not None and ack.number == self._probe.number:
            self._probe_succeeded()
        relay = self._relays.close(ack.number)
        if relay is not None:
            effects.append(self._relayed(relay, reached=True))
        return effects + self._start_repair(sender, source, ack.table_hash, now_s)

    def _on_ping_for(
        self, sender: NodeId, request: PingFor, source: Address, now_s: float
    ) -> list[Effect]:
        effects = self._hear(sender, request.facts, source, now_s)
        target = self._facts.table.resolve(request.target)
        if target is None or self._relays.full():
            self.counters["relay-refused"] += 1
            return effects
        number = self._pings.open(target, now_s)
        nack_at_s = now_s + self._config.probe_timeout_s * NACK_SHARE
        self._relays.open(number, Relay(sender, source, request.number, nack_at_s))
        member = self._facts.table.get(target)
        ping = self._make_ping(number, self._facts_for(member))
        address = member.address if member is not None else (request.host, request.swim_port)
        effects.append(self._send_to(target, address, ping))
        return effects

    def _on_relayed(
        self, sender: NodeId, answer: Relayed, source: Address, now_s: float
    ) -> list[Effect]:
        effects = self._hear(sender, answer.facts, source, now_s)
        probe = self._probe
        if probe is None or answer.number != probe.number or sender not in probe.helpers:
            self.counters["unasked-relay"] += not answer.reached
        elif answer.reached:
            self._probe_succeeded()
        else:
            probe.helpers[sender] = True
        return effects

    def _on_gossip(
        self, sender: NodeId, gossip: Gossip, source: Address, now_s: float
    ) -> list[Effect]:
        return self._hear(sender, gossip.facts, source, now_s)

    # -- repair ----------------------------------------------------------------------------------
    def _start_repair(
        self, peer: NodeId, address: Address, their_hash: bytes, now_s: float
    ) -> list[Effect]:
        if their_hash == self._facts.table.hash:
            return []
        if now_s - self._last_repair_s < self._config.probe_interval_s / 2:
            return []
        self._last_repair_s = now_s
        self.counters["repairs"] += 1
        return [self._send_to(peer, address, repair.opening(self._facts.table))]

    def _on_buckets(
        self, sender: NodeId, theirs: Buckets, source: Address, _now_s: float
    ) -> list[Effect]:
        digests = repair.answer_buckets(self._facts.table, theirs, self._rng)
        return [self._send_to(sender, source, digest) for digest in digests]

    def _on_digest(
        self, sender: NodeId, theirs: Digest, source: Address, _now_s: float
    ) -> list[Effect]:
        deltas = repair.answer_digest(self._facts.table, theirs)
        return [self._send_to(sender, source, delta) for delta in deltas]

    def _on_delta(
        self, sender: NodeId, delta: Delta, source: Address, now_s: float
    ) -> list[Effect]:
        origin = Origin(prefix_of(sender), source[0], repair=True)
        changes: list[MemberChanged] = []
        newer: list[Fact] = []
        for fact in delta.facts:
            changes += self._facts.hear(fact, origin, now_s)
            held = self._held(fact.node)
            if held is not None and version(held) > version(fact):
                newer.append(held)
        effects = self._after(changes, now_s)
        answers = repair.answer_want(self._facts.table, delta.want, newer)
        return effects + [self._send_to(sender, source, answer) for answer in answers]

    def _held(self, prefix: bytes) -> Fact | None:
        if prefix == self._facts.table.own.node:
            return self._facts.table.own
        node = self._facts.table.resolve(prefix)
        member = self._facts.table.get(node) if node is not None else None
        return member.fact if member is not None else None

    # -- consequences ----------------------------------------------------------------------------
    def _after(self, changes: list[MemberChanged], now_s: float) -> list[Effect]:
        """What every change of a member means for probing and reconnecting."""
        for change in changes:
            node = change.view.node_id
            if change.view.state == State.DEAD:
                self._reconnector.watch(node, now_s)
            elif self._reconnector.forget(node) and change.view.reachable:
                self._reconnector.hurry(now_s)
            if change.view.reachable:
                self._seeds.pop(node, None)
                if change.previous_state in (None, State.DEAD, State.LEFT):
                    self._order.add(node)
                if self._next_probe_s is None and not self._facts.leaving:
                    first_s = self._rng() * self._config.probe_interval_s
                    self._next_probe_s = now_s + first_s
        return list(changes)
