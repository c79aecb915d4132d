"""SWIM as one sans-IO state machine: the verbs, and what happens when.

    receive(sender, payload, at, now_s) -> effects         a datagram that was opened and is fresh
    handle_timer(now_s) -> effects                         when next_timer_s() has come
    join, leave, set_load, set_roster                      commands

Rules: no I/O, no clock, no randomness of its own; the sender of a payload is authenticated by
`sealed` before it comes here; nothing a peer sends raises. The driver must hand over all waiting
datagrams before it fires timers, so that late acks count. Each concern is a file: `membership`
(facts), `prober`, `spreading`, `repair`, `reconnect`, `packets`; this one connects them.
Deliberately not here: sealing and the epochs of sessions (`endpoint`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import attrs

from mesh.limits import DATAGRAM_BYTES_MAX, SWIM_SEEDS_AT_ONCE, SWIM_SEEDS_MAX
from mesh.swim import repair
from mesh.swim.choice import Rng
from mesh.swim.config import SwimConfig
from mesh.swim.dossier import Dossier, dossier_of
from mesh.swim.due import Due, is_quiet
from mesh.swim.effects import (
    AskStream,
    At,
    Effect,
    MemberChanged,
    MemberView,
    PathTrouble,
    SelfInfo,
    State,
)
from mesh.swim.evidence import Evidence, Signatures
from mesh.swim.flapping import Damper
from mesh.swim.membership import Membership, Origin
from mesh.swim.messages import (
    Ack,
    Beat,
    Buckets,
    Delta,
    Digest,
    Gossip,
    Ping,
    PingFor,
    Relayed,
    Statement,
    prefix_of,
)
from mesh.swim.packets import Packets
from mesh.swim.prober import Prober
from mesh.swim.reconnect import Reconnector
from mesh.swim.spreading import Spreader
from mesh.swim.table import Member
from mesh.types import Address, NodeId
from mesh.wire.errors import WireError
from mesh.wire.messages import Load
from mesh.wire.schema import decode_message, evolve

Handler = Callable[[NodeId, Any, At, float], list[Effect]]


class Swim:
    """One node's membership. Times are monotonic seconds of the caller's clock."""

    def __init__(
        self, config: SwimConfig, self_info: SelfInfo, signatures: Signatures, rng: Rng
    ) -> None:
        self._config = config
        self._rng = rng
        self._counters: Counter[str] = Counter()
        self._facts = Membership(config, self_info, signatures, self._counters)
        self.table = self._facts.table
        """To be looked at only."""
        self._packets = Packets(config, self._facts)
        self._prober = Prober(config, self._facts, self._packets, rng)
        self._spreader = Spreader(config, self._facts, self._packets, rng)
        self._reconnector = Reconnector(config, rng)
        self._damper = Damper(config.flap_half_life_s)
        self._own_trouble = PathTrouble.NONE
        self._now_s = 0.0
        self._seeds: dict[NodeId, Address] = {}
        self._repair_pace = repair.Pace(config)
        self._due = Due(self._facts, self._prober, self._spreader, self._damper, self._reconnector)
        self._due_s: float | None = None
        self._due_known = False
        self._handlers: dict[type, Handler] = {
            Ping: self._on_ping,
            Ack: self._on_ack,
            PingFor: self._on_ping_for,
            Relayed: self._on_relayed,
            Gossip: self._on_gossip,
            Beat: self._on_beat,
            Buckets: self._on_buckets,
            Digest: self._on_digest,
            Delta: self._on_delta,
        }

    # -- what it knows ---------------------------------------------------------------------------
    @property
    def counters(self) -> Counter[str]:
        """What was dropped, refuted, accused...: reason -> count."""
        return self._counters + self._prober.counters

    @property
    def table_hash(self) -> bytes:
        """8 bytes, equal on nodes that agree about everyone."""
        return self._facts.table.hash

    def snapshot(self) -> tuple[MemberView, ...]:
        """Ourselves first (`since_s` 0), then all others known, by node id."""
        others = sorted(self._facts.table, key=lambda member: member.node_id)
        own = attrs.evolve(self._facts.own_view(0.0), path=self._own_trouble)
        return (own, *map(self._show, others))

    def view(self, node: NodeId) -> MemberView | None:
        """One other member; None when nothing is known of it."""
        member = self._facts.table.get(node)
        return self._show(member) if member is not None else None

    def _show(self, member: Member) -> MemberView:
        node, rtt_s = member.node_id, self._rtt_s(member)
        trouble = self._prober.paths.trouble(node, self._now_s)
        unstable = self._damper.unstable(node)
        view = member.view()
        if rtt_s == view.rtt_s and trouble is PathTrouble.NONE and not unstable:
            return view
        return attrs.evolve(view, rtt_s=rtt_s, path=trouble, unstable=unstable)

    def round_trips_s(self) -> Iterator[tuple[NodeId, float]]:
        """Of every other member of which one is known, as `view` shows it."""
        for member in self._facts.table:
            rtt_s = self._rtt_s(member)
            if rtt_s is not None:
                yield member.node_id, rtt_s

    def _rtt_s(self, member: Member) -> float | None:
        if member.rtt_s is None and self._config.coordinates:
            return self._prober.place.expected_rtt_s(member.load.place)
        return member.rtt_s

    def dossier(self, node: NodeId, now_s: float) -> Dossier | None:
        """All that can be shown about a member, ourselves included; None when nothing is known."""
        own = self._facts.table.own
        member = own if node == own.node_id else self._facts.table.get(node)
        return None if member is None else dossier_of(member, self._facts.book, now_s)

    # -- commands --------------------------------------------------------------------------------
    def set_roster(self, ids: Iterable[NodeId], now_s: float) -> list[Effect]:
        """Replace who may be a member. Those struck off are reported LEFT and forgotten."""
        self._due_known = False
        allowed = frozenset(ids)
        changes = self._facts.set_roster(allowed, now_s)
        self._prober.keep_only(allowed)
        self._damper.keep_only(allowed)
        for node in [seed for seed in self._seeds if seed not in allowed]:
            del self._seeds[node]
            self._reconnector.forget(node)
        return self._after(changes, now_s)

    def set_load(self, load: Load) -> None:
        """Report another load; it rides on pings from now on."""
        own = self._facts.table.own.load
        self._spreader.set_load(evolve(load, late_ms=own.late_ms, place=own.place))

    def machine_felt(self, pressure: float, lag_s: float, now_s: float) -> None:
        """How our machine does: the share of time (0 to 1) in which some task waited for a CPU, and
        how late the event loop is. Told to others, and lengthens our own waits."""
        self._facts.health.set_pressure(pressure if self._config.pressure else 0.0)
        self._facts.health.was_late(lag_s, now_s)

    def join(self, seeds: Iterable[tuple[NodeId, Address]], now_s: float) -> list[Effect]:
        """Contact members at these addresses, the first ones now, and all again until each has
        answered. Seeds that are not on the roster, or reachable already, are ignored.
        """
        self._due_known = False
        effects: list[Effect] = []
        for node, address in seeds:
            member = self._facts.table.get(node)
            if self._facts.table.resolve(prefix_of(node)) != node:
                self._counters["seed-of-non-member"] += 1
                continue
            needed = member is None or not member.reachable
            if needed and (len(self._seeds) < SWIM_SEEDS_MAX or node in self._seeds):
                self._seeds[node] = address
                self._reconnector.watch(node, now_s)
                if len(effects) < SWIM_SEEDS_AT_ONCE:
                    effects.append(self._introduce(node, address, now_s))
        return effects

    def accuse(self, node: NodeId, evidence: Evidence, now_s: float) -> list[Effect]:
        """Take evidence against a member from outside the probes: a refused datagram that quoted
        one of ours, a stream that was reset. Nothing happens when it is unknown or gone."""
        self._due_known = False
        member = self._facts.table.get(node)
        if member is None or member.state >= State.DEAD or self._facts.leaving:
            return []
        return self._after(self._facts.cases.accuse(member, evidence, now_s), now_s)

    def refused(self, node: NodeId, address: Address, sent_s: float, now_s: float) -> list[Effect]:
        """Nobody listened at `address` when our datagram of `sent_s` for `node` came there. Means
        nothing when the member lives elsewhere, or was heard since."""
        member = self._facts.table.get(node)
        stale = member is None or member.address != address or member.heard_s > sent_s
        if stale or not self._config.refusals:
            return []
        return self.accuse(node, Evidence.REFUSED, now_s)

    def doubt(self, node: NodeId, now_s: float) -> list[Effect]:
        """Something suggests that it is gone, such as a stream that ended: probe it now."""
        self._due_known = False
        return list(self._prober.doubt(node, now_s)) if not self._facts.leaving else []

    def heard(self, node: NodeId, at_s: float) -> list[Effect]:
        """A sign of life of `at_s` that came by another way than a datagram, such as bytes on a
        stream: until something newer speaks against it, we do not vote for its death."""
        self._due_known = False
        self._prober.paths.vouched(node, at_s)
        member = self._facts.table.get(node)
        if member is None:
            return []
        member.heard_s = max(member.heard_s, at_s)
        return list(self._prober.heard(node, at_s, at_s))

    def leave(self, now_s: float) -> list[Effect]:
        """Tell everyone (or many) that we go. Keep running the timers for a few gossip intervals
        afterwards, so that those who missed it hear it from us again."""
        self._due_known = False
        self._facts.leave()
        self._prober.stop()
        return list(self._spreader.farewell(now_s))

    def next_timer_s(self) -> float | None:
        """When `handle_timer` must be called; None when nothing is pending."""
        if not self._due_known:
            self._due_s, self._due_known = self._due.find_s(), True
        return self._due_s

    def handle_timer(self, now_s: float) -> list[Effect]:
        """Do whatever is due."""
        due_s = self._due_s if self._due_known else self._due.find_s()
        self._due_known = False
        if due_s is not None and now_s - due_s > self._config.late_timer_s:
            self._facts.cases.suspicions.forgive(self._prober.forgive_absence(now_s))
        self._now_s = now_s
        self._tell_lateness(now_s)
        effects: list[Effect] = [*self._damper.take_due(now_s)] if self._damper.flaps else []
        if not self._facts.leaving:
            cases = self._facts.cases
            if cases.open or cases.suspicions.running:
                effects += self._after(cases.verdicts(now_s) + cases.reconsider(now_s), now_s)
            if self._reconnector.attempts:
                effects += self._reconnect(now_s)
        effects += self._probe(now_s)
        if self._facts.rumours.queue:
            effects += self._spreader.run(now_s)
        return effects

    def _probe(self, now_s: float) -> list[Effect]:
        done = self._prober.run(now_s)
        effects: list[Effect] = [*done.sends]
        self._own_trouble = self._prober.own_trouble(now_s)
        if not (done.watched or done.silent):
            return effects  # as nearly always
        if self._config.stream_probes:
            effects += [AskStream(node) for node in done.watched]
        if self._own_trouble is PathTrouble.MUTE:
            self._counters["accusations-withheld"] += len(done.silent)
            return effects
        for member in done.silent:
            effects += self._after(self._facts.cases.accuse(member, Evidence.SILENT, now_s), now_s)
        return effects

    def _tell_lateness(self, now_s: float) -> None:
        """Our load says how late we are and where, whoever measured the rest of it."""
        load = self._facts.table.own.load
        late_ms = self._facts.health.late_level_ms(now_s)
        if late_ms != load.late_ms and self._config.own_lateness:
            load = evolve(load, late_ms=late_ms)
            self._spreader.set_load(load)
        if self._prober.place.moved and self._config.coordinates:
            place = self._prober.place.to_tell(now_s)
            if place is not None:
                self._spreader.set_load(evolve(load, place=place))

    def _reconnect(self, now_s: float) -> list[Effect]:
        node = self._reconnector.take_due(now_s, self._facts.table.size())
        if node is None:
            return []
        self._counters["reconnect-attempt"] += 1
        member = self._facts.table.get(node)
        address = self._seeds.get(node) or (member.address if member is not None else None)
        assert address is not None, "only seeds and dead members are tried"
        return [self._introduce(node, address, now_s)]

    def _introduce(self, node: NodeId, address: Address, now_s: float) -> Effect:
        number = self._prober.pings.open(node, now_s)
        return self._packets.introduction(node, address, number)

    # -- receiving -------------------------------------------------------------------------------
    def receive(self, sender: NodeId, payload: bytes, at: At, now_s: float) -> list[Effect]:
        """Handle one opened datagram of a member. Whatever the bytes, it does not raise."""
        if sender not in self.table.roster:
            return self._drop("non-member")
        if len(payload) > DATAGRAM_BYTES_MAX:
            return self._drop("oversized")
        try:
            message = self._packets.usual.get(payload) or decode_message(payload)
        except WireError:
            return self._drop("malformed")
        handler = self._handlers.get(type(message))
        if handler is None:
            return self._drop("unexpected-kind")
        if at.arrived_s != now_s:
            self._facts.health.was_late(now_s - at.arrived_s, now_s)
            if not self._config.arrival_times:
                at = At(at.source, now_s)
        effects = handler(sender, message, at, now_s)
        if self._due_known:
            self._due_known = is_quiet(message)
        heard = self._came_from(sender, at, now_s)
        return effects + heard if heard else effects

    def _came_from(self, sender: NodeId, at: At, now_s: float) -> list[Effect]:
        """What it means that there was a datagram at all."""
        arrived_s, host = at.arrived_s, at.source[0]
        self._prober.paths.heard(sender, arrived_s)
        member = self.table.get(sender)
        if member is None:
            return []
        moved = host != member.host and self._facts.hear_from(member, host)
        if moved:
            self._due_known = False
        effects = self._after(moved, now_s) if moved else []
        if arrived_s > member.heard_s:  # noqa: PLR1730 - a third of what `max` costs
            member.heard_s = arrived_s
        return [*effects, *self._prober.heard(sender, arrived_s, now_s)]

    def _drop(self, reason: str) -> list[Effect]:
        self._counters[reason] += 1
        return []

    def _hear(
        self, facts: Sequence[Statement], sender: NodeId, at: At, now_s: float, *, old: bool = False
    ) -> list[Effect]:
        if not facts:
            return []
        origin = Origin(prefix_of(sender), at.source[0], old)
        return self._after(self._facts.hear(facts, origin, now_s), now_s)

    def _hear_contact(
        self, sender: NodeId, message: Ping | Ack, at: At, now_s: float
    ) -> list[Effect]:
        effects = self._hear(message.facts, sender, at, now_s)
        if message.load is None:
            return effects
        member = self._facts.table.get(sender)
        if member is None:
            return effects
        changes = self._facts.hear_load(member, message.load)
        return effects + self._after(changes, now_s) if changes else effects

    def _on_ping(self, sender: NodeId, ping: Ping, at: At, now_s: float) -> list[Effect]:
        empty = not ping.facts and ping.load is None  # as nearly always
        effects = [] if empty else self._hear_contact(sender, ping, at, now_s)
        proof = None if ping.witness is None else self._prober.proofs.answer(ping.witness, now_s)
        effects.append(self._packets.ack(sender, at.source, ping.number, proof))
        return effects + self._repair(sender, at.source, ping.table_hash, now_s)

    def _on_ack(self, sender: NodeId, ack: Ack, at: At, now_s: float) -> list[Effect]:
        empty = not ack.facts and ack.load is None
        effects = [] if empty else self._hear_contact(sender, ack, at, now_s)
        answers = self._prober.on_ack(sender, ack.number, ack.proof, at.arrived_s)
        if answers is None:
            return effects
        return effects + answers + self._repair(sender, at.source, ack.table_hash, now_s)

    def _on_ping_for(self, sender: NodeId, request: PingFor, at: At, now_s: float) -> list[Effect]:
        effects = self._hear(request.facts, sender, at, now_s)
        return effects + self._prober.on_ping_for(sender, request, at.source, now_s)

    def _on_relayed(self, sender: NodeId, answer: Relayed, at: At, now_s: float) -> list[Effect]:
        self._prober.on_relayed(answer, now_s)
        return self._hear(answer.facts, sender, at, now_s)

    def _on_gossip(self, sender: NodeId, gossip: Gossip, at: At, now_s: float) -> list[Effect]:
        return self._hear(gossip.facts, sender, at, now_s)

    def _on_beat(self, sender: NodeId, beat: Beat, at: At, now_s: float) -> list[Effect]:
        if self._prober.on_beat(sender, beat.next_ms / 1000, at.arrived_s, now_s):
            self._due_known = False
        return self._hear(beat.facts, sender, at, now_s) if beat.facts else []

    def _repair(
        self, peer: NodeId, address: Address, their_hash: bytes, now_s: float
    ) -> list[Effect]:
        if not self._repair_pace.may_begin(peer, self.table.hash, their_hash, now_s):
            return []
        self._counters["repairs"] += 1
        return [self._packets.to(peer, address, repair.opening(self._facts.table))]

    def _on_buckets(self, sender: NodeId, theirs: Buckets, at: At, _now_s: float) -> list[Effect]:
        digests = repair.answer_buckets(self._facts.table, theirs, self._rng)
        return [self._packets.to(sender, at.source, digest) for digest in digests]

    def _on_digest(self, sender: NodeId, theirs: Digest, at: At, _now_s: float) -> list[Effect]:
        deltas = repair.answer_digest(self._facts.table, theirs)
        return [self._packets.to(sender, at.source, delta) for delta in deltas]

    def _on_delta(self, sender: NodeId, delta: Delta, at: At, now_s: float) -> list[Effect]:
        effects = self._hear(delta.facts, sender, at, now_s, old=True)
        answers = repair.answer_delta(self._facts.table, delta)
        return effects + [self._packets.to(sender, at.source, answer) for answer in answers]

    def _after(self, changes: list[MemberChanged], now_s: float) -> list[Effect]:
        """What every change of a member means for probing and reconnecting."""
        if not (changes or self._facts.book.letters or self._facts.cases.to_check):
            return []  # as for nearly every datagram
        for change in changes:
            node = change.view.node_id
            if change.view.state in (State.UNREACHABLE, State.DEAD):
                self._reconnector.lost(node, now_s)
            elif self._reconnector.forget(node) and change.view.reachable:
                self._reconnector.hurry(now_s)
            if change.view.reachable:
                self._seeds.pop(node, None)
                before = change.previous_state
                back = before is None or before > State.SUSPECT
                if back and not self._facts.leaving:
                    self._prober.welcome(node, now_s)
        if self._config.flap_damping:
            changes = [change for change in changes if self._damper.pass_on(change, now_s)]
        return [*changes, *self._letters(), *self._look(now_s)]

    def _letters(self) -> list[Effect]:
        letters = map(self._packets.letter, self._facts.book.take_letters())
        return [letter for letter in letters if letter is not None]

    def _look(self, now_s: float) -> list[Effect]:
        """We are asked to judge: see for ourselves."""
        effects: list[Effect] = []
        for node in self._facts.cases.take_to_check():
            member = self._facts.table.get(node)
            if member is not None and not self._facts.leaving:
                effects += self._prober.look(member, now_s)
        return effects
