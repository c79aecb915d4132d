"""What a lying member can do to the shared state: its own counter, and nothing else. Whoever did it
is named in `vitte mesh status`, and the honest nodes end up with the same state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio
from nodes import Intruder, Speaker, World, address_of, until, world
from strangers import STRANGER, Pretender

from mesh.identity.certificates import make_certificate
from mesh.identity.keys import NodeKey
from mesh.identity.roles import Role
from mesh.limits import FRAME_BYTES_MAX, SYNC_ASKED_BURST, SYNC_NEEDS_MAX
from mesh.log.forks import fork_of
from mesh.log.frame import Frame, SignedHeader, open_header, seal
from mesh.log.model import EMPTY, FeedId, Lane
from mesh.log.sync.messages import Forks, Push, PushedFrame, StateDigest
from mesh.node import views
from mesh.node.node import Node
from mesh.ports import StreamBroken
from mesh.ports.real.streams import RealStreams
from mesh.state.actions import Trusted
from mesh.state.events import ActionResult, Event, encode_event
from mesh.types import Digest, MeshId
from mesh.wire.frame import frame
from mesh.wire.schema import encode_message

EVE = NodeKey(b"e" * 32)
EPOCH = b"epoch--1"


def digest(fill: int) -> Digest:
    return Digest(bytes([fill]) * 32)


def result(fill: int, outputs: int | None = None) -> ActionResult:
    out = outputs if outputs is not None else fill + 100
    return ActionResult(digest(fill), digest(out), digest(fill + 50), 0, 7)


def log_of(node: Node) -> Any:
    log = views.status(node)["log"]
    assert log is not None
    return log


def blamed(node: Node, who: str) -> dict[str, int]:
    """What the status of a node says that it refused from somebody."""
    return {
        each["reason"]: each["count"] for each in log_of(node)["refused"] if each["node"] == who
    }


async def is_blamed(node: Node, reason: str, who: str = "mallory") -> None:
    def is_said() -> bool:
        return any(each.endswith(reason) for each in blamed(node, who))

    await until(is_said, f"{reason} of {who} in {log_of(node)['refused']}")


def believed(node: Node, fill: int) -> Digest | None:
    found = node.runtime.state.replica.state.lookup(digest(fill))
    return found.outputs if isinstance(found, Trusted) else None


def sealed(
    mesh: MeshId, key: NodeKey, *batches: Sequence[Event | bytes], lane: Lane = Lane.AC
) -> list[Frame]:
    """One frame for each batch."""
    feed, head, frames = FeedId(key.node_id, EPOCH, int(lane)), EMPTY, []
    for batch in batches:
        data = [each if isinstance(each, bytes) else encode_event(each) for each in batch]
        made = seal(key.sign, mesh, feed, head, data, wall_ms=0, seen=bytes(8))
        head = made.signed.head
        frames.append(made)
    return frames


def pushed(signed: SignedHeader, body: bytes | None) -> Push:
    return Push((PushedFrame(signed.data, signed.signature, body),))


def as_pushes(frames: Sequence[Frame]) -> list[Push]:
    return [pushed(each.signed, each.body) for each in frames]


async def agree(mesh: World) -> None:
    """The honest nodes come to the same state, which has what is said now."""
    alice, bob = (node.runtime.state for node in mesh.nodes)
    alice.write(result(99))
    alice.seal()
    await until(lambda: believed(mesh.bob, 99) is not None, "what is honest")
    await until(lambda: alice.replica.log.digest() == bob.replica.log.digest(), "the same log")
    assert alice.replica.state.digest() == bob.replica.state.digest()


async def met(mesh: World) -> Speaker:
    return await mesh.intruder.connect(mesh.alice)


def mesh_of(mesh: World) -> MeshId:
    return mesh.intruder.identity.mesh_id


def key_of(intruder: Intruder) -> NodeKey:
    return intruder.identity.key


# -- who may talk at all ---------------------------------------------------------------------------
async def test_a_stranger_gets_no_further_than_the_door_and_is_counted(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        trust = Pretender(mesh)
        stream = None
        try:
            stream = await RealStreams().dial(address_of(mesh.alice), mesh.alice.key.node_id, trust)
            await stream.send_all(frame(encode_message(StateDigest(bytes(8)))))
            while await stream.receive_some():
                pass
        except StreamBroken:
            pass
        finally:
            if stream is not None:
                await stream.aclose()
        await until(lambda: bool(blamed(mesh.alice, "")), "the stranger in the status")
        await agree(mesh)


async def test_a_revoked_member_is_not_heard_through_others_either(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        alice = mesh.alice.runtime
        certificate = make_certificate(EVE, "eve")
        alice.identity.write_admit(EVE.node_id, "eve", Role.BUILDER, certificate)
        alice.roster_changed()
        frames = sealed(mesh_of(mesh), EVE, [result(1)], [result(2)])
        speaker = await met(mesh)
        await speaker.send(*as_pushes(frames[:1]))
        await until(lambda: believed(mesh.alice, 1) is not None, "what eve said in time")
        alice.expel(EVE.node_id, alice.state.cut_of(EVE.node_id))
        await speaker.send(*as_pushes(frames))
        await is_blamed(mesh.alice, "cut")
        assert believed(mesh.alice, 1) is not None
        assert believed(mesh.alice, 2) is None
        await agree(mesh)


# -- frames that are not what they should be -------------------------------------------------------
async def test_replayed_frames_change_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        frames = sealed(mesh_of(mesh), key_of(mesh.intruder), [result(1)], [result(2)])
        speaker = await met(mesh)
        await speaker.send(*as_pushes(frames))
        await until(lambda: believed(mesh.bob, 2) is not None, "the frames")
        for _ in range(100):
            await speaker.send(*as_pushes(frames))
        await speaker.send(StateDigest(bytes(8)))
        await agree(mesh)
        for node in mesh.nodes:
            log = node.runtime.state.replica.log
            kept = [frame.signed.digest for frame in log.frames(key_of(mesh.intruder).node_id)]
            assert kept == [frame.signed.digest for frame in frames]


async def test_forged_frames_are_refused_and_whoever_brought_them_is_named(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        speaker = await met(mesh)
        mine = sealed(mesh_of(mesh), key_of(mesh.intruder), [result(1)])[0]
        theirs = sealed(mesh_of(mesh), mesh.bob.key, [result(2)])[0].signed
        forged = open_header(theirs.data, key_of(mesh.intruder).sign(b"", theirs.data))
        await speaker.send(pushed(forged, b"\x81\x41a"))
        await is_blamed(mesh.alice, "signature")
        elsewhere = sealed(MeshId(b"x" * 32), key_of(mesh.intruder), [result(3)])
        await speaker.send(*as_pushes(elsewhere))
        await is_blamed(mesh.alice, "mesh")
        await speaker.send(*as_pushes(sealed(mesh_of(mesh), STRANGER, [result(4)])))
        await is_blamed(mesh.alice, "stranger")
        other = sealed(mesh_of(mesh), key_of(mesh.intruder), [result(5)])[0]
        await speaker.send(pushed(mine.signed, other.body))
        await is_blamed(mesh.alice, "root")
        assert all(believed(mesh.alice, fill) is None for fill in (1, 2, 3, 4, 5))
        await agree(mesh)


async def test_what_is_no_event_is_counted_against_its_writer(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        speaker = await met(mesh)
        bad = [b"\xa0", b"\x82\x18\x63\x00", b"\x9f\xff", result(1)]
        await speaker.send(*as_pushes(sealed(mesh_of(mesh), key_of(mesh.intruder), bad)))
        await is_blamed(mesh.alice, "unknown-kind")
        await is_blamed(mesh.bob, "unknown-kind")  # it was handed on: the frame is whole
        assert believed(mesh.bob, 1) is not None
        await agree(mesh)


async def test_malformed_and_oversized_bytes_end_the_link_and_are_attributed(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as mesh:
        for data, reason in (
            (frame(b"\x82\x18\x7c\xff"), "refused.cbor"),
            ((FRAME_BYTES_MAX + 1).to_bytes(4, "big"), "refused.oversized"),
            (frame(encode_message(StateDigest(bytes(8))) + b"\0"), "refused.cbor"),
        ):
            speaker = await met(mesh)
            await speaker.send_raw(data)
            await speaker.ended()
            await until(lambda: bool(blamed(mesh.alice, "mallory")), reason)
        said = blamed(mesh.alice, "mallory")
        assert sum(count for each, count in said.items() if each.startswith("refused.")) == 3, said
        await agree(mesh)


async def test_a_flood_costs_little_and_is_named(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        speaker = await met(mesh)
        each = frame(encode_message(StateDigest(b"nonsense")))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain, speaker)
            for _ in range(3 * SYNC_ASKED_BURST // 100):
                await speaker.send_raw(each * 100)
            await is_blamed(mesh.alice, "flood")
            session = mesh.alice.runtime.state.replica.sync.sessions[mesh.intruder.node_id]
            assert len(session.needs) <= SYNC_NEEDS_MAX
            await agree(mesh)
            nursery.cancel_scope.cancel()


async def drain(speaker: Speaker) -> None:
    while await speaker.stream.receive_some():
        pass


# -- two faces -------------------------------------------------------------------------------------
async def test_an_equivocator_is_named_by_everybody_and_its_results_count_no_more(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as mesh:
        key = key_of(mesh.intruder)
        one = sealed(mesh_of(mesh), key, [result(1, 11)])
        two = sealed(mesh_of(mesh), key, [result(1, 12)])
        speaker = await met(mesh)
        await speaker.send(*as_pushes(one))
        await until(lambda: believed(mesh.bob, 1) == digest(11), "the first history")
        await speaker.send(*as_pushes(two))
        for node in mesh.nodes:
            forks = lambda node=node: [each["node"] for each in log_of(node)["forks"]]  # noqa: E731
            await until(lambda forks=forks: forks() == ["mallory"], "the fork in the status")
            assert believed(node, 1) is None
        await agree(mesh)


async def test_a_proof_that_proves_nothing_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        speaker = await met(mesh)
        honest = sealed(mesh_of(mesh), mesh.bob.key, [result(1)], [result(2)])
        framing = fork_of(honest[0].signed, honest[1].signed)
        await speaker.send(Forks((framing.encode(),)))
        await is_blamed(mesh.alice, "fork")
        assert log_of(mesh.alice)["forks"] == []
        await agree(mesh)


async def test_different_outputs_of_one_action_are_an_alarm_that_names_both(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as mesh:
        speaker = await met(mesh)
        await speaker.send(*mesh.intruder.pushes(result(1, 11)))
        await until(lambda: believed(mesh.bob, 1) == digest(11), "one result")
        mesh.bob.runtime.state.write(result(1, 12))
        mesh.bob.runtime.state.seal()
        await until(lambda: log_of(mesh.alice)["divergent"] == 1, "the alarm")
        (alarm,) = log_of(mesh.alice)["divergences"]
        sides = {(side["outputs"], *side["builders"]) for side in alarm["sides"]}
        assert sides == {(digest(11).hex(), "mallory"), (digest(12).hex(), "bob")}
        assert believed(mesh.alice, 1) is None
        await agree(mesh)
