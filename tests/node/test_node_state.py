"""The shared state of real nodes: what one says others show; starts, other meshes, bad disks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio

from mesh.errors import BadRequest, NotAllowed, StoreFull
from mesh.log.model import Lane
from mesh.node.node import Node
from mesh.node.runs.record import RunHead, RunRecord
from mesh.node.state.policy import decide, policy_view
from mesh.node.state.shelf import MESH_FILE, make_place
from mesh.scheduler.model import Mode
from mesh.state.actions import TrustPolicy
from mesh.state.events import BUILT, ActionResult, Policy, Register, RunState, Trust, encode_event
from mesh.state.runs import RunView
from mesh.types import Digest, MeshId, NodeId, RunId, digest_of
from tests.node.nodes import is_built, project, run, until, world


def value_at(node: Node, writer: Node, key: str) -> bytes | None:
    found = node.runtime.state.replica.state.registers.get(writer.key.node_id, key)
    return found.value if found is not None else None


async def end_membership(node: Node) -> None:
    """End all its tasks, as when the process stops."""
    assert node._scope is not None
    node._scope.cancel()
    await node._ended.wait()


async def test_what_one_node_says_every_other_shows(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        alice, bob = mesh.nodes
        alice.runtime.state.write(Register("greeting", b"hello"))
        await until(lambda: value_at(bob, alice, "greeting") == b"hello", "the register at bob")
        bob.runtime.state.write(Register("answer", b"hi"))
        await until(lambda: value_at(alice, bob, "answer") == b"hi", "the register at alice")

        def same() -> bool:
            states = [node.runtime.state.replica for node in mesh.nodes]
            return states[0].log.digest() == states[1].log.digest()

        await until(same, "equal logs")
        assert (
            alice.runtime.state.replica.state.digest() == bob.runtime.state.replica.state.digest()
        )


async def test_a_start_after_a_stop_has_everything_in_a_new_epoch(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        alice = mesh.alice
        state = alice.runtime.state
        first = state.replica.writer.epoch
        state.write(Register("greeting", b"hello"))
        identity = alice.runtime.identity
        await end_membership(alice)
        await alice.enter(identity)
        again = alice.runtime.state
        assert again.replica.writer.epoch != first
        found = again.replica.state.registers.get(identity.node_id, "greeting")
        assert found is not None
        assert found.value == b"hello"


async def test_a_full_disk_stops_nothing_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as mesh:
        alice, bob = mesh.nodes
        state = alice.runtime.state
        real = type(alice.env.disk).append

        def full(disk: object, name: str, data: bytes) -> None:
            if disk is alice.env.disk:
                raise StoreFull(path=name)
            real(disk, name, data)  # type: ignore[arg-type]

        monkeypatch.setattr(type(alice.env.disk), "append", full)
        state.write(Register("greeting", b"hello"))
        await until(lambda: state.trouble != "", "the trouble")
        await until(lambda: value_at(bob, alice, "greeting") == b"hello", "the register at bob")
        monkeypatch.undo()
        await until(lambda: not state.trouble and not state.segments.has_pending, "the disk")


async def test_a_checkpoint_takes_the_place_of_what_was_written(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        alice, bob = mesh.nodes
        state = alice.runtime.state
        for number in range(5):
            state.write(Register("counter", b"%d" % number))
        await state.upkeep.checkpoint(Lane.CTL)
        assert state.upkeep.checkpoints == 1
        feed = state.replica.writer.feed(Lane.CTL)
        assert state.replica.log.covered(feed) >= 5
        await until(lambda: value_at(bob, alice, "counter") == b"4", "the register at bob")
        replica = bob.runtime.state.replica
        await until(lambda: replica.log.covered(feed) >= 5, "the checkpoint at bob")
        await until(lambda: not replica.state.wanted(), "its state at bob")
        assert value_at(bob, alice, "counter") == b"4"


async def test_a_body_that_the_disk_spoiled_comes_back_from_others(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        alice, bob = mesh.nodes
        alice.runtime.state.write(Register("greeting", b"hello"))
        alice.runtime.state.seal()
        await until(lambda: value_at(bob, alice, "greeting") == b"hello", "the register at bob")
        state = bob.runtime.state
        await until(lambda: not state.segments.has_pending and not state.segments._bodies, "disk")
        [path] = (tmp_path / "bob" / "log").glob("*.seg")
        path.write_bytes(path.read_bytes().replace(b"hello", b"hellx"))
        state.upkeep._scrub_at = None
        state.upkeep.scrub()
        assert len(state.segments.damage) == 1

        def is_whole() -> bool:
            frames = list(state.replica.log.frames(alice.key.node_id))
            return any(b"hello" in event for frame in frames for event in frame.events)

        assert not is_whole()
        await until(is_whole, "the body from alice")


async def test_what_a_leaver_has_written_goes_on_counting(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        alice, bob = mesh.nodes
        gone = bob.key.node_id
        bob.runtime.state.write(Register("greeting", b"hello"))
        bob.runtime.state.seal()
        await until(lambda: value_at(alice, bob, "greeting") == b"hello", "the register at alice")
        mine, theirs = (node.runtime.state.cut_of(gone) for node in mesh.nodes)
        assert mine == theirs
        assert {point.lane for point in mine} == {Lane.CTL}
        with trio.fail_after(20):
            await bob.runtime.leave_mesh()
        await until(lambda: alice.runtime.identity.member(gone) is None, "the removal")
        assert value_at(alice, bob, "greeting") == b"hello"
        cuts = alice.runtime.state.replica.standing.cuts[gone]
        assert cuts == (mine,)


async def test_another_mesh_begins_another_log_and_own_results_come_along(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        alice = mesh.alice
        identity = alice.runtime.identity
        disk, me, mesh_id = alice.env.disk, alice.key.node_id, identity.mesh_id
        event = ActionResult(*map(digest_of, (b"action", b"outputs", b"record")), BUILT, 5)
        assert len(encode_event(event)) <= 120
        alice.runtime.state.write(event)
        await end_membership(alice)
        kept = disk.names("log")
        assert make_place(disk, mesh_id, me) == []
        other = MeshId(Digest(bytes(32)))
        assert make_place(disk, other, NodeId(bytes(32))) == []
        assert [name for name in disk.names("log") if name.endswith(".seg")] == []
        assert disk.read(MESH_FILE) == bytes(8).hex().encode()
        assert make_place(disk, mesh_id, me) == []
        assert disk.names("log") == kept
        assert make_place(disk, other, me) == [event]
        assert make_place(disk, mesh_id, me) == []
        await alice.enter(identity)


# -- results ---------------------------------------------------------------------------------------
async def test_what_one_has_built_is_a_hit_for_everybody_and_after_a_restart(tmp_path) -> None:
    root = project(tmp_path / "project", 4)
    async with world(tmp_path) as mesh:
        alice, bob = mesh.nodes
        assert (await run(alice, root))["ok"]
        for node in mesh.nodes:
            rows = node.runtime.results.rows
            await until(lambda rows=rows: len(set(rows())) == 4, "the results")
            shutil.rmtree(root / "out")
            view = await run(node, root)
            assert view["ok"]
            assert view["cached"] == 4
            assert is_built(root, 4)
        identity = bob.runtime.identity
        await end_membership(bob)
        await bob.enter(identity)
        shutil.rmtree(root / "out")
        view = await run(bob, root)
        assert view["cached"] == 4, "from its own disk"


async def test_under_two_attestations_one_builder_is_not_enough(tmp_path: Path) -> None:
    root = project(tmp_path / "project", 3)
    async with world(tmp_path) as mesh:
        alice, bob = mesh.nodes
        alice.runtime.state.write(Policy(int(Trust.K_BUILDERS), 2, 2, ()))
        alice.runtime.state.seal()
        policy = TrustPolicy(Trust.K_BUILDERS, 2)
        await until(lambda: bob.runtime.results.policy == policy, "the policy at bob")
        assert (await run(alice, root, mode=Mode.LOCAL))["local"] == 3
        assert (await run(alice, root, mode=Mode.LOCAL))["cached"] == 3, "its own word is enough"
        actions = bob.runtime.state.replica.state.actions
        await until(lambda: len(actions.all()) == 3, "the results at bob")
        assert (await run(bob, root, mode=Mode.LOCAL))["local"] == 3
        await until(
            lambda: all(
                len(alice.runtime.results.lookup(each).builders) == 2 for each in actions.all()
            ),
            "both builders' word at alice",
        )
        assert not actions.divergences()


async def test_a_node_that_trusts_itself_alone_builds_what_others_have(tmp_path: Path) -> None:
    root = project(tmp_path / "project", 2)
    async with world(tmp_path) as mesh:
        alice, bob = mesh.nodes
        assert (await run(alice, root, mode=Mode.LOCAL))["ok"]
        results = bob.runtime.results
        await until(lambda: len(list(results.rows())) == 2, "the results at bob")
        assert all(results.lookup(each) for each in results.rows())
        results._own_policy = TrustPolicy(Trust.OWN)
        assert (await run(bob, root, mode=Mode.LOCAL))["local"] == 2


# -- who did what ----------------------------------------------------------------------------------
async def test_runs_and_executions_are_told_by_whoever_did_them(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        alice, bob = mesh.nodes
        origin, shard = alice.key.node_id, 7
        result = mesh.intruder.result_of(digest_of(b"action"), builder=bob.key.node_id)
        number = RunId(b"run 0001")
        record = RunRecord(RunHead(number.hex(), "build", "/home/ada/project", 0.0, 0.0))
        alice.runtime.deeds.run_began(record)
        bob.runtime.deeds.executed(origin, number, shard, result)
        bob.runtime.deeds.executed(origin, number, shard, result)
        record.finish(1.0, 0, None, cancelled=False)
        alice.runtime.deeds.run_ended(record)
        for node in mesh.nodes:
            runs = node.runtime.state.replica.state.runs

            def seen(runs: RunView = runs) -> bool:
                found = runs.get(origin, number)
                return found is not None and len(found.executions) == 2 and found.told is not None

            await until(seen, "the run")
            found = runs.get(origin, number)
            assert found is not None
            assert found.told is not None
            assert (found.told.state, found.told.label) == (RunState.SUCCEEDED, "build project")
            assert {each.node for each in found.executions} == {bob.key.node_id}
            assert [each.execution.attempt for each in found.executions] == [0, 1]


async def test_what_nodes_are_and_pin_is_seen_everywhere(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        alice, bob = mesh.nodes
        await until(lambda: value_at(bob, alice, "node.name") == b"alice", "the name at bob")
        await until(lambda: value_at(alice, bob, "node.slots") == b"1", "the slots at alice")
        store, deeds = alice.workshop.store, alice.runtime.deeds
        blob = store.put(b"precious")
        store.keep.pin(blob, "release")
        key = f"pin.{blob.hex()}"
        await until(lambda: value_at(bob, alice, key) == b"release", "the pin at bob")
        store.keep.unpin(blob)
        deeds.tell_pins(store.keep.pins)
        await until(lambda: value_at(bob, alice, key) is None, "no pin at bob")


async def test_an_admin_decides_and_everybody_goes_by_it(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        alice, bob = mesh.nodes
        with pytest.raises(NotAllowed):
            decide(bob.runtime, "own", None)
        with pytest.raises(BadRequest):
            decide(alice.runtime, "everybody", None)
        with pytest.raises(BadRequest):
            decide(alice.runtime, None, 0)
        decide(alice.runtime, "2", None)
        decide(alice.runtime, None, 3)
        wanted = {"trust": "2", "here": "2", "copies": 3, "decided": 1}
        for node in mesh.nodes:
            runtime = node.runtime
            await until(
                lambda runtime=runtime: policy_view(runtime).items() >= wanted.items(),
                "the policy",
            )
        bob.runtime.results._own_policy = TrustPolicy(Trust.OWN)
        assert policy_view(bob.runtime)["here"] == "own"
        assert policy_view(bob.runtime)["trust"] == "2"
