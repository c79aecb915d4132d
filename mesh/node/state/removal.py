"""Removing a member: where its log is cut, and what is withheld because of that.

Rules
- The cut is a place in each of its feeds, by hash. An admin may choose it by a time; then it is
  where the writer's own clock passes that time in its own chain, here and now, and that place is
  what is signed. So nothing that the node dates back later is let in.
- Without a time all that is known here is kept: the node is not trusted any more, what it has done
  is. A second removal with an earlier place withdraws more; both hold together.
- What is beyond the cut nobody keeps; the admin lists it in the log, so that also those who come
  later know what was made from it.
- What is withheld is a view of the log (`mesh.state.taint`) and the same everywhere.

Not here: the record itself (`mesh.identity`), and closing connections (`mesh.node.runtime`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from mesh.control.outbox import Outbox
from mesh.control.server import Handler
from mesh.control.state_views import CacheTaintView, RevokedView
from mesh.errors import BadRequest, NoSuchMember, StillAMember
from mesh.identity.records import FeedPoint
from mesh.identity.roles import ADMIT
from mesh.limits import EVENT_VALUE_BYTES_MAX, LEAVE_CUT_MAX, LOG_FEED_FRAMES_MAX
from mesh.log.log import Log
from mesh.node.runtime import MeshRuntime
from mesh.node.state.driver import SharedState
from mesh.ports import Env
from mesh.state.attestations import split_rows
from mesh.state.events import Register
from mesh.state.withdrawals import PREFIX, Pair, pair_in, withdrawal_events
from mesh.types import NodeId

if TYPE_CHECKING:
    from mesh.node.node import Node

PREFIX_DIGITS_MIN = 4
"""Hexadecimal digits that may stand for a node id."""
REASON_KEY = "removed/{}"
"""Register of the admin: why, as text."""


CATCH_UP_MAX_S, CATCH_UP_LOOK_S = 30.0, 0.02


@attrs.frozen
class _Removed:
    """Who, and how many events of theirs were kept and cut."""

    node: NodeId
    name: str
    kept_events: int
    cut_events: int


def removal_handlers(node: Node) -> dict[str, Handler]:
    """`revoke`, `cache_taint`."""

    async def revoke_op(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        runtime, reason, after_unix_s = node.runtime, params["reason"], params["after_unix_s"]
        removed = revoke(runtime, params["node"], reason, after_unix_s)
        await _caught_up(runtime, node.env)
        return revoked_view(runtime, removed)

    async def taint_op(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        which, after_unix_s = params["node"], params["after_unix_s"]
        if after_unix_s is not None:
            if which is None:
                raise BadRequest(why="`after_unix_s` needs a `node`")
            taint_after(node.runtime, which, after_unix_s)
        await _caught_up(node.runtime, node.env)
        return taint_view(node.runtime, which)

    return {"revoke": revoke_op, "cache_taint": taint_op}


async def _caught_up(runtime: MeshRuntime, env: Env) -> None:
    """Let the views go through a large log in slices, which others' work waits for less long than
    for all at once."""
    state, clock = runtime.state.replica.state, env.clock
    end_s = clock.monotonic() + CATCH_UP_MAX_S
    while state.is_behind and clock.monotonic() < end_s:
        await clock.sleep_until(clock.monotonic() + CATCH_UP_LOOK_S)


def find_ever(runtime: MeshRuntime, which: str) -> NodeId:
    """Somebody who is or was a member, by the last name or the start of the id. Members go first.
    Raises NoSuchMember."""
    names = runtime.identity.roster.names()
    found = {node for node, name in names.items() if name == which}
    if not found and len(which) >= PREFIX_DIGITS_MIN:
        found = {node for node in names if node.hex().startswith(which.lower())}
    members = {member.node_id for member in runtime.identity.roster.members()}
    chosen = found & members or found
    if len(chosen) != 1:
        raise NoSuchMember(name=which)
    (node,) = chosen
    return node


def revoke(runtime: MeshRuntime, which: str, reason: str, after_unix_s: float | None) -> _Removed:
    """Shut a member out, everywhere. Raises NoSuchMember, NotAllowed."""
    runtime.identity.require(ADMIT)
    node = find_ever(runtime, which)
    if runtime.identity.member(node) is None or node == runtime.identity.node_id:
        raise NoSuchMember(name=which)
    return _remove(runtime, node, reason, after_unix_s)


def taint_after(runtime: MeshRuntime, which: str, after_unix_s: float) -> None:
    """Withdraw what somebody who is removed wrote from an earlier place on. Raises NoSuchMember,
    StillAMember, NotAllowed."""
    runtime.identity.require(ADMIT)
    node = find_ever(runtime, which)
    if runtime.identity.member(node) is not None:
        raise StillAMember(node=which)
    _remove(runtime, node, "", after_unix_s)


def _remove(
    runtime: MeshRuntime, node: NodeId, reason: str, after_unix_s: float | None
) -> _Removed:
    """Raises LogFull: what is withdrawn must be listed."""
    state, names = runtime.state, runtime.identity.roster.names()
    state.require_room()
    log = state.replica.log
    known = {feed: log.head(feed).count for feed in log.feeds_of(node)}
    if after_unix_s is None:
        cut = state.cut_of(node)
    else:
        cut = cut_before(log, node, int(after_unix_s * 1000))
    actions = state.replica.state.actions
    before = _pairs(actions.kept(node))
    runtime.expel(node, cut)
    _list_withdrawn(state, node, before - _pairs(actions.kept(node)))
    if reason:
        value = reason.encode()[:EVENT_VALUE_BYTES_MAX]
        state.write(Register(REASON_KEY.format(node.hex()), value))
    state.seal()
    kept = sum(point.count for point in cut)
    return _Removed(node, names[node], kept, max(0, sum(known.values()) - kept))


def revoked_view(runtime: MeshRuntime, removed: _Removed) -> RevokedView:
    """What has come of it."""
    taint = runtime.state.replica.state.taint(removed.node)
    return {
        "schema": "vitte.revoked/1",
        "name": removed.name,
        "id": removed.node.hex(),
        "kept_events": removed.kept_events,
        "cut_events": removed.cut_events,
        "withdrawn": len(taint.withdrawn),
        "tainted": len(taint.derived),
    }


def _pairs(pieces: list[bytes]) -> set[Pair]:
    return {pair_in(row) for piece in pieces for row in split_rows(piece)}


def _list_withdrawn(state: SharedState, node: NodeId, pairs: set[Pair]) -> None:
    """Say what is withdrawn, for those who never had it."""
    view = state.replica.state.registers
    keys = view.of_node(state.replica.config.me)
    written = sum(key.startswith(f"{PREFIX}{node.hex()}/") for key in keys)
    for event in withdrawal_events(node, pairs, written):
        state.write(event)


def cut_before(log: Log, node: NodeId, wall_ms: int) -> tuple[FeedPoint, ...]:
    """Of each feed of a node what it wrote before its own clock first said this time."""
    points: list[FeedPoint] = []
    for feed in log.feeds_of(node):
        kept = None
        for signed in log.headers(feed, 0, log.head(feed).count, LOG_FEED_FRAMES_MAX):
            if signed.header.wall_ms >= wall_ms:
                break
            kept = signed
        if kept is not None:
            points.append(FeedPoint(feed.epoch, int(feed.lane), kept.end, kept.digest))
    points.sort(key=lambda point: -point.count)
    return tuple(sorted(points[:LEAVE_CUT_MAX], key=lambda point: (point.epoch, point.lane)))


def taint_view(runtime: MeshRuntime, which: str | None) -> CacheTaintView:
    """What is withheld on account of one node, or of all. Raises NoSuchMember."""
    node = None if which is None else find_ever(runtime, which)
    names = runtime.identity.roster.names()
    taint = runtime.state.replica.state.taint(node)
    return {
        "schema": "vitte.cache_taint/1",
        "node": "" if node is None else names[node],
        "withdrawn": [
            {
                "action": each.action.hex(),
                "outputs": each.outputs.hex(),
                "builders": [names.get(by, by.hex()[:8]) for by in each.nodes],
                "records": [record.hex() for record in each.records],
            }
            for each in taint.withdrawn
        ],
        "derived": [action.hex() for action in taint.derived],
    }
