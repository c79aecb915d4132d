"""`Datagrams` on UDP sockets.

Rules: a datagram that cannot be sent (full buffer, no route, refused) is lost and counted, never an
error; a pending ICMP error does not end receiving. Larger datagrams than DATAGRAM_BYTES_MAX are
cut by one byte too many on purpose, so that the seal sees and counts them. The socket is used
directly instead of through trio's wrapper, because draining it must not yield between datagrams.
Not here: what is in a datagram.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections import Counter
from functools import lru_cache

import trio

from mesh.errors import AddressInUse
from mesh.limits import DATAGRAM_BYTES_MAX
from mesh.types import Address

RECEIVE_BUFFER_BYTES = 1024 * 1024
"""Asked of the kernel (which may give less), so that a stopped node finds its mail on waking."""


class RealDatagramPort:
    """See `mesh.ports.DatagramPort`. `counters` names what was lost and why."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        host, port = sock.getsockname()[:2]
        self._address: Address = (host, port)
        self.counters: Counter[str] = Counter()

    @property
    def address(self) -> Address:
        return self._address

    async def send(self, data: bytes, to: Address) -> None:
        await trio.lowlevel.checkpoint()
        try:
            if not _is_literal(to[0]):  # a name would be looked up, and block the whole node
                self.counters["send-not-an-address"] += 1
                return
            self._socket.sendto(data, to)
        except (OSError, OverflowError) as error:
            self.counters[f"send-{_name(error)}"] += 1

    async def receive(self) -> tuple[bytes, Address]:
        await trio.lowlevel.checkpoint()
        while True:
            got = self.receive_nowait()
            if got is not None:
                return got
            await trio.lowlevel.wait_readable(self._socket)

    def receive_nowait(self) -> tuple[bytes, Address] | None:
        while True:
            try:
                data, source = self._socket.recvfrom(DATAGRAM_BYTES_MAX + 1)
            except BlockingIOError:
                return None
            except ConnectionError as error:  # an ICMP error for something we sent
                self.counters[f"receive-{_name(error)}"] += 1
                continue
            return data, (source[0], source[1])

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


class RealDatagrams:
    """See `mesh.ports.Datagrams`."""

    async def open(self, bind: Address) -> RealDatagramPort:
        await trio.lowlevel.checkpoint()
        host, port = bind
        try:
            version = ipaddress.ip_address(host).version
            family = socket.AF_INET6 if version == 6 else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_DGRAM)
        except (OSError, ValueError) as error:
            raise AddressInUse(host=host, port=port, why=str(error)) from None
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            sock.bind(bind)
        except (OSError, OverflowError) as error:
            sock.close()
            raise AddressInUse(host=host, port=port, why=str(error)) from None
        return RealDatagramPort(sock)


@lru_cache(maxsize=4096)
def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _name(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return errno.errorcode.get(number, "error").lower() if number is not None else "error"
