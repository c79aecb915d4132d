"""The switch of the second world, without devices: what becomes of real frames."""

from __future__ import annotations

import struct
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.types import Address
from sim.chaos import frames
from sim.chaos.frames import ACK, RST, SYN, Ends, Segment
from sim.chaos.network import ChaosNetwork
from sim.chaos.switch import Delivery, Port, Switch
from sim.kernel.world import World
from sim.net.link import Link
from sim.net.roads import ANY, MULTICAST
from sim.stage.base import CannotDo

HOSTS = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
GOSSIP = 7446
ADDRESSES = st.tuples(st.sampled_from(HOSTS), st.integers(1, 65535))


def ports() -> list[Port]:
    return [Port(n, host, bytes((2, 0, 0, 0, 0, n))) for n, host in enumerate(HOSTS)]


def network(**link: float) -> ChaosNetwork:
    options = {"latency_s": 0.0, "jitter_s": 0.0, **link}
    return ChaosNetwork(World(7), Link(**options), ports())  # type: ignore[arg-type]


def ends(source: int, destination: int) -> Ends:
    return Ends(ports()[source].hardware, ports()[destination].hardware)


def datagram(source: int, destination: int, data: bytes = b"hello") -> bytes:
    way = (HOSTS[source], GOSSIP), (HOSTS[destination], GOSSIP)
    return frames.udp_frame(ends(source, destination), data, *way)


def multicast(source: int) -> bytes:
    to = Ends(ports()[source].hardware, bytes.fromhex("01005e0000fb"))
    return frames.udp_frame(to, b"query", (HOSTS[source], 5353), ("224.0.0.251", 5353))


def segment(
    source: Address, destination: Address, flags: int, data: bytes = b"", **at: int
) -> bytes:
    number, acked = at.get("number", 100), at.get("acked", 0)
    said = Segment(source, destination, number, acked, flags, 0)
    way = ends(HOSTS.index(source[0]), HOSTS.index(destination[0]))
    bare = frames.reset_frame(way, said)
    body = bare[34:] + data
    return frames.ipv4_frame(way, source[0], destination[0], frames.TCP_NUMBER, body)


def carry(switch: Switch, frame: bytes, source: int = 0, now_s: float = 0.0) -> list[Delivery]:
    return switch.carry(source, frame, now_s)


def datas(deliveries: list[Delivery]) -> list[bytes]:
    found = [frames.packet_in(each.frame) for each in deliveries]
    read = [frames.datagram_in(packet) for packet in found if packet is not None]
    return [each[0] for each in read if each is not None]


# -- frames --------------------------------------------------------------------------------------
@given(st.binary(max_size=1400), ADDRESSES, ADDRESSES)
def test_a_datagram_written_is_the_datagram_read(data: bytes, one: Address, other: Address) -> None:
    packet = frames.packet_in(frames.udp_frame(ends(0, 1), data, one, other))
    assert packet is not None
    assert frames.datagram_in(packet) == (data, one, other)
    header = packet.frame[14:34]
    assert frames.checksum(header) == 0


@given(st.binary(max_size=200))
def test_noise_is_not_an_exception(noise: bytes) -> None:
    switch = network().switch
    for frame in (noise, ports()[1].hardware + ports()[0].hardware + b"\x08\x00" + noise):
        switch.carry(0, frame, 0.0)


@given(st.binary(min_size=20, max_size=80), st.sampled_from([1, 6, 17]))
def test_nonsense_in_a_packet_is_not_an_exception(body: bytes, protocol: int) -> None:
    frame = frames.ipv4_frame(ends(0, 1), HOSTS[0], HOSTS[1], protocol, body)
    network().switch.carry(0, frame, 0.0)


@given(st.binary(min_size=1, max_size=65))
def test_the_checksum_of_what_has_its_checksum_is_zero(data: bytes) -> None:
    data += b"\0" * (len(data) % 2)
    assert frames.checksum(data + struct.pack("!H", frames.checksum(data))) == 0


# -- who gets it ---------------------------------------------------------------------------------
def test_a_frame_goes_to_its_receiver_alone_and_multicast_to_all_others() -> None:
    switch = network().switch
    assert [each.port for each in carry(switch, datagram(0, 2))] == [2]
    assert [each.port for each in carry(switch, multicast(0))] == [1, 2]


def test_nobody_speaks_with_anothers_address() -> None:
    switch = network().switch
    assert carry(switch, datagram(1, 2), source=0) == []


