"""What becomes of one frame: the links of the simulated network, applied to real packets.

    switch.carry(port, frame, now_s) -> deliveries

No I/O, no clock, no device. The rules are `sim.net.roads`, so loss, latency, cables and damage are
computed by the very code that the simulator runs. Rules
- A port is a host: its hardware and IP addresses are known, nothing is learnt, and nobody can speak
  with another's address.
- UDP and ICMP suffer everything. TCP suffers latency, loss (corruption is loss: its checksum
  notices), bandwidth and cuts, and keeps its order on every way, as one path does.
- ARP passes walls (they stand for firewalls and filters), but not to or from a host without power.
- Of multicast every receiver's copy has a fate of its own.
Deliberately not here: devices and time (`cables`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import attrs

from mesh.types import Address
from sim.chaos import frames
from sim.chaos.flows import Flow, Flows, refusal_of
from sim.chaos.frames import Ends, Packet, Segment
from sim.net.damage import damaged
from sim.net.link import Draw
from sim.net.roads import ANY, DATAGRAMS, MULTICAST, STREAMS, Road, Roads

Tap = Callable[[bytes, Address, Address], None]


@attrs.frozen
class Port:
    """One host's socket in the wall."""

    number: int
    host: str
    """IP address."""
    hardware: bytes


@attrs.frozen(order=True)
class Delivery:
    """A frame to be written to a port, not before its time."""

    at_s: float
    order: int
    port: int = attrs.field(order=False)
    frame: bytes = attrs.field(order=False, repr=False)


