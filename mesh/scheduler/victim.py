"""The victim's side: whose shards they are, who holds them, and when to stop believing that.

A shard is queued, or leased (once, or twice when it straggles), or settled. Rules:

1. Our own slots and standing steal requests are served from one queue, longest way first.
2. A lease that is not renewed expires; its shard goes back to the queue. Nothing is lost by being
   wrong: the action is pure, the first finish counts, later ones are counted as duplicates.
3. A grant is sized so that what a thief hoards is worth at most `batch_window_s` per slot, and at
   most its share of what is left, so that the end of a run is spread over all.
4. While much is left a thief that runs one of ours may hold one more, however long it is: its
   files are fetched meanwhile. It is taken back when nothing else is left for a free slot.
5. A shard that nobody who is linked may run is given up with everybody's reason, unless it may run
   here.

Not here: results and their signatures (the driver checks them before it calls `finished`), inputs
and outputs, and the runs' graphs.
"""

from __future__ import annotations

import math

import attrs

from mesh.limits import GRANT_SHARDS_MAX
from mesh.scheduler.config import SchedulerConfig
from mesh.scheduler.model import (
    AbortOwn,
    Accepted,
    Duplicate,
    Effect,
    GaveUp,
    GrantOut,
    Lease,
    Mode,
    RunPolicy,
    SendSettled,
    Shard,
    ShardKey,
    StartOwn,
    Trace,
    Verdict,
)
from mesh.scheduler.peers import PeerState
from mesh.scheduler.queue import ReadyQueue
from mesh.scheduler.runs import RunState, Tried
from mesh.types import NodeId, RunId


