"""One control stream between two members: Hello, then framed messages both ways.

`post` never blocks: messages of one turn of the event loop leave in one write. What the peer sends
is decoded here; bytes that are no message of ours close the link and are counted, nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import trio

from mesh.node.config import LinkConfig
from mesh.node.counters import Counters
from mesh.ports import ByteStream, StreamBroken
from mesh.types import NodeId
from mesh.wire.errors import WireError
from mesh.wire.frame import FrameReader, frame
from mesh.wire.messages import Hello
from mesh.wire.schema import decode_message, encode_message

RECEIVE_BYTES = 256 * 1024


@attrs.frozen
class LinkParts:
    """What a link is made of."""

    stream: ByteStream
    peer: NodeId
    dialled: bool
    """Whether we opened it."""
    config: LinkConfig
    counters: Counters


class Link:
    """An established stream. Run `run` in a task; it returns when the link has ended."""

    def __init__(self, parts: LinkParts, hello: Hello, reader: FrameReader) -> None:
        self.peer = parts.peer
        self.dialled = parts.dialled
        self.hello = hello
        self._parts = parts
        self._reader = reader
        self._outgoing = bytearray()
        self._wake = trio.Event()
        self._scope = trio.CancelScope()
        self.alive = True

    def post(self, message: object) -> None:
        """Queue a message. Dropped when the link has ended: its end is news of its own."""
        if not self.alive:
            return
        self._outgoing += frame(encode_message(message))
        if len(self._outgoing) > self._parts.config.outgoing_bytes_max:
            self._parts.counters.add("link.too-slow")
            self.close()
        self._wake.set()

    def close(self) -> None:
        self.alive = False
        self._scope.cancel()

    async def run(self, on_message: Callable[[Link, Any], None]) -> None:
        """Pump until either side ends; the stream is closed then, however it ended.

        Never raises for what the peer does.
        """
        try:
            with self._scope:
                await self._pump(on_message)
        finally:
            await self.discard()

    async def _pump(self, on_message: Callable[[Link, Any], None]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                await self._read(on_message)
                nursery.cancel_scope.cancel()
        except* StreamBroken:
            self._parts.counters.add("link.broken")
        except* WireError as errors:
            reason = _first_reason(errors)
            self._parts.counters.add(f"link.bad-input.{reason}")
            self._parts.counters.add(f"refused.{reason}.{self.peer.hex()[:16]}")

    async def discard(self) -> None:
        """Close the stream, without waiting for the other side for long."""
        self.alive = False
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
            await self._parts.stream.aclose()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._outgoing:
                data, self._outgoing = bytes(self._outgoing), bytearray()
                await self._parts.stream.send_all(data)

    async def _read(self, on_message: Callable[[Link, Any], None]) -> None:
        data = b""  # first what came in one packet with the Hello
        while True:
            for payload in self._reader.feed(data):
                on_message(self, decode_message(payload))
                if not self.alive:  # closed by what the message did: the rest is nobody's
                    return
            data = await self._parts.stream.receive_some(RECEIVE_BYTES)
            if not data:
                return


def _first_reason(group: BaseExceptionGroup[WireError]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error.reason if isinstance(error, WireError) else "unknown"


async def shake_hands(
    stream: ByteStream, ours: Hello, timeout_s: float
) -> tuple[Hello, FrameReader]:
    """Send our Hello and read theirs. Raises WireError, StreamBroken or trio.TooSlowError."""
    with trio.fail_after(timeout_s):
        await stream.send_all(frame(encode_message(ours)))
        return await read_hello(stream, ours.mesh_id)


async def read_hello(stream: ByteStream, mesh_id: bytes) -> tuple[Hello, FrameReader]:
    """Read exactly one Hello; frames behind it stay in the returned reader."""
    reader = FrameReader()
    hello: Hello | None = None
    rest = bytearray()
    while hello is None:
        data = await stream.receive_some(RECEIVE_BYTES)
        if not data:
            raise WireError("no-hello")
        for payload in reader.feed(data):
            if hello is None:
                message = decode_message(payload)
                if not isinstance(message, Hello):
                    raise WireError("no-hello")
                hello = message
            else:
                rest += frame(payload)
    if hello.mesh_id != mesh_id:
        raise WireError("other-mesh")
    tail = FrameReader()
    tail.push_back(bytes(rest) + reader.take_pending())
    return hello, tail
