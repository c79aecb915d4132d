"""What the victim knows of a run of its own, and of each shard that is not settled yet."""

from __future__ import annotations

import attrs

from mesh.scheduler.model import Lease, RunPolicy, Shard
from mesh.types import NodeId

_RECENT = 32
"""Shards over which the mean duration is taken."""


@attrs.define
class RunState:
    policy: RunPolicy
    leased: int = 0
    """Distinct shards of the run in somebody's hands."""
    finished: int = 0
    mean_s: float = 0.0

    @property
    def is_within_jobs(self) -> bool:
        return self.policy.jobs == 0 or self.leased < self.policy.jobs

    def learn(self, duration_s: float) -> None:
        self.finished += 1
        self.mean_s += (duration_s - self.mean_s) / min(self.finished, _RECENT)

    def expected_s(self, shard: Shard, unknown_s: float) -> float:
        """How long a shard will take; `unknown_s` as long as nobody can know."""
        if shard.weight_s > 0:
            return shard.weight_s
        return self.mean_s if self.finished else unknown_s


@attrs.define
class Tried:
    """What has been tried for a shard that is not settled yet."""

    refusals: dict[NodeId, str] = attrs.field(factory=dict)
    faults: int = 0
    expiries: dict[NodeId, int] = attrs.field(factory=dict)

    def expired(self, lease: Lease, held_s: float, expiries_max: int) -> str:
        """Why it expired; whoever does that again and again is not offered the shard any more."""
        count = self.expiries[lease.holder] = self.expiries.get(lease.holder, 0) + 1
        if held_s >= lease.shard.held_s_max:
            self.refusals[lease.holder] = f"it held the shard for {held_s:.0f} s without an end"
            return self.refusals[lease.holder]
        if count >= expiries_max:
            self.refusals[lease.holder] = f"it let the lease expire {count} times"
        return "it stopped renewing its lease"
