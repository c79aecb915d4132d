"""Heartbeats on the ring: who gets them, who misses them, and what they are worth."""

from __future__ import annotations

from statistics import median

import attrs
import pytest

from mesh.swim.config import LAN, SwimConfig
from mesh.swim.effects import State
from sim.net import Link
from sim.swim_world import SwimNode, SwimWorld

GONE = (State.DEAD, State.UNREACHABLE)


def a_mesh(seed: int, nodes: int, config: SwimConfig = LAN, loss: float = 0.0) -> SwimWorld:
    mesh = SwimWorld(seed, nodes, config, Link(loss=loss))
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=20)
    mesh.run(3)
    return mesh


def known_after_s(mesh: SwimWorld, subject: SwimNode) -> float:
    start_s = mesh.world.now_s
    running = [node for node in mesh.nodes if node is not subject and node.host.running]
    assert mesh.run_until(lambda: all(n.sees(subject) in GONE for n in running), within_s=40)
    return mesh.world.now_s - start_s


def killed_one_after_another(seed: int, config: SwimConfig = LAN) -> list[float]:
    """Times until all knew of four killed processes, by datagrams alone."""
    mesh = a_mesh(seed, 16, config, loss=0.01)
    took_s: list[float] = []
    for index in (3, 7, 11, 14):
        mesh.run(3 + mesh.world.rng(f"pause {index}").random())
        mesh[index].kill()
        took_s.append(known_after_s(mesh, mesh[index]))
    assert {death.subject for death in mesh.deaths()} <= {3, 7, 11, 14}
    return took_s


def test_a_killed_process_is_known_to_all_within_two_seconds_by_datagrams_alone() -> None:
    took_s = [each for seed in range(3) for each in killed_one_after_another(seed)]
    assert median(took_s) <= 1.0
    assert max(took_s) <= 2.0


def test_without_beats_the_first_probe_is_waited_for() -> None:
    without = attrs.evolve(LAN, beats=False)
    slow_s = [each for seed in range(3) for each in killed_one_after_another(seed, without)]
    fast_s = [each for seed in range(3) for each in killed_one_after_another(seed)]
    assert max(fast_s) < max(slow_s)
    assert sum(fast_s) < sum(slow_s)


@pytest.mark.parametrize("seed", range(2))
def test_a_silent_crash_is_missed_by_the_next_on_the_ring_within_one_interval(seed: int) -> None:
    mesh = a_mesh(seed, 24)
    mesh[5].crash()
    bound_s = LAN.beat_interval_s + LAN.probe_timeout_s + LAN.patience_s + 0.8
    assert known_after_s(mesh, mesh[5]) <= bound_s


def test_two_neighbours_on_the_ring_that_die_together_are_both_found() -> None:
    mesh = a_mesh(4, 12)
    ring = sorted(mesh.nodes, key=lambda node: node.node_id)
    for node in ring[4:6]:
        node.crash()
    for node in ring[4:6]:
        assert known_after_s(mesh, node) <= 15


def test_lost_beats_cost_pings_and_accuse_nobody() -> None:
    mesh = a_mesh(6, 12, loss=0.05)
    mesh.run(60)
    assert sum(node.endpoint.counters["beats-missed"] for node in mesh.nodes) > 0
    assert not mesh.deaths()


def test_who_leaves_is_not_missed() -> None:
    mesh = a_mesh(7, 6)
    mesh[2].leave()
    mesh.run(1)
    mesh[2].crash()
    before = [node.endpoint.counters["accused"] for node in mesh.nodes]
    mesh.run(5)
    assert [node.endpoint.counters["accused"] for node in mesh.nodes] == before
