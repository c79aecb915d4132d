"""Oracles that look into nodes and datagrams: what they must see, and what they must not mind."""

from __future__ import annotations

from hashlib import sha256

import attrs
import pytest

from mesh.identity.keys import NodeKey
from mesh.scheduler import model as m
from mesh.scheduler.config import SchedulerConfig
from mesh.scheduler.core import Scheduler
from mesh.swim.sealed import Sealer, SealerConfig
from mesh.types import Digest, NodeId, RunId
from mesh.wire.messages import Load
from sim.oracles.builds import Leases
from sim.oracles.model import Finding
from sim.oracles.sealed import OnlyWhatWasSent
from sim.scenario.model import Scenario
from sim.scenario.play import Director, PlayConfig, play
from sim.scenario.profiles import Wish, draw
from sim.stage.membership import MembershipStage

RUN = RunId(b"run-0001")
IDLE = Load(slots=2, busy=0, queued=0, cpu_percent=0, memory_free_mib=0)
PAIR = Scenario(seed=1, nodes=2)


class OneScheduler(MembershipStage):
    """A stage on which node 0 gives work to node 1."""

    def __init__(self) -> None:
        super().__init__(PAIR)
        self.core = Scheduler(self.node_id(0), SchedulerConfig(slots=1))

    def scheduler(self, node: int) -> Scheduler | None:
        return self.core if node == 0 else None


@pytest.fixture
def lending() -> OneScheduler:
    """Node 0 runs one shard itself, and node 1 has two."""
    stage = OneScheduler()
    core, thief = stage.core, stage.node_id(1)
    core.peer_up(thief, IDLE, may_execute=True, now_s=0.0)
    core.steal_requested(thief, 2, IDLE, 0.0)
    core.open_run(RUN, m.RunPolicy())
    tools = Digest(bytes(32))
    shards = [m.Shard(key=(RUN, i), name=f"{i}", toolchain=tools, rank_s=1.0) for i in range(3)]
    core.submit(shards, 0.0)
    return stage


def said_of(stage: OneScheduler) -> list[Finding]:
    findings: list[Finding] = []
    Leases(stage, PAIR, findings.append).sampled()
    return findings


def test_shards_in_the_hands_of_who_is_linked_are_right(lending: OneScheduler) -> None:
    peer = lending.core.peer(lending.node_id(1))
    assert peer is not None
    assert peer.held == 2
    assert not said_of(lending)


def test_shards_that_came_back_when_a_link_ended_are_right(lending: OneScheduler) -> None:
    lending.core.peer_down(lending.node_id(1), 1.0)
    assert not said_of(lending)


def test_shards_in_the_hands_of_who_is_gone_are_seen(lending: OneScheduler) -> None:
    del lending.core._victim.peers[lending.node_id(1)]
    assert [(each.oracle, each.text.split()[0]) for each in said_of(lending)] == [("stranded", "2")]


def test_shards_that_are_not_counted_are_seen(lending: OneScheduler) -> None:
    thief = lending.node_id(1)
    lending.core.peer_up(thief, IDLE, may_execute=True, now_s=1.0)  # as if it were new
    assert [each.oracle for each in said_of(lending)] == ["stranded"]


def sealed(key: NodeKey, to: NodeId, epoch: int, number: int) -> bytes:
    """A datagram of that key in that epoch."""
    sealer = Sealer(SealerConfig(key.node_id, key.curve_private(), epoch, number))
    sealer.set_members([to])
    datagram = sealer.seal(to, b"")
    assert datagram is not None
    return datagram


@pytest.mark.parametrize(("epochs", "alarms"), [((7, 7, 8), 0), ((7, 8, 7), 1)])
def test_a_datagram_of_an_earlier_life_of_its_sender_is_not_to_be_believed(
    epochs: tuple[int, ...], alarms: int
) -> None:
    stage, findings = MembershipStage(PAIR), list[Finding]()
    oracle = OnlyWhatWasSent(stage, PAIR, findings.append)
    key = NodeKey(sha256(b"sender").digest())
    for number, epoch in enumerate(epochs):
        datagram = sealed(key, stage.node_id(0), epoch, number)
        stage.network.taps[-1](datagram, stage.address(1), stage.address(0))
        oracle.opened(0, datagram, fresh=True)
    assert [each.oracle for each in findings] == ["believed-forgery"] * alarms


def test_the_last_crash_is_of_a_row_of_the_ring_now_and_then() -> None:
    directors: list[Director] = []
    for seed in range(5, 20):
        wish = draw(Wish(seed, "calm", 8))
        calm = attrs.evolve(wish, phases=attrs.evolve(wish.phases, chaos_s=1.0, settle_s=1.0))
        outcome = play(calm, PlayConfig(prepare=(directors.append,)))
        assert outcome.ok, outcome.findings
        if len(directors[-1]._canaries) > 1:
            break
    director = directors[-1]
    ring = sorted(range(8), key=director.stage.node_id)
    places = [ring.index(each) for each in director._canaries]
    assert [(places[0] - place) % 8 for place in places] == [0, 1, 2]
