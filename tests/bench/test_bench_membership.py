"""The benchmarks of membership and of the simulator, each at a size that takes a moment: that they
measure what happens, and that what must not pass unnoticed does not. Their figures are no test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import membership
import membership_lab
import membership_sim
import pytest
import sim_speed

BENCH = Path(membership.__file__).parent

OURS = membership_lab.System("vitte", (sys.executable, str(BENCH / "membership_host.py")))


def namespaces_work() -> bool:
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True)
    return tried.returncode == 0


@pytest.mark.skipif(not namespaces_work(), reason="needs network namespaces")
def test_four_real_nodes_join_lose_one_and_take_another_in() -> None:
    with membership_lab.Namespace() as where:
        mesh = membership_lab.Mesh(OURS, 4, where, victims=2)
        try:
            joined = mesh.join(within_s=30)
            assert joined.complete
            assert len(joined.seconds) == 12
            killed = mesh.kill(silently=False, within_s=30)
            assert killed.complete
            assert len(killed.seconds) == 3
            assert mesh.replace_victim(within_s=30).complete
            assert where.sent()[0] > 0
        finally:
            mesh.close()


def test_whoever_does_not_come_to_know_is_not_taken_for_quick() -> None:
    wait = membership_lab.Wait((0.1, 0.2), complete=False)
    assert wait.last_s == float("inf")
    assert membership.seconds(wait) == membership.WITHIN_S


def test_the_ledger_counts_deaths_of_those_who_live() -> None:
    ledger = membership_lab.Ledger()
    ledger.add("saw 1.0 0 1 alive")
    ledger.add("saw 2.0 0 1 dead")
    ledger.add("saw 3.0 0 9 dead")
    assert ledger.deaths([0, 1]) == 1
    assert ledger.first(0, 1, ("dead",), since_s=1.5) == 2.0
    assert ledger.first(0, 1, ("dead",), since_s=2.5) == float("inf")


def test_simulated_figures_are_the_same_each_time() -> None:
    assert membership_sim.silent_crash(1, nodes=5) == membership_sim.silent_crash(1, nodes=5)
    assert membership_sim.heal(10, 1, nodes=4) < membership_sim.KNOWN_WITHIN_S
    assert 50 < membership_sim.calm_bytes(membership_sim.a_mesh(1, 4), window_s=10) < 400


def test_runs_of_a_starved_cell_are_other_futures_of_one_mesh() -> None:
    done = [(membership_sim.Cell(50, 0.1, 0.01), deaths) for deaths in (0, 0, 3)]
    assert membership_sim.grid(done)["sim_starved_bad_of_3600"] == 1200


def test_the_ping_workload_is_the_same_for_callbacks_and_tasks() -> None:
    assert sim_speed.ping_by_callbacks(5, 10) > 0
    assert sim_speed.ping_by_tasks(5, 10) > 0
    assert sim_speed.membership("none", 4, 3) > 0
