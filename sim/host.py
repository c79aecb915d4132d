"""A machine that runs one sans-IO core: delivers datagrams, fires timers, freezes and crashes.

Rules: like the real drivers it hands over all waiting datagrams before it fires a timer, with the
times at which they arrived. A frozen host keeps what arrives, up to a socket buffer, and neither
reads nor fires. A starved host reads each datagram late, in order, while its timers fire in time. A
crashed host is gone with its state; a restart is a new core. Deliberately not here: any particular
protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol, TypeVar

from mesh.ports import Refused
from mesh.types import Address
from sim.kernel.nanoseconds import to_ns
from sim.net.network import Network
from sim.world import Event, World

BUFFERED_MAX = 256
"""Datagrams that a frozen host's socket buffer holds, unless a fault says fewer."""

Output_co = TypeVar("Output_co", covariant=True)


class Machine(Protocol[Output_co]):
    """The verbs of a datagram core."""

    def receive(
        self, datagram: bytes, source: Address, now_s: float, arrived_s: float | None = None
    ) -> Iterable[Output_co]: ...

    def refused(self, to: Address, quoted: bytes, now_s: float) -> Iterable[Output_co]: ...

    def handle_timer(self, now_s: float) -> Iterable[Output_co]: ...

    def next_timer_s(self) -> float | None: ...


class Host:
    """One address in a world, and the core behind it."""

    def __init__(
        self,
        world: World,
        network: Network,
        address: Address,
        machine: Machine[object],
        perform: Callable[[object], None],
    ) -> None:
        self._world = world
        self._network = network
        self.address = address
        self._machine = machine
        self._perform = perform
        self._next_timer_s, self._when_due = machine.next_timer_s, self._fire
        # Looked up once, and not at every event.
        self._timer: Event | None = None
        self._timer_s: float | None = None
        """None while no timer is set."""
        self._waiting: list[tuple[bytes, Address, float]] = []
        self._read_s = 0.0
        self.starved: Callable[[], float] | None = None
        """When set: how late (seconds) the next datagram is read."""
        self.drains = True
        """Whether what waits is read before a timer fires, as `SwimConfig.drain_first` says."""
        self.frozen = False
        self.running = True
        network.attach(address, self._arrive, self._refused)

    def act(self, outputs: Iterable[object]) -> None:
        """Carry out what a core returned (also from commands), then look at its timer again."""
        perform = self._perform
        for output in outputs:
            perform(output)
        next_timer_s = self._next_timer_s
        due_s = next_timer_s()
        if due_s != self._timer_s:
            self._arm(due_s)

    def freeze(self) -> None:
        """Stop running without anybody noticing, like SIGSTOP or a closed lid."""
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        if not self.drains:
            self._fire()
        waiting, self._waiting = self._waiting, []
        for data, source, arrived_s in waiting:
            self._read(data, source, arrived_s)
        self.act(())

    def kill(self) -> None:
        """The process ends, its machine lives: datagrams to it are refused from now on."""
        if self._network.host_at(self.address[0]) is None:
            self._network.add_host(self.address[0])
        self.crash()

    def crash(self) -> None:
        """Vanish, machine and all."""
        self.running = False
        self._network.detach(self.address)
        self._disarm()

    def _arrive(self, data: bytes, source: Address) -> None:
        now_s = self._world.now_s
        if self.running and self.starved is None and not self.frozen:  # as nearly always
            self.act(self._machine.receive(data, source, now_s, now_s))
        elif self.starved is not None:
            self._read_s = max(self._read_s, now_s + self.starved())
            self._world.at(self._read_s, partial(self._read, data, source, now_s))
        else:
            self._read(data, source, now_s)

    def _refused(self, notice: Refused) -> None:
        if self.running and not self.frozen:
            self.act(self._machine.refused(notice.to, notice.quoted, self._world.now_s))

    def _read(self, data: bytes, source: Address, arrived_s: float) -> None:
        if not self.running:
            return
        if self.frozen:
            if len(self._waiting) < self._room():
                self._waiting.append((data, source, arrived_s))
            else:
                self._network.counters["buffer-full"] += 1
            return
        self.act(self._machine.receive(data, source, self._world.now_s, arrived_s))

    def _room(self) -> int:
        """Datagrams that the socket buffer holds now."""
        most = self._network.setting("socket-datagrams", self.address[0])
        return BUFFERED_MAX if most is None else int(most)

    def _arm(self, due_s: float | None) -> None:
        """Have the timer fire when the core wants it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._timer_s = None
        if due_s is not None and self.running and not self.frozen:
            self._timer, self._timer_s = self._world.at_ns(to_ns(due_s), self._when_due), due_s

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timer_s = None

    def _fire(self) -> None:
        self._timer = self._timer_s = None
        if not self.frozen:
            self.act(self._machine.handle_timer(self._world.now_s))