class Victim:
    """Leases out our shards. Every method returns effects; `serve` hands out work."""

    def __init__(self, me: NodeId, config: SchedulerConfig) -> None:
        self._me = me
        self._config = config
        self._runs: dict[RunId, RunState] = {}
        self._queue = ReadyQueue(self._may_leave)
        self._leases: dict[int, Lease] = {}
        self._holders: dict[ShardKey, list[int]] = {}
        self._ahead: dict[NodeId, int] = {}
        """By holder: the lease that was granted beyond its slots, and that has not begun."""
        self._tried: dict[ShardKey, Tried] = {}
        self._retired: dict[int, tuple[ShardKey, NodeId]] = {}
        self._next_lease = config.first_lease
        self.peers: dict[NodeId, PeerState] = {}
        self.duplicates = 0
        self.own_leases = 0

    # -- questions ------------------------------------------------------------------------------
    @property
    def queued(self) -> int:
        """Shards that wait and that a peer might run."""
        return self._queue.stealable if self._below_limits() else 0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def key_of(self, node: NodeId, lease_id: int) -> ShardKey | None:
        """The shard of a lease that `node` holds, or held until not long ago."""
        lease = self._leases.get(lease_id)
        if lease is not None:
            return lease.shard.key if lease.holder == node else None
        key, holder = self._retired.get(lease_id, (None, None))
        return key if holder == node else None

    def next_timer_s(self, now_s: float) -> float:
        """When an expiry or a straggler is next due; infinity for never."""
        due = min((lease.expires_s for lease in self._leases.values()), default=math.inf)
        if not self._queue and self._leases:
            stragglers = (self._straggles_at(lease) for lease in self._leases.values())
            due = min(due, max(now_s + 0.05, min(stragglers)))
        return due

    # -- runs -----------------------------------------------------------------------------------
    def open_run(self, run: RunId, policy: RunPolicy) -> None:
        self._runs[run] = RunState(policy)

    def close_run(self, run: RunId) -> list[Effect]:
        """Forget a run: queued shards vanish, holders are told to stop."""
        for shard in [shard for shard in self._queue if shard.key[0] == run]:
            self._queue.remove(shard.key)
        effects: list[Effect] = []
        for key in [key for key in self._holders if key[0] == run]:
            effects += self._end_leases(key, keep=None)
        self._tried = {key: tried for key, tried in self._tried.items() if key[0] != run}
        self._runs.pop(run, None)
        return effects

    def submit(self, shard: Shard) -> list[Effect]:
        """A shard is ready to run somewhere."""
        assert shard.key[0] in self._runs, "submit to an open run"
        self._tried.setdefault(shard.key, Tried(dict(shard.refused_by)))
        self._queue.push(shard)
        return [Trace(shard.key, "queued"), *self._give_up_if_hopeless(shard)]

    # -- thieves --------------------------------------------------------------------------------
    def peer_down(self, node: NodeId) -> list[Effect]:
        """The link is gone: what the peer held runs elsewhere."""
        effects: list[Effect] = []
        for lease in [each for each in self._leases.values() if each.holder == node]:
            effects.append(Trace(lease.shard.key, "lost", node, "the connection ended"))
            effects += self._requeue(lease)
        self.peers.pop(node, None)
        return effects + self._review_queue()

    def renewed(self, node: NodeId, leases: tuple[int, ...], now_s: float) -> list[Effect]:
        """The thief still holds these. Answers which of them it may forget."""
        self._awake(node)
        forget = []
        for lease_id in leases:
            lease = self._leases.get(lease_id)
            if lease is None or lease.holder != node:
                forget.append(lease_id)
            else:
                self._leases[lease_id] = self._prolonged(lease, now_s)
        return [SendSettled(node, tuple(forget))] if forget else []

    def declined(self, node: NodeId, lease_id: int, reason: str, *, unfit: bool) -> list[Effect]:
        """The thief will not run it; `unfit` holds for every shard with that toolchain."""
        lease = self._leases.get(lease_id)
        if lease is None or lease.holder != node:
            return []
        peer = self.peers.get(node)
        if unfit and peer is not None:
            peer.unfit[lease.shard.toolchain] = reason
        self._tried[lease.shard.key].refusals[node] = reason
        effects: list[Effect] = [Trace(lease.shard.key, "declined", node, reason)]
        effects += self._requeue(lease)
        return effects + self._review_queue() if unfit else effects

    def begun(self, node: NodeId, lease_id: int) -> None:
        """The thief runs it."""
        if self._ahead.get(node) == lease_id:
            del self._ahead[node]

    def finished(
        self,
        node: NodeId,
        lease_id: int,
        verdict: Verdict,
        now_s: float,
        *,
        duration_s: float,
        reason: str = "",
    ) -> list[Effect]:
        """A lease ended, also one that had expired: a good late result is as good as any."""
        self._awake(node)
        lease = self._leases.get(lease_id)
        if lease is not None:  # whatever the thief says
            duration_s = min(duration_s, now_s - lease.since_s)
        key = self.key_of(node, lease_id)
        if key is None:
            return []
        if key not in self._tried:
            self.duplicates += 1
            return [Duplicate(key, node)]
        if verdict is Verdict.RETRY:
            return self._failed_there(node, lease, key, reason)
        speculative = lease.speculative if lease else False
        effects = self._end_leases(key, keep=lease_id)
        self._queue.remove(key)
        del self._tried[key]
        if verdict is Verdict.OK:
            self._runs[key[0]].learn(duration_s)
        return [Accepted(key, lease_id, node, verdict, speculative), *effects]

    def expire(self, now_s: float) -> list[Effect]:
        """Take back what was not renewed in time."""
        effects: list[Effect] = []
        for lease in [each for each in self._leases.values() if each.expires_s <= now_s]:
            peer = self.peers.get(lease.holder)
            if peer is not None:
                peer.stalled, peer.demand = True, 0
            held_s, tried = now_s - lease.since_s, self._tried[lease.shard.key]
            why = tried.expired(lease, held_s, self._config.expiries_max)
            effects.append(Trace(lease.shard.key, "expired", lease.holder, why))
            effects += self._requeue(lease)
        return effects

    def _prolonged(self, lease: Lease, now_s: float) -> Lease:
        last_s = lease.since_s + lease.shard.held_s_max
        return attrs.evolve(lease, expires_s=min(now_s + self._config.lease_s, last_s))

    # -- handing out ----------------------------------------------------------------------------
    def serve(self, free_slots: int, now_s: float) -> list[Effect]:
        """Fill our free slots and the standing requests; then stragglers."""
        effects: list[Effect] = []
        if not self._below_limits():
            return effects
        if self._ahead and not self._queue:
            effects += self._take_back(free_slots)
        while free_slots > 0 and (shard := self._queue.take(self._fits_here)) is not None:
            effects += self._start_here(shard, now_s)
            free_slots -= 1
        thieves = [each for each in self.peers.values() if each.asks]
        first = next(iter(self._queue), None)
        thieves.sort(key=lambda each: (not each.has_tools_of(first), each.rtt_s, each.node))
        slots = self._config.slots + sum(each.slots for each in thieves)
        for peer in thieves:
            if self._queue.stealable:
                effects += self._grant(peer, slots, now_s)
        if not self._queue:
            effects += self._speculate(free_slots, thieves, now_s)
        return effects

    def _grant(self, peer: PeerState, slots: int, now_s: float) -> list[Effect]:
        """`slots`: ours and those of all who ask."""
        leases: list[Lease] = []
        traces: list[Effect] = []
        share, at_once, hoard_s = peer.share(len(self._queue), slots), peer.at_once(), 0.0
        window_s = self._config.batch_window_s * peer.slots
        while peer.demand > 0 and len(leases) < GRANT_SHARDS_MAX:
            beyond_slots = len(leases) >= at_once
            if beyond_slots and (hoard_s >= window_s or len(leases) >= share):
                break
            shard = self._queue.take(lambda shard: self._fits_peer(shard, peer), peer.readiness_of)
            if shard is None:
                break
            weight_s = self._expected_s(shard)
            ahead = beyond_slots and hoard_s + weight_s > window_s
            if ahead and not self._may_hold_ahead(peer):
                self._queue.push(shard)
                break
            hoard_s += weight_s
            lease, trace = self._lease_to(peer, shard, now_s)
            leases.append(lease)
            traces.append(trace)
            if ahead:
                self._ahead[peer.node] = lease.id
        return [*traces, GrantOut(peer.node, tuple(leases))] if leases else []

    def _may_hold_ahead(self, peer: PeerState) -> bool:
        if peer.node in self._ahead or not peer.held:
            return False
        slots = self._config.slots + sum(each.slots for each in self.peers.values())
        return len(self._queue) >= self._config.ahead_queue_per_slot * slots

    def _take_back(self, free_slots: int) -> list[Effect]:
        """What waits at thieves, for slots that are free now."""
        idle = [each for each in self.peers.values() if each.asks and each.at_once()]
        effects: list[Effect] = []
        for holder, lease_id in list(self._ahead.items()):
            lease = self._leases[lease_id]
            takers = [peer for peer in idle if self._fits_peer(lease.shard, peer)]
            if free_slots and self._fits_here(lease.shard):
                free_slots -= 1
            elif takers:
                idle.remove(takers[0])
            else:
                continue
            effects += [
                Trace(lease.shard.key, "queued", holder, "taken back: a slot is free"),
                SendSettled(holder, (lease_id,)),
                *self._requeue(lease),
            ]
        return effects

    def _lease_to(
        self, peer: PeerState, shard: Shard, now_s: float, *, speculative: bool = False
    ) -> tuple[Lease, Trace]:
        warm = peer.warmth_of(shard)
        peer.demand -= 1
        peer.held += 1
        peer.warmed_by(shard.warmth, self._config.warm_digests_max)
        expires_s = now_s + self._config.lease_s
        lease = self._new_lease(shard, peer.node, now_s, expires_s, speculative=speculative)
        why = f"it asked for work; round trip {peer.rtt_s * 1000:.1f} ms, {warm:.0%} of inputs warm"
        if speculative:
            why = "a second copy, because the first takes long; " + why
        return lease, Trace(shard.key, "granted", peer.node, why)

    def _start_here(self, shard: Shard, now_s: float, *, again: bool = False) -> list[Effect]:
        lease = self._new_lease(shard, self._me, now_s, math.inf, speculative=again)
        why = "a second copy, because the first takes long" if again else "a slot was free here"
        return [Trace(shard.key, "started", self._me, why), StartOwn(lease.id, shard)]

    def _new_lease(
        self, shard: Shard, holder: NodeId, now_s: float, expires_s: float, *, speculative: bool
    ) -> Lease:
        lease = Lease(self._next_lease, shard, holder, now_s, expires_s, speculative)
        self._next_lease += 1
        self._leases[lease.id] = lease
        self.own_leases += holder == self._me
        holders = self._holders.setdefault(shard.key, [])
        if not holders:
            self._runs[shard.key[0]].leased += 1
        holders.append(lease.id)
        assert len(holders) <= 2, "a shard runs at most twice at once"
        return lease

    # -- stragglers -----------------------------------------------------------------------------
    def _speculate(self, free_slots: int, thieves: list[PeerState], now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        late = [lease for lease in self._leases.values() if self._straggles_at(lease) <= now_s]
        for lease in sorted(late, key=lambda lease: lease.since_s):
            shard = lease.shard
            policy = self._runs[shard.key[0]].policy
            if free_slots > 0 and lease.holder != self._me and policy.mode is not Mode.CLUSTER:
                effects += self._start_here(shard, now_s, again=True)
                free_slots -= 1
                continue
            for peer in (each for each in thieves if each.demand > 0 and each.at_once()):
                if peer.node != lease.holder and self._fits_peer(shard, peer):
                    second, trace = self._lease_to(peer, shard, now_s, speculative=True)
                    effects += [trace, GrantOut(peer.node, (second,))]
                    break
        return effects

    def _straggles_at(self, lease: Lease) -> float:
        """When a second copy becomes worth a free slot; infinity when it never does."""
        if not lease.shard.may_speculate or len(self._holders[lease.shard.key]) > 1:
            return math.inf
        patience_s = self._config.speculate_factor * self._expected_s(lease.shard)
        return lease.since_s + max(self._config.speculate_after_s, patience_s)

    # -- small parts ----------------------------------------------------------------------------
    def _expected_s(self, shard: Shard) -> float:
        return self._runs[shard.key[0]].expected_s(shard, self._config.unknown_weight_s)

    def _may_leave(self, shard: Shard) -> bool:
        mode = self._runs[shard.key[0]].policy.mode
        return not shard.local_only and mode is not Mode.LOCAL

    def _below_limits(self) -> bool:
        return any(run.is_within_jobs for run in self._runs.values())

    def _within_jobs(self, shard: Shard) -> bool:
        return self._runs[shard.key[0]].is_within_jobs

    def _fits_here(self, shard: Shard) -> bool:
        if self._me in self._refusals(shard):
            return False
        return self._is_for_here(shard) and self._within_jobs(shard)

    def _is_for_here(self, shard: Shard) -> bool:
        return shard.local_only or self._runs[shard.key[0]].policy.mode is not Mode.CLUSTER

    def _fits_peer(self, shard: Shard, peer: PeerState) -> bool:
        if peer.node in self._refusals(shard) or peer.refuses(shard) is not None:
            return False
        return self._may_leave(shard) and self._within_jobs(shard)

    def _refusals(self, shard: Shard) -> dict[NodeId, str]:
        tried = self._tried.get(shard.key)
        return tried.refusals if tried else {}

    def _awake(self, node: NodeId) -> None:
        peer = self.peers.get(node)
        if peer is not None:
            peer.stalled = False

    def _drop_lease(self, lease: Lease) -> None:
        del self._leases[lease.id]
        self._ahead.pop(lease.holder, None)  # it was that one, or that one begins now
        self.own_leases -= lease.holder == self._me
        self._retired[lease.id] = (lease.shard.key, lease.holder)
        while len(self._retired) > self._config.retired_leases_max:
            del self._retired[next(iter(self._retired))]
        holders = self._holders[lease.shard.key]
        holders.remove(lease.id)
        if not holders:
            del self._holders[lease.shard.key]
            self._runs[lease.shard.key[0]].leased -= 1
        peer = self.peers.get(lease.holder)
        if peer is not None:
            peer.held -= 1

    def _requeue(self, lease: Lease) -> list[Effect]:
        self._drop_lease(lease)
        key = lease.shard.key
        if key in self._holders or key not in self._tried or key in self._queue:
            return []
        self._queue.push(lease.shard)
        return self._give_up_if_hopeless(lease.shard)

    def _failed_there(
        self, node: NodeId, lease: Lease | None, key: ShardKey, reason: str
    ) -> list[Effect]:
        tried = self._tried[key]
        tried.faults += 1
        tried.refusals[node] = reason
        effects: list[Effect] = [Trace(key, "retry", node, reason)]
        if tried.faults >= self._config.attempts_max:
            return [*effects, *self._give_up(key)]
        return effects + (self._requeue(lease) if lease is not None else [])

    def _end_leases(self, key: ShardKey, keep: int | None) -> list[Effect]:
        effects: list[Effect] = []
        for lease_id in list(self._holders.get(key, ())):
            lease = self._leases[lease_id]
            self._drop_lease(lease)
            if lease_id == keep:
                continue
            own = lease.holder == self._me
            effects.append(AbortOwn(lease_id) if own else SendSettled(lease.holder, (lease_id,)))
        return effects

    def _give_up(self, key: ShardKey) -> list[Effect]:
        effects = self._end_leases(key, keep=None)
        self._queue.remove(key)
        tried = self._tried.pop(key)
        return [*effects, GaveUp(key, tuple(tried.refusals.items()))]

    def _give_up_if_hopeless(self, shard: Shard) -> list[Effect]:
        """Cluster-only shards that every linked peer refuses; elsewhere our own slots remain."""
        refusals = self._refusals(shard)
        if self._is_for_here(shard) and self._me not in refusals:
            return []
        reasons = dict(refusals)
        for peer in self.peers.values():
            reason = peer.refuses(shard) or refusals.get(peer.node)
            if reason is None:
                return []
            reasons[peer.node] = reason
        tried = self._tried[shard.key]
        tried.refusals.update(reasons)
        return self._give_up(shard.key)

    def _review_queue(self) -> list[Effect]:
        """A link or a tool is gone: what nobody is left for is given up."""
        effects: list[Effect] = []
        for shard in list(self._queue):
            if shard.key in self._queue:
                effects += self._give_up_if_hopeless(shard)
        return effects
