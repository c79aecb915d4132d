"""`why` between two real nodes: the evidence has authors, and its signatures hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from nodes import until, world

from mesh.errors import NoSuchMember
from mesh.node.why_view import why_view
from mesh.swim.effects import State


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