class Switch:
    """See the module's head."""

    def __init__(self, ports: Sequence[Port], roads: Roads, random: Draw) -> None:
        self.ports = tuple(ports)
        self.roads = roads
        self.flows = Flows()
        self.counters: Counter[str] = Counter()
        self.taps: list[Tap] = []
        """Called with (data, source, destination) for every unicast datagram sent."""
        self.unpowered: set[str] = set()
        self.released: list[tuple[int, bytes]] = []
        """What a clog has let go, and what is injected: to be written at once, in order."""
        self._random = random
        self._by_host = {port.host: port for port in ports}
        self._by_hardware = {port.hardware: port for port in ports}
        self._made = 0
        self._tail_s: dict[tuple[str, str], float] = {}

    def setting(self, name: str, host: str) -> float | None:
        """As `sim.net.network.Network.setting`."""
        return self.roads.road(ANY, host).settings.get(name)

    # -- frames ----------------------------------------------------------------------------------
    def carry(self, port: int, frame: bytes, now_s: float) -> list[Delivery]:
        """Who gets a frame that `port` has sent, and when."""
        sender = self.ports[port]
        self.counters["frames"] += 1
        if sender.host in self.unpowered or frame[6:12] != sender.hardware:
            return []
        packet = frames.packet_in(frame)
        if packet is None:
            return self._carry_other(sender, frame, now_s)
        if packet.source != sender.host:
            return []
        self._overhear(packet)
        return [
            delivery
            for receiver in self._receivers(sender, frame)
            for delivery in self._carry_packet(packet, receiver, now_s)
        ]

    def _receivers(self, sender: Port, frame: bytes) -> list[Port]:
        if frame[0] & 1:
            found = [port for port in self.ports if port is not sender]
        else:
            found = [self._by_hardware[frame[:6]]] if frame[:6] in self._by_hardware else []
        return [port for port in found if port.host not in self.unpowered]

    def _carry_other(self, sender: Port, frame: bytes, now_s: float) -> list[Delivery]:
        if frame[12:14] != frames.ARP:
            return []
        return [self._delivery(now_s, port, frame) for port in self._receivers(sender, frame)]

    def _overhear(self, packet: Packet) -> None:
        datagram = None if packet.is_multicast else frames.datagram_in(packet)
        if datagram is not None:
            for tap in self.taps:
                tap(*datagram)

    def _carry_packet(self, packet: Packet, receiver: Port, now_s: float) -> list[Delivery]:
        road = self.roads.road(packet.source, receiver.host)
        traffic = STREAMS if packet.protocol == frames.TCP_NUMBER else DATAGRAMS
        if road.blocked & (MULTICAST if packet.is_multicast else traffic):
            self.counters["cut"] += 1
            return []
        if packet.protocol == frames.TCP_NUMBER:
            return self._carry_stream(packet, receiver, road, now_s)
        if frames.is_port_unreachable(packet) and self.setting("silence-refusals", packet.source):
            self.counters["refusal-silenced"] += 1
            return []
        return self._carry_datagram(packet, receiver, road, now_s)

    # -- datagrams -------------------------------------------------------------------------------
    def _carry_datagram(
        self, packet: Packet, receiver: Port, road: Road, now_s: float
    ) -> list[Delivery]:
        link, random = road.link, self._random
        copies = 2 if link.duplication and random() < link.duplication else 1
        deliveries = []
        for _ in range(copies):
            if link.loss and random() < link.loss:
                self.counters["lost"] += 1
                continue
            delay_s = self._rough_delay_s(packet, road, now_s)
            if delay_s is None:
                continue
            frame = self._damaged(packet, road)
            if not self._hold(road, receiver, frame):
                deliveries.append(self._delivery(now_s + delay_s, receiver, frame))
        return deliveries

    def _rough_delay_s(self, packet: Packet, road: Road, now_s: float) -> float | None:
        """How long it is under way; None when it does not arrive."""
        link, cable = road.link, road.cable
        if link.mtu_bytes is not None and packet.size_bytes > link.mtu_bytes:
            self.counters["too-large"] += 1
            return None
        delay_s = link.delay_s(self._random)
        if cable is not None:
            if link.burst is not None and cable.lost_in_burst(link.burst, self._random):
                self.counters["burst"] += 1
                return None
            queued_s = cable.admit(link, packet.size_bytes, now_s)
            if queued_s is None:
                self.counters["queue-full"] += 1
                return None
            delay_s += queued_s
        if link.reordering and self._random() < link.reordering:
            self.counters["reordered"] += 1
            delay_s += link.reorder_s * self._random()
        return delay_s

    def _damaged(self, packet: Packet, road: Road) -> bytes:
        if not (road.link.corruption or road.link.truncation):
            return packet.frame
        datagram = frames.datagram_in(packet)
        if datagram is None:
            return packet.frame
        data = damaged(datagram[0], road.link, self._random, self.counters)
        return packet.frame if data is datagram[0] else frames.with_data(packet, data)

    # -- streams ---------------------------------------------------------------------------------
    def _carry_stream(
        self, packet: Packet, receiver: Port, road: Road, now_s: float
    ) -> list[Delivery]:
        segment = frames.segment_in(packet)
        if segment is not None and self._spoken_for(segment):
            return []
        link, random = road.link, self._random
        loss = min(1.0, link.loss + link.corruption)
        if loss and random() < loss:
            self.counters["segment-lost"] += 1
            return []
        delay_s = link.delay_s(random)
        if road.cable is not None:
            queued_s = road.cable.admit(link, packet.size_bytes, now_s)
            if queued_s is None:
                self.counters["queue-full"] += 1
                return []
            delay_s += queued_s
        if self._hold(road, receiver, packet.frame):
            return []
        way = (packet.source, receiver.host)
        self._tail_s[way] = max(now_s + delay_s, self._tail_s.get(way, 0.0))
        return [self._delivery(self._tail_s[way], receiver, packet.frame)]

    def _spoken_for(self, segment: Segment) -> bool:
        """Whether we answer it, or keep it, instead of its receiver getting it."""
        listener = segment.destination[0]
        opens = segment.flags & (frames.SYN | frames.ACK) == frames.SYN
        if opens and self.setting("refuse-streams", listener):
            self.inject(refusal_of(segment))
            return True
        flow = self.flows.follow(segment)
        if opens and self.setting("stall-handshakes", listener):
            flow.stalled = True
        if flow.left_bytes is not None and flow.left_bytes < 0:
            self.reset(flow)
            return True
        return (
            flow.stalled
            and segment.source == flow.listener
            and segment.payload_bytes > 0
            and bool(self.setting("stall-handshakes", flow.listener[0]))
        )

    def reset(self, flow: Flow) -> None:
        """End a connection for both."""
        self.counters["reset"] += 1
        for segment in flow.resets():
            self.inject(segment)
        self.flows.forget(flow)

    # -- what we say ourselves -------------------------------------------------------------------
    def inject(self, segment: Segment) -> None:
        ends = self._ends(segment.source[0], segment.destination[0])
        if ends is not None:
            self._release(segment.destination[0], frames.reset_frame(ends, segment))

    def inject_datagram(self, data: bytes, source: Address, destination: Address) -> None:
        """Bytes of somebody's choice, that claim to come from `source`."""
        ends = self._ends(source[0], destination[0])
        if ends is not None:
            self._release(destination[0], frames.udp_frame(ends, data, source, destination))

    def inject_refusal(self, told: Address, closed: Address, quoted: bytes) -> None:
        """A port unreachable that nobody's kernel has sent."""
        ends = self._ends(closed[0], told[0])
        if ends is not None:
            frame = frames.unreachable_frame(ends, told, closed, quoted)
            self._release(told[0], frame)

    def _ends(self, source: str, destination: str) -> Ends | None:
        one, other = self._by_host.get(source), self._by_host.get(destination)
        return Ends(one.hardware, other.hardware) if one and other else None

    def _release(self, host: str, frame: bytes) -> None:
        if host not in self.unpowered:
            self.released.append((self._by_host[host].number, frame))

    def _hold(self, road: Road, receiver: Port, frame: bytes) -> bool:
        """Keep it while the cable is clogged; True when it is kept, or dropped for want of room."""
        cable = road.cable
        if cable is None or not cable.clogs:
            return False
        if not cable.hold(lambda: self._release(receiver.host, frame)):
            self.counters["clog-full"] += 1
        return True

    def _delivery(self, at_s: float, port: Port, frame: bytes) -> Delivery:
        self._made += 1
        return Delivery(at_s, self._made, port.number, frame)
