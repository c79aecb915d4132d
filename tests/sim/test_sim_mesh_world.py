"""Whole nodes in one virtual world: they meet, work, die and come back, bit for bit the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.swim.effects import State
from sim.asking import Refusal
from sim.crypto import MODES
from sim.kernel.order import ORDERS
from sim.kernel.run import Outcome, RunConfig
from sim.mesh_world import MeshWorld, MeshWorldConfig, simulate
from sim.net import Link

PROJECT = """\
[project]
name = "nap"

[[step]]
name = "nap"
kind = "build"
foreach = "in/*"
run = "sleep {seconds}; cp {{in}} {{out}}"
out = "out/{{stem}}"
"""


def project(folder: Path, shards: int = 12, seconds: float = 3.0) -> Path:
    """A project whose shards are virtual naps; its folder is real."""
    (folder / "in").mkdir(parents=True, exist_ok=True)
    for number in range(shards):
        (folder / "in" / str(number)).write_text(str(number))
    (folder / "vitte-dist.toml").write_text(PROJECT.format(seconds=seconds))
    return folder


async def linked(mesh: MeshWorld) -> None:
    mesh.start_all()
    assert await mesh.until(mesh.converged, within_s=30)
    assert await mesh.until(mesh.linked, within_s=30)


def sound(done: Outcome[None]) -> None:
    assert not done.findings, done.findings[0].detail


@pytest.mark.parametrize("order", ORDERS)
def test_ten_nodes_find_each_other_and_are_all_linked(order: str) -> None:
    sound(simulate(linked, MeshWorldConfig(seed=3, nodes=10, run=RunConfig(order=order))))


def test_a_build_spreads_over_virtual_machines_and_the_second_is_all_hits(tmp_path: Path) -> None:
    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        first = await mesh[0].run_project(project(tmp_path))
        assert first.ok, first
        assert first.view["remote"] + first.view["local"] == 12
        assert len(first.view["nodes"]) == 3
        assert 6.0 <= first.ended_s - first.began_s < 7.0, "twelve naps of 3 s on six slots"
        made = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        assert len(set(made.values())) == 12
        for path in (tmp_path / "out").iterdir():
            path.unlink()
        second = await mesh[1].run_project(tmp_path)
        assert second.view["cached"] == 12
        assert made == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    sound(simulate(story))


def test_a_run_survives_the_death_of_a_helper(tmp_path: Path) -> None:
    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        mesh.world.after(1.0, mesh[2].machine.power_cut)
        done = await mesh[0].run_project(project(tmp_path))
        assert done.ok, done
        assert "node2" not in done.view["nodes"]

    sound(simulate(story))


def test_the_user_of_a_node_that_dies_is_told_so(tmp_path: Path) -> None:
    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        mesh.world.after(1.0, mesh[0].machine.crash)
        done = await mesh[0].run_project(project(tmp_path))
        assert done.lost
        assert not done.ok

    sound(simulate(story))


@pytest.mark.parametrize("how", ["crash", "power_cut", "host_down"])
def test_a_node_that_dies_is_found_dead_and_comes_back_by_itself(how: str) -> None:
    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        getattr(mesh[2].machine, how)()
        others = mesh.nodes[:2] + mesh.nodes[3:]
        assert await mesh.until(
            lambda: all(each.sees(mesh[2]) is not State.ALIVE for each in others), within_s=30
        )
        assert not mesh[2].running
        mesh[2].start()
        assert await mesh.until(mesh.converged, within_s=30)
        assert await mesh.until(mesh.linked, within_s=30)

    sound(simulate(story, MeshWorldConfig(nodes=4)))


def test_a_frozen_node_is_missed_and_welcomed_back() -> None:
    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        mesh[1].machine.freeze()
        assert await mesh.until(lambda: mesh[0].sees(mesh[1]) is not State.ALIVE, within_s=30)
        assert mesh[1].running
        mesh[1].machine.thaw()
        assert await mesh.until(mesh.converged, within_s=30)

    sound(simulate(story, MeshWorldConfig(nodes=4)))


def test_a_wiped_machine_is_in_no_mesh() -> None:
    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        mesh[1].machine.crash()
        mesh[1].machine.disk.wipe()
        mesh[1].start()
        await mesh.sleep(5)
        status = await mesh[1].ask("status")
        assert status["mesh"] is None
        with pytest.raises(Refusal, match="VM"):
            await mesh[1].ask("members")

    sound(simulate(story))


@pytest.mark.parametrize("seed", [0, 6])
def test_goodbyes_are_heard_and_a_member_that_leaves_is_forgotten(seed: int) -> None:
    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        mesh[1].stop()
        assert await mesh.until(lambda: not mesh[1].running, within_s=5)
        assert mesh[0].sees(mesh[1]) is State.LEFT
        mesh[1].start()
        assert await mesh.until(mesh.converged, within_s=30)
        await mesh[1].leave_mesh()
        assert await mesh.until(lambda: mesh[0].sees(mesh[1]) is None, within_s=5)
        members = await mesh[0].ask("members")
        assert "node1" not in str(members)

    sound(simulate(story, MeshWorldConfig(seed=seed)))


def test_who_leaves_before_anybody_is_linked_is_forgotten_all_the_same() -> None:
    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        mesh[1].stop()
        assert await mesh.until(lambda: not mesh[1].running, within_s=5)
        mesh[1].start()
        assert await mesh.until(lambda: bool(mesh[1].members()), within_s=5)
        assert mesh[1].node is not None
        assert not mesh[1].node.runtime.links.by_node
        await mesh[1].leave_mesh()
        assert await mesh.until(lambda: mesh[0].sees(mesh[1]) is None, within_s=10)

    sound(simulate(story, MeshWorldConfig(link=Link(latency_s=0.2))))


def test_lossy_links_and_wrong_clocks_kill_nobody() -> None:
    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        mesh[1].machine.clock.set_rate(1.01)
        mesh[2].machine.clock.step_wall(-86_400)
        await mesh.sleep(60)
        assert not [c for c in mesh.changes if c.view.state is State.DEAD]

    lossy = Link(latency_s=0.01, jitter_s=0.01, loss=0.02)
    sound(simulate(story, MeshWorldConfig(nodes=4, link=lossy)))


EVERYTHING = """
from pathlib import Path
from sim.mesh_world import MeshWorld, MeshWorldConfig, simulate

