"""A user's program on a simulated machine: asks its node over the control port, as `vitte` does."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from mesh.ports import StreamBroken
from sim.machine.control import LocalEnd

View = dict[str, Any]


class Refusal(Exception):  # a node's polite no is an answer, not a bug of ours
    """The node answered with an error. `view` is its `ErrorView`."""

    def __init__(self, view: Mapping[str, Any]) -> None:
        super().__init__(f"{view.get('code')}: {view.get('message')}")
        self.view = dict(view)

    @property
    def code(self) -> str:
        return str(self.view.get("code"))


async def ask(
    connection: LocalEnd,
    op: str,
    params: Mapping[str, Any],
    on_event: Callable[[View], None] = lambda _: None,
) -> View:
    """Send one request and wait for its answer. Raises Refusal, and StreamBroken when the node is
    gone before it has answered."""
    try:
        await connection.send_all(json.dumps({"op": op, **params}).encode() + b"\n")
        async with aclosing(_lines(connection)) as lines:
            async for line in lines:
                if "event" in line:
                    on_event(line["event"])
                elif "error" in line:
                    raise Refusal(line["error"])
                else:
                    answer: View = line["ok"]
                    return answer
        raise StreamBroken("the node went away")
    finally:
        await connection.aclose()


async def _lines(connection: LocalEnd) -> AsyncGenerator[View, None]:
    buffer = bytearray()
    while data := await connection.receive_some():
        buffer += data
        *whole, rest = bytes(buffer).split(b"\n")
        buffer[:] = rest
        for line in whole:
            yield json.loads(line)