def test_latency_is_the_links() -> None:
    switch = network(latency_s=0.25).switch
    assert [each.at_s for each in carry(switch, datagram(0, 1), now_s=3.0)] == [3.25]


def test_a_cut_is_one_way_and_undone() -> None:
    net = network()
    fault = net.cut(HOSTS[0], HOSTS[1])
    assert carry(net.switch, datagram(0, 1)) == []
    assert carry(net.switch, datagram(1, 0), source=1)
    fault.undo()
    assert carry(net.switch, datagram(0, 1))


def test_a_partition_cuts_across_and_nowhere_else() -> None:
    net = network()
    net.partition([[HOSTS[0]], [HOSTS[1], HOSTS[2]]])
    assert not carry(net.switch, datagram(0, 1))
    assert not carry(net.switch, datagram(2, 0), source=2)
    assert carry(net.switch, datagram(1, 2), source=1)


def test_multicast_is_cut_alone() -> None:
    net = network()
    net.isolate(HOSTS[1], MULTICAST)
    assert [each.port for each in carry(net.switch, multicast(0))] == [2]
    assert carry(net.switch, datagram(0, 1))


def test_a_host_without_power_gets_nothing_and_is_asked_in_vain() -> None:
    net = network()
    arp = b"\xff" * 6 + ports()[0].hardware + frames.ARP + bytes(28)
    assert [each.port for each in carry(net.switch, arp)] == [1, 2]
    net.power(HOSTS[1], on=False)
    assert [each.port for each in carry(net.switch, arp)] == [2]
    assert carry(net.switch, datagram(0, 1)) == []
    net.power(HOSTS[1], on=True)
    assert carry(net.switch, datagram(0, 1))


# -- what happens to it --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "low", "high"),
    [({"loss": 0.3}, 600, 800), ({"duplication": 0.3}, 1200, 1400), ({"mtu_bytes": 30}, 0, 0)],
)
def test_so_many_of_a_thousand_arrive(change: dict[str, float], low: int, high: int) -> None:
    net = network()
    net.degrade(HOSTS[0], ANY, **change)
    arrived = sum(len(carry(net.switch, datagram(0, 1))) for _ in range(1000))
    assert low <= arrived <= high


def test_damage_reaches_the_program() -> None:
    net = network()
    net.degrade(ANY, ANY, corruption=0.5)
    sent = bytes(100)
    arrived = [data for _ in range(200) for data in datas(carry(net.switch, datagram(0, 1, sent)))]
    assert len(arrived) == 200
    assert 60 < sum(data != sent for data in arrived) < 140
    assert all(len(data) == 100 for data in arrived)


def test_a_thin_cable_queues_and_then_drops() -> None:
    net = network()
    net.degrade(HOSTS[0], ANY, bandwidth_bytes_per_s=1000.0, queue_bytes=3000)
    deliveries = [each for _ in range(10) for each in carry(net.switch, datagram(0, 1, bytes(972)))]
    assert [round(each.at_s) for each in deliveries] == [1, 2, 3]


def test_a_clog_holds_everything_and_lets_it_go_in_order() -> None:
    net = network()
    fault = net.clog(HOSTS[0], ANY)
    for number in range(3):
        assert carry(net.switch, datagram(0, 1, bytes([number]))) == []
    fault.undo()
    packets = [frames.packet_in(frame) for _, frame in net.switch.released]
    assert [frames.datagram_in(each)[0] for each in packets if each] == [b"\0", b"\1", b"\2"]  # type: ignore[index]


@given(st.integers(0, 2**32))
def test_a_stream_keeps_its_order_whatever_the_jitter(seed: int) -> None:
    net = ChaosNetwork(World(seed), Link(latency_s=0.001, jitter_s=0.5), ports())
    one, other = (HOSTS[0], 40_000), (HOSTS[1], GOSSIP)
    sent = [segment(one, other, ACK, bytes([n]), number=n) for n in range(20)]
    deliveries = [each for frame in sent for each in carry(net.switch, frame)]
    assert [each.frame for each in sorted(deliveries)] == sent


def test_port_unreachables_are_silenced_by_a_firewall() -> None:
    net = network()
    told, closed = (HOSTS[1], GOSSIP), (HOSTS[0], GOSSIP)
    notice = frames.unreachable_frame(ends(0, 1), told, closed, b"ping")
    assert carry(net.switch, notice)
    fault = net.silence_refusals(HOSTS[0])
    assert not carry(net.switch, notice)
    fault.undo()
    assert carry(net.switch, notice)


