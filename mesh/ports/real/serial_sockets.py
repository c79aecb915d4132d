"""Lines that are sockets: `tcp:HOST:PORT` and `unix:PATH`, for serial servers and emulators.

They carry bytes as a line does; there is no speed to set. The other side's end is StreamBroken, as
a pulled cable is. Nothing here is encrypted: a leaf proves itself over any line, but a TCP line is
as private as the network it runs through.
"""

from __future__ import annotations

import os

import trio

from mesh.errors import SerialUnavailable
from mesh.limits import SERIAL_OPEN_TIMEOUT_S
from mesh.ports import StreamBroken

TCP, UNIX = "tcp:", "unix:"
READ_BYTES = 4096


def is_socket(name: str) -> bool:
    return name.startswith((TCP, UNIX))


class SocketSerialStream:
    """See `mesh.ports.serial.SerialStream`."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise StreamBroken(str(error)) from None

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            data = await self._stream.receive_some(max_bytes or READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise StreamBroken(str(error)) from None
        if not data:
            raise StreamBroken("the other side has closed the line")
        return bytes(data)

    async def aclose(self) -> None:
        await self._stream.aclose()


async def open_socket(name: str) -> SocketSerialStream:
    """Connect. Raises SerialUnavailable."""
    with trio.move_on_after(SERIAL_OPEN_TIMEOUT_S):
        try:
            return SocketSerialStream(await _connect(name))
        except (OSError, ValueError) as error:
            number = getattr(error, "errno", None)
            why = os.strerror(number) if number else str(error)
            raise SerialUnavailable(device=name, why=why) from None
    raise SerialUnavailable(device=name, why="nobody answers in time")


async def _connect(name: str) -> trio.SocketStream:
    if name.startswith(UNIX):
        return await trio.open_unix_socket(name.removeprefix(UNIX))
    host, colon, port = name.removeprefix(TCP).rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError("a TCP line is tcp:HOST:PORT")
    return await trio.open_tcp_stream(host.strip("[]"), int(port))
