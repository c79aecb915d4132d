"""Ways to a wrong artifact, or to one careless step that hurts others: none of them leads there."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import trio
from nodes import (
    counted,
    peer_address,
    project,
    run,
    start,
    until,
    world,
)

from mesh.action.model import (
    Result,
)
from mesh.executor.executor import Executor
from mesh.executor.sandbox import BWRAP
from mesh.identity.keys import NodeKey
from mesh.node.node import Node
from mesh.planners.base import Kind
from mesh.types import digest_of

MOUNT = "/vitte/project"
STRANGER = NodeKey(b"s" * 32)


# -- steps that are hostile or careless ------------------------------------------------------------
async def test_a_name_that_is_not_utf8_fails_its_step_and_not_the_node(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "vitte-dist.toml").write_text(
        '[project]\nname = "odd"\n[[step]]\nname = "odd"\nkind = "build"\ninputs = []\n'
        "run = '''mkdir -p o; echo > \"o/$(printf '\\377')\"'''\nout = [\"o/\"]\n"
    )
    async with world(tmp_path, honest=1) as mesh:
        view = await run(mesh.alice, root)
        assert not view["ok"]
        assert view["failures"][0]["error"]["code"] == "VM414"
        assert (await run(mesh.alice, project(tmp_path / "good")))["ok"]


async def test_a_bug_in_one_shard_fails_its_run_and_no_other(tmp_path: Path, monkeypatch) -> None:
    async def broken(*_: object) -> None:
        raise AssertionError("a bug")

    async with world(tmp_path, honest=1) as mesh:
        with monkeypatch.context() as patch:
            patch.setattr(Executor, "execute", broken)
            view = await run(mesh.alice, project(tmp_path / "project"))
            assert not view["ok"]
            assert view["exit_code"] == 70
        with monkeypatch.context() as patch:
            patch.setattr(type(mesh.alice.runtime.performer), "perform", broken)
            view = await run(mesh.alice, project(tmp_path / "project-2"))
            assert view["error"]["code"] == "VM999"
        await counted(mesh.alice, "work.bug")
        assert (await run(mesh.alice, project(tmp_path / "good")))["ok"]


async def test_a_cancelled_run_leaves_nothing_anywhere(tmp_path: Path) -> None:
    root = project(tmp_path / "project", 4, before="(setsid sleep 600 &) ; sleep 600; ")

    def is_idle(node: Node) -> bool:
        work = node.runtime.work
        thief = work.core._thief
        busy = node.workshop.runner.busy or work._jobs or work._scopes
        return not (busy or thief.running or thief.backlog or work.core._victim._leases)

    async with world(tmp_path) as mesh:
        async with trio.open_nursery() as nursery:
            started = start(nursery, mesh.alice, root)
            await until(
                lambda: all(node.workshop.runner.busy for node in mesh.nodes), "both at work"
            )
            started.scope.cancel()
            with trio.fail_after(15):
                await started.over.wait()
        await until(lambda: all(is_idle(node) for node in mesh.nodes), "everything to be over")
        assert started.record.view is not None
        assert started.record.view["cancelled"]
        assert not list(root.glob("out/*"))


async def test_a_spoofed_announcement_does_not_move_a_member(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        links = mesh.alice.runtime.links
        real = peer_address(mesh.bob)
        await until(lambda: links._targets[real.node_id].proven, "gossip to prove the address")
        mesh.alice.runtime.meet([attrs.evolve(real, peer_port=9)])
        assert links._targets[real.node_id].address == (real.host, real.peer_port)
        await counted(mesh.alice, "address.unproven")


# -- wrong artifacts -------------------------------------------------------------------------------
def project_with_tool(tmp_path: Path) -> tuple[Path, Path]:
    """(project, tool): four steps that run a tool of the user's own, outside the project."""
    tool = tmp_path / "bin" / "tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho one\n")
    tool.chmod(0o755)
    root = tmp_path / "project"
    root.mkdir()
    steps = "".join(
        f'[[step]]\nname = "use-{n}"\nkind = "build"\ninputs = []\n'
        f'run = "sleep 0.5; {tool} > {n}.txt"\nout = ["{n}.txt"]\n'
        for n in range(4)
    )
    (root / "vitte-dist.toml").write_text(f'[project]\nname = "tools"\n{steps}')
    return root, tool


async def test_a_tool_in_a_folder_that_a_peer_does_not_show_is_used_at_home(tmp_path) -> None:
    root, _ = project_with_tool(tmp_path)
    async with world(tmp_path) as mesh:
        view = await run(mesh.alice, root)
        assert view["ok"], view["failures"]
        if mesh.bob.workshop.runner.sandbox.kind == BWRAP:
            assert view["local"] == 4


