"""How members fall out: admins that remove each other, one that is admitted again, an invite that
is used too often (see `sim.faults.state`).

Deliberately not here: what the records say of it (`mesh.identity.fold`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, cast

from mesh.errors import EnvironmentFault, NotAllowed
from mesh.identity.keys import NodeKey
from mesh.identity.records import Admit, Authorship, invite_proof, ref_of, sign_record
from mesh.identity.roles import Role
from mesh.log.frame import seal
from mesh.log.model import EMPTY, FeedId, Lane
from mesh.state.events import Open, Register, encode_event
from mesh.types import Digest, digest_of
from sim.faults.model import Begin, Undo, choose, over
from sim.scenario.model import Fault
from sim.state.deeds import LATE_S, hand
from sim.state.identities import ADMINS, MESH, certificate_of, key_of, name_of
from sim.state.node import StateNode

if TYPE_CHECKING:
    from sim.stage.base import Stage
    from sim.state.stage import StateStage

GUEST_KEY = "guest"
"""The register that guests write."""


def _of(stage: Stage) -> StateStage:
    return cast("StateStage", stage)


def _feud(stage: Stage, fault: Fault) -> Undo:
    """Two admins remove each other at once; one of them had removed somebody, whom the other
    admits; and the removed one goes on admitting."""
    state = _of(stage)
    rosters, admins = state.rosters, state.nodes[:ADMINS]
    if len(admins) < ADMINS or any(each.replica is None or each.frozen for each in admins):
        return over
    one, other = admins if fault.target[0] % 2 else admins[::-1]
    for index in fault.target:
        if index >= ADMINS:
            rosters.remove(one, index)
            rosters.admit(other, index)
    under = [rosters.truth.admissions_of(each.node_id)[0].digest for each in admins]
    rosters.remove(one, other.index)
    rosters.remove(other, one.index)
    for admin, digest in zip(admins, under, strict=True):
        state.world.after(LATE_S, partial(_admit_late, state, admin, digest))
    return over


def _admit_late(state: StateStage, admin: StateNode, under: Digest) -> None:
    """A removed admin's key admits a guest, and somebody is shown it."""
    guest = f"guest-{len(state.rosters.guests)}"
    state.rosters.guests.append(guest)
    author = Authorship(MESH, admin.node_id, under)
    key = key_of(guest).node_id
    fact = Admit(author, key, name_of(guest), int(Role.ADMIN), certificate_of(guest), 9)
    record = sign_record(admin.key, fact)
    if state.rosters.is_removed(admin.index):
        state.rosters.uninvited.add(key)
    state.rosters.truth.merge((record,))
    for node in state.nodes[::-1]:
        if node is not admin and node.replica is not None and not node.frozen:
            node.hear_records((record,))
            break


def _readmit(stage: Stage, fault: Fault) -> Undo:
    """Who is out comes in again; who is in is removed and admitted by two who have not heard of
    each other."""
    state = _of(stage)
    rosters = state.rosters
    for index in fault.target:
        first = rosters.admin_for(index)
        if first is None:
            continue
        if rosters.is_removed(index):
            rosters.admit(first, index)
            continue
        others = [node for node in state.nodes[:ADMINS] if node not in (first, state.nodes[index])]
        if rosters.remove(first, index):
            by = next((each for each in others if each.replica is not None), first)
            rosters.admit(by, index)
    return over


def _overuse(stage: Stage, fault: Fault) -> Undo:
    """More guests come on an invite than it is for, each to another member."""
    state, uses = _of(stage), int(fault.number("uses"))
    rng = stage.world.rng(f"{fault.kind} {fault.target} at {stage.world.now_s}")
    admin = state.rosters.admin_for(-1)
    if admin is None or admin.identity is None:
        return over
    word = sha256(repr((fault.target, stage.world.now_s)).encode()).digest()
    invite_key = NodeKey(word)
    try:
        invite = admin.identity.write_invite(invite_key.node_id, Role.BUILDER, uses, 1 << 40)
    except (NotAllowed, EnvironmentFault, OSError):
        return over
    state.rosters.written(admin, invite)
    doors = [each for each in state.nodes if each.holds_for_member(each.node_id)]
    doors = [each for each in doors if each.replica is not None and not each.frozen]
    doors = choose(rng, doors, uses + 1)
    for door in doors:
        guest = f"guest-{len(state.rosters.guests)}"
        state.rosters.guests.append(guest)
        _let_in(state, door, invite, invite_key, guest)
    return over


def _let_in(
    state: StateStage, door: StateNode, invite: bytes, invite_key: NodeKey, guest: str
) -> None:
    """One guest comes to one member, with the invite in its hand, and says something there."""
    assert door.identity is not None
    digest, key = digest_of(invite), key_of(guest)
    proof = invite_proof(invite_key, MESH, key.node_id, digest)
    door.hear_records((invite,))
    try:
        record = door.identity.write_invited(
            digest, key.node_id, name_of(guest), certificate_of(guest), proof
        )
    except (NotAllowed, EnvironmentFault, OSError):
        return
    state.rosters.invites.setdefault(digest, []).append(key.node_id)
    state.rosters.written(door, record)
    opening = Open(ref_of(digest_of(record)), (), guest)
    events = [encode_event(opening), encode_event(Register(GUEST_KEY, guest.encode()))]
    feed = FeedId(key.node_id, sha256(guest.encode()).digest()[:8], Lane.CTL)
    frame = seal(key.sign, MESH, feed, EMPTY, events, wall_ms=0, seen=bytes(8))
    hand(key.node_id, door, [frame])


ROSTER: Mapping[str, Begin] = {"feud": _feud, "readmit": _readmit, "overuse": _overuse}
