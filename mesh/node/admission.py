"""Operations about membership: join, invite, code, admit. The conversations are in `joining` and
`join_door`; here people's words become their parameters and their ends become views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import trio

from mesh.control.outbox import Outbox
from mesh.control.server import Handler
from mesh.errors import BadRequest, CodeExpired, MeshError, NoMeshFound
from mesh.identity import trust
from mesh.identity.names import clean_name
from mesh.identity.roles import ADMIT, role_of
from mesh.node import views
from mesh.node.doors import DEFAULT_PORT, check_bind, join_door, parse_host
from mesh.node.joining import (
    Joined,
    join_by_approval,
    join_with_code,
    join_with_token,
)
from mesh.types import Address, is_loopback

if TYPE_CHECKING:
    from mesh.node.node import Node

BROWSE_S = 3.0
"""How long the network is listened to before one says that there is no mesh."""
SETTLE_S = 0.5
"""After the first answer, others that answer within this time are tried too."""


def admission_handlers(node: Node) -> dict[str, Handler]:
    """`join`, `invite`, `invite_code`, `admit`."""

    async def join(params: dict[str, Any], emit: Outbox) -> Mapping[str, Any]:
        node.require_no_mesh()
        await check_bind(node.env, node.config.bind)  # before an invitation is spent
        joined = await _join(node, params, emit)
        try:
            await node.enter(joined.identity, joined.peers)
        except MeshError:
            trust.forget(node.env.disk)
            raise
        ref = views.mesh_ref(node)
        assert ref is not None
        me = joined.identity.require("view")
        emit({"event": "joined", "name": me.name, "mesh": ref["name"]})
        count = len(joined.identity.members())
        return {
            "schema": "vitte.join/1",
            "mesh": ref,
            "name": me.name,
            "role": me.role.label,
            "members": count,
        }

    async def invite(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        _check_positive(params, "uses", "for_s")
        role = role_of(params["role"])
        token = node.runtime.door.invite(params["uses"], params["for_s"], role)
        return {
            "schema": "vitte.invite/1",
            "token": token,
            "command": f"vitte mesh join {token}",
            "role": role.label,
            "uses": params["uses"],
            "expires_unix_s": node.env.clock.wall() + params["for_s"],
        }

    async def invite_code(params: dict[str, Any], emit: Outbox) -> Mapping[str, Any]:
        return await _invite_code(node, params, emit)

    async def admit(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        return await _admit(node, params)

    return {"join": join, "invite": invite, "invite_code": invite_code, "admit": admit}


def _check_positive(params: dict[str, Any], *names: str) -> None:
    for name in names:
        if params[name] <= 0:
            raise BadRequest(why=f"`{name}` must be more than 0")


async def _join(node: Node, params: dict[str, Any], emit: Outbox) -> Joined:
    name = clean_name(params["name"] or node.config.name)

    def report(event_name: str, **details: object) -> None:
        if event_name == "waiting":
            emit({"event": "waiting", "seconds": details["timeout_s"]})
        elif event_name == "check_words":
            words = details["words"]
            assert isinstance(words, tuple)
            emit({"event": "check_words", "words": list(words)})
        elif event_name == "found":
            emit({"event": "found", **details})

    how = params["how"]
    if how == "token":
        token = params["token"] or ""
        return await join_with_token(node.env, node.key, name, token, report)
    if how == "code":
        doors = await _doors(node, params["hosts"])
        code = params["code"] or ""
        return await join_with_code(node.env, node.key, name, code, doors, report)
    if how == "approval":
        doors = await _doors(node, params["hosts"])
        return await join_by_approval(node.env, node.key, name, doors, report)
    raise BadRequest(why=f"there is no way of joining called `{how}`")


async def _doors(node: Node, hosts: list[str]) -> list[Address]:
    """The join doors at `hosts`, or those that the network announces. Raises NoMeshFound."""
    doors = []
    for host in hosts:
        try:
            doors.append(join_door(parse_host(host)))
        except ValueError:
            raise BadRequest(why=f"`{host}` is not HOST or HOST:PORT") from None
    if not doors:
        doors = await _browse(node)
    if not doors:
        raise NoMeshFound
    return doors


async def _browse(node: Node) -> list[Address]:
    doors: list[Address] = []
    with trio.move_on_after(BROWSE_S) as patience:
        async with node.env.discovery.browse() as seen:
            async for what in seen:
                doors.append((what.host, what.join_port))
                patience.deadline = min(patience.deadline, trio.current_time() + SETTLE_S)
    return list(dict.fromkeys(doors))


async def _invite_code(node: Node, params: dict[str, Any], emit: Outbox) -> Mapping[str, Any]:
    _check_positive(params, "for_s")
    runtime = node.runtime
    door = runtime.door
    opened = door.open_code(role_of(params["role"]), params["for_s"], params["language"])
    emit(
        {
            "event": "code",
            "code": opened.code,
            "command": f"vitte mesh join {_named(node)}{opened.code}",
            "expires_unix_s": opened.expires_wall_s,
        }
    )
    answer = {"schema": "vitte.invite_code/1", "code": opened.code, "joined": None}
    try:
        member = await door.wait_code(opened.code)
    except CodeExpired:
        emit({"event": "expired"})
        return answer
    emit({"event": "joined", "name": member.name, "mesh": runtime.identity.mesh_name})
    return {**answer, "joined": member.name}


def _named(node: Node) -> str:
    """`--host ADDR ` where a joiner could not find us by searching the network: on loopback only
    one that searches there would."""
    host, port = node.config.bind[0], node.runtime.doors.port
    if node.config.discovery != "none" and not is_loopback(host):
        return ""
    return f"--host {host} " if port == DEFAULT_PORT else f"--host {host}:{port} "


async def _admit(node: Node, params: dict[str, Any]) -> Mapping[str, Any]:
    door = node.runtime.door
    if params["list"] or params["name"] is None:
        now_s = node.env.clock.wall()
        rows = [
            {
                "name": each.name,
                "id": each.node_id.hex(),
                "words": list(each.words),
                "address": each.address,
                "waiting_s": round(now_s - each.since, 1),
            }
            for each in door.candidates()
        ]
        return {"schema": "vitte.candidates/1", "candidates": rows}
    node.runtime.identity.require(ADMIT)
    answer = {"schema": "vitte.admitted/1", "denied": params["deny"], "role": ""}
    if params["deny"]:
        door.deny(params["name"])
        return {**answer, "name": params["name"]}
    member = await door.approve(params["name"], role_of(params["role"]))
    return {**answer, "name": member.name, "role": member.role.label}
