"""Scenarios of coming back: to a mesh of which most is gone, all at once, or after a long cut."""

from __future__ import annotations

from statistics import median

import pytest

from mesh.limits import SWIM_SEEDS_AT_ONCE
from mesh.swim.config import LAN
from mesh.swim.effects import State
from sim.net import Link
from sim.swim_world import SwimWorld

TEN_DAYS_MS = 864_000_000


def test_a_restarted_node_tries_everybody_it_remembers_until_it_finds_the_only_one_alive() -> None:
    mesh = SwimWorld(1, 90)
    for node in mesh.nodes[1:-1]:
        node.crash()
    mesh[0].join(*mesh.nodes[1:])
    assert mesh.network.counters["sent"] == SWIM_SEEDS_AT_ONCE
    only = mesh.nodes[-1]
    assert mesh.run_until(lambda: mesh[0].sees(only) == State.ALIVE, within_s=120)
    assert mesh.network.counters["sent"] <= SWIM_SEEDS_AT_ONCE + 2 * 120


def test_a_hundred_nodes_join_through_one_seed_at_once() -> None:
    mesh = SwimWorld(0, 100, link=Link(loss=0.01))
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=3)


def test_a_mesh_that_restarts_within_five_seconds_is_one_within_ten_more() -> None:
    mesh = SwimWorld(3, 32, link=Link(loss=0.01))
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=10)
    mesh.run(5)
    rng = mesh.world.rng("restarts")
    end_s = mesh.world.now_s + 5
    for node in mesh.nodes:
        mesh.run(rng.random() * 2 * 5 / 32)
        node.restart()
        # What its disk remembers: everybody, some of whom are down or restarting themselves.
        node.join(*[other for other in mesh.nodes if other is not node])
    assert mesh.world.now_s < end_s + 2
    assert mesh.run_until(mesh.converged, within_s=10)


@pytest.mark.parametrize("nodes", [2, 12])
def test_halves_of_a_mesh_that_were_cut_for_long_find_each_other_without_seeds(
    nodes: int,
) -> None:
    took_s: list[float] = []
    mesh = SwimWorld(5, nodes)
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=10)
    for cut_s in (20, 75, 600 if nodes > 2 else 3600):
        fault = mesh.network.partition([[node.address[0] for node in mesh.nodes[: nodes // 2]]])
        mesh.run(cut_s)
        fault.undo()
        start_s = mesh.world.now_s
        assert mesh.run_until(mesh.converged, within_s=10)
        took_s.append(mesh.world.now_s - start_s)
    assert median(took_s) <= (2 if nodes > 2 else LAN.reconnect_backoff_max_s)


@pytest.mark.parametrize("noticed", [False, True], ids=["at-once", "when-it-was-dead"])
@pytest.mark.parametrize("remembers", [False, True], ids=["found", "finds-others"])
def test_a_member_that_lost_its_disk_and_whose_clock_went_back_comes_back(
    noticed: bool, remembers: bool
) -> None:
    mesh = SwimWorld(6, 5)
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=10)
    lost, others = mesh[3], [node for node in mesh.nodes if node.index != 3]
    lost.crash()
    if noticed:
        assert mesh.run_until(
            lambda: all(node.sees(lost) == State.DEAD for node in others), within_s=30
        )
    before = lost.epoch
    lost.epoch -= TEN_DAYS_MS
    lost.restart()
    assert lost.epoch < before
    (lost.join(mesh[0]) if remembers else mesh[0].join(lost))
    assert mesh.run_until(mesh.converged, within_s=30 if noticed else 60)
    assert all(node.sees(lost) == State.ALIVE for node in others)
    assert lost.endpoint.epoch == before + 1
    assert lost.endpoint.counters["outdone-by-self"] == 1
    mesh.run(20)
    assert mesh.converged(), "and it stays"
