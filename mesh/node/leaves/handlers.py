"""The control socket's `leaf_*` operations."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mesh.control.outbox import Outbox
from mesh.control.server import Handler
from mesh.errors import (
    BadRequest,
    LeafAway,
    LeafOldCounter,
    LeafRefused,
    LeafSilent,
    LeafUnsigned,
    LeafWentBack,
    LeafWrongTarget,
    MeshError,
    ProgramRefused,
)
from mesh.identity.fold import Member
from mesh.identity.roles import SUBMIT, VIEW
from mesh.leaf.messages import LeafError
from mesh.limits import LEAF_PACKAGE_BYTES_MAX
from mesh.node.leaves import desk, views
from mesh.node.leaves.deploying import AWAY, DONE, REFUSED, REVERTED, TRIAL_STAGE
from mesh.node.leaves.line import TRIAL_S
from mesh.node.leaves.log import LogReader
from mesh.node.leaves.parts import LineConfig
from mesh.node.leaves.programs import Rules, Signed, Signer
from mesh.rules.program import BadProgram, decode_program
from mesh.rules.signed import read_package
from mesh.rules.verifier import Flaw
from mesh.wire.leaf_messages import LeafProgramNews

if TYPE_CHECKING:
    from mesh.node.node import Node

BAUD_MAX = 4_000_000


def leaf_handlers(node: Node) -> dict[str, Handler]:
    """`leaf_provision`, `leaf_attach`, `leaf_detach`, `leaf_remove`, `leaf_list`, `leaf_show`,
    `leaf_deploy`, `leaf_logs`."""

    async def provision(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        made = await desk.provision(node.runtime.leaves, _config(params), params["name"])
        return {
            "schema": "vitte.leaf_provision/1",
            "name": made.member.name,
            "id": made.member.node_id.hex(),
            "board": desk.board_name(made.board),
            "known": made.known,
        }

    async def attach(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        leaves = node.runtime.leaves
        leaves.identity.require(SUBMIT)
        line = await desk.attach(leaves, _config(params))
        leaf = line.leaf
        return {
            "schema": "vitte.leaf_attach/1",
            "name": leaves.name_of(leaf),
            "id": leaf.hex() if leaf is not None else "",
            "port": line.config.port,
        }

    async def detach(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        found = desk.detach(node.runtime.leaves, params["port"])
        return {"schema": "vitte.leaf_detach/1", "port": params["port"], "detached": found}

    async def remove(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        member = desk.remove(node.runtime.leaves, views.find(node.runtime.leaves, params["leaf"]))
        id_ = member.node_id.hex()
        return {"schema": "vitte.leaf_remove/1", "name": member.name, "id": id_}

    async def list_(_params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        return views.listing(node.runtime.leaves)

    async def show(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        leaves = node.runtime.leaves
        return views.show(leaves, _signer(node), views.find(leaves, params["leaf"]))

    async def deploy(params: dict[str, Any], emit: Outbox) -> Mapping[str, Any]:
        return await _deploy(node, params, emit)

    async def logs(params: dict[str, Any], emit: Outbox) -> Mapping[str, Any]:
        return await _logs(node, params, emit)

    return {
        "leaf_provision": provision,
        "leaf_attach": attach,
        "leaf_detach": detach,
        "leaf_remove": remove,
        "leaf_list": list_,
        "leaf_show": show,
        "leaf_deploy": deploy,
        "leaf_logs": logs,
    }


def _config(params: dict[str, Any]) -> LineConfig:
    if not params["port"] or not 0 < params["baud"] <= BAUD_MAX:
        raise BadRequest(why=f"a line has a port and a baud rate up to {BAUD_MAX}")
    return LineConfig(params["port"], params["baud"], tuple(params.get("answer", ())))


def _signer(node: Node) -> Signer:
    return Signer(node.runtime.identity, node.env.disk)


# -- programs ------------------------------------------------------------------------------------
async def _deploy(node: Node, params: dict[str, Any], emit: Outbox) -> Mapping[str, Any]:
    runtime = node.runtime
    runtime.identity.require(SUBMIT)
    member = views.find(runtime.leaves, params["leaf"])
    signed = _given(params["package"]) if params["package"] else _sign(node, member, params)
    answer = {
        "schema": "vitte.leaf_deploy/1",
        "name": member.name,
        "counter": signed.counter,
        "rules": list(signed.rule_names),
        "package": base64.b64encode(signed.package).decode(),
        "bytes": len(signed.package),
        "deployed": not params["sign_only"],
    }
    if params["sign_only"]:
        return answer

    def tell(news: LeafProgramNews) -> None:
        if news.stage == TRIAL_STAGE:
            emit({"event": "trial", "counter": news.counter, "seconds": TRIAL_S})

    end = await runtime.deployer.deploy(member.node_id, signed.package, tell)
    if end.stage != DONE:
        raise _error(node, member, end)
    return answer


def _sign(node: Node, member: Member, params: dict[str, Any]) -> Signed:
    seen = node.runtime.leaves.seen().get(member.node_id)
    if seen is None and not params["sign_only"]:
        raise LeafAway(name=member.name)
    health = seen.news.health if seen is not None else None
    board = seen.news.board if seen is not None else 0
    rules = Rules(params["names"], params["sources"])
    above = health.counter if health is not None else 0
    return _signer(node).sign(member, rules, board, above, params["counter"])


def _given(package: str) -> Signed:
    """A signed program as it came. Whether it is good is for the leaf to say."""
    try:
        data = base64.b64decode(package, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(why="the package is not base64") from None
    if not 0 < len(data) <= LEAF_PACKAGE_BYTES_MAX:
        raise BadRequest(why=f"a package is of 1 to {LEAF_PACKAGE_BYTES_MAX} bytes")
    try:
        counter = decode_program(read_package(data).program).counter
    except BadProgram:
        counter = 0
    return Signed(data, counter, ())


def _error(node: Node, member: Member, end: LeafProgramNews) -> MeshError:
    if end.stage == REFUSED:
        return _refusal(node, member, end)
    classes = {AWAY: LeafAway, REVERTED: LeafWentBack}
    return classes.get(end.stage, LeafSilent)(name=member.name)


def _refusal(node: Node, member: Member, end: LeafProgramNews) -> MeshError:
    name, authority = member.name, node.runtime.name_of(member.admitted_by)
    if end.error == LeafError.BAD_PROGRAM:
        flaw, rule, instruction = (*end.detail, 0, 0, 0)[:3]
        words = {each.value: each.name.lower().replace("_", " ") for each in Flaw}
        return ProgramRefused(
            name=name, flaw=words.get(flaw, flaw), rule=rule - 1, instruction=instruction - 1
        )
    known: dict[int, MeshError] = {
        LeafError.BAD_SIGNATURE: LeafUnsigned(name=name, authority=authority),
        LeafError.OLD_COUNTER: LeafOldCounter(name=name),
        LeafError.WRONG_TARGET: LeafWrongTarget(name=name),
    }
    words = {each.value: each.name.lower().replace("_", " ") for each in LeafError}
    why = words.get(end.error, f"error {end.error}")
    return known.get(end.error, LeafRefused(name=name, why=why))


# -- events --------------------------------------------------------------------------------------
async def _logs(node: Node, params: dict[str, Any], emit: Outbox) -> Mapping[str, Any]:
    leaves = node.runtime.leaves
    leaves.identity.require(VIEW)
    member = views.find(leaves, params["leaf"])
    leaf = member.node_id
    reader = LogReader(leaves.events.history(leaf), params["last"])
    while True:
        change = leaves.events.change(leaf)
        history = leaves.events.history(leaf)
        for line in list(reader.read(history)):
            emit(line)
            await emit.room()
        if not params["follow"]:
            break
        await change.wait()
    return {
        "schema": "vitte.leaf_logs/1",
        "name": member.name,
        "events": history.count,
        "missing_events": history.missing,
    }
