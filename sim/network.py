"""A network of datagrams with the faults of real ones.

Each link has latency, jitter, loss and duplication; any direction between two addresses can be
cut, and the addresses can be partitioned into groups. What arrives where nobody listens is lost.
Deliberately not here: streams, bandwidth and queues; a later issue adds them beside this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import attrs

from mesh.types import Address
from sim.world import World

Receiver = Callable[[bytes, Address], None]


@attrs.frozen
class Link:
    """How datagrams fare from one address to another."""

    latency_s: float = 0.002
    jitter_s: float = 0.001
    """Uniform, on top of the latency; larger than the spacing of datagrams it reorders them."""
    loss: float = 0.0
    duplication: float = 0.0


class Network:
    """Carries datagrams between addresses of one world."""

    def __init__(self, world: World, link: Link) -> None:
        self._world = world
        self._rng = world.rng("network")
        self._receivers: dict[Address, Receiver] = {}
        self._cuts: set[tuple[Address, Address]] = set()
        self._group: dict[Address, int] = {}
        self.link = link
        """The link between any two addresses; may be replaced while running."""
        self.counters: Counter[str] = Counter()
        self.largest_bytes = 0
        self.taps: list[Callable[[bytes, Address, Address], None]] = []
        """Called with (data, source, destination) for everything sent: eavesdroppers."""

    def attach(self, address: Address, receiver: Receiver) -> None:
        self._receivers[address] = receiver

    def detach(self, address: Address) -> None:
        self._receivers.pop(address, None)

    def cut(self, source: Address, destination: Address) -> None:
        """Lose everything in that direction; the other one still works."""
        self._cuts.add((source, destination))

    def partition(self, groups: Sequence[Iterable[Address]]) -> None:
        """Only members of the same group can talk; addresses in no group form one more."""
        self._group = {address: index for index, group in enumerate(groups) for address in group}

    def heal(self) -> None:
        """Undo all cuts and partitions."""
        self._cuts.clear()
        self._group.clear()

    def send(self, data: bytes, source: Address, destination: Address) -> None:
        """Carry a datagram, or lose it."""
        self.counters["sent"] += 1
        self.counters["sent-bytes"] += len(data)
        self.largest_bytes = max(self.largest_bytes, len(data))
        for tap in self.taps:
            tap(data, source, destination)
        if self._separated(source, destination):
            self.counters["cut"] += 1
            return
        copies = 1 + (self._rng.random() < self.link.duplication)
        for _ in range(copies):
            if self._rng.random() < self.link.loss:
                self.counters["lost"] += 1
                continue
            delay_s = self.link.latency_s + self._rng.random() * self.link.jitter_s
            self._world.after(delay_s, lambda: self.deliver(data, source, destination))

    def deliver(self, data: bytes, source: Address, destination: Address) -> None:
        """Hand over at once; also the way for a test to inject bytes of its own."""
        receiver = self._receivers.get(destination)
        if receiver is not None:
            receiver(data, source)

    def _separated(self, source: Address, destination: Address) -> bool:
        apart = self._group.get(source, -1) != self._group.get(destination, -1)
        return apart or (source, destination) in self._cuts
