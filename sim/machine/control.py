"""`mesh.ports.Control` of a simulated machine: its user's connections to the node, in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import trio
import trio.testing

from mesh.ports import ByteStream, StreamBroken

BACKLOG = 128


Pair: TypeAlias = (
    "trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]"
)


class LocalEnd:
    """One end of a connection between a user's program and the node. Implements `ByteStream`."""

    def __init__(self, stream: Pair) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | memoryview) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise StreamBroken(str(error)) from None

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            return bytes(await self._stream.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise StreamBroken(str(error)) from None

    async def receive_into(self, buffer: memoryview) -> int:
        data = await self.receive_some(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    async def send_eof(self) -> None:
        """Say no more, and still listen."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class SimControl:
    """See `mesh.ports.machine.Control`. `dial` is what a user's program does."""

    def __init__(self) -> None:
        self._listener: SimControlListener | None = None

    async def listen(self) -> SimControlListener:
        await trio.lowlevel.checkpoint()
        self._listener = SimControlListener(self._gone)
        return self._listener

    def dial(self) -> LocalEnd:
        """Connect as the machine's user. Raises StreamBroken when nobody listens."""
        if self._listener is None:
            raise StreamBroken("no node is listening")
        ours, theirs = trio.testing.memory_stream_pair()
        self._listener.knock(LocalEnd(theirs))
        return LocalEnd(ours)

    def _gone(self) -> None:
        self._listener = None


class SimControlListener:
    """See `mesh.ports.machine.ControlListener`."""

    def __init__(self, on_close: Callable[[], None]) -> None:
        self._on_close = on_close
        self._send, self._receive = trio.open_memory_channel[LocalEnd](BACKLOG)

    def knock(self, stream: LocalEnd) -> None:
        try:
            self._send.send_nowait(stream)
        except trio.WouldBlock:
            raise StreamBroken("too many connections wait") from None

    async def serve(self, handler: Callable[[ByteStream], Awaitable[None]]) -> None:
        async with trio.open_nursery() as nursery:
            async for stream in self._receive:
                nursery.start_soon(self._one, handler, stream)

    async def aclose(self) -> None:
        self._on_close()
        self._send.close()
        await self._receive.aclose()

    @staticmethod
    async def _one(handler: Callable[[ByteStream], Awaitable[None]], stream: LocalEnd) -> None:
        try:
            await handler(stream)
        finally:
            with trio.CancelScope(shield=True):
                await stream.aclose()
