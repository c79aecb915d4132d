"""The thief's side: when to ask whom for work, and what to do with what was granted.

A node with free slots leaves a standing request (`Steal`) with up to `victims_max` peers that said
they have work queued, nearest first. It asks for its free slots plus a backlog worth
`batch_window_s` per slot, measured by how long shards took lately, so that trivial shards come in
batches and long ones one by one; while it runs a long one it asks for the next. What it holds it
renews; what is declined or settled it forgets.

Not here: fetching inputs, running, signing.
"""

from __future__ import annotations

import math
from collections import deque

from mesh.limits import GRANT_SHARDS_MAX
from mesh.scheduler.config import SchedulerConfig
from mesh.scheduler.model import (
    AbortStolen,
    Effect,
    SendDecline,
    SendRenew,
    SendSteal,
    StartStolen,
)
from mesh.scheduler.peers import PeerState
from mesh.types import NodeId
from mesh.wire.messages import GrantedShard

StolenKey = tuple[NodeId, int]
"""The victim and its lease."""


class Thief:
    """Asks for work and holds what is granted."""

    def __init__(self, config: SchedulerConfig) -> None:
        self._config = config
        self._backlog: deque[tuple[NodeId, GrantedShard]] = deque()
        self._running: dict[StolenKey, GrantedShard] = {}
        self._asked: dict[NodeId, int] = {}
        self._asked_ahead: set[NodeId] = set()
        """Of whom the next was asked for while no slot was free: so it was told."""
        self._mean_s = config.unknown_weight_s
        self._next_renew_s = math.inf
        self.stolen = 0

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def backlog(self) -> int:
        return len(self._backlog)

    def has_backlog_of(self, victim: NodeId) -> bool:
        return any(node == victim for node, _ in self._backlog)

    def next_timer_s(self) -> float:
        return self._next_renew_s

    def granted(
        self, victim: NodeId, shards: tuple[GrantedShard, ...], now_s: float
    ) -> list[Effect]:
        """The victim handed these over; they wait in the backlog until a slot is free."""
        if victim in self._asked:
            self._asked[victim] = max(0, self._asked[victim] - len(shards))
        held = {shard.lease for node, shard in self._backlog if node == victim}
        held |= {lease for node, lease in self._running if node == victim}
        room = self._config.held_per_victim_max - len(held) if self._config.slots else 0
        fresh = {shard.lease: shard for shard in shards if shard.lease not in held}
        taken, beyond = list(fresh.values())[: max(0, room)], list(fresh)[max(0, room) :]
        self._backlog.extend((victim, shard) for shard in taken)
        self.stolen += len(taken)
        self._next_renew_s = min(self._next_renew_s, now_s + self._config.renew_s)
        if not beyond:
            return []
        return [SendDecline(victim, tuple(beyond), "it was granted more than it had asked for")]

    def start(self, free_slots: int) -> list[Effect]:
        """Move backlog into free slots."""
        effects: list[Effect] = []
        while free_slots > 0 and self._backlog:
            victim, shard = self._backlog.popleft()
            self._running[victim, shard.lease] = shard
            effects.append(StartStolen(victim, shard))
            free_slots -= 1
        return effects

    def ended(self, victim: NodeId, lease: int, duration_s: float | None) -> None:
        """A stolen shard ended here (`duration_s` None: it was not run to its end)."""
        self._running.pop((victim, lease), None)
        if duration_s is not None:
            self._mean_s += 0.25 * (duration_s - self._mean_s)

    def settled(self, victim: NodeId, leases: tuple[int, ...]) -> list[Effect]:
        """The victim lost interest in these."""
        gone = set(leases)
        self._backlog = deque(
            (node, shard)
            for node, shard in self._backlog
            if node != victim or shard.lease not in gone
        )
        running = [lease for lease in leases if self._running.pop((victim, lease), None)]
        return [AbortStolen(victim, lease) for lease in running]

    def peer_down(self, victim: NodeId) -> list[Effect]:
        """Nobody waits for these results any more."""
        self._asked.pop(victim, None)
        self._asked_ahead.discard(victim)
        held = {shard.lease for node, shard in self._backlog if node == victim}
        held |= {lease for node, lease in self._running if node == victim}
        return self.settled(victim, tuple(sorted(held)))

    def renew(self, now_s: float) -> list[Effect]:
        """Say that we are alive and still hold what we hold."""
        if now_s < self._next_renew_s:
            return []
        held: dict[NodeId, list[int]] = {}
        for victim, lease in self._running:
            held.setdefault(victim, []).append(lease)
        for victim, shard in self._backlog:
            held.setdefault(victim, []).append(shard.lease)
        self._next_renew_s = now_s + self._config.renew_s if held else math.inf
        return [SendRenew(victim, tuple(leases)) for victim, leases in held.items()]

    def ask(self, own_busy: int, own_waiting: int, peers: dict[NodeId, PeerState]) -> list[Effect]:
        """Leave, raise or withdraw standing requests. `own_waiting` shards of ours come first."""
        loaded = [peer for peer in peers.values() if peer.load.queued > 0]
        if not loaded and not self._asked:
            return []
        wanted = self._wanted(own_busy, own_waiting)
        running = {node for node, _ in self._running} if not wanted and not self._backlog else set()
        loaded.sort(key=lambda peer: (peer.rtt_s, peer.node))
        near = [peer.node for peer in loaded[: self._config.victims_max]]
        victims = {node: wanted or 1 for node in near if wanted or node in running}
        effects: list[Effect] = []
        for node in sorted(victims.keys() | self._asked.keys()):
            if node not in peers:
                self._asked.pop(node, None)
                self._asked_ahead.discard(node)
                continue
            effects += self._ask_one(node, victims.get(node, 0), ahead=not wanted)
        return effects

    def _wanted(self, own_busy: int, own_waiting: int) -> int:
        free = self._config.slots - own_busy - len(self._running) - own_waiting
        return max(0, min(GRANT_SHARDS_MAX, free + self._depth() - len(self._backlog)))

    def _depth(self) -> int:
        """Backlog worth having: the window's work at the pace of late, none for long shards."""
        per_slot = self._config.batch_window_s / max(self._mean_s, 1e-4)
        return min(GRANT_SHARDS_MAX, int(per_slot) * self._config.slots)

    def _ask_one(self, node: NodeId, wanted: int, *, ahead: bool) -> list[Effect]:
        standing = self._asked.get(node, 0)
        if standing and wanted and not ahead and node in self._asked_ahead:
            standing = 0  # a slot is free by now, and that is news
        self._asked_ahead.discard(node)
        if ahead and wanted:
            self._asked_ahead.add(node)
        # Restating a request that is more than half open, or topping up a backlog that is more
        # than half full, would cost a message per shard and gain nothing.
        if wanted == standing or (standing and wanted and wanted < 2 * standing):
            return []
        if wanted and not standing and self._backlog and 2 * wanted < self._depth():
            return []
        self._asked[node] = wanted
        if wanted == 0:
            del self._asked[node]
        return [SendSteal(node, wanted)]
