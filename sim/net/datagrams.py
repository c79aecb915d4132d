"""`mesh.ports.Datagrams` of a simulated host.

A socket's buffer is bounded as Linux bounds it, by bytes with an overhead for each datagram, and
keeps the time of arrival while its machine is frozen or slow. What has come in is given to the
handler when the machine gets to run (`Cpu.soon`): no task wakes up for it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs
import trio

from mesh.errors import AddressInUse
from mesh.limits import DATAGRAM_BYTES_MAX, DATAGRAM_DRAIN_MAX
from mesh.ports import Arrived, Refused
from mesh.types import Address
from sim.net.gate import Gate
from sim.net.host import LOCAL, PORT_MAX, is_literal, off_wire

if TYPE_CHECKING:
    from sim.net.sockets import Sockets

SOCKET_BUFFER_BYTES = 425_984
"""What Linux gives by default (`net.core.rmem_max`, doubled) to a node that asks for more."""
OVERHEAD_BYTES = 768
"""Of the kernel's for each datagram (`struct sk_buff` and alignment)."""
UDP_BYTES_MAX = 65_507
WAYS_MAX = 4096

Handler = Callable[[Sequence[Arrived | Refused]], None]


@attrs.frozen
class _Way:
    """From here to one address, as the network sees it; the same while the socket lives."""

    trouble: str
    source: Address
    destination: Address


class SimDatagramPort:
    """See `mesh.ports.DatagramPort`. `counters` names what was lost and why."""

    def __init__(self, sockets: Sockets, address: Address) -> None:
        self._sockets = sockets
        self._host = sockets.host
        self._network = sockets.host.network
        self._cpu = sockets.cpu
        self._address = address
        self._waiting: deque[Arrived | Refused] = deque()
        self._waiting_bytes = 0
        self._handler: Handler | None = None
        self._scheduled = False
        self._ways: dict[Address, _Way] = {}
        self._gate = Gate()
        self._open = True
        self.counters: Counter[str] = Counter()
        self._reached_at = [(each, address[1]) for each in self._host.own_addresses(address[0])]
        for each in self._reached_at:
            self._network.attach(each, self._arrive, self._refused)

    @property
    def address(self) -> Address:
        return self._address

    def send(self, data: bytes, to: Address) -> None:
        if not self._open:
            self.counters["send-closed"] += 1
            return
        way = self._ways.get(to) or self._find_way(to)
        why = way.trouble or ("emsgsize" if len(data) > UDP_BYTES_MAX else "")
        if why:
            self.counters[f"send-{why}"] += 1
            return
        self._network.send(data, way.source, way.destination)

    def _find_way(self, to: Address) -> _Way:
        if len(self._ways) >= WAYS_MAX:
            self._ways.clear()
        source = (self._host.source_for(self._address[0], to[0]), self._address[1])
        destination = (self._host.on_wire(to[0]), to[1])
        way = self._ways[to] = _Way(_unreachable(to), source, destination)
        return way

    async def serve(self, handler: Handler) -> None:
        assert self._handler is None, "a socket has one reader"
        self._handler = handler
        try:
            self._schedule()
            while True:
                await self._gate.wait()
        finally:
            self._handler = None

    def take_waiting(self) -> list[Arrived | Refused]:
        if not self._waiting:
            return []
        if len(self._waiting) <= DATAGRAM_DRAIN_MAX:
            everything = list(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
            return everything
        taken: list[Arrived | Refused] = []
        while self._waiting and len(taken) < DATAGRAM_DRAIN_MAX:
            each = self._waiting.popleft()
            self._waiting_bytes -= _size(each)
            taken.append(each)
        return taken

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        for each in self._reached_at:
            self._network.detach(each)
        self._host.release("udp", self._address)
        self._sockets.datagrams.forget(self)
        self._waiting.clear()
        if self._sockets.open and self._gate.waited_at:
            self._gate.fail(trio.ClosedResourceError("another task closed this socket"))

    # -- from the network ------------------------------------------------------------------------
    def _arrive(self, data: bytes, source: Address) -> None:
        if len(data) > DATAGRAM_BYTES_MAX:
            data = data[: DATAGRAM_BYTES_MAX + 1]
        if LOCAL in source[0]:
            source = off_wire(source)
        self._keep(Arrived(data, source, self._cpu.monotonic()), len(data))

    def _refused(self, refusal: Refused) -> None:
        self._keep(Refused(off_wire(refusal.to), refusal.quoted), len(refusal.quoted))

    def _keep(self, what: Arrived | Refused, size_bytes: int) -> None:
        size_bytes += OVERHEAD_BYTES
        most = self._network.setting("socket-datagrams", self._host.address)
        too_many = most is not None and len(self._waiting) >= most
        if too_many or self._waiting_bytes + size_bytes > SOCKET_BUFFER_BYTES:
            self._network.counters["buffer-full"] += 1
            return
        self._waiting.append(what)
        self._waiting_bytes += size_bytes
        if not self._scheduled and self._handler is not None:
            self._scheduled = True
            self._cpu.soon(self._hand_over)

    def _schedule(self) -> None:
        if self._handler is not None and self._waiting and not self._scheduled:
            self._scheduled = True
            self._cpu.soon(self._hand_over)

    def _hand_over(self) -> None:
        self._scheduled = False
        handler = self._handler
        if handler is None or not (taken := self.take_waiting()):
            return
        try:
            handler(taken)
        except Exception as error:
            if not self._gate.waited_at:
                raise
            self._gate.fail(error)
        if self._waiting:
            self._schedule()


class SimDatagrams:
    """See `mesh.ports.Datagrams`."""

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        self._ports: list[SimDatagramPort] = []

    async def open(self, bind: Address) -> SimDatagramPort:
        await trio.lowlevel.checkpoint()
        if not self._sockets.open:
            raise AddressInUse(host=bind[0], port=bind[1], why="the process has ended")
        port = SimDatagramPort(self._sockets, self._sockets.host.bind("udp", bind))
        self._ports.append(port)
        return port

    def forget(self, port: SimDatagramPort) -> None:
        self._ports.remove(port)

    def close_all(self) -> None:
        for port in list(self._ports):
            port.close()


def _unreachable(to: Address) -> str:
    """Why the system would not send there; empty when it would."""
    host, port = to
    if not is_literal(host):
        return "not-an-address"
    if not 0 < port <= PORT_MAX:
        return "einval" if port == 0 else "error"
    return ""


def _size(what: Arrived | Refused) -> int:
    data = what.data if isinstance(what, Arrived) else what.quoted
    return len(data) + OVERHEAD_BYTES
