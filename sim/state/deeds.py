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
from mesh.log.segments import Segments
from mesh.log.sync import Send
from mesh.log.sync.messages import Bodies, Headers, Push, StateDigest, Versions
from mesh.log.sync.pushing import pushes
from mesh.node.state.replica import Replica
from mesh.state.events import ActionResult, Register, encode_event
from mesh.types import Digest, NodeId
from mesh.wire.schema import encode_message
from sim.disk import SimDisk
from sim.faults.model import Begin, Undo, choose, over
from sim.scenario.model import Fault
from sim.state.identities import MESH
from sim.state.node import StateNode
from sim.state.rosters import roster_from
from sim.state.workload import STOLEN_ACTION, digest

if TYPE_CHECKING:
    from sim.stage.base import Stage
    from sim.state.stage import StateStage

NEWEST = 4
"""Frames among which one is signed again: histories of equal length are the hardest to tell."""
HALF = 0.5
LATE_S = 3.0
"""After a removal its key is used again; by then all that can have heard of it."""


def _of(stage: Stage) -> StateStage:
    return cast("StateStage", stage)


def _rng(stage: Stage, fault: Fault) -> Random:
    return stage.world.rng(f"{fault.kind} {fault.target} at {stage.world.now_s}")


def hand(source: NodeId, to: StateNode, frames: list[Frame], *, quietly: bool = False) -> bool:
    """Give frames to one replica as if `source` had pushed them. `quietly`: whatever it tells
    others of it at once is lost, so that only comparing finds out. False: it cannot hear."""
    if to.replica is None or to.frozen:
        return False
    is_known = source in to.replica.sync.sessions
    if not is_known:
        to.act(to.replica.peer_up(source, to.now_s))
    for push in pushes(frames):
        if quietly:
            acts = to.replica.receive(source, push, to.now_s)
            to.act([act for act in acts if not (isinstance(act, Send) and _is_push(act))])
        else:
            to.hear(source, encode_message(push))
    if not is_known:
        to.act(to.replica.peer_down(source, to.now_s))
    return True


def _is_push(act: Send) -> bool:
    return isinstance(act.message, Push)


# -- stolen keys -----------------------------------------------------------------------------------
def _equivocate(stage: Stage, fault: Fault, *, old: bool = False) -> Undo:
    """Somebody with the node's key signs another frame where there is one, for some. `old`: one
    with much after it, which everybody's log loses again."""
    state, rng = _of(stage), _rng(stage, fault)
    for index in fault.target:
        node = state.nodes[index]
        frames = _frames_of(state, node)
        frames = frames[: len(frames) // 2] if old else frames[-NEWEST:]
        if not frames:
            continue
        honest = choose(rng, frames, 1)[0]
        rival = _rival(node, honest, b"another history")
        others = [each for each in state.nodes if each is not node]
        state.watch.equivocators.add(rival.feed)
        for other in choose(rng, others, max(1, len(others) // 3)):
            _hand_rival(state, node, other, honest, rival)
    return over


def _hand_rival(
    state: StateStage, node: StateNode, to: StateNode, honest: Frame, rival: Frame
) -> None:
    """Who has one of two histories and is shown the other has proof from then on."""
    had = to.replica is not None and to.replica.log.knows(honest.feed, honest.signed.head)
    if hand(node.node_id, to, [rival]) and had:
        state.watch.shown.append((to.index, to.lives, rival.feed))


def _two_faces(stage: Stage, fault: Fault) -> Undo:
    """Somebody with the node's key begins a feed in two ways, and shows each to one half only."""
    state, rng = _of(stage), _rng(stage, fault)
    for index in fault.target:
        node = state.nodes[index]
        epoch = rng.getrandbits(64).to_bytes(8, "big")
        feed = FeedId(node.node_id, epoch, Lane.AC)
        state.watch.equivocators.add(feed)
        others = choose(rng, [each for each in state.nodes if each is not node], len(state.nodes))
        for number, other in enumerate(others):
            events = [encode_event(_result(b"face %d" % (number % 2)))]
            face = seal(node.key.sign, MESH, feed, EMPTY, events, wall_ms=0, seen=bytes(8))
            hand(node.node_id, other, [face], quietly=True)
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
    """An admin removes the node; whoever has its key goes on writing for it."""
    state = _of(stage)
    for index in fault.target:
        admin = state.rosters.admin_for(index)
        if admin is None:
            continue
        under_cut = _below_the_cut(state, state.nodes[index], admin)
        if not state.rosters.remove(admin, index):
            continue
        for other in state.nodes:
            if other not in (admin, state.nodes[index]):
                hand(state.node_id(index), other, [under_cut], quietly=True)
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


def _below_the_cut(state: StateStage, node: StateNode, admin: StateNode) -> Frame:
    """A feed that the admin, who is about to remove the node, knows in one way; returned is its
    beginning in another way, as long as that."""
    feed = FeedId(node.node_id, digest("below", state.world.now_s)[:8], Lane.AC)
    state.watch.equivocators.add(feed)
    known = ActionResult(digest("known"), digest("known"), digest("known"), 0, 1)
    faces = [
        seal(node.key.sign, MESH, feed, EMPTY, [encode_event(event)], wall_ms=0, seen=bytes(8))
        for event in (known, _result(b"late"))
    ]
    hand(node.node_id, admin, [faces[0]], quietly=True)
    return faces[1]


def _spread(state: StateStage, node: StateNode, frames: list[Frame]) -> None:
    for other in state.nodes:
        if other is not node:
            for frame in frames:
                hand(node.node_id, other, [frame])


# -- copies ----------------------------------------------------------------------------------------
def _twin(stage: Stage, fault: Fault) -> Undo:
    """A copy of the node's disk, with its key, runs elsewhere for a moment and is heard by one."""
    state, rng = _of(stage), _rng(stage, fault)
    for index in fault.target:
        node = state.nodes[index]
        copy = SimDisk(state.world, f"copy of disk {index} at {state.world.now_s}")
        copy.restore(node.disk.snapshot())
        port = copy.open()
        config = attrs.evolve(
            node.config(roster_from(port, state.size)),
            token=lambda size: rng.getrandbits(8 * size).to_bytes(size, "big"),
        )
        twin = Replica(config, Segments(port), node.now_s)
        sealed: list[Frame] = []
        twin.on_sealed.append(sealed.append)
        for number in range(3):
            twin.write(Register(f"twin {number}", b"here"), node.now_s)
        twin.handle_timer(node.now_s + 1.0)
        for frame in sealed:
            state.watch.sealed(index, frame)
        others = [each for each in state.nodes if each is not node]
        hand(node.node_id, choose(rng, others, 1)[0], sealed)
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
        if isinstance(message, Headers) and message.bodies and rng.random() < HALF:
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


DEEDS: Mapping[str, Begin] = {
    "equivocate": _equivocate,
    "rewrite": partial(_equivocate, old=True),
    "remove": _remove,
    "twin": _twin,
    "lie": _lie,
    "flood": _flood,
    "two_faces": _two_faces,
}
