"""Whole meshes of sealed cores in simulated networks. The name of each test is its scenario."""

from __future__ import annotations

import attrs
import pytest

from mesh.limits import DATAGRAM_BYTES_MAX
from mesh.swim.config import LAN, LOOPBACK, WAN, SwimConfig
from mesh.swim.effects import State
from mesh.wire.messages import Load
from sim.net import Link
from sim.swim_world import SwimWorld

SEEDS = range(3)


def a_mesh(seed: int, nodes: int, config: SwimConfig = LAN, link: Link | None = None) -> SwimWorld:
    """A mesh that has converged."""
    mesh = SwimWorld(seed, nodes, config, link)
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=20), "no convergence"
    return mesh


def detection_bound_s(config: SwimConfig, nodes: int) -> float:
    """A member is probed within 2N-1 intervals, watched, accused, and the verdict is gossiped."""
    return config.detection_bound_s(nodes)


# -- joining -------------------------------------------------------------------------------------
@pytest.mark.parametrize("nodes", [2, 3, 16, 48])
def test_all_join_through_one_and_converge_within_seconds(nodes: int) -> None:
    mesh = SwimWorld(nodes, nodes)
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=3)
    assert not mesh.deaths()


@pytest.mark.parametrize("seed", SEEDS)
def test_joining_succeeds_although_a_third_of_the_datagrams_is_lost(seed: int) -> None:
    mesh = SwimWorld(seed, 6, link=Link(loss=0.33, duplication=0.1, jitter_s=0.05))
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=60)


def test_a_seed_that_starts_late_is_tried_until_it_is_there() -> None:
    mesh = SwimWorld(1, 2)
    mesh[0].crash()
    mesh[1].join(mesh[0])
    mesh.run(100)
    mesh[0].restart()
    assert mesh.run_until(mesh.converged, within_s=LAN.reconnect_backoff_max_s + 1)


# -- detection -----------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("nodes", [2, 3, 10])
def test_a_crash_is_detected_everywhere_within_the_analytic_bound(seed: int, nodes: int) -> None:
    mesh = a_mesh(seed, nodes)
    mesh.run(3)
    mesh[nodes - 1].crash()
    dead = mesh[nodes - 1]
    verdict = State.DEAD if nodes > 2 else State.UNREACHABLE  # two cannot outvote anybody
    assert mesh.run_until(lambda: mesh.agree(verdict, dead), detection_bound_s(LAN, nodes))
    mesh.run(10)
    assert {death.subject for death in mesh.deaths()} <= {dead.index}
    others = [change for change in mesh.changes if change.subject != dead.index]
    assert all(change.view.state <= State.SUSPECT for change in others)


@pytest.mark.parametrize("config", [WAN, LOOPBACK])
def test_the_other_profiles_keep_their_bound_too(config: SwimConfig) -> None:
    mesh = a_mesh(7, 5, config)
    mesh[2].crash()
    assert mesh.run_until(lambda: mesh.agree(State.DEAD, mesh[2]), detection_bound_s(config, 5))


def test_a_third_of_the_mesh_crashing_at_once_is_detected() -> None:
    mesh = a_mesh(8, 15)
    for index in range(5):
        mesh[index].crash()
    gone = mesh.nodes[:5]
    bound_s = detection_bound_s(LAN, 15) * 2
    assert mesh.run_until(lambda: all(mesh.agree(State.DEAD, node) for node in gone), bound_s)
    assert {death.subject for death in mesh.deaths()} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("seed", SEEDS)
def test_loss_of_two_percent_kills_nobody_in_three_minutes(seed: int) -> None:
    mesh = a_mesh(seed, 8, link=Link(loss=0.02, duplication=0.01, jitter_s=0.02))
    mesh.run(180)
    assert not mesh.deaths()


@pytest.mark.parametrize("seed", SEEDS)
def test_helpers_save_a_pair_that_cannot_talk(seed: int) -> None:
    mesh = a_mesh(seed, 5)
    one, two = mesh[1], mesh[2]
    mesh.network.cut(one.address, two.address)
    mesh.network.cut(two.address, one.address)
    mesh.run(120)
    assert not mesh.deaths()
    assert (one.sees(two), two.sees(one)) == (State.ALIVE, State.ALIVE)
    assert one.endpoint.counters["accused"] == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_direction_that_is_cut_kills_nobody(seed: int) -> None:
    mesh = a_mesh(seed, 5)
    mesh.network.cut(mesh[1].address, mesh[2].address)
    mesh.run(120)
    assert not mesh.deaths()


