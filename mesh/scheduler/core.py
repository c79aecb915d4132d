"""The scheduler of one node: a victim and a thief that share the node's slots.

    input (with the time)  ->  list of effects

Every public method takes what happened and returns what is to be done; nothing is done here. After
each input the core settles: stolen backlog and own queue fill free slots, standing requests are
served, our own requests adjusted, and peers told when we begin or cease to have work to steal.
"""

from __future__ import annotations

from collections.abc import Iterable

from mesh.scheduler.config import SchedulerConfig
from mesh.scheduler.model import (
    Effect,
    RunPolicy,
    SendLoad,
    Shard,
    ShardKey,
    Verdict,
)
from mesh.scheduler.peers import PeerState
from mesh.scheduler.thief import Thief
from mesh.scheduler.victim import Victim
from mesh.types import NodeId, RunId
from mesh.wire.messages import GrantedShard, Load


class Scheduler:
    """See the module's head. `slots` of 0 makes a node that only submits."""

    def __init__(self, me: NodeId, config: SchedulerConfig) -> None:
        self._me = me
        self._config = config
        self._victim = Victim(me, config)
        self._thief = Thief(config)
        self._told_queued = 0
        self._cpu_percent = 0
        self._memory_free_mib = 0

    # -- questions ------------------------------------------------------------------------------
    def load(self) -> Load:
        """What this node says about itself."""
        return Load(
            slots=self._config.slots,
            busy=min(self._busy(), 65_535),
            queued=self._victim.queued,
            cpu_percent=self._cpu_percent,
            memory_free_mib=self._memory_free_mib,
        )

    def peer(self, node: NodeId) -> PeerState | None:
        return self._victim.peers.get(node)

    def peers(self) -> Iterable[PeerState]:
        return self._victim.peers.values()

    def key_of(self, node: NodeId, lease: int) -> ShardKey | None:
        """The shard of a lease of ours that `node` holds, or held until not long ago."""
        return self._victim.key_of(node, lease)

    def has_backlog_of(self, victim: NodeId) -> bool:
        """Whether shards stolen from `victim` still wait here."""
        return self._thief.has_backlog_of(victim)

    @property
    def stolen(self) -> int:
        return self._thief.stolen

    @property
    def duplicates(self) -> int:
        return self._victim.duplicates

    def next_timer_s(self, now_s: float) -> float:
        return min(self._victim.next_timer_s(now_s), self._thief.next_timer_s())

    # -- runs of ours ---------------------------------------------------------------------------
    def open_run(self, run: RunId, policy: RunPolicy) -> None:
        self._victim.open_run(run, policy)

    def close_run(self, run: RunId, now_s: float) -> list[Effect]:
        return self._settle(self._victim.close_run(run), now_s)

    def submit(self, shards: Iterable[Shard], now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        for shard in shards:
            effects += self._victim.submit(shard)
        return self._settle(effects, now_s)

    # -- peers ----------------------------------------------------------------------------------
    def peer_up(self, node: NodeId, load: Load, *, may_execute: bool, now_s: float) -> list[Effect]:
        self._victim.peers[node] = PeerState(node, load, may_execute=may_execute)
        return self._settle([], now_s)

    def peer_down(self, node: NodeId, now_s: float) -> list[Effect]:
        effects = self._thief.peer_down(node) + self._victim.peer_down(node)
        return self._settle(effects, now_s)

    def peer_load(self, node: NodeId, load: Load, now_s: float) -> list[Effect]:
        if (peer := self._victim.peers.get(node)) is not None:
            peer.load = load
        return self._settle([], now_s)

    def peer_rtt(self, node: NodeId, rtt_s: float) -> None:
        if (peer := self._victim.peers.get(node)) is not None:
            peer.rtt_s = rtt_s

    def peer_tools(self, node: NodeId, tools: Iterable[bytes]) -> None:
        """It says that it has these toolchains (prefixes)."""
        if (peer := self._victim.peers.get(node)) is not None:
            peer.tools = frozenset(tools)

    def machine(self, cpu_percent: int, memory_free_mib: int) -> None:
        """How busy the machine is apart from our slots."""
        self._cpu_percent, self._memory_free_mib = cpu_percent, memory_free_mib

    # -- as a victim ----------------------------------------------------------------------------
    def steal_requested(self, node: NodeId, shards: int, load: Load, now_s: float) -> list[Effect]:
        if (peer := self._victim.peers.get(node)) is None:
            return []
        peer.load, peer.demand, peer.stalled = load, shards, False
        return self._settle([], now_s)

    def renewed(self, node: NodeId, leases: tuple[int, ...], now_s: float) -> list[Effect]:
        return self._settle(self._victim.renewed(node, leases, now_s), now_s)

    def begun(self, node: NodeId, lease: int) -> None:
        """A thief says that it runs this lease of ours."""
        self._victim.begun(node, lease)

    def declined(
        self, node: NodeId, lease: int, reason: str, *, unfit: bool, now_s: float
    ) -> list[Effect]:
        return self._settle(self._victim.declined(node, lease, reason, unfit=unfit), now_s)

    def finished(
        self,
        node: NodeId,
        lease: int,
        verdict: Verdict,
        now_s: float,
        *,
        duration_s: float = 0.0,
        reason: str = "",
    ) -> list[Effect]:
        """A lease of ours ended, at a thief or in our own slots."""
        effects = self._victim.finished(
            node, lease, verdict, now_s, duration_s=duration_s, reason=reason
        )
        return self._settle(effects, now_s)

    # -- as a thief -----------------------------------------------------------------------------
    def granted(
        self, victim: NodeId, shards: tuple[GrantedShard, ...], now_s: float
    ) -> list[Effect]:
        return self._settle(self._thief.granted(victim, shards, now_s), now_s)

    def stolen_ended(
        self, victim: NodeId, lease: int, duration_s: float | None, now_s: float
    ) -> list[Effect]:
        self._thief.ended(victim, lease, duration_s)
        return self._settle([], now_s)

    def settled(self, victim: NodeId, leases: tuple[int, ...], now_s: float) -> list[Effect]:
        return self._settle(self._thief.settled(victim, leases), now_s)

    # -- time -----------------------------------------------------------------------------------
    def handle_timer(self, now_s: float) -> list[Effect]:
        return self._settle(self._victim.expire(now_s) + self._thief.renew(now_s), now_s)

    # -- settling -------------------------------------------------------------------------------
    def _busy(self) -> int:
        return self._victim.own_leases + self._thief.running

    def _free(self) -> int:
        return self._config.slots - self._busy()

    def _settle(self, effects: list[Effect], now_s: float) -> list[Effect]:
        effects += self._thief.start(self._free())
        effects += self._victim.serve(self._free(), now_s)
        effects += self._thief.ask(
            self._victim.own_leases, self._victim.waiting, self._victim.peers
        )
        queued = self._victim.queued
        if (queued > 0) != (self._told_queued > 0):
            self._told_queued = queued
            effects.append(SendLoad(self.load()))
        return effects
