"""Frames on the wire, as far as a switch needs them: Ethernet, ARP, IPv4, UDP, TCP, ICMP.

Reading gives a `Packet` or None for what is not IPv4; writing gives whole frames with right
checksums. RFC 791, 768, 9293, 792. Deliberately not here: IPv6 (the namespaces have none), VLANs,
IP options on what we write, reassembly (fragments are carried as they are).
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

import attrs

from mesh.types import Address

ETHERNET_BYTES = 14
IPV4 = b"\x08\x00"
ARP = b"\x08\x06"
ICMP_NUMBER, TCP_NUMBER, UDP_NUMBER = 1, 6, 17
FIN, SYN, RST, ACK = 1, 2, 4, 16
UNREACHABLE, PORT_CLOSED = 3, 3
TTL = 64
QUOTE_BYTES = 520
"""Of a datagram, in a port unreachable: as Linux quotes it."""


@attrs.frozen
class Packet:
    """One IPv4 packet in its frame."""

    frame: bytes = attrs.field(repr=False)
    source: str
    destination: str
    protocol: int
    at: int
    """Where the transport header begins in the frame; 0: a later fragment has none."""
    end: int
    """Where the packet ends; what follows is padding."""

    @property
    def size_bytes(self) -> int:
        """With its IP header, as a link's MTU counts it."""
        return self.end - ETHERNET_BYTES

    @property
    def is_multicast(self) -> bool:
        return bool(self.frame[0] & 1)


@attrs.frozen
class Segment:
    """The header of a TCP segment."""

    source: Address
    destination: Address
    sequence: int
    acknowledged: int
    flags: int
    payload_bytes: int

    @property
    def next_sequence(self) -> int:
        """What its sender will say next."""
        phantom = bool(self.flags & SYN) + bool(self.flags & FIN)
        return (self.sequence + self.payload_bytes + phantom) & 0xFFFFFFFF


def packet_in(frame: bytes) -> Packet | None:
    """The IPv4 packet of a frame; None for anything else, and for nonsense."""
    if len(frame) < ETHERNET_BYTES + 20 or frame[12:14] != IPV4 or frame[14] >> 4 != 4:
        return None
    header = (frame[14] & 15) * 4
    total, fragment = struct.unpack_from("!H2xH", frame, 16)
    end = ETHERNET_BYTES + total
    if header < 20 or total < header or end > len(frame):
        return None
    first = not fragment & 0x1FFF
    return Packet(
        frame,
        str(IPv4Address(frame[26:30])),
        str(IPv4Address(frame[30:34])),
        frame[23],
        ETHERNET_BYTES + header if first else 0,
        end,
    )


def datagram_in(packet: Packet) -> tuple[bytes, Address, Address] | None:
    """(data, source, destination) of a whole UDP datagram."""
    more = struct.unpack_from("!H", packet.frame, 20)[0] & 0x2000
    if packet.protocol != UDP_NUMBER or more or not packet.at or packet.end < packet.at + 8:
        return None
    here, there = struct.unpack_from("!HH", packet.frame, packet.at)
    data = packet.frame[packet.at + 8 : packet.end]
    return data, (packet.source, here), (packet.destination, there)


def segment_in(packet: Packet) -> Segment | None:
    if packet.protocol != TCP_NUMBER or not packet.at or packet.end < packet.at + 20:
        return None
    here, there, sequence, acknowledged, length, flags = struct.unpack_from(
        "!HHIIBB", packet.frame, packet.at
    )
    payload = packet.end - packet.at - (length >> 4) * 4
    if payload < 0:
        return None
    ends = (packet.source, here), (packet.destination, there)
    return Segment(*ends, sequence, acknowledged, flags, payload)


def is_port_unreachable(packet: Packet) -> bool:
    if packet.protocol != ICMP_NUMBER or not packet.at:
        return False
    return packet.frame[packet.at : packet.at + 2] == bytes((UNREACHABLE, PORT_CLOSED))


def checksum(data: bytes) -> int:
    """RFC 1071: the complement of the ones' complement sum of 16-bit words."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


@attrs.frozen
class Ends:
    """Hardware addresses of a frame that we write."""

    source: bytes
    destination: bytes


def ipv4_frame(
    ends: Ends, source: str, destination: str, protocol: int, body: bytes, identifier: int = 0
) -> bytes:
    addresses = IPv4Address(source).packed + IPv4Address(destination).packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), identifier, 0, TTL, protocol, 0)
    head += addresses
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    return ends.destination + ends.source + IPV4 + head + body


def udp_frame(ends: Ends, data: bytes, source: Address, destination: Address) -> bytes:
    """A datagram without a checksum (allowed in IPv4): damage must reach the program."""
    body = struct.pack("!HHHH", source[1], destination[1], 8 + len(data), 0) + data
    return ipv4_frame(ends, source[0], destination[0], UDP_NUMBER, body)


def with_data(packet: Packet, data: bytes) -> bytes:
    """The same datagram with other data."""
    here, there = struct.unpack_from("!HH", packet.frame, packet.at)
    ends = Ends(packet.frame[6:12], packet.frame[:6])
    return udp_frame(ends, data, (packet.source, here), (packet.destination, there))


def reset_frame(ends: Ends, said: Segment) -> bytes:
    """A TCP segment without data and options: a reset."""
    head = struct.pack(
        "!HHIIBBHHH",
        said.source[1],
        said.destination[1],
        said.sequence,
        said.acknowledged,
        5 << 4,
        said.flags,
        0,
        0,
        0,
    )
    pseudo = IPv4Address(said.source[0]).packed + IPv4Address(said.destination[0]).packed
    pseudo += struct.pack("!BBH", 0, TCP_NUMBER, len(head))
    head = head[:16] + checksum(pseudo + head).to_bytes(2, "big") + head[18:]
    return ipv4_frame(ends, said.source[0], said.destination[0], TCP_NUMBER, head)


def unreachable_frame(ends: Ends, told: Address, closed: Address, quoted: bytes) -> bytes:
    """A port unreachable for `told`: its datagram `quoted` found nobody at `closed`."""
    datagram = struct.pack("!HHHH", told[1], closed[1], 8 + len(quoted), 0) + quoted[:QUOTE_BYTES]
    original = ipv4_frame(ends, told[0], closed[0], UDP_NUMBER, datagram)[ETHERNET_BYTES:]
    body = struct.pack("!BBHI", UNREACHABLE, PORT_CLOSED, 0, 0) + original
    body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    return ipv4_frame(ends, closed[0], told[0], ICMP_NUMBER, body)
