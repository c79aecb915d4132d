"""Scenarios of time: starved machines, late mail, cuts of all lengths, crashes in lossy networks.

The names are those under which other systems test the same; see the decision on adaptive failure
detection. The grid of starved machines and its numbers are a bench; these are its smallest cells.
"""

from __future__ import annotations

from statistics import median

import attrs
import pytest

from mesh.swim.config import LAN, SwimConfig
from mesh.swim.effects import State
from sim.net import ANY, Link
from sim.swim_world import SwimNode, SwimWorld

GONE = (State.DEAD, State.UNREACHABLE)


def a_mesh(seed: int, nodes: int, link: Link | None = None, config: SwimConfig = LAN) -> SwimWorld:
    mesh = SwimWorld(seed, nodes, config, link)
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=20), "no convergence"
    mesh.run(3)
    return mesh


def starve(mesh: SwimWorld, nodes: list[SwimNode]) -> None:
    """Their mail is read 0.5 to 2.5 s late, in order."""
    rng = mesh.world.rng("starvation")
    for node in nodes:
        node.host.starved = lambda: 0.5 + 2 * rng.random()


def gone_for_all(mesh: SwimWorld, subject: SwimNode) -> bool:
    running = [node for node in mesh.nodes if node is not subject and node.host.running]
    return all(node.sees(subject) in GONE for node in running)


# -- detection -------------------------------------------------------------------------------------
def test_a_silent_crash_in_a_network_that_loses_one_percent_is_soon_known() -> None:
    took_s: list[float] = []
    for seed in range(7):
        mesh = a_mesh(seed, 16, Link(loss=0.01))
        victim = mesh[9]
        victim.crash()
        start_s = mesh.world.now_s
        assert mesh.run_until(lambda m=mesh, v=victim: gone_for_all(m, v), within_s=20)  # type: ignore[misc]
        took_s.append(mesh.world.now_s - start_s)
        assert {death.subject for death in mesh.deaths()} <= {victim.index}
    assert median(took_s) <= 4.5


def test_fixed_timeouts_find_it_later_so_the_adaptive_ones_have_an_effect() -> None:
    plain = attrs.evolve(LAN, adaptive_timeouts=False)
    slow, fast = a_mesh(1, 8, config=plain), a_mesh(1, 8)
    took_s: list[float] = []
    for mesh in (slow, fast):
        mesh[5].crash()
        start_s = mesh.world.now_s
        assert mesh.run_until(lambda m=mesh: gone_for_all(m, m[5]), within_s=30)  # type: ignore[misc]
        took_s.append(mesh.world.now_s - start_s)
    assert took_s[1] < took_s[0]


# -- starvation ------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(2))
def test_five_starved_nodes_of_thirty_kill_nobody_and_are_not_killed(seed: int) -> None:
    mesh = a_mesh(seed, 30, Link(loss=0.03))
    starve(mesh, mesh.nodes[3:8])
    mesh.run(40)
    assert not mesh.deaths()
    late_ms = [node.endpoint.snapshot()[0].load.late_ms for node in mesh.nodes[3:8]]
    assert all(late > 0 for late in late_ms), "they say that they are late"


def test_a_build_farm_that_is_starved_as_a_whole_kills_nobody_and_still_finds_a_crash() -> None:
    mesh = a_mesh(3, 16, Link(loss=0.01))
    starve(mesh, mesh.nodes)
    mesh.run(40)
    assert not mesh.deaths()
    mesh[7].crash()
    assert mesh.run_until(lambda: gone_for_all(mesh, mesh[7]), within_s=60)
    assert {death.subject for death in mesh.deaths()} <= {7}


def test_a_starved_node_that_crashes_is_found_within_six_times_the_patience() -> None:
    mesh = a_mesh(4, 10)
    starve(mesh, [mesh[6]])
    mesh.run(20)
    mesh[6].crash()
    probed_s = (2 * 10 + 1) * LAN.probe_interval_s
    within_s = probed_s + 2 * LAN.patience_s * LAN.patience_factor_max
    assert mesh.run_until(lambda: gone_for_all(mesh, mesh[6]), within_s)


def test_acks_read_late_but_received_in_time_count() -> None:
    """One node reads late: the others' answers had arrived, so it accuses none of them."""
    mesh = a_mesh(5, 8)
    starve(mesh, [mesh[2]])
    mesh.run(40)
    assert mesh[2].endpoint.counters["accused"] == 0
    assert not mesh.deaths()


# -- healing ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("cut_s", [20, 75, 600])
def test_a_partition_of_any_length_heals_in_two_seconds_without_seeds(cut_s: int) -> None:
    took_s: list[float] = []
    for seed in range(3 if cut_s < 100 else 1):
        mesh = a_mesh(seed, 8)
        fault = mesh.network.partition([[node.address[0] for node in mesh.nodes[:4]]])
        mesh.run(cut_s)
        fault.undo()
        start_s = mesh.world.now_s
        assert mesh.run_until(mesh.converged, within_s=10)
        took_s.append(mesh.world.now_s - start_s)
    assert median(took_s) <= 2


def test_faulty_network_stability_with_half_of_the_datagrams_lost() -> None:
    mesh = a_mesh(7, 6)
    mesh.network.link = Link(loss=0.5)
    mesh.run(30)
    mesh.network.link = Link()
    assert mesh.run_until(mesh.converged, within_s=15)


def test_a_partition_that_comes_twice_heals_twice() -> None:
    mesh = a_mesh(8, 6)
    for _ in range(2):
        fault = mesh.network.partition([[node.address[0] for node in mesh.nodes[:3]]])
        mesh.run(15)
        fault.undo()
        assert mesh.run_until(mesh.converged, within_s=10)


def test_restarted_members_on_the_same_addresses_are_the_same_members() -> None:
    mesh = a_mesh(9, 6)
    for node in mesh.nodes[2:5]:
        node.restart()
        node.join(mesh[0])
    assert mesh.run_until(mesh.converged, within_s=5)
    assert not mesh.deaths()


def test_everybody_joins_while_others_crash() -> None:
    mesh = SwimWorld(10, 14)
    for node in mesh.nodes[1:10]:
        node.join(mesh[0])
    mesh.run(2)
    for node in mesh.nodes[2:5]:
        node.crash()
    for node in mesh.nodes[10:]:
        node.join(mesh[0])
    assert mesh.run_until(lambda: all(gone_for_all(mesh, n) for n in mesh.nodes[2:5]), within_s=40)
    alive = [node for node in mesh.nodes if node.host.running]
    assert all(one.sees(two) == State.ALIVE for one in alive for two in alive if one is not two)


# -- the waits themselves --------------------------------------------------------------------------
def test_a_distant_member_gets_more_time_than_a_near_one() -> None:
    mesh = a_mesh(11, 4)
    far = mesh[3]
    mesh.network.degrade(far.address[0], ANY, latency_s=0.12)
    mesh.run(20)
    assert mesh[0].endpoint.counters["accused"] == 0
    views = {view.node_id: view.rtt_s for view in mesh[0].endpoint.snapshot()}
    far_rtt_s, near_rtt_s = views[far.node_id], views[mesh[1].node_id]
    assert far_rtt_s is not None
    assert near_rtt_s is not None
    assert far_rtt_s > 5 * near_rtt_s
