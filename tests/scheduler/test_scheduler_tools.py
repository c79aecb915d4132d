"""Thieves that say they have the tools come first."""

from __future__ import annotations

from mesh.scheduler import model as m
from mesh.scheduler.config import SchedulerConfig
from mesh.scheduler.core import Scheduler
from mesh.types import Digest, NodeId, RunId
from mesh.wire.messages import Load

RUN = RunId(b"run-0001")
CC, OTHER = Digest(b"c" * 32), Digest(b"o" * 32)
IDLE = Load(slots=2, busy=0, queued=0, cpu_percent=0, memory_free_mib=0)
NEAR, FAR = NodeId(bytes([1]) * 32), NodeId(bytes([2]) * 32)


def a_victim(shards: int) -> Scheduler:
    """One without slots, so that all is stolen; both thieves have asked."""
    core = Scheduler(NodeId(bytes(32)), SchedulerConfig(slots=0))
    core.open_run(RUN, m.RunPolicy())
    for peer, rtt_s in ((NEAR, 0.001), (FAR, 0.02)):
        core.peer_up(peer, IDLE, may_execute=True, now_s=0.0)
        core.peer_rtt(peer, rtt_s)
        core.steal_requested(peer, shards, IDLE, 0.0)
    return core


def shard(index: int, toolchain: Digest = CC) -> m.Shard:
    return m.Shard(key=(RUN, index), name=f"s{index}", toolchain=toolchain, rank_s=1.0)


def holders(effects: list[m.Effect]) -> dict[int, NodeId]:
    grants = [each for each in effects if isinstance(each, m.GrantOut)]
    return {lease.shard.key[1]: grant.peer for grant in grants for lease in grant.leases}


def test_the_nearest_thief_comes_first_when_nobody_has_said_anything() -> None:
    assert holders(a_victim(1).submit([shard(0)], 0.0)) == {0: NEAR}


def test_a_thief_that_has_the_tools_comes_before_a_nearer_one() -> None:
    core = a_victim(1)
    core.peer_tools(FAR, [CC[:8]])
    assert holders(core.submit([shard(0)], 0.0)) == {0: FAR}


def test_tools_of_another_kind_change_nothing() -> None:
    core = a_victim(1)
    core.peer_tools(FAR, [OTHER[:8]])
    assert holders(core.submit([shard(0)], 0.0)) == {0: NEAR}


def test_each_thief_gets_the_shards_that_it_has_the_tools_for() -> None:
    core = a_victim(1)
    core.peer_tools(NEAR, [OTHER[:8]])
    core.peer_tools(FAR, [CC[:8]])
    assert holders(core.submit([shard(0, CC), shard(1, OTHER)], 0.0)) == {0: FAR, 1: NEAR}


def test_a_thief_without_the_tools_still_gets_what_is_left() -> None:
    core = a_victim(2)
    core.peer_tools(FAR, [CC[:8]])
    got = holders(core.submit([shard(index) for index in range(4)], 0.0))
    assert set(got.values()) == {NEAR, FAR}