def test_a_mute_node_is_buried_and_returns_when_it_is_heard_again() -> None:
    mesh = a_mesh(4, 6)
    mute = mesh[3]
    for other in mesh.nodes:
        mesh.network.cut(mute.address, other.address)
    others = [node for node in mesh.nodes if node is not mute]
    assert mesh.run_until(lambda: mesh.agree(State.DEAD, mute, *others), detection_bound_s(LAN, 6))
    mesh.network.heal()
    assert mesh.run_until(mesh.converged, within_s=60)


# -- refutation ----------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", SEEDS)
def test_a_short_pause_is_refuted_before_the_verdict(seed: int) -> None:
    mesh = a_mesh(seed, 6)
    paused = mesh[2]
    paused.freeze()
    assert mesh.run_until(lambda: mesh[0].sees(paused) == State.SUSPECT, within_s=20)
    paused.thaw()
    assert mesh.run_until(mesh.converged, within_s=10)
    assert not mesh.deaths()
    view = mesh[0].view_of(paused)
    assert view is not None
    assert view.incarnation > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_frozen_for_a_minute_returns_and_blames_nobody(seed: int) -> None:
    mesh = a_mesh(seed, 6)
    frozen = mesh[2]
    frozen.freeze()
    mesh.run(60)
    assert mesh.agree(State.DEAD, frozen, mesh[0], mesh[1])
    frozen.thaw()
    assert mesh.run_until(mesh.converged, within_s=20)
    assert {death.subject for death in mesh.deaths()} == {frozen.index}


def test_a_mesh_that_sleeps_as_a_whole_wakes_without_deaths() -> None:
    mesh = a_mesh(6, 5)
    for node in mesh.nodes:
        node.freeze()
    mesh.run(600)
    for node in mesh.nodes:
        node.thaw()
    mesh.run(60)
    assert mesh.converged()
    assert not mesh.deaths()


