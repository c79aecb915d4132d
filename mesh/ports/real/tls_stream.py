"""An established TLS stream to a known node, with few copies and few passes of the event loop.

trio's `SSLStream` does the handshake, the ends, sending, and whatever is unusual. Where much
arrives, this goes beneath it: what the kernel has is taken without a pass of the event loop for
each packet, in portions that stay in the processor's cache, and is decrypted where the receiver
wants it (`receive_into`).

Not here: who may connect (`mesh.ports.real.streams`).
"""

from __future__ import annotations

import os
import ssl
from typing import NoReturn

import trio

from mesh.limits import CLOSE_TIMEOUT_S
from mesh.ports import StreamBroken

_RECEIVE_BYTES = 64 * 1024
_RECORD_BYTES = 16 * 1024
"""What a TLS record holds at most: asking OpenSSL for more only allocates more."""
_SOCKET_BYTES_MIN, _SOCKET_BYTES_MAX = 16 * 1024, 128 * 1024
"""What is asked of the kernel at once: still in the processor's cache when it is decrypted."""
_YIELD_BYTES = 256 * 1024
"""Whoever receives more without ever waiting lets other tasks run."""


class FittingSocket(trio.abc.Stream):
    """A socket below TLS that takes more at once while much arrives: each wake-up of the event
    loop costs as much as decrypting a record, and an idle link should hold no large buffer."""

    def __init__(self, inner: trio.SocketStream) -> None:
        self.inner = inner
        self._buffer = memoryview(bytearray(_SOCKET_BYTES_MIN))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> memoryview:  # type: ignore[override]
        """Valid until the next call: TLS copies it at once."""
        buffer = self._buffer
        try:
            count = await self.inner.socket.recv_into(buffer, min(max_bytes or 0, len(buffer)))
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error
        self._fit(count)
        return buffer[:count]

    def receive_now(self) -> memoryview:
        """As `receive_some`, what is here already; empty when that is nothing, or the end, or
        trouble, which the next `receive_some` meets as well."""
        buffer = self._buffer
        try:
            count = os.readv(self.inner.socket.fileno(), [buffer])
        except OSError:
            return buffer[:0]
        self._fit(count)
        return buffer[:count]

    async def wait_readable(self) -> None:
        """Raises ClosedResourceError when it is closed here."""
        try:
            await trio.lowlevel.wait_readable(self.inner.socket)
        except (OSError, ValueError):  # it has been closed before
            raise trio.ClosedResourceError from None

    def _fit(self, count: int) -> None:
        """The next buffer, after one that has taken `count`."""
        buffer = self._buffer
        if count == len(buffer) < _SOCKET_BYTES_MAX:
            self._buffer = memoryview(bytearray(2 * count))
        elif count < len(buffer) // 8 and len(buffer) > _SOCKET_BYTES_MIN:
            self._buffer = memoryview(bytearray(len(buffer) // 2))

    async def aclose(self) -> None:
        await self.inner.aclose()


Tls = trio.SSLStream[FittingSocket]


class TlsStream:
    """An established stream to a known node. Implements `mesh.ports.ByteStream`.

    One task may send while another receives, as in trio.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._greedy_bytes = 0
        """Received since this task has last let others run."""

    async def send_all(self, data: bytes | memoryview) -> None:
        """Send everything. Raises StreamBroken."""
        try:
            await self._tls.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            _broken(error)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Some bytes, b"" at the end. Raises StreamBroken, also when the end was not announced."""
        most = max_bytes or _RECEIVE_BYTES
        try:
            data = bytes(await self._tls.receive_some(min(most, _RECORD_BYTES)))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            _broken(error)
        return data + self._rest(most - len(data)) if data else data

    def _rest(self, max_bytes: int) -> bytes:
        """What has arrived besides: trio gives one TLS record at a time, and its own costs are
        those of several records."""
        tls = self._tls._ssl_object
        pieces = []
        while max_bytes > 0:
            try:
                piece = tls.read(min(max_bytes, _RECORD_BYTES))
            except (ssl.SSLError, ValueError):
                break  # nothing more, or trouble that the next call meets as well
            if not piece:
                break
            pieces.append(piece)
            max_bytes -= len(piece)
        return b"".join(pieces)

    async def receive_into(self, buffer: memoryview) -> int:
        """Decrypted where the caller wants it. Raises as `receive_some`."""
        try:
            if count := self._decrypt_into(buffer):
                self._greedy_bytes += count
                if self._greedy_bytes >= _YIELD_BYTES:
                    self._greedy_bytes = 0
                    await trio.lowlevel.checkpoint()
                return count
            self._greedy_bytes = 0
            await self._tls.transport_stream.wait_readable()
            if count := self._decrypt_into(buffer):
                return count
            # The end, trouble, or no data of the peer's: trio knows what to do.
            data = await self._tls.receive_some(min(len(buffer), _RECORD_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            _broken(error)
        buffer[: len(data)] = data
        return len(data)

    def _decrypt_into(self, buffer: memoryview) -> int:
        """What has arrived already, without waiting. A pass of the event loop for each packet would
        cost as much as decrypting it."""
        tls, count, size = self._tls, 0, len(buffer)
        read = tls._ssl_object.read
        while count < size:
            try:
                got = read(size - count, buffer[count:])
            except ssl.SSLWantReadError:
                more = tls.transport_stream.receive_now()
                if not more:
                    break
                tls._incoming.write(more)
                continue
            except (ssl.SSLError, ValueError):
                break
            if not got:
                break
            count += got  # type: ignore[operator]  # trio declares the other overload
        return count

    async def aclose(self) -> None:
        """Say goodbye if that is quickly done, and close."""
        await close_tls(self._tls)


async def close_tls(tls: Tls) -> None:
    """Closing sends a last message, which a stuck peer must not hold up."""
    with trio.move_on_after(CLOSE_TIMEOUT_S):
        await tls.aclose()


def _broken(error: Exception) -> NoReturn:
    raise StreamBroken(str(error) or type(error).__name__) from error
