"""Scenarios of what is around membership on a machine: disks, clocks, slow readers, copied keys.

Whole nodes, but for the last. Where the scenarios come from is in the decision on adaptive failure
detection.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trio.testing import lockstep_stream_pair

from mesh.limits import SWIM_OUTDONE_MAX
from mesh.swim.effects import State
from sim.kernel.run import Outcome
from sim.machine.control import LocalEnd
from sim.mesh_world import MeshNode, MeshWorld, MeshWorldConfig, simulate
from sim.swim_world import SwimNode, SwimWorld

GONE = (State.DEAD, State.UNREACHABLE)
KNOWN_WITHIN_S = 5.0
DAY_S = 86_400.0
PROJECT = """\
[project]
name = "nap"

[[step]]
name = "nap"
kind = "build"
run = "sim seconds=30 bytes=100 1"
out = ["out/1"]
"""


async def linked(mesh: MeshWorld) -> None:
    mesh.start_all()
    assert await mesh.until(mesh.converged, within_s=30)
    assert await mesh.until(mesh.linked, within_s=30)
    await mesh.sleep(6)


def sound(done: Outcome[None]) -> None:
    assert not done.findings, done.findings[0].detail


async def is_known_to_be_gone(mesh: MeshWorld, lost: MeshNode) -> bool:
    """Within the usual time, and about nobody else."""
    others = [node for node in mesh.nodes if node is not lost]
    known = await mesh.until(
        lambda: all(node.sees(lost) in GONE for node in others), within_s=KNOWN_WITHIN_S
    )
    return known and not [
        change
        for change in mesh.changes
        if change.view.state in GONE and change.subject != lost.index
    ]


@pytest.mark.parametrize("sync_s", [2.0, 10.0])
def test_a_slow_disk_holds_up_neither_its_node_nor_the_others(sync_s: float) -> None:
    """What membership writes down (who is where) waits for the disk, and nobody waits for that."""

    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        mesh[2].machine.disk.slow_syncs(sync_s)
        mesh[3].machine.crash()
        assert await is_known_to_be_gone(mesh, mesh[3])
        mesh[3].start()
        assert await mesh.until(mesh.converged, within_s=10)
        await mesh.sleep(3 * sync_s)
        doubted = {each.subject for each in mesh.changes if each.view.state != State.ALIVE}
        assert doubted == {3}

    sound(simulate(story, MeshWorldConfig(seed=1, nodes=5)))


def test_a_program_that_reads_nothing_of_what_its_node_says_does_not_hold_up_membership(
    tmp_path: Path,
) -> None:
    """A run's events wait for their reader; the node, its run and the others do not."""
    (tmp_path / "vitte-dist.toml").write_text(PROJECT)

    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        life = mesh[0].machine.life
        assert life is not None
        ours, theirs = lockstep_stream_pair()  # carries nothing that is not being read
        assert life.control._listener is not None
        life.control._listener.knock(LocalEnd(theirs))  # type: ignore[arg-type]
        asked = {"op": "run", "cwd": str(tmp_path), "kind": "build", "argv": [], "env": {}}
        await ours.send_all(json.dumps(asked).encode() + b"\n")
        await mesh.sleep(2)
        mesh[3].machine.crash()
        assert await is_known_to_be_gone(mesh, mesh[3])
        await mesh.sleep(20)
        doubted = {each.subject for each in mesh.changes if each.view.state != State.ALIVE}
        assert doubted == {3}
        lines = bytearray()
        while b'{"ok"' not in lines:
            data = await ours.receive_some(65_536)
            assert data, "the run goes on, and its answer comes"
            lines += data

    sound(simulate(story, MeshWorldConfig(seed=3, nodes=4)))


def test_wall_clocks_that_jump_are_absorbed() -> None:
    """Timeouts are of the monotonic clock: a day ahead, a year back, and nobody is missed; who is
    gone meanwhile is noticed as soon as ever."""

    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        before = len([change for change in mesh.changes if change.previous != change.view.state])
        for node, step_s in zip(mesh.nodes, (DAY_S, -365 * DAY_S, 3600.0, -0.5), strict=False):
            node.machine.clock.step_wall(step_s)
            await mesh.sleep(4)
        changes = [change for change in mesh.changes if change.previous != change.view.state]
        assert changes[before:] == []
        mesh[1].machine.crash()
        assert await is_known_to_be_gone(mesh, mesh[1])
        mesh[1].start()  # in an epoch that its clock, a year behind, would not give it
        assert await mesh.until(mesh.converged, within_s=10)

    sound(simulate(story, MeshWorldConfig(seed=2, nodes=4)))


def test_two_machines_with_one_key_end_with_one_of_them_and_harm_nobody_else() -> None:
    """A copied disk. There is no vote about who is right, because nobody but the key can say: the
    two outdo each other's epochs, so and so often, and all agree on what the higher one says."""
    mesh = SwimWorld(4, 7)
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=10)
    mesh.run(3)
    one = mesh[4]
    other = SwimNode(mesh, one.index)
    other.address = ("10.0.99.99", 7946)
    other.restart()
    mesh.network.attach(one.address, one.host._arrive, one.host._refused)  # it was never gone
    other.join(mesh[0])
    mesh.run(60)
    rest = [node for node in mesh.nodes if node is not one]
    harmed = [
        change
        for change in mesh.changes
        if one.index not in (change.observer, change.subject) and change.view.state != State.ALIVE
    ]
    assert harmed == []
    for node in rest:
        view = node.view_of(one)
        assert view is not None
        assert (view.state, view.address) == (State.ALIVE, other.address)
        assert view.epoch == max(one.endpoint.epoch, other.endpoint.epoch)
    assert len({node.endpoint.table_hash for node in rest}) == 1
    outdone = [twin.endpoint.counters["outdone-by-self"] for twin in (one, other)]
    assert 1 <= min(outdone) <= max(outdone) <= SWIM_OUTDONE_MAX