async def test_what_a_replaced_tool_has_made_is_in_nobodys_cache(tmp_path, monkeypatch) -> None:
    root, tool = project_with_tool(tmp_path)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")  # bob shows it too
    async with world(tmp_path) as mesh:
        async with trio.open_nursery() as nursery:
            started = start(nursery, mesh.alice, root)
            await until(
                lambda: all(node.workshop.runner.busy for node in mesh.nodes), "both at work"
            )
            tool.write_text("#!/bin/sh\necho two\n")
            await started.over.wait()
        known = [result for node in mesh.nodes for result in results_of(node)]
        two, store = digest_of(b"two\n"), mesh.alice.workshop.store
        assert not [result for result in known if result.outputs[0].digest == two]
        assert not [result for result in known if not store.has(result.outputs[0].digest)]
        view = await run(mesh.alice, root)
        assert view["ok"], view["failures"]
        assert [(root / f"{n}.txt").read_text() for n in range(4)] == ["two\n"] * 4


def results_of(node: Node) -> list[Result]:
    """What it would believe, as far as the records are here."""
    results = node.runtime.results
    opened = [results.here(action) for action in results.rows()]
    return [each.result for each in opened if each is not None]


async def test_what_failed_or_made_too_little_is_never_an_answer(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "vitte-dist.toml").write_text(
        '[project]\nname = "bad"\n'
        '[[step]]\nname = "nothing"\nkind = "build"\ninputs = []\nrun = "true"\nout = ["a"]\n'
        '[[step]]\nname = "status"\nkind = "build"\ninputs = []\n'
        'run = "echo > b; exit 3"\nout = ["b"]\n'
    )
    async with world(tmp_path, honest=1) as mesh:
        for _ in range(2):
            view = await run(mesh.alice, root, keep_going=True)
            assert (view["failed"], view["cached"]) == (2, 0)
        assert not results_of(mesh.alice)
        assert not (root / "b").exists()


async def test_a_hit_whose_outputs_are_gone_or_damaged_is_a_miss(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    steps = "".join(  # too large to be kept in memory
        f'[[step]]\nname = "s{n}"\nkind = "build"\ninputs = []\n'
        f'run = "seq {n} 20000 > out/{n}.txt"\nout = ["out/{n}.txt"]\n'
        for n in range(2)
    )
    (root / "vitte-dist.toml").write_text(f'[project]\nname = "large"\n{steps}')
    async with world(tmp_path, honest=1) as mesh:
        assert (await run(mesh.alice, root))["ok"]
        right = (root / "out/0.txt").read_bytes(), (root / "out/1.txt").read_bytes()
        store, disk = mesh.alice.workshop.store, mesh.alice.env.disk
        gone, damaged = (disk.path(store.name(digest_of(data))) for data in right)
        gone.unlink()
        damaged.chmod(0o644)
        damaged.write_bytes(right[1][:-1] + b"!")
        for path in (root / "out").iterdir():
            path.write_text("touched\n")
        view = await run(mesh.alice, root)
        assert view["ok"]
        assert view["local"] == 2
        assert ((root / "out/0.txt").read_bytes(), (root / "out/1.txt").read_bytes()) == right


async def test_an_output_changed_by_hand_between_two_steps_is_what_the_next_one_reads(
    tmp_path: Path,
) -> None:
    """Same size, same mtime: only the content is different."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "vitte-dist.toml").write_text(
        '[project]\nname = "chain"\n'
        '[[step]]\nname = "one"\nkind = "build"\ninputs = []\nrun = "echo one > a"\nout = ["a"]\n'
        '[[step]]\nname = "meddle"\nkind = "build"\nlocal = true\nneeds = ["one"]\n'
        'run = "touch -r a ref; echo two > a; touch -r ref a"\ninputs = []\n'
        '[[step]]\nname = "last"\nkind = "build"\nneeds = ["one", "meddle"]\ninputs = ["a"]\n'
        'run = "cat a > b"\nout = ["b"]\n'
    )
    async with world(tmp_path) as mesh:
        for _ in range(2):
            view = await run(mesh.alice, root)
            assert view["ok"], view
            assert (root / "b").read_text() == "two\n"


async def test_the_same_action_twice_in_one_plan_is_right_twice(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "a").write_text("a")
    steps = "".join(
        f'[[step]]\nname = "check-{n}"\nkind = "test"\ninputs = ["a"]\nrun = "grep -q a a"\n'
        for n in range(8)
    )
    (root / "vitte-dist.toml").write_text(f'[project]\nname = "same"\n{steps}')
    async with world(tmp_path) as mesh:
        for _ in range(2):
            view = await run(mesh.alice, root, Kind.TEST)
            assert view["ok"], view
            assert view["shards"] == 8
