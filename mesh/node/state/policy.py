"""The mesh's policy: whose results are taken, and how many copies of files there are.

An admin's event takes the place of those that stand. Where two admins wrote at once, both stand and
the stricter holds, until one of them writes again.

Not here: what a node demands for itself (`NodeConfig.trust`); what follows (`mesh.state.claims`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mesh.control.outbox import Outbox
from mesh.control.server import Handler
from mesh.control.state_views import PolicyView
from mesh.errors import BadRequest
from mesh.identity.roles import ADMIT
from mesh.limits import EVENT_COPIES_MAX
from mesh.node.options import TRUSTS, trust_policy
from mesh.node.runtime import MeshRuntime
from mesh.state.actions import TrustPolicy
from mesh.state.events import DotRef, Policy, Trust

if TYPE_CHECKING:
    from mesh.node.node import Node

_WORDS = {trust: word for word, trust in TRUSTS.items()}


def policy_handlers(node: Node) -> dict[str, Handler]:
    """`policy`."""

    async def policy(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        runtime = node.runtime
        if params["trust"] is not None or params["copies"] is not None:
            decide(runtime, params["trust"], params["copies"])
        return policy_view(runtime)

    return {"policy": policy}


def decide(runtime: MeshRuntime, trust: str | None, copies: int | None) -> None:
    """Write another policy; None: as it is. Raises NotAllowed, BadRequest,
    LogFull."""
    runtime.identity.require(ADMIT)
    runtime.state.require_room()
    now = runtime.state.replica.state.policy()
    try:
        actions = now.actions if trust is None else trust_policy(trust)
    except ValueError:
        raise BadRequest(why=f"`{trust}` is not own, any or a number of builders") from None
    copies = now.copies if copies is None else copies
    if not 1 <= copies <= EVENT_COPIES_MAX:
        raise BadRequest(why=f"there are 1 to {EVENT_COPIES_MAX} copies")
    supersedes = tuple(DotRef.of(dot) for dot in now.dots)
    runtime.state.write(Policy(int(actions.trust), actions.k_attest, copies, supersedes))
    runtime.state.seal()


def policy_view(runtime: MeshRuntime) -> PolicyView:
    now = runtime.state.replica.state.policy()
    return {
        "schema": "vitte.policy/1",
        "trust": word_of(now.actions),
        "here": word_of(runtime.results.policy),
        "copies": now.copies,
        "decided": len(now.dots),
    }


def word_of(policy: TrustPolicy) -> str:
    """As `trust_policy` takes it."""
    return str(policy.k_attest) if policy.trust is Trust.K_BUILDERS else _WORDS[policy.trust]
