"""Connections as the kernels of two hosts keep them: dial, listen, end, reset, and falling silent.

Rules, after TCP on Linux
- A dial repeats its first packet after 1, 2, 4 ... s and gives up never; its caller does.
- A connection whose other host does not answer (cut off, powered off) breaks after about 20 s of
  that, by keepalive or user timeout, as `mesh.ports.real.streams` sets them. A frozen process is
  not that: its kernel answers.
- A host that is back after a power cut knows no connection, and one that gave a connection up
  during a cut not that one: it answers the next packet, a keepalive at the latest, with a reset. A
  process that ends has its connections ended without a TLS goodbye, or reset when it had not read
  all.
- What arrives at a closed end is answered by a reset. What had arrived before a reset can be read.

Deliberately not here: who the two are (`streams`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import trio

from mesh.errors import AddressInUse
from mesh.limits import KEEPALIVE_EVERY_S, KEEPALIVE_TRIES
from mesh.types import Address
from sim.net.end import End
from sim.net.flow import Mark
from sim.net.gate import Gate
from sim.net.host import is_literal, off_wire
from sim.net.roads import ANY, STREAMS, Place, host_of

if TYPE_CHECKING:
    from sim.net.host import Host
    from sim.net.network import Network

SILENCE_MAX_S = KEEPALIVE_EVERY_S * (KEEPALIVE_TRIES + 1)
BACKLOG_MAX = 128
SYN_TRIES_MAX = 7
SYN_RETRY_S = 1.0


class Refusal(Exception):
    """Nobody listens there."""


class Connection:
    """Two ends. `near` dialled."""

    def __init__(self, network: Network, dialler: Host, near: Address, far: Address) -> None:
        self._network = network
        there = network.host_at(far[0])
        assert there is not None
        self.near = End(network, dialler, near, far)
        self.far = End(network, there, far, near)
        self.near.join(self.far)

    @property
    def ends(self) -> tuple[End, End]:
        return self.near, self.far

    @property
    def over(self) -> bool:
        return self.near.over and self.far.over

    def hosts(self) -> tuple[str, str]:
        return self.near.address[0], self.far.address[0]

    def is_between(self, one: Place, other: Place) -> bool:
        near, far = self.hosts()
        return _fits(one, other, near, far) or _fits(one, other, far, near)

    def reset(self, why: str = "connection reset by peer") -> None:
        for end in self.ends:
            end.break_off(why)

    def look_at_road(self, keepalive: Callable[[], float]) -> None:
        """Roads or hosts may have changed: doom the ends that cannot be answered, spare the others,
        and have those who talk to nobody any more find out by their next keepalive."""
        near, far = self.hosts()
        ways = self._network.road(near, far).blocked | self._network.road(far, near).blocked
        for end in self.ends:
            silent = bool(ways & STREAMS) or (end.other.vanished and not end.other.host.up)
            end.fear(SILENCE_MAX_S if silent and not end.over else None)
            if end.other.forgotten and not silent and not end.over:
                delay_s = keepalive() * KEEPALIVE_EVERY_S
                self._network.world.after(delay_s, end.other.send_reset)


class TcpListener:
    """A port that accepts. Whoever serves it takes ends from it."""

    def __init__(self, host: Host, address: Address) -> None:
        self.host = host
        self.address = address
        self._waiting: deque[End] = deque()
        self._gate = Gate()
        self.open = True

    @property
    def full(self) -> bool:
        return len(self._waiting) >= BACKLOG_MAX

    def offer(self, end: End) -> None:
        """A connection stands."""
        if not self.open or self.full:
            end.abort()
            end.send_reset()
            return
        self._waiting.append(end)
        self._gate.open()

    async def accept(self) -> End:
        """The next connection. Raises trio.ClosedResourceError."""
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            if not self.open:
                raise trio.ClosedResourceError("another task closed this listener")
            await self._gate.wait()
        return self._waiting.popleft()

    def close(self, *, quietly: bool = False) -> None:
        """Accept no more; connections nobody took are reset. Quietly: waking nobody up."""
        if not self.open:
            return
        self.open = False
        self.host.network.connections.no_longer(self)
        self.host.release("tcp", self.address)
        while self._waiting:
            self._waiting.popleft().freeze_out()
        if not quietly:
            self._gate.open()


class Connections:
    """All connections and listeners of a network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._listeners: dict[Address, TcpListener] = {}
        self._all: dict[Connection, None] = {}
        self._keepalive = network.world.rng("keepalives").random

    def __len__(self) -> int:
        self._sweep()
        return len(self._all)

    def listen(self, host: Host, bind: Address) -> TcpListener:
        """Raises AddressInUse."""
        if not is_literal(bind[0]):
            raise AddressInUse(host=bind[0], port=bind[1], why="Name or service not known")
        address = host.bind("tcp", bind)
        listener = TcpListener(host, address)
        for each in host.own_addresses(address[0]):
            self._listeners[each, address[1]] = listener
        return listener

    def no_longer(self, listener: TcpListener) -> None:
        for each in listener.host.own_addresses(listener.address[0]):
            del self._listeners[each, listener.address[1]]

    # -- dialling --------------------------------------------------------------------------------
    async def dial(self, host: Host, to: Address) -> End:
        """Connect. Raises Refusal; waits forever where nobody answers."""
        far = (host.on_wire(to[0]), to[1])
        near_host = host.source_for("0.0.0.0", to[0])  # noqa: S104 (nothing is bound)
        near = host.bind("tcp", (off_wire((near_host, 0))[0], 0))
        host.release("tcp", near)  # the number has been used up, and no listener will get it
        dial = _Dial(self, host, (near_host, near[1]), far)
        try:
            return await dial.wait()
        except BaseException:
            dial.give_up()
            raise
        finally:
            dial.done = True

    def stands(self, connection: Connection, listener: TcpListener) -> None:
        """The dialler's answer is on its way: from here on both ends are the ends' business."""
        self._all[connection] = None
        if len(self._all) % 256 == 0:
            self._sweep()
        connection.far.on_stands = partial(listener.offer, connection.far)
        connection.near.outgoing.send(Mark.STANDS)
        connection.look_at_road(self._keepalive)

    def listener_at(self, address: Address) -> TcpListener | None:
        return self._listeners.get(address)

    # -- what happens to hosts and roads ---------------------------------------------------------
    def look_at_roads(self) -> None:
        self._sweep()
        for connection in self._all:
            connection.look_at_road(self._keepalive)

    def vanish(self, host: Host) -> None:
        """It has no power: its ends are gone, and nobody was told."""
        for connection in list(self._all):
            for end in connection.ends:
                if end.host is host:
                    end.vanish()
        self.look_at_roads()

    # -- faults ----------------------------------------------------------------------------------
    def reset(self, one: Place, other: Place) -> int:
        hit = [each for each in self.living() if each.is_between(one, other)]
        for connection in hit:
            connection.reset()
        return len(hit)

    def reset_after(self, one: Place, other: Place, size_bytes: int) -> int:
        hit = [each for each in self.living() if each.is_between(one, other)]
        for connection in hit:
            for end in connection.ends:
                end.breaks_at_bytes = end.outgoing.sent_bytes + size_bytes
        return len(hit)

    def half_close(self, source: Place, destination: Place) -> int:
        count = 0
        for connection in self.living():
            for end in connection.ends:
                if _fits(source, destination, end.address[0], end.other.address[0]):
                    end.outgoing.send(Mark.BARE_END)
                    count += 1
        return count

    def living(self) -> list[Connection]:
        """Those with an end that is not over."""
        self._sweep()
        return list(self._all)

    def _sweep(self) -> None:
        for connection in [each for each in self._all if each.over]:
            del self._all[connection]


