"""The network between the hosts of one world: carries datagrams, and holds the verbs for faults.

Rules: a packet's fate is decided when it is sent, from the road between the two hosts at that time;
what is lost is counted under its reason; every packet is in the world's trace. A datagram to a port
where nobody listens is answered by a port unreachable if that host is up and no firewall of its own
forbids it, at the rate at which Linux answers. Deliberately not here: sockets (`host`), streams
(`tcp`), multicast (`discovery`), which rules are in force (`roads`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import attrs

from mesh.ports import Refused
from mesh.types import Address
from sim.kernel.nanoseconds import NS_PER_S
from sim.net.damage import damaged
from sim.net.host import LOCAL, Host
from sim.net.link import Link
from sim.net.multicast import Multicast
from sim.net.refusals import QUOTE_BYTES, RefusalRate
from sim.net.roads import (
    ALL,
    ANY,
    DATAGRAMS,
    Place,
    Road,
    Roads,
    Rule,
    across,
    between,
    touching,
)
from sim.net.tcp import Connections
from sim.undo import Fault
from sim.world import World

HEADERS_BYTES = 28
"""IP and UDP."""
ONCE, TWICE = range(1), range(2)

Receiver = Callable[[bytes, Address], None]


@attrs.frozen
class Packet:
    """One packet's fate, as observers are told when it is sent."""

    kind: str
    """"udp" or "tcp"."""
    source: Address
    destination: Address
    size_bytes: int
    sent_s: float
    arrives_s: float | None
    """None when it is lost."""
    why: str = ""
    """Why it is lost."""


