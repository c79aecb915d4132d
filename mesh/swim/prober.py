"""Probing: one member per interval, directly, then through others; and helping others probe.

    ping -> ack                                          well
    ping -> nothing -> PingFor to k others -> Relayed    well, but not for us directly
    ping -> nothing -> nacks or nothing -> interval ends: `run` names the member that failed

Rules: intervals and timeouts are stretched by our own health; only one probe is judged at a time;
time in which we did not run is given back (`forgive_absence`). Deliberately not here: what failing
means (`membership`), and pings that nobody judges (`core`, for joining and reconnecting).
"""

from __future__ import annotations

from collections import Counter

from mesh.swim.choice import Rng, sample
from mesh.swim.config import SwimConfig
from mesh.swim.effects import SendDatagram
from mesh.swim.membership import Membership
from mesh.swim.messages import PingFor, Relayed
from mesh.swim.packets import Packets
from mesh.swim.probe import Pings, Probe, ProbeOrder, smoothed_rtt_s
from mesh.swim.relay import Relay, Relays
from mesh.swim.table import Member
from mesh.types import Address, NodeId

NACK_SHARE = 0.8
"""A helper gives up after this share of the probe timeout, so that its nack arrives in time."""


class Prober:
    """Everything about pings that are under way."""

    def __init__(self, config: SwimConfig, facts: Membership, packets: Packets, rng: Rng) -> None:
        self._config = config
        self._facts = facts
        self._packets = packets
        self._rng = rng
        self._order = ProbeOrder(rng)
        self._relays = Relays()
        self._probe: Probe | None = None
        self._next_s: float | None = None
        self.pings = Pings()
        self.counters: Counter[str] = Counter()

    # -- when ------------------------------------------------------------------------------------
    def next_timer_s(self) -> float | None:
        times = (self._own_s(), self._relays.next_s())
        return min((time for time in times if time is not None), default=None)

    def _own_s(self) -> float | None:
        return self._probe.next_s() if self._probe is not None else self._next_s

    def welcome(self, node: NodeId, now_s: float) -> None:
        """A member to be probed from now on."""
        self._order.add(node)
        if self._next_s is None:  # a random phase, so that nodes do not probe in step
            self._next_s = now_s + self._rng() * self._config.probe_interval_s

    def stop(self) -> None:
        """Judge nobody any more."""
        self._probe = self._next_s = None

    def forgive_absence(self, now_s: float) -> float:
        """If our timer fires late, we did not run (starved, stopped, asleep) and others' silence in
        that time proves nothing: the probe gets it back. Returns how long it was, 0 for not."""
        due_s = self._own_s()
        if due_s is None or now_s - due_s <= self._config.probe_timeout_s:
            return 0.0
        late_s = now_s - due_s
        if self._probe is not None:
            self._probe.forgive(late_s)
        self._facts.health.adjust(+1)
        self.counters["late-timer"] += 1
        return late_s

    # -- our own probes --------------------------------------------------------------------------
    def run(self, now_s: float) -> tuple[list[SendDatagram], Member | None]:
        """Do what is due; also returns the member whose probe failed, if one did."""
        sends = [self._packets.relayed(r, reached=False) for r in self._relays.take_due(now_s)]
        probe, failed = self._probe, None
        if probe is not None and now_s < probe.ends_s:
            if now_s >= probe.direct_until_s and not probe.indirect:
                sends += self._ask_helpers(probe)
            return sends, None
        if probe is not None:
            failed = self._fail(probe)
        if self._next_s is not None and now_s >= self._next_s:
            sends += self._start(now_s)
        return sends, failed

    def _start(self, now_s: float) -> list[SendDatagram]:
        candidates = {member.node_id: member for member in self._facts.table.reachable()}
        node = self._order.next(candidates)
        if node is None:
            self._next_s = None
            return []
        scale = self._facts.health.scale
        number = self.pings.open(node, now_s)
        ends_s = now_s + self._config.probe_interval_s * scale
        self._probe = Probe(node, number, now_s + self._config.probe_timeout_s * scale, ends_s)
        self._next_s = ends_s
        return [self._packets.ping(node, candidates[node].address, number)]

    def _ask_helpers(self, probe: Probe) -> list[SendDatagram]:
        probe.indirect = True
        target = self._facts.table.get(probe.node)
        if target is None:
            return []
        others = [m for m in self._facts.table.reachable() if m.node_id != probe.node]
        sends: list[SendDatagram] = []
        for helper in sample(others, self._config.indirect_probes, self._rng):
            probe.helpers[helper.node_id] = False
            facts = self._packets.facts_for(helper)
            request = PingFor(probe.number, target.fact.node, *target.address, facts)
            sends.append(self._packets.to_member(helper, request))
        return sends

    def _fail(self, probe: Probe) -> Member | None:
        self._probe = None
        self._facts.health.adjust(probe.missed_helpers())
        member = self._facts.table.get(probe.node)
        if member is None or member not in self._facts.table.reachable():
            return None
        return member

    def _succeed(self) -> None:
        self._probe = None  # the next one starts on time, at _next_s
        self._facts.health.adjust(-1)

    # -- answers ---------------------------------------------------------------------------------
    def on_ack(self, sender: NodeId, number: int, now_s: float) -> list[SendDatagram] | None:
        """Take an ack; None when it answers no ping of ours."""
        rtt_s = self.pings.close(number, sender, now_s)
        if rtt_s is None:
            self.counters["unasked-ack"] += 1
            return None
        member = self._facts.table.get(sender)
        if member is not None:
            member.rtt_s = smoothed_rtt_s(member.rtt_s, rtt_s)
        if self._probe is not None and number == self._probe.number:
            self._succeed()
        relay = self._relays.close(number)
        return [] if relay is None else [self._packets.relayed(relay, reached=True)]

    def on_relayed(self, sender: NodeId, answer: Relayed) -> None:
        probe = self._probe
        if probe is None or answer.number != probe.number or sender not in probe.helpers:
            self.counters["late-relay"] += 1
        elif answer.reached:
            self._succeed()
        else:
            probe.helpers[sender] = True

    # -- probes for others -----------------------------------------------------------------------
    def on_ping_for(
        self, sender: NodeId, request: PingFor, source: Address, now_s: float
    ) -> list[SendDatagram]:
        target = self._facts.table.resolve(request.target)
        if target is None or self._relays.full():
            self.counters["relay-refused"] += 1
            return []
        number = self.pings.open(target, now_s)
        nack_at_s = now_s + self._config.probe_timeout_s * NACK_SHARE
        self._relays.open(number, Relay(sender, source, request.number, nack_at_s))
        member = self._facts.table.get(target)
        address = member.address if member is not None else (request.host, request.swim_port)
        return [self._packets.ping(target, address, number)]