class _Dial:
    """One attempt to connect: SYN, its answer, and the repetitions."""

    def __init__(self, connections: Connections, host: Host, near: Address, far: Address) -> None:
        self._connections = connections
        self._network = host.network
        self._host = host
        self._near, self._far = near, far
        self._gate = Gate()
        self._tries = 0
        self._end: End | None = None
        self._refused = False
        self.done = False

    async def wait(self) -> End:
        await trio.lowlevel.checkpoint()
        self._knock()
        while self._end is None:
            if self._refused:
                raise Refusal
            await self._gate.wait()
        return self._end

    def give_up(self) -> None:
        """Nobody waits any more. If it stands already, as for who was frozen meanwhile and woke too
        late, the kernel resets it with the socket."""
        if self._end is not None:
            self._end.abort()

    def _knock(self) -> None:
        if self.done or self._end is not None or self._tries >= SYN_TRIES_MAX:
            return
        world = self._network.world
        world.after(SYN_RETRY_S * 2**self._tries, self._knock)
        self._tries += 1
        world.note("dial", self._near, self._far)
        self._carry(self._near, self._far, self._arrive)

    def _carry(self, source: Address, destination: Address, then: object) -> None:
        """One packet of the handshake, which may be lost."""
        road = self._network.road(source[0], destination[0])
        clogged = road.cable is not None and road.cable.clogs
        lost = road.link.loss and self._network.random() < road.link.loss
        if road.blocked & STREAMS or clogged or lost:
            self._network.counters["dial-lost"] += 1
            return
        assert callable(then)
        self._network.world.after(road.link.delay_s(self._network.random), then)

    def _arrive(self) -> None:
        """At the other host."""
        there = self._network.host_at(self._far[0])
        if there is None or not there.up:
            return
        listener = self._connections.listener_at(self._far)
        refuses = self._network.setting("refuse-streams", self._far[0]) is not None
        if listener is None or refuses:
            self._carry(self._far, self._near, self._answer_refused)
        elif not listener.full:
            self._carry(self._far, self._near, partial(self._answer, listener))

    def _answer_refused(self) -> None:
        if not self.done and self._end is None:
            self._refused = True
            self._gate.open()

    def _answer(self, listener: TcpListener) -> None:
        if self.done or self._end is not None or not self._host.up:
            return
        connection = Connection(self._network, self._host, self._near, self._far)
        self._end = connection.near
        self._connections.stands(connection, listener)
        self._gate.open()


def _fits(one: Place, other: Place, source: str, destination: str) -> bool:
    wanted, target = host_of(one), host_of(other)
    return wanted in (ANY, source) and target in (ANY, destination)
