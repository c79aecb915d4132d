"""The production node in the simulator: it joins, builds, remembers and restarts there, and the
same seed plays the same run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mesh.swim.effects import State
from sim.kernel.run import Outcome
from sim.mesh_world import MeshWorld, MeshWorldConfig, RunOutcome, simulate

STEPS = 12


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Steps that turn `N.in` into `out/N.txt`, and a last one that joins them."""
    root = tmp_path / "project"
    root.mkdir()
    lines = ['[project]\nname = "small"\n']
    for number in range(STEPS):
        (root / f"{number}.in").write_text(f"content {number}\n")
        lines.append(
            f'[[step]]\nname = "part-{number}"\nkind = "build"\n'
            f'inputs = ["{number}.in"]\nrun = "sim seconds=2"\nout = ["out/{number}.txt"]\n'
        )
    parts = ", ".join(f'"out/{number}.txt"' for number in range(STEPS))
    needs = ", ".join(f'"part-{number}"' for number in range(STEPS))
    lines.append(
        f'[[step]]\nname = "all"\nkind = "build"\ninputs = [{parts}]\nneeds = [{needs}]\n'
        'run = "sim seconds=1"\nout = ["out/all.txt"]\n'
    )
    (root / "vitte-dist.toml").write_text("\n".join(lines))
    return root


async def together(mesh: MeshWorld) -> None:
    mesh.start_all()
    assert await mesh.until(lambda: mesh.converged() and mesh.linked(), within_s=60)


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(root.glob("out/*"))}


def cleared(root: Path) -> dict[str, bytes]:
    """Remove the outputs; returns what they were."""
    found = files(root)
    for name in found:
        (root / "out" / name).unlink()
    return found


def play(story: Any, seed: int = 1, nodes: int = 3) -> Outcome[Any]:
    done = simulate(story, MeshWorldConfig(seed=seed, nodes=nodes))
    assert not done.findings, done.findings
    return done


def test_three_nodes_build_a_project_and_the_second_run_is_all_hits(project: Path) -> None:
    async def story(mesh: MeshWorld) -> tuple[RunOutcome, RunOutcome, RunOutcome]:
        await together(mesh)
        first = await mesh[0].run_project(project)
        again = await mesh[0].run_project(project)
        cleared(project)
        elsewhere = await mesh[1].run_project(project)
        return first, again, elsewhere

    first, again, elsewhere = play(story).value
    assert first.ok, first
    assert first.view["shards"] == STEPS + 1
    assert first.view["remote"] > 0, "the others helped"
    assert first.ended_s - first.began_s < 2 * STEPS, "in less time than one node needs"
    for outcome in (again, elsewhere):
        assert outcome.ok, outcome
        assert outcome.view["cached"] == STEPS + 1, outcome.view
    assert len(files(project)) == STEPS + 1


def test_every_machine_makes_the_same_files(project: Path) -> None:
    async def alone(mesh: MeshWorld) -> RunOutcome:
        await together(mesh)
        return await mesh[0].run_project(project)

    assert play(alone, nodes=1).value.ok
    before = cleared(project)
    assert play(alone, nodes=3).value.ok
    assert files(project) == before


def test_a_thief_that_is_killed_costs_time_and_nothing_else(project: Path) -> None:
    async def story(mesh: MeshWorld) -> tuple[RunOutcome, RunOutcome]:
        await together(mesh)
        mesh.world.after(1.5, mesh[1].machine.crash)
        first = await mesh[0].run_project(project)
        mesh[1].start()
        assert await mesh.until(lambda: mesh.converged() and mesh.linked(), within_s=120)
        cleared(project)
        return first, await mesh[1].run_project(project)

    first, second = play(story).value
    assert first.ok, first
    assert second.ok, second
    assert second.view["cached"] == STEPS + 1, "it finds what the others know"


def test_an_origin_that_loses_power_comes_back_and_builds(project: Path) -> None:
    async def story(mesh: MeshWorld) -> tuple[RunOutcome, RunOutcome]:
        await together(mesh)
        mesh.world.after(3.0, mesh[0].machine.power_cut)
        first = await mesh[0].run_project(project)
        mesh[0].start()
        assert await mesh.until(lambda: mesh.converged() and mesh.linked(), within_s=120)
        return first, await mesh[0].run_project(project)

    first, second = play(story).value
    assert first.lost
    assert second.ok, second
    assert second.view["cached"] > 0, "what the others did meanwhile was not in vain"


@pytest.mark.parametrize("trouble", ["fill", "fail_writes", "fail_reads", "slow_syncs"])
def test_a_bad_disk_of_one_node_fails_no_build(project: Path, trouble: str) -> None:
    async def story(mesh: MeshWorld) -> RunOutcome:
        await together(mesh)
        disk = mesh[1].machine.disk
        disk.slow_syncs(2.0) if trouble == "slow_syncs" else getattr(disk, trouble)()
        outcome = await mesh[0].run_project(project)
        assert mesh[1].running, "the node stays"
        return outcome

    outcome = play(story).value
    assert outcome.ok, outcome


def test_a_node_that_is_cut_off_builds_alone(project: Path) -> None:
    async def story(mesh: MeshWorld) -> RunOutcome:
        await together(mesh)
        mesh.network.partition([[mesh[0].address], [node.address for node in mesh.nodes[1:]]])
        await mesh.sleep(60)
        assert all(mesh[0].sees(other) is not State.ALIVE for other in mesh.nodes[1:])
        return await mesh[0].run_project(project)

    outcome = play(story).value
    assert outcome.ok, outcome
    assert outcome.view["remote"] == 0


def test_the_same_seed_plays_the_same_run_however_sets_are_ordered(project: Path) -> None:
    first = played_elsewhere(project, 1, "0")
    cleared(project)
    assert played_elsewhere(project, 1, "1") == first


def played_elsewhere(project: Path, seed: int, hashing: str) -> str:
    """The digest of a run in another process, whose sets have another order."""
    program = (
        "import sys, pathlib\n"
        "from sim.mesh_world import MeshWorldConfig, simulate\n"
        "async def story(mesh):\n"
        "    mesh.start_all()\n"
        "    assert await mesh.until(lambda: mesh.converged() and mesh.linked(), within_s=60)\n"
        "    assert (await mesh[0].run_project(pathlib.Path(sys.argv[1]))).ok\n"
        "done = simulate(story, MeshWorldConfig(seed=int(sys.argv[2]), nodes=4))\n"
        "assert not done.findings, done.findings\n"
        "print(done.digest)\n"
    )
    argv = [sys.executable, "-c", program, str(project), str(seed)]
    env = {**os.environ, "PYTHONHASHSEED": hashing}
    return subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout
