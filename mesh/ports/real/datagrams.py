"""`Datagrams` on UDP sockets.

Rules: a datagram that cannot be sent (full buffer, no route) is lost and counted, never an error.
The socket is read until it is empty, without yielding in between. Each datagram carries the time at
which the kernel took it (SO_TIMESTAMPNS); where the kernel gives none, the time of reading. Port
unreachables are asked for (IP_RECVERR) and handed over with what they quote; all other ICMP errors
are counted. Larger datagrams than DATAGRAM_BYTES_MAX are cut by one byte too many on purpose, so
that the seal sees and counts them. Not here: what is in a datagram, and what a refusal means.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

import trio

from mesh.errors import AddressInUse
from mesh.limits import DATAGRAM_BYTES_MAX, DATAGRAM_DRAIN_MAX
from mesh.ports import Arrived, Refused
from mesh.types import Address

RECEIVE_BUFFER_BYTES = 1024 * 1024
"""Asked of the kernel (which may give less), so that a stopped node finds its mail on waking."""
SEND_TRIES = 3
"""A pending ICMP error is reported by the next send, which then did not happen: try again."""

# Linux numbers that the socket module does not name. Elsewhere setting them fails, and is left.
_SO_TIMESTAMPNS = 35
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_TIMESPEC = struct.Struct("@ll")
_EXTENDED_ERROR = struct.Struct("=IBBBBII")  # struct sock_extended_err, linux/errqueue.h
_PORT_UNREACHABLE = {(2, 3, 3), (3, 1, 4)}
"""(origin, type, code): ICMP and ICMPv6."""
_ANCILLARY_BYTES = 256
_MSG_ERRQUEUE: int = getattr(socket, "MSG_ERRQUEUE", 0)


class RealDatagramPort:
    """See `mesh.ports.DatagramPort`. `counters` names what was lost and why."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        host, port = sock.getsockname()[:2]
        self._address: Address = (host, port)
        self._empty_s = time.monotonic()
        """When the socket was last seen empty: nothing in it can be older."""
        self.counters: Counter[str] = Counter()

    @property
    def address(self) -> Address:
        return self._address

    def send(self, data: bytes, to: Address) -> None:
        if not _is_literal(to[0]):  # a name would be looked up, and block the whole node
            self.counters["send-not-an-address"] += 1
            return
        for _ in range(SEND_TRIES):
            try:
                self._socket.sendto(data, to)
            except ConnectionError:  # belongs to something sent before; `take_waiting` reads it
                continue
            except (OSError, OverflowError) as error:
                self.counters[f"send-{_name(error)}"] += 1
            return
        self.counters["send-refused"] += 1

    async def serve(self, handler: Callable[[Sequence[Arrived | Refused]], None]) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            waiting = self.take_waiting()
            if waiting:
                handler(waiting)

    def take_waiting(self) -> list[Arrived | Refused]:
        taken: list[Arrived | Refused] = []
        for _ in range(DATAGRAM_DRAIN_MAX):
            try:
                data, ancillary, _flags, source = self._socket.recvmsg(
                    DATAGRAM_BYTES_MAX + 1, _ANCILLARY_BYTES
                )
            except BlockingIOError:
                taken += self._take_refusals()
                self._empty_s = time.monotonic()
                return taken
            except ConnectionError:  # an ICMP error is pending; the queue of errors tells whose
                taken += self._take_refusals()
                continue
            except OSError as error:
                self.counters[f"receive-{_name(error)}"] += 1
                continue
            taken.append(Arrived(data, (source[0], source[1]), self._arrived_s(ancillary)))
        return taken

    def _arrived_s(self, ancillary: list[tuple[int, int, bytes]]) -> float:
        """The kernel's wall-clock stamp as monotonic time. Should the wall clock be set between
        arrival and reading, the result is wrong by at most the time since the socket was empty."""
        now_s = time.monotonic()
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                if len(data) < _TIMESPEC.size:
                    break
                seconds, nanoseconds = _TIMESPEC.unpack_from(data)
                age_s: float = time.time() - (seconds + nanoseconds * 1e-9)
                return min(now_s, max(self._empty_s, now_s - age_s))
        return now_s

    def _take_refusals(self) -> list[Refused]:
        """Empty the queue of errors."""
        if not _MSG_ERRQUEUE:
            return []
        taken: list[Refused] = []
        for _ in range(DATAGRAM_DRAIN_MAX):
            try:
                quoted, ancillary, _flags, to = self._socket.recvmsg(
                    DATAGRAM_BYTES_MAX, _ANCILLARY_BYTES, _MSG_ERRQUEUE
                )
            except OSError:  # empty, or a system without such a queue
                break
            if _is_port_unreachable(ancillary) and to:
                taken.append(Refused((to[0], to[1]), quoted))
            else:
                self.counters["unreachable"] += 1
        return taken

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
            _ask_for_evidence(sock)
            sock.bind(bind)
        except (OSError, OverflowError) as error:
            sock.close()
            raise AddressInUse(host=host, port=port, why=str(error)) from None
        return RealDatagramPort(sock)


def _ask_for_evidence(sock: socket.socket) -> None:
    """Arrival times and refusals, where the system has them; without, membership is only slower."""
    if sock.family == socket.AF_INET6:
        refusals = (socket.IPPROTO_IPV6, _IPV6_RECVERR)
    else:
        refusals = (socket.IPPROTO_IP, _IP_RECVERR)
    for level, option in (refusals, (socket.SOL_SOCKET, _SO_TIMESTAMPNS)):
        try:
            sock.setsockopt(level, option, 1)
        except OSError:
            continue


def _is_port_unreachable(ancillary: list[tuple[int, int, bytes]]) -> bool:
    for level, kind, data in ancillary:
        recverr = (level, kind) in {
            (socket.IPPROTO_IP, _IP_RECVERR),
            (socket.IPPROTO_IPV6, _IPV6_RECVERR),
        }
        if recverr and len(data) >= _EXTENDED_ERROR.size:
            number, origin, type_, code = _EXTENDED_ERROR.unpack_from(data)[:4]
            reason = (origin, type_, code)
            return number == errno.ECONNREFUSED and reason in _PORT_UNREACHABLE
    return False


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
