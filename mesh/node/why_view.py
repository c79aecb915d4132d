"""`vitte mesh why`: what this node knows about a member, and whose word it is.

Times become "seconds ago", node ids become names. Reads everything, changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.control.views import ChargeView, HappeningView, WhyView
from mesh.errors import NoSuchMember
from mesh.identity.fold import Member
from mesh.node.runtime import MeshRuntime
from mesh.node.views import STATE_WORDS
from mesh.swim.dossier import ChargeSeen, Dossier
from mesh.swim.history import Happening

if TYPE_CHECKING:
    from mesh.node.node import Node

PREFIX_DIGITS_MIN = 4
"""Hexadecimal digits that may stand for a node id."""


def why_view(node: Node, which: str) -> WhyView:
    """`which`: a member's name, or the start of its id. Raises NotInMesh, NoSuchMember."""
    runtime = node.runtime
    member = _find(runtime, which)
    dossier = runtime.gossip.dossier(member.node_id)
    if dossier is None:
        return _unknown(runtime, member)
    return _known(runtime, member, dossier, node.env.clock.monotonic())


def _find(runtime: MeshRuntime, which: str) -> Member:
    members = runtime.identity.members()
    wanted = [member for member in members if member.name == which]
    if not wanted and len(which) >= PREFIX_DIGITS_MIN:
        wanted = [member for member in members if member.node_id.hex().startswith(which.lower())]
    if len(wanted) != 1:
        raise NoSuchMember(name=which)
    return wanted[0]


def _unknown(runtime: MeshRuntime, member: Member) -> WhyView:
    return {
        "schema": "vitte.why/1",
        "name": member.name,
        "id": member.node_id.hex(),
        "self": member.node_id == runtime.identity.node_id,
        "state": "offline",
        "since_ago_s": None,
        "epoch": 0,
        "incarnation": 0,
        "address": "",
        "signature": "",
        "heard_ago_s": None,
        "observers": [],
        "quorum": None,
        "charges": [],
        "history": [],
    }


def _known(runtime: MeshRuntime, member: Member, dossier: Dossier, now_s: float) -> WhyView:
    heard_s = dossier.heard_s
    own = member.node_id == runtime.identity.node_id
    view = _unknown(runtime, member)
    view["state"] = STATE_WORDS[dossier.state]
    view["since_ago_s"] = None if own else now_s - dossier.since_s
    view["epoch"], view["incarnation"] = dossier.epoch, dossier.incarnation
    view["address"] = f"{dossier.address[0]}:{dossier.address[1]}"
    view["signature"] = dossier.signature.hex()
    view["heard_ago_s"] = None if heard_s is None else now_s - heard_s
    view["observers"] = [runtime.name_of(each) for each in dossier.observers]
    view["quorum"] = dossier.quorum
    view["charges"] = [_charge(runtime, each, now_s) for each in dossier.charges]
    view["history"] = [_happening(runtime, each, now_s) for each in dossier.history]
    return view


def _charge(runtime: MeshRuntime, charge: ChargeSeen, now_s: float) -> ChargeView:
    return {
        "accuser": runtime.name_of(charge.accuser),
        "evidence": charge.evidence,
        "vote": charge.vote,
        "observer": charge.is_observer,
        "ago_s": now_s - charge.at_s,
        "signature": charge.signature.hex(),
    }


def _happening(runtime: MeshRuntime, line: Happening, now_s: float) -> HappeningView:
    return {
        "ago_s": now_s - line.at_s,
        "what": line.what,
        "by": "" if line.by is None else runtime.name_of(line.by),
        "evidence": line.evidence,
        "epoch": line.epoch,
        "incarnation": line.incarnation,
    }