# -- partitions ----------------------------------------------------------------------------------
@pytest.mark.parametrize("cut_s", [20, 75, 600])
@pytest.mark.parametrize("nodes", [2, 7])
def test_both_halves_of_a_partition_find_together_again(cut_s: int, nodes: int) -> None:
    mesh = a_mesh(cut_s, nodes)
    halves = mesh.nodes[: nodes // 2], mesh.nodes[nodes // 2 :]
    mesh.network.partition([[node.address for node in half] for half in halves])
    mesh.run(cut_s)
    mesh.network.heal()
    assert mesh.run_until(mesh.converged, within_s=LAN.reconnect_backoff_max_s + 5)


def test_healing_buries_nobody_who_is_alive() -> None:
    mesh = a_mesh(9, 10)
    mesh.network.partition([[node.address for node in mesh.nodes[:5]]])
    mesh.run(60)
    mesh.network.heal()
    healed_s = mesh.world.now_s
    mesh.run(60)
    assert mesh.converged()
    assert [death for death in mesh.deaths() if death.at_s > healed_s] == []


# -- leaving and returning -----------------------------------------------------------------------
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_who_leaves_is_never_reported_dead(seed: int, loss: float) -> None:
    mesh = a_mesh(seed, 8, link=Link(loss=loss))
    leaver = mesh[4]
    leaver.leave()
    mesh.run(3 * LAN.gossip_interval_s)
    leaver.crash()
    assert mesh.run_until(lambda: mesh.agree(State.LEFT, leaver), within_s=5)
    mesh.run(60)
    assert mesh.agree(State.LEFT, leaver)
    assert not mesh.deaths()


@pytest.mark.parametrize("before", [State.ALIVE, State.DEAD, State.LEFT])
def test_a_restart_with_a_higher_epoch_reclaims_the_membership(before: State) -> None:
    mesh = a_mesh(11, 5)
    node = mesh[3]
    first_epoch = node.epoch
    if before == State.LEFT:
        node.leave()
        mesh.run(1)
    if before == State.DEAD:
        node.crash()
        assert mesh.run_until(lambda: mesh.agree(State.DEAD, node), detection_bound_s(LAN, 5))
    node.restart()
    node.join(mesh[0])
    assert mesh.run_until(mesh.converged, within_s=5)
    view = mesh[1].view_of(node)
    assert view is not None
    assert view.epoch == node.epoch > first_epoch


def test_a_restarted_node_without_seeds_is_fetched_back_by_the_others() -> None:
    mesh = a_mesh(12, 4)
    mesh[2].crash()
    mesh.run(60)
    mesh[2].restart()
    assert mesh.run_until(mesh.converged, within_s=LAN.reconnect_backoff_max_s + 1)


def test_a_member_struck_off_the_roster_is_forgotten_and_ignored() -> None:
    mesh = a_mesh(13, 4)
    outcast = mesh[3]
    rest = mesh.nodes[:3]
    for node in rest:
        node.set_roster(mesh.roster[:3])
    assert all(node.sees(outcast) is None for node in rest)
    mesh.run(30)
    assert all(node.sees(outcast) is None for node in rest)
    assert rest[0].endpoint.counters["seal-unknown-sender"] > 0
    assert {node.endpoint.table_hash for node in rest} == {rest[0].endpoint.table_hash}


# -- load ----------------------------------------------------------------------------------------
def test_load_reaches_everybody_and_costs_no_table_repair() -> None:
    mesh = a_mesh(14, 6)
    mesh.run(5)
    repairs = mesh[0].endpoint.counters["repairs"]
    load = Load(slots=8, busy=3, queued=70_000, cpu_percent=55, memory_free_mib=9_000)
    mesh[1].endpoint.set_load(load)
    others = [node for node in mesh.nodes if node is not mesh[1]]

    def known() -> bool:
        views = [node.view_of(mesh[1]) for node in others]
        return all(view is not None and view.load == load for view in views)

    assert mesh.run_until(known, within_s=2 * LAN.probe_interval_s * len(mesh.nodes))
    assert mesh[0].endpoint.counters["repairs"] == repairs


# -- cost and determinism ------------------------------------------------------------------------
def test_no_datagram_exceeds_the_bound_however_busy_the_mesh() -> None:
    mesh = SwimWorld(15, 32, link=Link(loss=0.05))
    mesh.start_all()
    mesh.run(3)
    for node in mesh.nodes[20:]:
        node.crash()
    mesh.run(12)
    assert 1000 < mesh.network.largest_bytes <= DATAGRAM_BYTES_MAX


def test_a_quiet_mesh_costs_a_beat_and_two_thirds_of_a_probe_per_node_and_second() -> None:
    mesh = a_mesh(16, 10)
    mesh.run(10)
    before = dict(mesh.network.counters)
    mesh.run(60)
    sent = mesh.network.counters["sent"] - before["sent"]
    size_bytes = mesh.network.counters["sent-bytes"] - before["sent-bytes"]
    assert sent <= (1 / LAN.beat_interval_s + 2 / LAN.probe_interval_s) * 10 * 61
    assert size_bytes / sent < 80


def _eventful(seed: int) -> str:
    mesh = SwimWorld(seed, 6, link=Link(loss=0.1, duplication=0.1, jitter_s=0.1))
    mesh.start_all()
    mesh.run(10)
    mesh[2].crash()
    mesh[3].freeze()
    mesh.run(15)
    mesh[3].thaw()
    mesh[2].restart()
    mesh[2].join(mesh[0])
    mesh.run(15)
    return mesh.world.trace_digest()


def test_the_same_seed_gives_the_same_trace_and_another_another() -> None:
    assert _eventful(1) == _eventful(1)
    assert _eventful(1) != _eventful(2)


def test_the_analytic_bound_has_teeth() -> None:
    """A mesh whose suspicions never end does not meet the bound, so the test above can fail."""
    mesh = a_mesh(17, 4, attrs.evolve(LAN, patience_s=1000.0))
    mesh[3].crash()
    assert not mesh.run_until(lambda: mesh.agree(State.DEAD, mesh[3]), detection_bound_s(LAN, 4))
