"""A stolen key that is found out: what its thief writes before the removal, after it, and after the
owner is in again (see `sim.faults.state`).

    begin      the thief opens an epoch under the owner's admission: a result, a register, and
               checkpoints over all the owner has written; somebody honest builds from the result
    NOTICED_S  an admin removes the owner as of the theft, and lists what that withdraws, as
               `vitte mesh revoke --after` does; the thief goes on in another epoch
    the end    the owner is admitted anew, and the thief goes on under the admission that has ended,
               and in an epoch that names none

Deliberately not here: a thief that names the new admission. It is the owner, for all anybody knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import attrs

from mesh.identity.records import ref_of
from mesh.identity.standing import Cut
from mesh.log.frame import Frame, seal
from mesh.log.model import EMPTY, FeedId, Lane
from mesh.state.attestations import split_rows
from mesh.state.checkpoint import encode_state
from mesh.state.events import (
    CONSUMED_BYTES,
    ActionResult,
    Checkpoint,
    Derivation,
    Event,
    Open,
    Register,
    encode_event,
)
from mesh.state.withdrawals import Pair, pair_in, withdrawal_events
from mesh.types import Digest, NodeId, digest_of
from sim.faults.model import Begin, Undo
from sim.scenario.model import Fault
from sim.state.deeds import LATE_S, hand
from sim.state.identities import MESH
from sim.state.node import StateNode
from sim.state.rosters import cut_of
from sim.state.workload import digest

if TYPE_CHECKING:
    from sim.stage.base import Stage
    from sim.state.stage import StateStage

NOTICED_S = 1.5
BREATH_S = 0.5
"""Between a thief's frames, so that disks take them."""
STOLEN_KEY = "stolen {}"
"""The register that a thief writes."""


@attrs.frozen
class Theft:
    """One key, and what its thief claims."""

    owner: int
    number: int
    admission: bytes
    """Under which the owner was in when the key was stolen."""
    action: Digest
    outputs: Digest
    made_from_it: Digest
    """An action of somebody honest that consumed those outputs."""


@attrs.define
class Known:
    """What can be expected of a theft."""

    theft: Theft
    builder: int | None = None
    """Who built from it, and said so."""
    lister: int | None = None
    """The admin that has listed its result as withdrawn."""
    cut: Cut | None = None
    """Of the removal that leaves it out."""


def _of(stage: Stage) -> StateStage:
    return cast("StateStage", stage)


def _steal(stage: Stage, fault: Fault) -> Undo:
    state = _of(stage)
    begun = [_begin(state, state.nodes[index]) for index in fault.target]

    def undo() -> None:
        for known in begun:
            if known is not None:
                _end(state, known)

    return undo


def _begin(state: StateStage, owner: StateNode) -> Known | None:
    member = state.rosters.truth.member(owner.node_id)
    admin = state.rosters.admin_for(owner.index)
    if member is None or admin is None:
        return None
    number = len(state.watch.thefts)
    theft = Theft(
        owner.index,
        number,
        ref_of(member.admission),
        digest("stolen action", number),
        digest("stolen outputs", number),
        digest("made from stolen", number),
    )
    known = Known(theft)
    state.watch.thefts.append(known)
    cut = cut_of(admin, owner.node_id)
    _write(state, theft, "before the removal", theft.admission)
    state.world.after(2 * BREATH_S, partial(_build_from_it, state, known))
    state.world.after(NOTICED_S, partial(_notice, state, known, cut))
    return known


def _end(state: StateStage, known: Known) -> None:
    owner = known.theft.owner
    admin = state.rosters.admin_for(owner)
    if admin is not None and state.rosters.is_removed(owner):
        state.rosters.admit(admin, owner)
    named, unnamed = "in again", "in again, and names no admission"
    admission, after = known.theft.admission, state.world.after
    after(LATE_S, partial(_write, state, known.theft, named, admission))
    after(2 * LATE_S, partial(_write, state, known.theft, unnamed, None))


