"""Members that are alive and to whom there is no link yet, as just after a start: what only they
have is fetched all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.node.link import Link
from mesh.node.links import Links
from mesh.ports import StreamBroken
from mesh.types import Address, NodeId
from sim.mesh_world import MeshWorld, MeshWorldConfig, simulate

ASKS, HAS, BETWEEN = range(3)
STEPS = 3


def project(folder: Path) -> Path:
    folder.mkdir()
    steps = "\n".join(
        f'[[step]]\nname = "make-{number}"\nkind = "build"\n'
        f'run = "sim seconds=1 bytes=100 {number}"\nout = ["out/{number}"]\n'
        for number in range(STEPS)
    )
    (folder / "vitte-dist.toml").write_text(f'[project]\nname = "small"\n{steps}')
    return folder


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> set[NodeId]:
    """The two who are put in here find no control link to each other."""
    pair: set[NodeId] = set()
    connect = Links._connect

    async def fail(links: Links, node: NodeId, address: Address) -> Link:
        if {links._me, node} == pair:
            raise StreamBroken("not yet")
        return await connect(links, node, address)

    monkeypatch.setattr(Links, "_connect", fail)
    return pair


def links_of(mesh: MeshWorld, index: int) -> int:
    node = mesh[index].node
    return len(node.runtime.links.by_node) if node is not None and node.in_mesh else 0


def knows_all(mesh: MeshWorld) -> bool:
    """The one that asks has heard of everything, from the one between, and of the one that has."""
    runtime = mesh[ASKS].node.runtime
    return len(runtime.results) == STEPS and runtime.links.unlinked() == [mesh[HAS].node_id]


def test_what_only_a_member_without_a_link_has_is_not_built_again(
    tmp_path: Path, apart: set[NodeId]
) -> None:
    root = project(tmp_path / "p")

    async def story(mesh: MeshWorld) -> None:
        apart.update((mesh[ASKS].node_id, mesh[HAS].node_id))
        mesh.start_all()
        assert await mesh.until(lambda: links_of(mesh, BETWEEN) == 2, 60)
        assert (await mesh[HAS].run_project(root, options={"mode": "local"})).ok
        assert await mesh.until(lambda: knows_all(mesh), 60)
        between = mesh[BETWEEN].node.workshop.store
        results = mesh[HAS].node.runtime.results
        opened = [results.here(action) for action in results.rows()]
        assert not any(between.has(each.record) for each in opened if each is not None)
        outcome = await mesh[ASKS].run_project(root)
        assert outcome.ok
        assert outcome.view["cached"] == STEPS

    done = simulate(story, MeshWorldConfig(seed=1, nodes=3))
    assert not done.findings, done.findings[0].detail


def test_a_member_without_a_link_that_does_not_answer_costs_one_dial(
    tmp_path: Path, apart: set[NodeId]
) -> None:
    """It stops answering when the others cannot know it yet: they wait once, and build."""
    root = project(tmp_path / "p")

    async def story(mesh: MeshWorld) -> None:
        apart.update((mesh[ASKS].node_id, mesh[HAS].node_id))
        mesh.start_all()
        assert await mesh.until(lambda: links_of(mesh, BETWEEN) == 2, 60)
        assert (await mesh[HAS].run_project(root, options={"mode": "local"})).ok
        assert await mesh.until(lambda: knows_all(mesh), 60)
        mesh[HAS].machine.freeze()
        begun_s = mesh.world.now_s
        outcome = await mesh[ASKS].run_project(root)
        assert outcome.ok
        assert outcome.view["cached"] == 0
        assert mesh.world.now_s - begun_s < 15
        mesh[HAS].machine.thaw()

    done = simulate(story, MeshWorldConfig(seed=1, nodes=3))
    assert not done.findings, done.findings[0].detail