# -- streams -------------------------------------------------------------------------------------
ONE, OTHER = (HOSTS[0], 40_000), (HOSTS[1], GOSSIP)


def connect(switch: Switch) -> None:
    """A handshake, 10 bytes there, 5 back."""
    carry(switch, segment(ONE, OTHER, SYN, number=100))
    carry(switch, segment(OTHER, ONE, SYN | ACK, number=900, acked=101), source=1)
    carry(switch, segment(ONE, OTHER, ACK, b"x" * 10, number=101, acked=901))
    carry(switch, segment(OTHER, ONE, ACK, b"y" * 5, number=901, acked=111), source=1)


def said_by_the_switch(switch: Switch) -> list[Segment]:
    packets = [frames.packet_in(frame) for _, frame in switch.released]
    found = [frames.segment_in(packet) for packet in packets if packet is not None]
    return [each for each in found if each is not None]


def test_a_reset_says_to_each_end_what_it_expects() -> None:
    net = network()
    connect(net.switch)
    assert net.reset_streams(HOSTS[0], ANY) == 1
    said = said_by_the_switch(net.switch)
    assert all(each.flags == RST for each in said)
    assert 906 in [each.sequence for each in said if each.destination == ONE]
    assert 111 in [each.sequence for each in said if each.destination == OTHER]
    assert net.reset_streams(HOSTS[0], ANY) == 0


def test_a_connection_breaks_after_so_many_bytes() -> None:
    net = network()
    connect(net.switch)
    net.reset_streams_after(HOSTS[1], ANY, size_bytes=12)
    assert carry(net.switch, segment(ONE, OTHER, ACK, b"z" * 12, number=111, acked=906))
    assert not carry(net.switch, segment(ONE, OTHER, ACK, b"z", number=123, acked=906))
    assert said_by_the_switch(net.switch)


def test_a_dial_is_refused_by_a_reset_that_the_dialler_believes() -> None:
    net = network()
    fault = net.refuse_streams(HOSTS[1])
    assert carry(net.switch, segment(ONE, OTHER, SYN, number=100)) == []
    (said,) = said_by_the_switch(net.switch)
    assert (said.source, said.destination) == (OTHER, ONE)
    assert (said.flags, said.acknowledged) == (RST | ACK, 101)
    fault.undo()
    assert carry(net.switch, segment(ONE, OTHER, SYN, number=200))


def test_a_stalled_listener_accepts_and_says_nothing() -> None:
    net = network()
    connect(net.switch)
    late = (HOSTS[2], 50_000)
    fault = net.stall_handshakes(HOSTS[1])
    assert carry(net.switch, segment(late, OTHER, SYN, number=5), source=2)
    assert carry(net.switch, segment(OTHER, late, SYN | ACK, number=7, acked=6), source=1)
    hello = segment(OTHER, late, ACK, b"hello", number=8, acked=6)
    assert not carry(net.switch, hello, source=1)
    assert carry(net.switch, segment(OTHER, ONE, ACK, b"more", number=906), source=1), "older ones"
    fault.undo()
    assert carry(net.switch, hello, source=1)


# -- others --------------------------------------------------------------------------------------
def test_what_is_sent_is_overheard_and_what_is_injected_arrives() -> None:
    net = network()
    heard: list[tuple[bytes, Address, Address]] = []
    net.taps.append(lambda *what: heard.append(what))
    way = (HOSTS[0], GOSSIP), (HOSTS[1], GOSSIP)
    carry(net.switch, datagram(0, 1, b"secret"))
    carry(net.switch, multicast(0))
    assert heard == [(b"secret", *way)]
    net.deliver(b"forged", *way)
    ((port, frame),) = net.switch.released
    assert port == 1
    packet = frames.packet_in(frame)
    assert packet is not None
    assert frames.datagram_in(packet) == (b"forged", *way)


def test_a_verb_that_there_is_not_says_so() -> None:
    with pytest.raises(CannotDo):
        network().narrow_window(HOSTS[0], ANY, size_bytes=64)


def test_the_same_seed_loses_the_same_frames() -> None:
    def fates(seed: int) -> list[int]:
        switch = Switch(ports(), network(loss=0.5).roads, Random(seed).random)
        return [len(carry(switch, datagram(0, 1))) for _ in range(100)]

    assert fates(1) == fates(1) != fates(2)
