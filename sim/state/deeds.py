"""How the faults that only a replicated log can have are done (`sim.faults.state` declares them).

Who lies or floods may be blamed afterwards, and a feed whose key was used by somebody else may be
found forked; nobody else, and no other. Deliberately not here: crashes, disks, clocks and cables,
which are as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from random import Random
from typing import TYPE_CHECKING, cast

import attrs

from mesh.log.frame import Frame, seal
from mesh.log.model import EMPTY, FeedId, Head, Lane
from mesh.log.retention import RetentionConfig, clear_up
from mesh.log.segments import Held, Segments
from mesh.log.sync.messages import Bodies, Headers, Push, StateDigest, Versions
from mesh.log.sync.pushing import pushes
from mesh.node.state.replica import Replica
from mesh.state.events import ActionResult, Register, encode_event
from mesh.types import Digest, NodeId
from mesh.wire.schema import encode_message
from sim.disk import SimDisk
from sim.faults.model import Begin, Undo, choose, over
from sim.scenario.model import Fault
from sim.state.node import MESH, StateNode
from sim.state.workload import STOLEN_ACTION, digest

if TYPE_CHECKING:
    from sim.stage.base import Stage
    from sim.state.stage import StateStage

NEWEST = 4
"""Frames among which one is signed again: histories of equal length are the hardest to tell."""
LATE_S = 3.0
"""After a removal its key is used again; by then all that can have heard of it."""


def _of(stage: Stage) -> StateStage:
    return cast("StateStage", stage)


def _rng(stage: Stage, fault: Fault) -> Random:
    return stage.world.rng(f"{fault.kind} {fault.target} at {stage.world.now_s}")


def _hand(source: NodeId, to: StateNode, frames: list[Frame]) -> None:
    """Give frames to one replica as if `source` had pushed them."""
    if to.replica is None or to.frozen:
        return
    is_known = source in to.replica.sync.sessions
    if not is_known:
        to.act(to.replica.peer_up(source, to.now_s))
    for push in pushes(frames):
        to.hear(source, encode_message(push))
    if not is_known:
        to.act(to.replica.peer_down(source, to.now_s))


# -- stolen keys -----------------------------------------------------------------------------------
def _equivocate(stage: Stage, fault: Fault) -> Undo:
    """Somebody with the node's key signs another frame where there is one, for some."""
    state, rng = _of(stage), _rng(stage, fault)
    for index in fault.target:
        node = state.nodes[index]
        frames = _frames_of(state, node)[-NEWEST:]
        if not frames:
            continue
        rival = _rival(node, choose(rng, frames, 1)[0], b"another history")
        others = [each for each in state.nodes if each is not node]
        state.watch.equivocators.add(rival.feed)
        for other in choose(rng, others, max(1, len(others) // 3)):
            _hand(node.node_id, other, [rival])
    return over


def _frames_of(state: StateStage, node: StateNode) -> list[Frame]:
    """Everything the node has sealed, in order."""
    return [frame for frame in state.watch.frames.values() if frame.feed.node == node.node_id]


def _rival(node: StateNode, instead_of: Frame, say: bytes) -> Frame:
    """Another frame at the same place, of as many events: only their digests differ."""
    header, feed = instead_of.signed.header, instead_of.feed
    event = Register("stolen", say) if feed.lane == Lane.CTL else _result(say)
    parent = Head(header.seq, Digest(header.prev))
    events = [encode_event(event)] * header.count
    return seal(node.key.sign, MESH, feed, parent, events, wall_ms=0, seen=bytes(8))


def _result(say: bytes) -> ActionResult:
    return ActionResult(
        digest("action", STOLEN_ACTION), digest("poison", say), digest("record", say), 0, 1
    )


def _remove(stage: Stage, fault: Fault) -> Undo:
    """The admin removes the node; whoever has its key goes on writing for it."""
    state = _of(stage)
    for index in fault.target:
        if index == 0 or state.removals.remove(index) is None:
            continue
        node = state.nodes[index]
        feed = FeedId(node.node_id, digest("stolen", index)[:8], Lane.AC)
        back_dated = seal(
            node.key.sign, MESH, feed, EMPTY, [encode_event(_result(b"late"))], wall_ms=0,
            seen=bytes(8),
        )  # fmt: skip
        state.watch.poisoned.add(digest("poison", b"late"))
        forged = [
            back_dated,
            *(_rival(node, each, b"late") for each in _frames_of(state, node)[-3:]),
        ]
        state.watch.equivocators.update(frame.feed for frame in forged)
        state.world.after(LATE_S, partial(_spread, state, node, forged))
    return over


def _spread(state: StateStage, node: StateNode, frames: list[Frame]) -> None:
    for other in state.nodes:
        if other is not node:
            for frame in frames:
                _hand(node.node_id, other, [frame])


# -- copies ----------------------------------------------------------------------------------------
def _twin(stage: Stage, fault: Fault) -> Undo:
    """A copy of the node's disk, with its key, runs elsewhere for a moment and is heard by one."""
    state, rng = _of(stage), _rng(stage, fault)
    for index in fault.target:
        node = state.nodes[index]
        copy = SimDisk(state.world, f"copy of disk {index} at {state.world.now_s}")
        copy.restore(node.disk.snapshot())
        config = attrs.evolve(
            node.config(), token=lambda size: rng.getrandbits(8 * size).to_bytes(size, "big")
        )
        twin = Replica(config, Segments(copy.open()), node.now_s)
        sealed: list[Frame] = []
        twin.on_sealed.append(sealed.append)
        for number in range(3):
            twin.write(Register(f"twin {number}", b"here"), node.now_s)
        twin.handle_timer(node.now_s + 1.0)
        for frame in sealed:
            state.watch.sealed(index, frame)
        others = [each for each in state.nodes if each is not node]
        _hand(node.node_id, choose(rng, others, 1)[0], sealed)
    return over


# -- liars -----------------------------------------------------------------------------------------
def _lie(stage: Stage, fault: Fault) -> Undo:
    """What it answers is spoiled now and then: bodies, headers, claims, silence."""
    state, rng = _of(stage), _rng(stage, fault)
    chance = fault.number("chance")

    def twist(_: NodeId, message: object) -> object | None:
        if rng.random() >= chance:
            return message
        if isinstance(message, Bodies):
            return attrs.evolve(message, bodies=tuple(b"\x81\x41x" for _ in message.bodies))  # type: ignore[misc]
        if isinstance(message, Headers) and message.headers:
            spoiled = [attrs.evolve(h, signature=bytes(64)) for h in message.headers]  # type: ignore[misc]
            return attrs.evolve(message, headers=tuple(spoiled))  # type: ignore[misc]
        if isinstance(message, Versions | StateDigest):
            return StateDigest(rng.getrandbits(64).to_bytes(8, "big"))
        return None if isinstance(message, Push) else message

    for index in fault.target:
        state.watch.liars.add(index)
        state.nodes[index].twist = twist

    def undo() -> None:
        for index in fault.target:
            state.nodes[index].twist = None

    return undo


def _flood(stage: Stage, fault: Fault) -> Undo:
    """It sends everybody many messages that mean nothing, and frames of nobody."""
    state, rng = _of(stage), _rng(stage, fault)
    for index in fault.target:
        node = state.nodes[index]
        state.watch.liars.add(index)
        count = int(fault.number("messages"))
        for other in state.nodes:
            if other is node or other.replica is None or other.frozen or not node.is_up:
                continue
            for _ in range(count):
                junk = rng.getrandbits(64).to_bytes(8, "big")
                other.hear(node.node_id, encode_message(StateDigest(junk)))
    return over


# -- less ------------------------------------------------------------------------------------------
def _checkpoint(stage: Stage, fault: Fault) -> Undo:
    state, rng = _of(stage), _rng(stage, fault)
    for index in fault.target:
        state.checkpoint(index, choose(rng, list(Lane), 1)[0])
    return over


def _prune(stage: Stage, fault: Fault) -> Undo:
    """What a checkpoint covers goes from the disk, at once."""
    state = _of(stage)
    config = RetentionConfig(max_buffer_age_hours=-1.0)
    for index in fault.target:
        node = state.nodes[index]
        if node.replica is not None and node.store is not None:
            clear_up(node.replica.log, node.store, config, state.blobs.__contains__)
            node.store.commit(node.now_s)
            node.store.compact()
            state.watch.overdue += sum(_is_overdue(state, node, each) for each in node.store.held())
    return over


def _is_overdue(state: StateStage, node: StateNode, held: Held) -> bool:
    """Whether a body is still there although a checkpoint whose state is here covers it."""
    assert node.replica is not None
    cover = node.replica.log.cover(held.feed)
    covered = cover is not None and held.end <= cover.head.count
    return covered and cover is not None and cover.state in state.blobs


DEEDS: Mapping[str, Begin] = {
    "equivocate": _equivocate,
    "remove": _remove,
    "twin": _twin,
    "lie": _lie,
    "flood": _flood,
    "checkpoint": _checkpoint,
    "prune": _prune,
}