async def story(mesh):
    mesh.start_all()
    assert await mesh.until(mesh.linked, 30)
    mesh.world.after(1.0, mesh[2].machine.power_cut)
    mesh.world.after(2.0, mesh[3].machine.freeze)
    mesh.world.after(2.5, mesh[3].machine.thaw)
    mesh[1].machine.starve(0.01, 0.5)
    done = await mesh[0].run_project(Path(folder), options={"use_cache": False})
    assert done.ok
    mesh[2].start()
    await mesh.sleep(20)

digest = simulate(story, MeshWorldConfig(seed=11, nodes=4)).digest
"""


def test_the_same_story_is_the_same_run_whatever_the_hash_seed(tmp_path: Path) -> None:
    here: dict[str, str] = {"folder": str(project(tmp_path))}
    exec(EVERYTHING, here)
    shutil.rmtree(tmp_path / "out")  # what is in place already is looked at in another order
    done = subprocess.run(
        [sys.executable, "-c", f"folder = {here['folder']!r}\n{EVERYTHING}\nprint(digest)"],
        env={**os.environ, "PYTHONHASHSEED": "42"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == here["digest"]


def test_another_seed_is_another_run() -> None:
    one, other = (simulate(linked, MeshWorldConfig(seed=seed)).digest for seed in (1, 2))
    assert one != other


def test_remembered_crypto_changes_no_byte_and_none_only_the_seal() -> None:
    real, remembered, none = (
        simulate(linked, MeshWorldConfig(nodes=4, crypto=mode)) for mode in MODES
    )
    assert real.digest == remembered.digest != none.digest
    assert real.events == none.events
    sound(none)