# -- the thief -------------------------------------------------------------------------------------
def _write(state: StateStage, theft: Theft, when: str, admission: bytes | None) -> None:
    """An epoch of the thief's: what it claims, and that this is all its owner has ever said."""
    owner = state.nodes[theft.owner]
    epoch = digest("epoch of a thief", theft.number, when)[:8]
    result = ActionResult(theft.action, theft.outputs, digest("record"), 0, 1)
    opening: list[Event] = [Open(admission, (), "thief")] if admission is not None else []
    said: list[tuple[Lane, list[Event]]] = [
        (Lane.CTL, [*opening, Register(STOLEN_KEY.format(theft.number), when.encode())]),
        (Lane.AC, [result]),
    ]
    for number, (lane, events) in enumerate(said):
        feed = FeedId(owner.node_id, epoch, lane)
        state.world.after(number * BREATH_S, partial(_spread, state, owner, feed, events))


def _spread(state: StateStage, owner: StateNode, feed: FeedId, events: Sequence[Event]) -> None:
    frames = _frames(state, owner, feed, events)
    for other in state.nodes:
        if other is not owner:
            hand(owner.node_id, other, frames)


def _frames(
    state: StateStage, owner: StateNode, feed: FeedId, events: Sequence[Event]
) -> list[Frame]:
    """These events, and a checkpoint over everything on the lane."""
    lane = Lane(feed.lane)
    state.watch.thieves.add(feed)
    frames = [_sealed(owner, feed, EMPTY, events)]
    replicas = [node.replica for node in state.nodes if node.replica is not None]
    covers = replicas[0].log.points_to_cover(owner.node_id, lane) if replicas else ()
    if covers:
        empty = encode_state(lane, b"", ())
        state.blobs[digest_of(empty)] = empty
        covering = Checkpoint(covers, digest_of(empty), len(empty), 0)
        frames.append(_sealed(owner, feed, frames[0].signed.head, [covering]))
    return frames


def _sealed(owner: StateNode, feed: FeedId, parent: object, events: Sequence[Event]) -> Frame:
    encoded = [encode_event(event) for event in events]
    return seal(owner.key.sign, MESH, feed, parent, encoded, wall_ms=0, seen=bytes(8))  # type: ignore[arg-type]


# -- everybody else --------------------------------------------------------------------------------
def _build_from_it(state: StateStage, known: Known) -> None:
    """Somebody who believes it uses it."""
    theft = known.theft
    for node in state.nodes[::-1]:
        replica = node.replica
        is_able = replica is not None and not node.frozen and node.index != theft.owner
        if not is_able or replica is None or not replica.has_room:
            continue
        if not replica.state.actions.claims(theft.action):
            continue  # it has not heard of it
        made = digest("outputs of", theft.made_from_it)
        consumed = (theft.outputs[:CONSUMED_BYTES],)
        for event in (
            Derivation(theft.made_from_it, consumed),
            ActionResult(theft.made_from_it, made, digest("record"), 0, 1),
        ):
            node.act(replica.write(event, node.now_s))
        known.builder = node.index
        return


def _notice(state: StateStage, known: Known, cut: Cut) -> None:
    """An admin removes the owner as of the theft, and says what that withdraws."""
    owner = known.theft.owner
    admin = state.rosters.admin_for(owner)
    if admin is not None and admin.replica is not None and admin.replica.has_room:
        node_id = state.node_id(owner)
        before = _pairs(admin, node_id)
        if state.rosters.remove(admin, owner, cut):
            known.cut = cut
            _list(admin, node_id, before - _pairs(admin, node_id), known)
    _write(state, known.theft, "after the removal", known.theft.admission)


def _pairs(node: StateNode, owner: NodeId) -> set[Pair]:
    if node.replica is None:
        return set()
    kept = node.replica.state.actions.kept(owner)
    return {pair_in(row) for piece in kept for row in split_rows(piece)}


def _list(admin: StateNode, owner: NodeId, pairs: set[Pair], known: Known) -> None:
    if admin.replica is None:
        return  # the removal was its own end
    for event in withdrawal_events(owner, pairs, known.theft.number * 1000):
        admin.act(admin.replica.write(event, admin.now_s))
    if (known.theft.action, known.theft.outputs) in pairs:
        known.lister = admin.index


THEFT: Mapping[str, Begin] = {"steal": _steal}
