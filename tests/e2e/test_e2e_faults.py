"""Nodes that die, freeze, and come back while a run is under way: only the time may change."""

from __future__ import annotations

import signal
from pathlib import Path

from cluster import Cluster, eventually
from test_e2e_runs import sleepers


def shards_running(cluster: Cluster, number: int) -> bool:
    nodes = cluster.json("dist", "status", number=number)["nodes"]
    return any(node["self"] and node["busy"] > 0 for node in nodes)


def finished(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (root / "out").iterdir()}


EXPECTED = {str(i): str(i) for i in range(18)}


def test_a_killed_peer_changes_nothing_but_the_time(own_cluster: Cluster, tmp_path: Path) -> None:
    root = sleepers(tmp_path / "nap", 18, 0.5)
    run = own_cluster.start_command("--json", "dist", "run", "build", cwd=root)
    eventually(lambda: shards_running(own_cluster, 2), "node-2 to have stolen")
    own_cluster.signal(2, signal.SIGKILL)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert finished(root) == EXPECTED


def test_a_frozen_peer_does_not_hang_the_run(own_cluster: Cluster, tmp_path: Path) -> None:
    root = sleepers(tmp_path / "nap", 18, 0.5)
    run = own_cluster.start_command("--json", "dist", "run", "build", cwd=root)
    eventually(lambda: shards_running(own_cluster, 2), "node-2 to have stolen")
    own_cluster.freeze(2)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert finished(root) == EXPECTED
    own_cluster.thaw(2)
    eventually(
        lambda: all(n["state"] == "alive" for n in own_cluster.json("dist", "status")["nodes"]),
        "the thawed node to be welcome again",
    )
    again = own_cluster.run("build", "--no-cache", cwd=root)
    assert again["ok"]
    assert set(again["nodes"]) == {"node-1", "node-2", "node-3"}


def test_work_for_an_origin_that_dies_is_stopped(own_cluster: Cluster, tmp_path: Path) -> None:
    root = sleepers(tmp_path / "nap", 6, 60)
    run = own_cluster.start_command("dist", "run", "build", cwd=root)
    eventually(lambda: shards_running(own_cluster, 2), "node-2 to have stolen")
    own_cluster.signal(1, signal.SIGKILL)
    run.communicate(timeout=30)
    assert run.returncode != 0
    eventually(lambda: not shards_running(own_cluster, 2), "node-2 to give up the shards")


def test_a_node_that_restarts_keeps_its_place_and_its_cache(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    root = sleepers(tmp_path / "nap", 3, 0.05)
    assert own_cluster.run("build", cwd=root)["ok"]
    own_cluster.vitte("dist", "stop", number=1)
    started = own_cluster.vitte("dist", "start")
    assert started.returncode == 0, started.stderr
    view = own_cluster.run("build", cwd=root)
    assert view["cached"] == 3
    eventually(
        lambda: (
            sum(n["state"] == "alive" for n in own_cluster.json("dist", "status")["nodes"]) == 3
        ),
        "all three to see each other again",
    )
