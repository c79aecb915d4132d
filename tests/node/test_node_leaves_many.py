"""A hundred leaves in one process at the lines of one node: all are taken, and none is mixed up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from nodes import world

from mesh.control.ops import check_request
from mesh.leaf.messages import EventKind
from mesh.node.handlers import handlers_of
from mesh.node.leaves import desk, line
from mesh.node.node import Node
from mesh.rules.program import BoardKind
from sim.leaves.serve import BoardServer

pytestmark = pytest.mark.timeout(240)

LEAVES = 100
JOINS_AT_ONCE = 8
EVENTS_EACH = 3
SOURCE = """
@every("300ms")
def count(n: int = 0):
    n += 1
    emit(1, n)
"""


class Unheard:
    """Takes what an operation emits, and forgets it."""

    def __call__(self, event: object) -> None:
        pass

    async def room(self) -> None:
        await trio.lowlevel.checkpoint()


async def ask(node: Node, op: str, **params: Any) -> Any:
    name, complete = check_request({"op": op, **params})
    return await handlers_of(node)[name](complete, Unheard())  # type: ignore[arg-type]


def counts(node: Node, leaf: bytes) -> list[int]:
    segments = node.runtime.leaves.events.history(leaf).segments()
    events = [event for segment in segments for event in segment.events]
    return [event.value for event in events if event.kind is EventKind.EMITTED]


async def test_a_hundred_leaves_join_one_node_at_once_and_each_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "TRIAL_S", 0.5)
    # A hundred boards in one process are slower than any board: that is not what is judged here.
    monkeypatch.setattr(desk, "MEET_S", 60.0)
    monkeypatch.setattr(desk, "TRUST_S", 60.0)
    limiter = trio.CapacityLimiter(JOINS_AT_ONCE)

    async def join(node: Node, number: int) -> None:
        server = BoardServer(tmp_path / f"{number}.sock", BoardKind.STM32F405)
        server.step_s, server.tells_pins = 0.02, False
        await mesh.nursery.start(server.run)
        port, name = f"unix:{tmp_path / f'{number}.sock'}", f"leaf-{number}"
        async with limiter:
            await ask(node, "leaf_provision", port=port, name=name)
            await ask(node, "leaf_attach", port=port)
        await ask(node, "leaf_deploy", leaf=name, names=["r.py"], sources=[SOURCE])

    async with world(tmp_path) as mesh:
        node = mesh.alice
        with trio.fail_after(200):
            async with trio.open_nursery() as nursery:
                for number in range(LEAVES):
                    nursery.start_soon(join, node, number)
            members = node.runtime.identity.leaves()
            assert len({member.node_id for member in members}) == LEAVES

            def heard() -> bool:
                return all(len(counts(node, each.node_id)) >= EVENTS_EACH for each in members)

            while not heard():  # noqa: ASYNC110 - a hundred histories tell each its own
                await trio.sleep(0.1)
        for member in members:
            values = counts(node, member.node_id)
            assert values == sorted(set(values)), "each once, in order, and of nobody else"
            missing = node.runtime.leaves.events.history(member.node_id).missing
            assert values[-1] - len(values) <= missing, "what a full ring has dropped is counted"
