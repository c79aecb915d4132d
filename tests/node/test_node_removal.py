"""Removing a member: closed at once everywhere, cut where the admin says, what that withdraws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from nodes import Intruder, Speaker, World, until, world

from mesh.control.outbox import Outbox
from mesh.errors import NoSuchMember, NotAllowed, StillAMember
from mesh.node import views
from mesh.node.handlers import handlers_of
from mesh.node.node import Node
from mesh.state.actions import Trusted
from mesh.state.events import ActionResult, Derivation
from mesh.types import Digest

REVOKED_WITHIN_S = 1.0


def digest(fill: int) -> Digest:
    return Digest(bytes([fill]) * 32)


async def ask(of: Node, op: str, **params: Any) -> Any:
    return await handlers_of(of)[op](params, Outbox())


async def revoke(node: Node, which: str, after_unix_s: float | None = None) -> Any:
    return await ask(node, "revoke", node=which, reason="stolen", after_unix_s=after_unix_s)


def believed(node: Node, action: Digest) -> Digest | None:
    found = node.runtime.state.replica.state.lookup(action)
    return found.outputs if isinstance(found, Trusted) else None


async def poisoned(mesh: World) -> tuple[Speaker, Speaker]:
    """Mallory has built action 1, and bob action 2 from what came out of it."""
    mallory: Intruder = mesh.intruder
    alices = await mallory.connect(mesh.alice)
    bobs = await mallory.connect(mesh.bob)
    await alices.send(*mallory.pushes(ActionResult(digest(1), digest(11), digest(21), 0, 5)))
    for node in mesh.nodes:
        await until(lambda node=node: believed(node, digest(1)) == digest(11), "the result")
    bob = mesh.bob.runtime.state
    bob.write(Derivation(digest(2), (digest(11)[:16],)))
    bob.write(ActionResult(digest(2), digest(12), digest(22), 0, 5))
    bob.seal()
    for node in mesh.nodes:
        await until(lambda node=node: believed(node, digest(2)) == digest(12), "what followed")
    return alices, bobs


async def test_a_member_that_is_revoked_is_cut_off_everywhere_within_a_second(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as mesh:
        alices, bobs = await poisoned(mesh)
        mallory = mesh.intruder
        with trio.fail_after(REVOKED_WITHIN_S):
            view = await revoke(mesh.alice, "mallory")
            for node in mesh.nodes:
                links = node.runtime.links.by_node
                await until(lambda links=links: mallory.node_id not in links, "closed links")
        await alices.ended()
        await bobs.ended()
        assert view["name"] == "mallory"
        assert view["kept_events"] == 2
        assert view["cut_events"] == view["withdrawn"] == view["tainted"] == 0
        for node in mesh.nodes:  # what it did before still counts
            assert believed(node, digest(1)) == digest(11)
            assert not node.runtime.identity.is_member(mallory.node_id)
        keys = mesh.bob.runtime.state.replica.state.registers
        await until(lambda: bool(reason_of(keys, mesh)), "the reason")
        assert reason_of(keys, mesh) == b"stolen"


def reason_of(registers: Any, mesh: World) -> bytes | None:
    key = f"removed/{mesh.intruder.node_id.hex()}"
    found = registers.get(mesh.alice.key.node_id, key)
    return found.value if found is not None else None


async def test_what_is_after_the_cut_is_withdrawn_with_all_that_was_made_of_it(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as mesh:
        await poisoned(mesh)
        view = await revoke(mesh.alice, "mallory", after_unix_s=0.0)
        assert (view["kept_events"], view["withdrawn"], view["tainted"]) == (0, 1, 1)
        for node in mesh.nodes:
            await until(lambda node=node: believed(node, digest(1)) is None, "the cut")
            assert believed(node, digest(2)) is None
            taint = await ask(node, "cache_taint", node="mallory", after_unix_s=None)
            assert [each["action"] for each in taint["withdrawn"]] == [digest(1).hex()]
            assert taint["withdrawn"][0]["builders"] == ["mallory"]
            assert taint["derived"] == [digest(2).hex()]
        log = views.status(mesh.bob)["log"]
        assert log is not None
        assert (log["withdrawn"], log["tainted"]) == (1, 1)


async def test_what_is_withdrawn_is_looked_for_in_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as mesh:
        await poisoned(mesh)
        state = mesh.alice.runtime.state.replica.state
        state.slice_rows = 1
        turns, go_on = 0, state.go_on

        def one_slice() -> Any:
            nonlocal turns
            turns += 1
            return go_on()

        monkeypatch.setattr(state, "go_on", one_slice)
        view = await revoke(mesh.alice, "mallory", after_unix_s=0.0)
        assert (view["withdrawn"], view["tainted"]) == (1, 1)
        assert turns > 2, "it was waited for"
        assert not state.is_behind


async def test_more_can_be_withdrawn_later(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        await poisoned(mesh)
        with pytest.raises(StillAMember):
            await ask(mesh.alice, "cache_taint", node="mallory", after_unix_s=0.0)
        await revoke(mesh.alice, "mallory")
        assert believed(mesh.alice, digest(2)) == digest(12)
        taint = await ask(mesh.alice, "cache_taint", node="mallory", after_unix_s=0.0)
        assert len(taint["withdrawn"]) == len(taint["derived"]) == 1
        await until(lambda: believed(mesh.bob, digest(2)) is None, "the second removal")


async def test_only_an_admin_revokes_and_only_somebody_else_who_is_here(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        with pytest.raises(NotAllowed):
            await revoke(mesh.bob, "mallory")
        for nobody in ("nobody", "alice"):
            with pytest.raises(NoSuchMember):
                await revoke(mesh.alice, nobody)
