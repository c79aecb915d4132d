"""One machine as the network sees it: its addresses, whether it is up, and which ports are taken.

A host is up or off. Each life of its process is a `Sockets`: when it is closed, the system closes
what the process held (streams end, closed ports refuse), and its ports do nothing any more, so that
a dying program's last words never reach the world. When the host goes off, nothing says so.
Deliberately not here: the process, its clock and its disk (`sim.machine`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from mesh.errors import AddressInUse
from mesh.types import Address

if TYPE_CHECKING:
    from sim.net.network import Network
    from sim.net.sockets import Sockets

FIRST_FREE_PORT = 40_000
PORT_MAX = 65_535
ANY_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104 (to be recognised, nothing is bound)
LOCAL = "%"
"""Between a loopback address and the host that it is of."""
IN_USE = "Address already in use"
NOT_OURS = "Cannot assign requested address"


class Cpu(Protocol):
    """The machine's own time, and its turn."""

    def monotonic(self) -> float: ...

    def soon(self, fn: Callable[[], None]) -> None:
        """Run `fn` when the machine next gets to run: now, unless it is frozen or slow."""
        ...


class IdealCpu:
    """Never late, and its time is the world's."""

    def __init__(self, network: Network) -> None:
        self._world = network.world

    def monotonic(self) -> float:
        return self._world.now_s

    def soon(self, fn: Callable[[], None]) -> None:
        fn()


class Host:
    """See the module's head. Made by `Network.add_host`."""

    def __init__(self, network: Network, addresses: tuple[str, ...]) -> None:
        assert addresses, "a host has an address"
        self.network = network
        self.addresses = addresses
        self.up = True
        self._sockets: list[Sockets] = []
        self._taken: dict[tuple[str, int], list[str]] = {}
        self._next_port = FIRST_FREE_PORT

    @property
    def address(self) -> str:
        """The one it speaks from."""
        return self.addresses[0]

    # -- lives -----------------------------------------------------------------------------------
    def boot(self, cpu: Cpu | None = None) -> Sockets:
        """Fresh sockets for a process that starts."""
        from sim.net.sockets import Sockets

        assert self.up, "power it on first"
        sockets = Sockets(self, cpu or IdealCpu(self.network))
        self._sockets.append(sockets)
        return sockets

    def power_off(self) -> None:
        """Vanish: no socket says goodbye."""
        self.up = False
        self.network.connections.vanish(self)
        for sockets in list(self._sockets):
            sockets.close()
        assert not self._taken, f"still taken: {self._taken}"

    def power_on(self) -> None:
        """Be back, remembering no connection."""
        self.up = True
        self.network.connections.look_at_roads()

    def forget(self, sockets: Sockets) -> None:
        """These are closed."""
        if sockets in self._sockets:
            self._sockets.remove(sockets)

    # -- addresses and ports ---------------------------------------------------------------------
    def own_addresses(self, bound: str) -> tuple[str, ...]:
        """The addresses at which something bound to `bound` is reached."""
        if bound in ANY_ADDRESSES:
            return (*self.addresses, self.on_wire("127.0.0.1"))
        return (self.on_wire(bound),)

    def on_wire(self, address: str) -> str:
        """An address as the network knows it: every host has a loopback of its own."""
        return f"{address}{LOCAL}{self.address}" if is_loopback(address) else address

    def source_for(self, bound: str, to: str) -> str:
        """The address from which something bound to `bound` speaks to `to`."""
        if bound not in ANY_ADDRESSES:
            return self.on_wire(bound)
        return self.on_wire("127.0.0.1") if is_loopback(to) else self.address

    def bind(self, protocol: str, bind: Address) -> Address:
        """Take a port until `release`. Raises AddressInUse."""
        host, port = bind
        if not (host in ANY_ADDRESSES or host in self.addresses or is_loopback(host)):
            raise AddressInUse(host=host, port=port, why=NOT_OURS)
        if not 0 <= port <= PORT_MAX:
            raise AddressInUse(host=host, port=port, why="port must be 0-65535")
        port = port or self._free_port(protocol)
        held = self._taken.setdefault((protocol, port), [])
        if any(_overlap(host, other) for other in held):
            raise AddressInUse(host=host, port=port, why=IN_USE)
        held.append(host)
        return host, port

    def release(self, protocol: str, address: Address) -> None:
        host, port = address
        held = self._taken[protocol, port]
        held.remove(host)
        if not held:
            del self._taken[protocol, port]

    def _free_port(self, protocol: str) -> int:
        while (protocol, self._next_port) in self._taken:
            self._next_port += 1
        self._next_port += 1
        return self._next_port - 1


@lru_cache(maxsize=4096)
def is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def is_loopback(host: str) -> bool:
    return is_literal(host) and ipaddress.ip_address(host).is_loopback


def off_wire(address: Address) -> Address:
    """An address as programs know it; see `Host.on_wire`."""
    host, port = address
    return (host.partition(LOCAL)[0], port) if LOCAL in host else address


def _overlap(one: str, other: str) -> bool:
    return one == other or one in ANY_ADDRESSES or other in ANY_ADDRESSES