class Network:
    """Carries datagrams between addresses of one world."""

    def __init__(self, world: World, link: Link | None = None) -> None:
        self.world = world
        self.random = world.rng("network").random
        self._counters: Counter[str] = Counter()
        self._sent = self._sent_bytes = 0
        self.largest_bytes = 0
        self.taps: list[Callable[[bytes, Address, Address], None]] = []
        """Called with (data, source, destination) for every datagram sent: eavesdroppers."""
        self.observers: list[Callable[[Packet], None]] = []
        self.hosts: dict[str, Host] = {}
        """By address."""
        self.roads = Roads(link or Link(), self._roads_changed)
        self.connections = Connections(self)
        self.multicast = Multicast(self)
        self._receivers: dict[Address, Receiver] = {}
        self._refusal_receivers: dict[Address, Callable[[Refused], None]] = {}
        self._refusal_rate = RefusalRate()
        self._arrival = self.deliver  # bound once, and not for every datagram

    @property
    def counters(self) -> Counter[str]:
        """What was sent, and how much was lost, and why."""
        if self._sent:  # numbers of their own: a counter costs ten times as much
            self._counters["sent"], self._counters["sent-bytes"] = self._sent, self._sent_bytes
        return self._counters

    @property
    def link(self) -> Link:
        """The link between any two hosts; may be replaced while running."""
        return self.roads.link

    @link.setter
    def link(self, link: Link) -> None:
        self.roads.link = link

    def road(self, source: str, destination: str) -> Road:
        return self.roads.road(source, destination)

    def setting(self, name: str, host: str) -> float | None:
        """What a fault says about a host, whoever talks to it."""
        if self.roads.calm:
            return None
        settings = self.roads.road(ANY, host).settings
        return settings.get(name) if settings else None

    def add_host(self, *addresses: str) -> Host:
        """A machine with these addresses, the first of which it speaks from; it is up."""
        host = Host(self, addresses)
        for address in addresses:
            assert address not in self.hosts, f"{address} is taken"
            self.hosts[address] = host
        return host

    def host_at(self, address: str) -> Host | None:
        """Who has that address, as `Host.on_wire` writes it."""
        return self.hosts.get(address.partition(LOCAL)[2] or address)

    # -- datagrams -------------------------------------------------------------------------------
    def attach(
        self,
        address: Address,
        receiver: Receiver,
        on_refused: Callable[[Refused], None] | None = None,
    ) -> None:
        """Hand over what arrives at `address`."""
        self._receivers[address] = receiver
        if on_refused is not None:
            self._refusal_receivers[address] = on_refused

    def detach(self, address: Address) -> None:
        self._receivers.pop(address, None)
        self._refusal_receivers.pop(address, None)

    def send(self, data: bytes, source: Address, destination: Address) -> None:
        """Carry a datagram, or lose it."""
        size_bytes = len(data)
        self._sent += 1
        self._sent_bytes += size_bytes
        if size_bytes > self.largest_bytes:  # noqa: PLR1730 - a third of what `max` costs
            self.largest_bytes = size_bytes
        if self.taps:
            for tap in self.taps:
                tap(data, source, destination)
        world, host, other = self.world, source[0], destination[0]
        world.trace.packet(world.now_ns, "udp", host + ">" + other, data)
        road = self.roads.road(host, other)
        if road.quick:  # as `_launch` does it
            delay_s = road.link.delay_s(self.random)
            action = partial(self._arrival, data, source, destination)
            world.at_ns(world.now_ns + int(delay_s * NS_PER_S), action)
            if self.observers:
                self.observe("udp", source, destination, size_bytes, delay_s)
        elif road.blocked & DATAGRAMS:
            self._lose("cut", data, source, destination)
        else:
            self._send_with_luck(road, data, source, destination)

    def _send_with_luck(
        self, road: Road, data: bytes, source: Address, destination: Address
    ) -> None:
        """Where datagrams are lost, or come twice, or worse."""
        link, random = road.link, self.random
        for _ in TWICE if link.duplication and random() < link.duplication else ONCE:
            if link.loss and random() < link.loss:
                self._lose("lost", data, source, destination)
            elif link.plain and road.cable is None:
                self._launch(link.delay_s(random), data, source, destination)
            else:
                self._send_roughly(road, data, source, destination)

    def deliver(self, data: bytes, source: Address, destination: Address) -> None:
        """Hand over at once; also the way for a test to inject bytes of its own."""
        receiver = self._receivers.get(destination)
        if receiver is not None:
            receiver(data, source)
        else:
            self._refuse(data, source, destination)

    def _launch(self, delay_s: float, data: bytes, source: Address, destination: Address) -> None:
        # Cut to whole nanoseconds here, which is what `World.after` does with more care.
        world = self.world
        when_ns = world.now_ns + int(delay_s * NS_PER_S)
        world.at_ns(when_ns, partial(self.deliver, data, source, destination))
        if self.observers:
            self.observe("udp", source, destination, len(data), delay_s)

    def _send_roughly(self, road: Road, data: bytes, source: Address, destination: Address) -> None:
        """All that a link can do beyond latency and loss."""
        link, cable = road.link, road.cable
        size_bytes = len(data) + HEADERS_BYTES
        if link.mtu_bytes is not None and size_bytes > link.mtu_bytes:
            return self._lose("too-large", data, source, destination)
        delay_s = link.delay_s(self.random)
        if cable is not None:
            if link.burst is not None and cable.lost_in_burst(link.burst, self.random):
                return self._lose("burst", data, source, destination)
            queued_s = cable.admit(link, size_bytes, self.world.now_s)
            if queued_s is None:
                return self._lose("queue-full", data, source, destination)
            delay_s += queued_s
        if link.reordering and self.random() < link.reordering:
            self.counters["reordered"] += 1
            delay_s += link.reorder_s * self.random()
        data = damaged(data, link, self.random, self.counters)
        if cable is not None and cable.clogs:
            release = partial(self._launch, delay_s, data, source, destination)
            if not cable.hold(release):
                self._lose("clogged", data, source, destination)
            return None
        return self._launch(delay_s, data, source, destination)

    def _lose(self, why: str, data: bytes, source: Address, destination: Address) -> None:
        self.counters[why] += 1
        if self.observers:
            self.observe("udp", source, destination, len(data), None, why)

    def observe(
        self,
        kind: str,
        source: Address,
        destination: Address,
        size_bytes: int,
        delay_s: float | None,
        why: str = "",
    ) -> None:
        """Tell the observers."""
        now_s = self.world.now_s
        arrives_s = now_s + delay_s if delay_s is not None else None
        packet = Packet(kind, source, destination, size_bytes, now_s, arrives_s, why)
        for observer in self.observers:
            observer(packet)

    # -- refusals --------------------------------------------------------------------------------
    def _refuse(self, data: bytes, source: Address, destination: Address) -> None:
        """Nobody listens there."""
        self.counters["nobody-there"] += 1
        host = self.host_at(destination[0])
        if host is None or not host.up:
            return
        back = self.roads.road(destination[0], source[0])
        if back.blocked & DATAGRAMS or self.setting("silence-refusals", destination[0]):
            return
        if not self._refusal_rate.allows(destination[0], source[0], self.world.now_s):
            self.counters["refusal-limited"] += 1
            return
        if back.link.loss and self.random() < back.link.loss:
            self.counters["refusal-lost"] += 1
            return
        refusal = Refused(destination, data[:QUOTE_BYTES])
        delay_s = back.link.delay_s(self.random)
        self.world.after(delay_s, partial(self._deliver_refusal, source, refusal))

    def _deliver_refusal(self, to: Address, refusal: Refused) -> None:
        receiver = self._refusal_receivers.get(to)
        if receiver is not None:
            self.counters["refused"] += 1
            self.world.note("refused", to, refusal.to)
            receiver(refusal)

    def forge_refusal(self, to: Address, claims: Address, quoted: bytes) -> int:
        """A port unreachable for `to` that says `claims` is closed; `claims` did not send it."""
        self._deliver_refusal(to, Refused(claims, quoted))
        return 1

    # -- faults: links ---------------------------------------------------------------------------
    def degrade(self, source: Place, destination: Place, **changes: Any) -> Fault:
        """Change fields of `Link` for a direction."""
        return self.roads.add(Rule(between(source, destination), changes))

    def cut(self, source: Place, destination: Place, traffic: int = ALL) -> Fault:
        """Lose everything in that direction; the other one still works."""
        return self.roads.add(Rule(between(source, destination), blocks=traffic))

    def partition(self, groups: Sequence[Iterable[Place]], traffic: int = ALL) -> Fault:
        """Only members of the same group can talk; hosts in no group form one more."""
        return self.roads.add(Rule(across(groups), blocks=traffic))

    def isolate(self, place: Place, traffic: int = ALL) -> Fault:
        """Cut a host off from everybody, both ways."""
        return self.roads.add(Rule(touching(place), blocks=traffic))

    def clog(self, source: Place, destination: Place) -> Fault:
        """Hold everything back in that direction until undone; then it all arrives."""
        return self.roads.add(Rule(between(source, destination), clogs=True))

    def heal(self) -> None:
        """Undo all faults."""
        self.roads.clear()

    # -- faults: hosts and streams ---------------------------------------------------------------
    def silence_refusals(self, place: Place) -> Fault:
        """A firewall at `place`: its closed ports answer nothing."""
        return self._set("silence-refusals", between(ANY, place))

    def small_buffers(self, place: Place, datagrams: int) -> Fault:
        """Sockets at `place` hold that many unread datagrams."""
        return self._set("socket-datagrams", between(ANY, place), datagrams)

    def refuse_streams(self, place: Place) -> Fault:
        """Dials of `place` are answered by a reset, as if nobody listened."""
        return self._set("refuse-streams", between(ANY, place))

    def stall_handshakes(self, place: Place) -> Fault:
        """`place` accepts connections and then says nothing."""
        return self._set("stall-handshakes", between(ANY, place))

    def read_slowly(self, place: Place, bytes_per_s: float) -> Fault:
        """Programs at `place` read each stream no faster than that."""
        return self._set("read-bytes-per-s", between(ANY, place), bytes_per_s)

    def chop_streams(self, source: Place, destination: Place, size_bytes: int) -> Fault:
        """What arrives is read in pieces of so many bytes."""
        return self._set("chop-bytes", between(source, destination), size_bytes)

    def narrow_window(self, source: Place, destination: Place, size_bytes: int) -> Fault:
        """So many bytes may be unread in that direction; then the sender waits."""
        return self._set("window-bytes", between(source, destination), size_bytes)

    def reset_streams_after(self, one: Place, other: Place, size_bytes: int) -> int:
        """Streams there are between the two break once either end has sent so many bytes more.
        Returns how many."""
        return self.connections.reset_after(one, other, size_bytes)

    def reset_streams(self, one: Place, other: Place) -> int:
        """RST on all streams between the two; ANY is everybody. Returns how many."""
        return self.connections.reset(one, other)

    def half_close_streams(self, source: Place, destination: Place) -> int:
        """End all streams in that direction only. Returns how many."""
        return self.connections.half_close(source, destination)

    def _set(self, name: str, matches: Callable[[str, str], bool], value: float = 1.0) -> Fault:
        return self.roads.add(Rule(matches, setting=name, value=value))

    def _roads_changed(self) -> None:
        self.connections.look_at_roads()
