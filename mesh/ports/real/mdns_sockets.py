"""Keeps mDNS sockets to their own interface: what zeroconf leaves open, the kernel closes.

zeroconf listens on the wildcard address. Left alone, such a socket hears every group that any
process of the machine joined on any interface (`IP_MULTICAST_ALL` is on by default, ip(7)), and
answers queries sent straight to port 5353 of any of the machine's addresses. So a node on the
network would hear clusters that are meant to stay on loopback, and these would answer the network.

Rules: no socket hears groups of interfaces it was not told to join; sockets of the loopback
interface are bound to that device (`SO_BINDTODEVICE`, socket(7); no privilege needed since
Linux 5.7), so that nothing comes in or goes out elsewhere, whatever the routes say. Where that
cannot be had it is an error, never a silent exception to the rule. Must be called before anything
is registered: until then there is nothing to answer with.

Not here: sockets other than zeroconf's, and systems that cannot bind a socket to a device.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from zeroconf import Zeroconf

LOOPBACK_DEVICE = b"lo\0"
"""Linux gives every network namespace one, and it cannot be called otherwise."""
IP_MULTICAST_ALL = 49
"""linux/in.h; Python's socket module does not know it."""
IPV6_MULTICAST_ALL = 29
"""linux/in6.h, since Linux 4.20."""


class Options(Protocol):
    """What is needed of a socket; asyncio's TransportSocket has it as well."""

    @property
    def family(self) -> int: ...

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None: ...


def confine(zeroconf: Zeroconf, *, loopback: bool) -> None:
    """Make all sockets of `zeroconf` keep the rules above.

    Raises OSError when the kernel refuses, or has no means to.
    """
    sockets = _sockets(zeroconf)
    for each in sockets:
        if loopback:
            _bind_to_loopback(each)
        if sys.platform == "linux":
            _hear_own_groups_only(each)


def _sockets(zeroconf: Zeroconf) -> Iterable[Options]:
    if not zeroconf.engine.senders:
        raise OSError(errno.ENOTSUP, "no interface takes multicast")
    wrapped = [*zeroconf.engine.readers, *zeroconf.engine.senders]
    sockets = [each.transport.get_extra_info("socket") for each in wrapped]
    if None in sockets:
        raise OSError(errno.ENOTSUP, "this zeroconf does not show its sockets")
    return sockets


def _bind_to_loopback(each: Options) -> None:
    option: int | None = getattr(socket, "SO_BINDTODEVICE", None)
    if option is None:
        raise OSError(errno.ENOTSUP, "sockets cannot be bound to an interface here")
    each.setsockopt(socket.SOL_SOCKET, option, LOOPBACK_DEVICE)


def _hear_own_groups_only(each: Options) -> None:
    if each.family == socket.AF_INET6:
        each.setsockopt(socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)
    else:
        each.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
