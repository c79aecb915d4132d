"""Probing: one member per interval, directly, then through others; and helping others probe.

    ping -> ack                                          well
    ping -> nothing -> PingFor to k others -> Relayed    well, but not for us directly
    ping -> nothing -> no proof                          watched (`vigil`): pinged on, by us and by
                                                         the helpers; who stays silent is accused

Rules: waits come from `timing`; time in which we did not run is given back (`forgive_absence`);
whatever arrives from a member ends what waits for it.
Deliberately not here: what an accusation means (`membership`), and pings that nobody judges
(`core`, for joining and reconnecting).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

import attrs

from mesh.limits import SWIM_PROBES_MAX
from mesh.swim.beats import Beats
from mesh.swim.choice import NEVER_S, Rng, sample, sooner
from mesh.swim.config import SwimConfig
from mesh.swim.coordinates import Place
from mesh.swim.effects import NO_TROUBLE, PathTrouble, SendDatagram, State
from mesh.swim.membership import Membership
from mesh.swim.messages import PingFor, Relayed, Statement, Witness, prefix_of
from mesh.swim.packets import Packets
from mesh.swim.paths import Paths
from mesh.swim.probe import Pings, Probe, ProbeOrder
from mesh.swim.proofs import Proofs
from mesh.swim.relay import Relay, Relays
from mesh.swim.table import Member
from mesh.swim.timing import Timing, told_late_s
from mesh.swim.vigil import Vigil, Vigils
from mesh.types import Address, NodeId

HELP_FACTOR = 1.5
"""Helpers get this many probe timeouts: their round trip to the member, and ours to them."""

HURRY = 0.5
"""The next probe comes so much sooner while nobody has answered: it may be us who are cut off."""


@attrs.define
class Round:
    """What one run of the timers led to."""

    sends: list[SendDatagram]
    watched: list[NodeId]
    """Vigils that begin: other ways to reach these members may be tried."""
    silent: list[Member]
    """Vigils that ended without a sign of life."""


class Prober:
    """Everything about pings that are under way."""

    def __init__(self, config: SwimConfig, facts: Membership, packets: Packets, rng: Rng) -> None:
        self._config = config
        self._facts = facts
        self._packets = packets
        self._rng = rng
        self._order = ProbeOrder(rng)
        self._relays = Relays()
        self._probes: dict[int, Probe] = {}
        self._next_s = NEVER_S
        self.timing = Timing(config)
        self.vigils = Vigils()
        self.paths = Paths(config.reconnect_backoff_max_s)
        self.place = Place(rng)
        self.pings = Pings()
        self.beats = Beats(config, facts.table, rng)
        self.proofs = Proofs(facts.book, rng)
        self.counters: Counter[str] = Counter()

    # -- when ------------------------------------------------------------------------------------
    def next_timer_s(self) -> float:
        """NEVER_S when nothing is pending."""
        due_s, beats_s = self._own_s(), self.beats.due_s
        if beats_s < due_s:  # noqa: PLR1730 - a third of what `min` costs
            due_s = beats_s
        if self._relays.waiting and (other_s := self._relays.next_s()) is not None:
            due_s = sooner(due_s, other_s)
        return due_s

    def _own_s(self) -> float:
        due_s = self._next_s
        if self.vigils.running and (vigils_s := self.vigils.next_s()) is not None:
            due_s = sooner(due_s, vigils_s)
        if self._probes:
            for probe in self._probes.values():
                due_s = sooner(due_s, probe.next_s())
        return due_s

    def welcome(self, node: NodeId, now_s: float) -> None:
        """A member to be probed from now on."""
        self._order.add(node)
        self.beats.begin(now_s)
        if self._next_s == NEVER_S:  # a random phase, so that nodes do not probe in step
            self._next_s = now_s + self._rng() * self._config.probe_interval_s

    def stop(self) -> None:
        """Judge nobody any more."""
        self._next_s = NEVER_S
        self._probes.clear()
        self.vigils.clear()
        self.beats.stop()

    def forgive_absence(self, now_s: float) -> float:
        """If our timer fires late, we did not run (starved, stopped, asleep) and others' silence in
        that time proves nothing: who is judged gets it back. Returns how long it was, 0 for not."""
        due_s = self._own_s()
        if now_s - due_s <= self._config.late_timer_s:
            return 0.0
        late_s = now_s - due_s
        for probe in self._probes.values():
            probe.forgive(late_s)
        self.vigils.forgive(late_s)
        self.beats.forgive(late_s)
        self._facts.health.was_late(late_s, now_s)
        self.counters["late-timer"] += 1
        return late_s

    def keep_only(self, ids: Container[NodeId]) -> None:
        """Forget whoever is no member any more."""
        self.timing.keep_only(ids)
        self.paths.keep_only(ids)
        self.beats.keep_only(ids)

    def own_trouble(self, now_s: float) -> PathTrouble:
        """Whether we seem to be mute or deaf."""
        return self.paths.own_trouble(now_s) if self._config.one_way else NO_TROUBLE

    # -- our own probes --------------------------------------------------------------------------
    def run(self, now_s: float) -> Round:
        """Do what is due."""
        done = Round([], [], [])
        if self._relays.waiting:
            for relay in self._relays.take_due(now_s):
                self._watch_for(relay, now_s, done)
        if self._probes:
            self._go_on(now_s, done)
        if self.vigils.running:
            self._keep_vigils(now_s, done)
        if now_s >= self.beats.due_s:
            done.sends += self._beat(now_s)
        if now_s >= self._next_s:
            done.sends += self._start(now_s)
        return done

    def _go_on(self, now_s: float, done: Round) -> None:
        """With the probes under way."""
        for probe in list(self._probes.values()):
            if now_s >= probe.ends_s:
                self._fail(probe, now_s, done)
            elif now_s >= probe.direct_until_s and not probe.indirect:
                done.sends += self._ask_helpers(probe, now_s)

    def _beat(self, now_s: float) -> list[SendDatagram]:
        sends: list[SendDatagram] = []
        for node in self.beats.take_missed(now_s):
            self.counters["beats-missed"] += 1
            sends += self.doubt(node, now_s)
        successor = self.beats.take_due(now_s)
        return sends if successor is None else [*sends, self._packets.beat(successor)]

    def on_beat(self, sender: NodeId, within_s: float, arrived_s: float, now_s: float) -> bool:
        """It says when its next beat comes at the latest. Whether we are due at another time."""
        member = self._facts.table.get(sender)
        if member is None:
            return False
        late_s = told_late_s(member) + self._own_late_s(now_s)
        return self.beats.heard(sender, within_s, late_s, arrived_s)

    def doubt(self, node: NodeId, now_s: float) -> list[SendDatagram]:
        """Probe `node` now: something else suggests that it is gone."""
        member = self._facts.table.get(node)
        if member is None or not member.reachable:
            return []
        return self._probe(member, now_s)

    def _start(self, now_s: float) -> list[SendDatagram]:
        hurry = HURRY if self.paths.in_doubt else 1.0
        self._next_s = now_s + self._config.probe_interval_s * hurry
        node = self._order.next(self._facts.table.reachable_ids)
        member = None if node is None else self._facts.table.get(node)
        if member is None:
            self._next_s = NEVER_S
            return []
        return self._probe(member, now_s)

    def _probe(self, member: Member, now_s: float) -> list[SendDatagram]:
        node = member.node_id
        if node in self.vigils.running or len(self._probes) >= SWIM_PROBES_MAX:
            return []  # it is pinged as it is
        number = self._open(node, now_s)
        wait_s = self.timing.probe_timeout_s(member, self._own_late_s(now_s), now_s)
        ends_s = now_s + wait_s * (1 + HELP_FACTOR)
        self._probes[number] = Probe(node, number, now_s, now_s + wait_s, ends_s)
        return [self._packets.ping(node, member.address, number)]

    def _ask_helpers(self, probe: Probe, now_s: float) -> list[SendDatagram]:
        probe.indirect = True
        target = self._facts.table.get(probe.node)
        if target is None:
            return []
        self.counters["helpers-asked"] += 1
        nonce = self.proofs.ask(probe.number, probe.node)
        sends: list[SendDatagram] = []
        for helper in self._choose_helpers(probe.node, now_s):
            facts = self._packets.facts_for(helper)
            request = PingFor(probe.number, nonce, target.prefix, *target.address, facts)
            sends.append(self._packets.to_member(helper, request))
        return sends

    def _choose_helpers(self, node: NodeId, now_s: float) -> list[Member]:
        """Its judges, so that they have seen for themselves if it comes to that; then others."""
        judges = set(self._facts.judges(node, now_s))
        others = [m for m in self._facts.table.reachable() if m.node_id != node]
        chosen = sample(others, len(others), self._rng)
        chosen.sort(key=lambda member: member.node_id not in judges)
        return chosen[: self._config.indirect_probes]

    def _fail(self, probe: Probe, now_s: float, done: Round) -> None:
        del self._probes[probe.number]
        self._watch(probe.node, probe.number, probe.sent_s, now_s, done)

    def _open(self, node: NodeId, now_s: float) -> int:
        """Number a ping that we expect to be answered."""
        self.paths.pinged(node, now_s)
        number = self.pings.open(node, now_s)
        self.proofs.forget(number)
        return number

    # -- vigils ----------------------------------------------------------------------------------
    def _watch(self, node: NodeId, number: int, since_s: float, now_s: float, done: Round) -> None:
        member = self._facts.table.get(node)
        if member is None or not member.reachable or member.heard_s > since_s:
            return
        patience_s = self.timing.patience_s(member, self._own_late_s(now_s))
        # Whoever runs late was waited for before others were asked: its vigil is not over already.
        counted_from_s = max(since_s, now_s - self._config.probe_timeout_s * (1 + HELP_FACTOR))
        if self.vigils.begin(node, number, since_s, counted_from_s, patience_s):
            self.counters["vigils"] += 1
            done.watched.append(node)

    def look(self, member: Member, now_s: float) -> list[SendDatagram]:
        """Somebody accuses it and we are to judge: ping it now, and watch it from now on."""
        number = self._open(member.node_id, now_s)
        patience_s = self.timing.patience_s(member, self._own_late_s(now_s))
        self.vigils.begin(member.node_id, number, now_s, now_s, patience_s)
        return [self._packets.ping(member.node_id, member.address, number)]

    def _keep_vigils(self, now_s: float, done: Round) -> None:
        for vigil in self.vigils.due(now_s):
            member = self._facts.table.get(vigil.node)
            if member is None or member.state >= State.DEAD:
                self.vigils.stop(vigil.node)
                continue
            # Meanwhile we may have learnt that it runs late, or that we do.
            patience_s = self.timing.patience_s(member, self._own_late_s(now_s))
            if self.vigils.over(vigil, patience_s, now_s):
                done.silent.append(member)
        for vigil in self.vigils.due_pings(now_s):
            done.sends += self._ping_again(vigil, now_s)

    def _own_late_s(self, now_s: float) -> float:
        return self._facts.health.late_s(now_s) if self._config.own_lateness else 0.0

    def _ping_again(self, vigil: Vigil, now_s: float) -> list[SendDatagram]:
        member = self._facts.table.get(vigil.node)
        if member is None:
            self.vigils.stop(vigil.node)
            return []
        if vigil.askers:  # one of them in turn gets its proof, if this is answered
            return [self._ask_for(vigil.askers[vigil.pings % len(vigil.askers)], now_s, vigil)]
        number = self._open(vigil.node, now_s)
        vigil.pinged(number, now_s)
        return [self._packets.ping(vigil.node, member.address, number)]

    def _ask_for(self, relay: Relay, now_s: float, vigil: Vigil | None = None) -> SendDatagram:
        """Ping a target once more, so that the asker gets its proof."""
        member = self._facts.table.get(relay.target)
        assert member is not None, "only members are watched"
        number = self._open(relay.target, now_s)
        self._relays.again(number, relay)
        if vigil is not None:
            vigil.pinged(number, now_s)
        return self._packets.ping(relay.target, member.address, number, relay.witness)

    def heard(self, node: NodeId, at_s: float, now_s: float) -> list[SendDatagram]:
        """Something that `node` sent arrived here at `at_s`, by whatever way."""
        if self._probes:
            self._end_probes(node, at_s)
        vigil = self.vigils.heard(node, at_s) if self.vigils.running else None
        return [] if vigil is None else self._end_vigil(vigil, now_s)

    # Functions of their own, because a function with a comprehension in it is a slower one.
    def _end_vigil(self, vigil: Vigil, now_s: float) -> list[SendDatagram]:
        self.counters["vigils-in-vain"] += 1
        if self._facts.table.get(vigil.node) is None:
            return []
        return [self._ask_for(relay, now_s) for relay in vigil.askers]

    def _end_probes(self, node: NodeId, at_s: float) -> None:
        """Those before `at_s`."""
        for probe in [p for p in self._probes.values() if p.node == node and at_s > p.sent_s]:
            del self._probes[probe.number]

    # -- answers ---------------------------------------------------------------------------------
    def on_ack(
        self, sender: NodeId, number: int, proof: Statement | None, arrived_s: float
    ) -> list[SendDatagram] | None:
        """Take an ack; None when it answers no ping of ours."""
        rtt_s = self.pings.close(number, sender, arrived_s)
        if rtt_s is None:
            self.counters["unasked-ack"] += 1
            return None
        mean_s = self.timing.measured(sender, rtt_s, arrived_s)
        self.paths.answered(sender, arrived_s)
        member = self._facts.table.get(sender)
        if member is not None:
            member.rtt_s = mean_s
            self.place.measured(member.load.place, rtt_s)
        relay = self._relays.close(number)
        if relay is None or proof is None:
            return []
        self.vigils.answered(sender, relay)
        return [self._packets.relayed(relay, proof)]

    def on_relayed(self, answer: Relayed, now_s: float) -> None:
        probe = self._probes.get(answer.number)
        if not self.proofs.awaits(answer.number):
            self.counters["late-relay"] += 1
        elif not self.proofs.proves(answer.number, answer.proof):
            self.counters["relay-unproved"] += 1
        elif probe is not None:
            del self._probes[probe.number]
            self.paths.vouched(probe.node, now_s)
        elif (vigil := self.vigils.vouched(answer.number)) is not None:
            self.paths.vouched(vigil.node, now_s)
        else:
            self.counters["late-relay"] += 1

    # -- probes for others -----------------------------------------------------------------------
    def on_ping_for(
        self, sender: NodeId, request: PingFor, source: Address, now_s: float
    ) -> list[SendDatagram]:
        target = self._facts.table.resolve(request.target)
        if target is None or self._relays.full():
            self.counters["relay-refused"] += 1
            return []
        number = self.pings.open(target, now_s)
        member = self._facts.table.get(target)
        wait_s = self._config.probe_timeout_s
        if member is not None:
            wait_s = self.timing.probe_timeout_s(member, self._own_late_s(now_s), now_s)
        until_s = now_s + wait_s
        witness = Witness(prefix_of(sender), request.nonce)
        relay = Relay(sender, source, request.number, witness, target, number, now_s, until_s)
        self._relays.open(number, relay)
        address = member.address if member is not None else (request.host, request.swim_port)
        return [self._packets.ping(target, address, number, witness)]

    def _watch_for(self, relay: Relay, now_s: float, done: Round) -> None:
        """The target is silent for us, too: watch it from our own ping on, for whoever asked."""
        self._watch(relay.target, relay.number, relay.sent_s, now_s, done)
        self.vigils.ask(relay.target, relay)
