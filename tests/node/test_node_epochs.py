"""A node that runs for long goes on in another epoch before its feeds are as long as any may be."""

from __future__ import annotations

from pathlib import Path

import pytest
from nodes import until, world

from mesh.log.model import EMPTY, Lane
from mesh.node.state import replica as replicas
from mesh.state.events import Register


async def test_a_long_feed_is_followed_by_another_epoch_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as mesh:
        state = mesh.alice.runtime.state
        before = state.replica.writer.epoch
        for number in range(4):
            state.write(Register(f"key-{number}", b"value"))
            state.seal()
        await state.upkeep.look()
        assert state.replica.writer.epoch == before, "it is short enough"
        monkeypatch.setattr(replicas, "LOG_FEED_ROTATE_FRAMES", 4)
        await state.upkeep.look()
        after = state.replica.writer.epoch
        assert after != before
        state.write(Register("key-0", b"later"))
        state.seal()

        def said(key: str) -> bytes | None:
            registers = mesh.bob.runtime.state.replica.state.registers
            found = registers.get(mesh.alice.key.node_id, key)
            return found.value if found is not None and not found.others else None

        await until(lambda: said("key-0") == b"later", "what was said in the new epoch")
        await until(lambda: said("key-3") == b"value", "what was said before it")
        assert [said(f"key-{number}") for number in range(1, 4)] == [b"value"] * 3
        assert state.replica.log.head(state.replica.writer.feed(Lane.CTL)) != EMPTY
        await state.upkeep.look()
        assert state.replica.writer.epoch == after, "the new one is short"
