"""`why`: the evidence has authors, and its signatures hold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from nodes import until, world

from mesh.errors import NoSuchMember
from mesh.identity.trust import STATEMENT_CONTEXT
from mesh.node.why_view import why_view
from mesh.swim.effects import State
from mesh.swim.evidence import Evidence
from mesh.swim.messages import prefix_of
from mesh.swim.records import Charge, body_of
from mesh.types import NodeId
from sim.mesh_world import MeshWorld, MeshWorldConfig, simulate


def holds(
    mesh_id: str, accuser: str, shown: Mapping[str, Any], vote: Mapping[str, Any], evidence: str
) -> bool:
    """Whether the shown signature is the accuser's under a vote with that evidence, seen by
    somebody who has nothing but what is shown."""
    author = bytes.fromhex(accuser)
    subject = NodeId(bytes.fromhex(shown["id"]))
    epoch, incarnation, kind = shown["epoch"], shown["incarnation"], Evidence[evidence.upper()]
    charge = Charge(
        prefix_of(NodeId(author)), prefix_of(subject), epoch, incarnation, kind.value, True
    )
    signed = STATEMENT_CONTEXT + bytes.fromhex(mesh_id) + body_of(charge)
    try:
        VerifyKey(author).verify(signed, bytes.fromhex(vote["signature"]))
    except BadSignatureError:
        return False
    return True


async def test_a_member_is_shown_with_what_it_signed(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        alice, bob = mesh.nodes
        bobs_id = bob.runtime.identity.node_id
        await until(lambda: alice.runtime.gossip.member(bobs_id) is not None, "gossip")
        by_name, by_id = why_view(alice, "bob"), why_view(alice, bobs_id.hex()[:12])
        assert by_name["id"] == by_id["id"] == bobs_id.hex()
        assert (by_name["state"], by_name["charges"]) == ("alive", [])
        assert by_name["quorum"] == 2, "the third member may be there; we are too new to know"
        assert by_name["history"][0]["what"] == "alive"
        shown = alice.runtime.gossip.dossier(bobs_id)
        assert shown is not None
        assert shown.state == State.ALIVE
        own = bob.runtime.gossip.dossier(bobs_id)
        assert own is not None
        assert own.signature.hex() == by_name["signature"]
        assert why_view(bob, "bob")["self"]


async def test_a_member_never_heard_of_and_nobody_at_all(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        silent = why_view(mesh.nodes[0], "mallory")
        assert (silent["state"], silent["signature"]) == ("offline", "")
        with pytest.raises(NoSuchMember):
            why_view(mesh.nodes[0], "nobody")


def test_of_a_dead_member_everybody_shows_votes_that_a_stranger_can_check() -> None:
    async def story(mesh: MeshWorld) -> None:
        mesh.start_all()
        assert await mesh.until(lambda: mesh.converged() and mesh.linked(), within_s=30)
        victim = mesh[3]
        victim.machine.power_cut()
        others = [node for node in mesh.nodes if node is not victim]
        dead = {State.DEAD}
        assert await mesh.until(lambda: {n.sees(victim) for n in others} == dead, within_s=30)
        for node in others:
            shown = await node.ask("why", node=victim.node_id.hex())
            assert shown["state"] == "dead"
            assert shown["history"][-1]["what"] == "dead"
            votes = [each for each in shown["charges"] if each["vote"] and each["observer"]]
            assert len(votes) >= shown["quorum"] == 3
            status = await node.ask("status")
            ids = {each["name"]: each["id"] for each in status["nodes"]}
            for vote in votes:
                check = partial(holds, status["mesh"]["id"], ids[vote["accuser"]], shown, vote)
                assert check(vote["evidence"])
                assert not check("silent" if vote["evidence"] == "refused" else "refused")

    done = simulate(story, MeshWorldConfig(seed=11, nodes=6))
    assert not done.findings, done.findings[0].detail
