"""`Control` on a unix socket in the node's home.

Rules
- Only the user who runs the node, and root, are served: the socket is mode 0600 and the kernel is
  asked who the client is.
- A unix socket's path may have 107 bytes only. Longer ones are bound through the directory's file
  descriptor: `/proc/self/fd/N/control.sock`.
- A socket file left by a node that was killed is replaced; the disk's lock says whose turn it is.

Not here: what is said over it.
"""

from __future__ import annotations

import os
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from mesh.ports import ByteStream, StreamBroken

SOCKET_NAME = "control.sock"
SOCKET_PATH_BYTES_MAX = 100
LISTEN_BACKLOG = 128
_RECEIVE_BYTES = 256 * 1024
_CREDENTIALS_BYTES = 12


class RealControl:
    """Implements `mesh.ports.machine.Control`. `counters["refused"]`: other users' attempts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.counters: Counter[str] = Counter()

    async def listen(self) -> RealControlListener:
        await trio.lowlevel.checkpoint()
        return RealControlListener(self._path, self.counters)


class RealControlListener:
    """Implements `mesh.ports.machine.ControlListener`."""

    def __init__(self, path: Path, counters: Counter[str]) -> None:
        self._path = path
        self._counters = counters
        raw = _bound_socket(path)
        self._listener = trio.SocketListener(trio.socket.from_stdlib_socket(raw))

    async def serve(self, handler: Callable[[ByteStream], Awaitable[None]]) -> None:
        async def connection(stream: trio.SocketStream) -> None:
            async with stream:
                if _peer_uid(stream) not in (os.getuid(), 0):
                    self._counters["refused"] += 1
                    return
                await handler(LocalStream(stream))

        await trio.serve_listeners(connection, [self._listener])

    async def aclose(self) -> None:
        self._path.unlink(missing_ok=True)
        await self._listener.aclose()


class LocalStream:
    """Implements `mesh.ports.ByteStream` on a connection of a unix socket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | memoryview) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise StreamBroken(str(error)) from None

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            return bytes(await self._stream.receive_some(max_bytes or _RECEIVE_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise StreamBroken(str(error)) from None

    async def receive_into(self, buffer: memoryview) -> int:
        data = await self.receive_some(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    async def aclose(self) -> None:
        await self._stream.aclose()


def _bound_socket(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        old_mask = os.umask(0o177)
        try:
            listener.bind(_short_address(path, directory))
        finally:
            os.umask(old_mask)
        listener.listen(LISTEN_BACKLOG)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(directory)
    return listener


def _short_address(path: Path, directory: int) -> str:
    """An address for `path` that fits, given a descriptor of its directory."""
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
        return str(path)
    return f"/proc/self/fd/{directory}/{path.name}"


def _peer_uid(stream: trio.SocketStream) -> int:
    """Who is at the other end: the second of pid, uid, gid, which SO_PEERCRED gives."""
    credentials = stream.socket.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS_BYTES
    )
    assert isinstance(credentials, bytes)
    return int.from_bytes(credentials[4:8], sys.byteorder)
