"""What this node knows of each linked peer, as far as scheduling cares."""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs

from mesh.scheduler.model import Shard
from mesh.types import Digest, NodeId
from mesh.wire.messages import TOOLS_PREFIX_BYTES, Load

_NO_LOAD = Load(slots=0, busy=0, queued=0, cpu_percent=0, memory_free_mib=0)


@attrs.define
class PeerState:
    """Soft state; all of it may be lost without harm."""

    node: NodeId
    load: Load = _NO_LOAD
    rtt_s: float = 0.0
    demand: int = 0
    """Shards the peer would take from us now (its standing steal request)."""
    held: int = 0
    """Leases of ours it holds."""
    may_execute: bool = True
    """False for roles whose results are not accepted."""
    stalled: bool = False
    """Let a lease expire; gets nothing until it speaks again."""
    unfit: dict[Digest, str] = attrs.field(factory=dict)
    """Toolchains it does not have, with its reason."""
    tools: frozenset[bytes] = frozenset()
    """Prefixes of the toolchains that it says it has lately found."""
    warm: dict[Digest, None] = attrs.field(factory=dict)
    """Inputs it is known to hold, oldest first."""

    def free_slots(self) -> int:
        """Slots not taken by our leases or, as far as it said, by others."""
        return max(0, self.load.slots - max(self.load.busy, self.held))

    @property
    def asks(self) -> bool:
        """Whether it has left a request, and is awake."""
        return self.demand > 0 and not self.stalled

    @property
    def slots(self) -> int:
        """One at least: before it has said how many, it has one."""
        return max(1, self.load.slots)

    def share(self, waiting: int, slots: int) -> int:
        """How many more are its part, by slots, of the shards that wait and that it has."""
        return math.ceil((waiting + self.held) * self.slots / slots) - self.held

    def at_once(self) -> int:
        """Shards it would begin now. Who asks with nothing of ours in hand gets one, however busy
        it last said it was."""
        return self.free_slots() or int(self.held == 0)

    def warmth_of(self, shard: Shard) -> float:
        """Share of the shard's inputs that the peer holds, 0..1."""
        if not shard.warmth:
            return 0.0
        return sum(map(self.warm.__contains__, shard.warmth)) / len(shard.warmth)

    def has_tools_of(self, shard: Shard | None) -> bool:
        """Whether it has said so: then it need not look first."""
        return shard is not None and shard.toolchain[:TOOLS_PREFIX_BYTES] in self.tools

    def readiness_of(self, shard: Shard) -> float:
        """What it need not fetch nor look at first, 0..1: its tools weigh like all inputs."""
        return (self.warmth_of(shard) + self.has_tools_of(shard)) / 2

    def warmed_by(self, digests: Iterable[Digest], limit: int) -> None:
        self.warm.update(dict.fromkeys(digests))
        while len(self.warm) > limit:
            del self.warm[next(iter(self.warm))]

    def refuses(self, shard: Shard) -> str | None:
        """Why the peer is not offered this shard, or None."""
        if not self.may_execute:
            return "its role may not build"
        if shard.local_only:
            return "the step must run on the machine that started it"
        return self.unfit.get(shard.toolchain)
