"""From the node's state to the views of `mesh.control.views`. Reads everything, changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.cas.blobs import BlobStore
from mesh.control.state_views import LogHealthView
from mesh.control.views import (
    CheckView,
    DoctorView,
    LeafView,
    MembersView,
    MemberView,
    MeshRef,
    NodeView,
    StatusView,
)
from mesh.identity.fold import Member
from mesh.node.leaves.views import leaf_views
from mesh.node.runtime import MeshRuntime
from mesh.node.state.health import log_health, strangers
from mesh.node.state.partings import Away
from mesh.swim.effects import MemberView as Seen
from mesh.swim.effects import PathTrouble, State

if TYPE_CHECKING:
    from mesh.node.node import Node

STATE_WORDS = {
    State.ALIVE: "alive",
    State.SUSPECT: "suspect",
    State.UNREACHABLE: "unreachable",
    State.DEAD: "dead",
    State.LEFT: "offline",
}


def own_name(node: Node) -> str:
    """The name the mesh knows us by, or the one we would like to have."""
    if node.in_mesh and (me := node.runtime.identity.me()) is not None:
        return me.name
    return node.config.name


def mesh_ref(node: Node) -> MeshRef | None:
    if not node.in_mesh:
        return None
    identity = node.runtime.identity
    return {"name": identity.mesh_name, "id": identity.mesh_id.hex()}


def members(node: Node) -> MembersView:
    """Everybody admitted, ourselves first. Raises NotInMesh."""
    runtime = node.runtime
    ref = mesh_ref(node)
    assert ref is not None
    seen = _seen(runtime)
    rows = [_member(runtime, member, seen.get(member.node_id)) for member in _ordered(runtime)]
    rows += [_leaf(runtime, member, view) for member, view in _leaves(runtime)]
    return {"schema": "vitte.members/1", "mesh": ref, "members": rows}


def status(node: Node) -> StatusView:
    """Who is there, how loaded, what is wrong."""
    now_s = node.env.clock.monotonic()
    sandbox = node.workshop.runner.sandbox
    nodes: list[NodeView] = []
    leaves: list[LeafView] = []
    health: list[str] = []
    log: LogHealthView | None = None
    if node.in_mesh:
        runtime = node.runtime
        seen = _seen(runtime)
        nodes += [
            _node(node, runtime, member, seen.get(member.node_id), now_s)
            for member in _ordered(runtime)
        ]
        leaves = leaf_views(runtime.leaves)
        health += _health(runtime)
        log = _log(runtime)
    if sandbox.warning is not None:
        health.append(str(sandbox.warning))
    return {
        "schema": "vitte.status/1",
        "mesh": mesh_ref(node),
        "self": own_name(node),
        "nodes": nodes,
        "leaves": leaves,
        "runs": [record.brief(now_s) for record in node.archive.active()],
        "health": health,
        "sandbox": sandbox.kind,
        "log": log,
    }


def _log(runtime: MeshRuntime) -> LogHealthView | None:
    if not runtime.state.is_open:
        return None
    members = [member.node_id for member in runtime.identity.roster.members()]
    health = log_health(runtime.state, runtime.name_ever, _counters(runtime), members)
    health["refused"] += strangers(runtime.refused_streams())
    return health


def doctor(node: Node) -> DoctorView:
    """What the node itself can tell about its well-being."""
    checks: list[CheckView] = []
    sandbox = node.workshop.runner.sandbox
    if sandbox.warning is None:
        checks.append(_check("sandbox", "ok", f"actions run in {sandbox.kind}"))
    else:
        warning = sandbox.warning
        checks.append(_check("sandbox", "warn", warning.problem, warning.command))
    checks.append(_store_check(node.workshop.store))
    if not node.in_mesh:
        checks.append(_check("mesh", "warn", "in no mesh", "vitte mesh init"))
        return {"schema": "vitte.doctor/1", "checks": checks}
    runtime = node.runtime
    linked, known = len(runtime.links.by_node), len(runtime.identity.members()) - 1
    text = f"linked with {linked} of {known} other members"
    checks.append(_check("links", "ok" if linked == known else "warn", text))
    bad = {name: count for name, count in _counters(runtime).items() if _is_alarming(name)}
    text = ", ".join(f"{name} {count}" for name, count in bad.items()) or "nothing was refused"
    checks.append(_check("peers", "warn" if bad else "ok", text))
    return {"schema": "vitte.doctor/1", "checks": checks}


def _store_check(store: BlobStore) -> CheckView:
    if store.trouble:
        return _check("store", "fail", store.trouble, "df -h; dmesg | tail")
    if store.damaged:
        text = f"{store.damaged} blobs were damaged on the disk, and are not used"
        return _check("store", "warn", text, "vitte cache verify")
    return _check("store", "ok", "nothing is damaged")


def _check(name: str, state: str, text: str, next_step: str = "") -> CheckView:
    return {"name": name, "status": state, "text": text, "next_step": next_step}


def _counters(runtime: MeshRuntime) -> dict[str, int]:
    counts: dict[str, int] = {}
    parts = (runtime.links, runtime.work, runtime.stolen, runtime.blobs, runtime.leaves)
    shared = (runtime.state, runtime.results, runtime.copies)
    for part in (runtime, *parts, *shared):
        counts.update(part.counters.snapshot())
    counts.update({f"gossip.{name}": count for name, count in runtime.gossip.counters.items()})
    return counts


_ALARMING = ("lied.", "gossip.lied.", "result.", "grant.", "hit.")


def _is_alarming(name: str) -> bool:
    return "bad-input" in name or name.startswith(_ALARMING)


def _seen(runtime: MeshRuntime) -> dict[bytes, Seen]:
    return {view.node_id: view for view in runtime.gossip.members()}


def _ordered(runtime: MeshRuntime) -> list[Member]:
    me = runtime.identity.node_id
    everybody = runtime.identity.members()
    return sorted(everybody, key=lambda member: (member.node_id != me, member.name))


def _state(runtime: MeshRuntime, member: Member, view: Seen | None) -> str:
    if member.node_id == runtime.identity.node_id:
        return "alive"
    if view is None:
        return "alive" if member.node_id in runtime.links.by_node else "offline"
    return STATE_WORDS[view.state]


def _address(runtime: MeshRuntime, member: Member, view: Seen | None) -> str:
    if member.node_id == runtime.identity.node_id:
        host, port = runtime.doors.peer.address[:2]
        return f"{host}:{port}"
    return f"{view.address[0]}:{view.peer_port}" if view is not None else ""


_PATHS = {
    PathTrouble.OUT: "its datagrams come, ours do not reach it",
    PathTrouble.SILENT: "no datagrams between us; it lives, as others or its stream say",
    PathTrouble.MUTE: "no member answers this node: its datagrams do not leave, though theirs come",
    PathTrouble.DEAF: "no datagram of any member reaches this node",
}


def _member(runtime: MeshRuntime, member: Member, view: Seen | None) -> MemberView:
    return {
        "name": member.name,
        "id": member.node_id.hex(),
        "role": member.role.label,
        "state": _state(runtime, member, view),
        "address": _address(runtime, member, view),
        "admitted_by": runtime.name_of(member.admitted_by),
        "self": member.node_id == runtime.identity.node_id,
    }


def _leaves(runtime: MeshRuntime) -> list[tuple[Member, LeafView]]:
    return list(zip(runtime.identity.leaves(), leaf_views(runtime.leaves), strict=True))


def _leaf(runtime: MeshRuntime, member: Member, view: LeafView) -> MemberView:
    return {
        "name": member.name,
        "id": view["id"],
        "role": member.role.label,
        "state": view["state"],
        "address": f"via {view['gateway']}" if view["gateway"] else "",
        "admitted_by": runtime.name_of(member.admitted_by),
        "self": False,
    }


def _node(
    node: Node, runtime: MeshRuntime, member: Member, view: Seen | None, now_s: float
) -> NodeView:
    own = member.node_id == runtime.identity.node_id
    state = _state(runtime, member, view)
    load = runtime.work.core.load() if own else view.load if view is not None else None
    rtt_s = view.rtt_s if view is not None and not own else None
    away = _away(runtime, member)
    return {
        "name": member.name,
        "id": member.node_id.hex(),
        "state": state,
        "role": member.role.label,
        "self": own,
        "slots": load.slots if load else 0,
        "busy": load.busy if load else 0,
        "queued": load.queued if load else 0,
        "cpu_percent": load.cpu_percent if load else 0,
        "memory_free_mib": load.memory_free_mib if load else 0,
        "cache_bytes": node.cache_bytes if own else None,
        "rtt_ms": None if rtt_s is None else round(rtt_s * 1000, 2),
        "address": _address(runtime, member, view),
        "note": _note(runtime, member, view, state, now_s),
        "offline_since_unix_s": away.since_unix_s if away is not None else None,
        "waiting_events": away.waiting_events if away is not None else None,
    }


def _away(runtime: MeshRuntime, member: Member) -> Away | None:
    alone = len(runtime.identity.members()) == 1
    if alone or not runtime.state.is_open:
        return None
    return runtime.state.partings.away(member.node_id)


def _note(runtime: MeshRuntime, member: Member, view: Seen | None, state: str, now_s: float) -> str:
    if member.node_id == runtime.identity.node_id:
        stolen = runtime.work.core.stolen
        return f"stole {stolen} shards since it started" if stolen else ""
    if view is None:
        return "never seen by this node"
    if state != "alive":
        note = f"for {_duration(now_s - view.since_s)}"
        return f"unstable, {note}" if view.unstable else note
    if view.unstable:
        return "unstable: not used until it stays"
    if view.path in _PATHS:
        return _PATHS[view.path]
    return "" if member.node_id in runtime.links.by_node else "no stream yet"


def _health(runtime: MeshRuntime) -> list[str]:
    lied = [name for name in _counters(runtime) if name.startswith("lied.")]
    sentences = []
    own = next(iter(runtime.gossip.members()), None)
    if own is not None and own.path in _PATHS:
        sentences.append(_PATHS[own.path])
    for name in lied:
        prefix = name.removeprefix("lied.")
        names = [m.name for m in runtime.identity.members() if m.node_id.hex().startswith(prefix)]
        sentences.append(f"{(names or [prefix])[0]} sent data that does not match its digest")
    return sentences


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
