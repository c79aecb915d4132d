"""Real nodes and the mistakes that people make with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cluster import VITTE, Cluster, eventually, started, step, write_files

SLOW = f'[project]\nname = "slow"\n{step(name="nap", kind="build", run="sleep 600", out="never")}'
LOOPBACK = ("--bind", "127.0.0.1", "--discovery", "none")


def vitte(*args: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*VITTE, *args, "--home", str(home)], capture_output=True, text=True, timeout=60
    )


def test_an_init_that_fails_leaves_no_mesh_behind(tmp_path: Path) -> None:
    home = tmp_path / "n"
    failed = vitte("mesh", "init", "--bind", "192.0.2.1", "--discovery", "none", home=home)
    assert "error[VM106]: Cannot listen on 192.0.2.1:" in failed.stderr
    try:
        assert vitte("mesh", "init", *LOOPBACK, home=home).returncode == 0
    finally:
        vitte("dist", "stop", home=home)


def test_a_second_node_touches_nothing_of_the_first(tmp_path: Path) -> None:
    home = tmp_path / "n"
    try:
        assert vitte("mesh", "init", *LOOPBACK, home=home).returncode == 0
        before = {name: (home / name).read_bytes() for name in ("port", "epoch", "node.pid")}
        second = [sys.executable, "-P", "-m", "mesh.node", "--home", str(home), *LOOPBACK]
        done = subprocess.run(second, capture_output=True, text=True, timeout=60)
        assert done.returncode == 10
        assert "[VM109]" in done.stderr
        assert {name: (home / name).read_bytes() for name in before} == before
    finally:
        vitte("dist", "stop", home=home)


def test_cancel_stops_a_run_of_another_terminal(tmp_path: Path) -> None:
    project = write_files(tmp_path / "slow", {"vitte-dist.toml": SLOW})
    with started(tmp_path / "mesh", 1) as mesh:
        run = mesh.start_command("dist", "run", "build", cwd=project)
        eventually(lambda: is_running(mesh), "the shard runs")
        assert mesh.json("dist", "cancel", "last")["cancelled"] is True
        _, said = run.communicate(timeout=30)
        assert run.returncode == 130
        assert "error[VM407]" in said
        assert mesh.json("dist", "cancel", "last")["state"] == "cancelled"


def is_running(mesh: Cluster) -> bool:
    return any(node["busy"] for node in mesh.json("dist", "status")["nodes"])
