"""The control socket's operations, by name. Views are made in `mesh.node.views`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import mesh
from mesh.control.outbox import Outbox
from mesh.control.server import Handler
from mesh.errors import BadRequest, MeshError, NobodyAnswered, StrangerAt
from mesh.identity import trust
from mesh.identity.messages import PeerAddress
from mesh.identity.names import clean_name
from mesh.node import views
from mesh.node.admission import admission_handlers
from mesh.node.cache_handlers import cache_handlers
from mesh.node.doors import join_door, parse_host
from mesh.node.leaves.handlers import leaf_handlers
from mesh.node.run_handlers import run_handlers
from mesh.node.state.policy import policy_handlers
from mesh.node.state.removal import removal_handlers
from mesh.node.why_view import why_view
from mesh.ports import StreamBroken

if TYPE_CHECKING:
    from mesh.node.node import Node


def handlers_of(node: Node) -> Mapping[str, Handler]:
    """Everything a node can be asked."""
    return {
        **_life_handlers(node),
        **_view_handlers(node),
        **admission_handlers(node),
        **run_handlers(node),
        **leaf_handlers(node),
        **cache_handlers(node),
        **removal_handlers(node),
        **policy_handlers(node),
    }


def _life_handlers(node: Node) -> dict[str, Handler]:
    async def ping(_params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        return {
            "schema": "vitte.ping/1",
            "version": mesh.__version__,
            "pid": node.env.readings.process_id,
            "home": str(node.config.home),
            "name": views.own_name(node),
            "mesh": views.mesh_ref(node),
        }

    async def init(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        node.require_no_mesh()
        name = clean_name(params["node_name"] or node.config.name)
        identity = trust.create(node.env, node.key, params["mesh_name"], name)
        try:
            await node.enter(identity)
        except MeshError:
            trust.forget(node.env.disk)
            raise
        me = identity.require("view")
        ref = views.mesh_ref(node)
        return {"schema": "vitte.init/1", "mesh": ref, "name": me.name, "role": me.role.label}

    async def leave(_params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        answer = {
            "schema": "vitte.leave/1",
            "mesh": views.mesh_ref(node),
            "name": views.own_name(node),
        }
        node.runtime  # noqa: B018 - raises NotInMesh before anything is given up
        await node.exit()
        return answer

    async def connect(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        return await _connect(node, params["host"])

    async def stop(_params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        node.stop()
        return {"schema": "vitte.stop/1", "pid": node.env.readings.process_id}

    return {
        "ping": ping,
        "init": init,
        "leave": leave,
        "connect": connect,
        "stop": stop,
    }


def _view_handlers(node: Node) -> dict[str, Handler]:
    async def status(_params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        return views.status(node)

    async def members(_params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        return views.members(node)

    async def why(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        return why_view(node, params["node"])

    async def doctor(_params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        return views.doctor(node)

    return {"status": status, "members": members, "why": why, "doctor": doctor}


async def _connect(node: Node, host: str) -> Mapping[str, Any]:
    """Make a member known by its address, where neither mDNS nor gossip reaches it."""
    runtime = node.runtime
    try:
        address = parse_host(host)
    except ValueError:
        raise BadRequest(why=f"`{host}` is not HOST or HOST:PORT") from None
    door = join_door(address)
    try:
        stream, found = await node.env.streams.dial_join(door)
    except StreamBroken as error:
        raise NobodyAnswered(tried=f"{address[0]}:{address[1]} ({error})") from None
    await stream.aclose()
    member = runtime.identity.member(found)
    if member is None:
        raise StrangerAt(address=host)
    runtime.meet([PeerAddress(found, address[0], address[1], address[1], door[1])])
    return {
        "schema": "vitte.connect/1",
        "name": member.name,
        "address": f"{address[0]}:{address[1]}",
    }
