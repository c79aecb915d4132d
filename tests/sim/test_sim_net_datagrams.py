"""Each thing a link can do to datagrams shows, and is taken back."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ports import Refused
from mesh.types import Address
from sim.net import (
    ANY,
    DATAGRAMS,
    STREAMS,
    Constant,
    Fault,
    GilbertElliott,
    Link,
    Lognormal,
    Network,
    Packet,
    Spikes,
    Uniform,
)
from sim.net.link import Latency
from sim.world import World

A: Address = ("10.0.0.1", 1)
B: Address = ("10.0.0.2", 1)
C: Address = ("10.0.0.3", 1)
PLAIN = Link(latency_s=0.01, jitter_s=0.0)


class Net:
    """Three hosts; A sends, and what anybody hears is kept with its time."""

    def __init__(self, link: Link = PLAIN, seed: int = 1) -> None:
        self.world = World(seed)
        self.network = Network(self.world, link)
        self.heard: dict[Address, list[tuple[float, bytes]]] = {A: [], B: [], C: []}
        self.refused: list[Refused] = []
        for address in (A, B, C):
            self.network.add_host(address[0])
            self.network.attach(address, self._ear(address), self.refused.append)

    def _ear(self, address: Address) -> Callable[[bytes, Address], None]:
        return lambda data, _: self.heard[address].append((self.world.now_s, data))

    def send(
        self, count: int = 1, to: Address = B, size_bytes: int = 100, every_s: float = 0.0
    ) -> list[bytes]:
        """Send numbered datagrams from A, wait for their fates, and return what arrived."""
        start_s, before = self.world.now_s, len(self.heard[to])
        for number in range(count):
            data = number.to_bytes(4, "big").ljust(size_bytes, b".")
            self.world.at(
                start_s + number * every_s, lambda data=data: self.network.send(data, A, to)
            )
        self.world.run_until(start_s + count * every_s + 60.0)
        return [data for _, data in self.heard[to][before:]]

    def times_s(self, to: Address = B) -> list[float]:
        return [at_s for at_s, _ in self.heard[to]]


def shows(net: Net, fault: Fault, effect: Callable[[], bool]) -> None:
    """The effect is there with the fault, and gone with its undoing."""
    assert fault.active
    assert effect()
    fault.undo()
    assert not fault.active
    assert not effect()
    fault.undo()


# -- latency -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("latency", "low_s", "median_s", "high_s"),
    [
        (Constant(0.5), 0.5, 0.5, 0.5),
        (Uniform(0.1, 0.3), 0.1, 0.2, 0.3),
        (Lognormal(0.1, 0.5), 0.005, 0.1, 2.0),
        (Spikes(0.1, 0.05, 0.01, 5.0), 0.1, 0.135, 7.0),
    ],
)
def test_a_latency_has_its_shape(
    latency: Latency, low_s: float, median_s: float, high_s: float
) -> None:
    random = World(5).rng("x").random
    drawn = sorted(latency.draw(random) for _ in range(4000))
    assert low_s <= drawn[0] <= drawn[-1] <= high_s
    assert drawn[2000] == pytest.approx(median_s, rel=0.1)


def test_spikes_are_as_rare_as_asked() -> None:
    random = World(5).rng("x").random
    latency = Spikes(0.1, 0.01, 0.02, 5.0)
    assert 40 <= sum(latency.draw(random) > 5.0 for _ in range(4000)) <= 120


def test_latency_is_of_one_direction_and_one_pair() -> None:
    net = Net()
    shows(
        net,
        net.network.degrade(A, B, latency=Constant(2.0)),
        lambda: bool(net.send()) and net.times_s()[-1] % 60.0 == pytest.approx(2.0),
    )
    net.network.degrade(A, B, latency=Constant(2.0))
    net.send(to=C)
    assert net.times_s(C)[-1] % 60.0 == pytest.approx(0.01)


# -- loss ----------------------------------------------------------------------------------------
def test_loss_is_as_frequent_as_asked() -> None:
    net = Net()
    fault = net.network.degrade(A, B, loss=0.3)
    assert 640 <= len(net.send(1000)) <= 760
    fault.undo()
    assert len(net.send(1000)) == 1000


def test_loss_in_bursts_comes_in_bursts() -> None:
    net = Net()
    net.network.degrade(A, B, burst=GilbertElliott(to_bad=0.01, to_good=0.1))
    arrived = {int.from_bytes(data[:4], "big") for data in net.send(5000)}
    lost = [number for number in range(5000) if number not in arrived]
    bursts = 1 + sum(b - a > 1 for a, b in itertools.pairwise(lost))
    assert 300 <= len(lost) <= 700, "a share of to_bad / (to_bad + to_good)"
    assert len(lost) / bursts > 5, "about 1 / to_good in a row"


def test_oversized_datagrams_vanish_at_a_small_mtu() -> None:
    net = Net()
    net.network.degrade(A, B, mtu_bytes=576)
    assert len(net.send(size_bytes=576 - 28)) == 1
    assert net.send(size_bytes=576 - 27) == []
    assert net.network.counters["too-large"] == 1


# -- copies, order, damage -----------------------------------------------------------------------
def test_duplicates_are_as_frequent_as_asked() -> None:
    net = Net()
    fault = net.network.degrade(ANY, B, duplication=0.2)
    assert 1150 <= len(net.send(1000)) <= 1250
    fault.undo()
    assert len(net.send(100)) == 100


def test_reordering_is_only_of_some() -> None:
    net = Net()
    fault = net.network.degrade(A, B, reordering=0.1, reorder_s=0.05)
    arrived = net.send(1000, every_s=0.001)
    late = sum(b < a for a, b in itertools.pairwise(arrived))
    assert 40 <= late <= 130
    assert sorted(arrived) != arrived
    fault.undo()
    assert net.send(100, every_s=0.001) == sorted(net.send(100, every_s=0.001))


def test_bits_flip_and_the_length_stays() -> None:
    net = Net()
    net.network.degrade(A, B, corruption=1.0)
    (arrived,) = net.send()
    flipped = sum((x ^ y).bit_count() for x, y in zip(arrived, bytes(4) + b"." * 96, strict=True))
    assert 1 <= flipped <= 8


def test_the_end_goes_missing() -> None:
    net = Net()
    net.network.degrade(A, B, truncation=1.0)
    arrived = net.send(20)
    assert len({len(each) for each in arrived}) > 5
    assert all(len(each) < 100 and not each[4:].strip(b".") for each in arrived)


# -- bandwidth -----------------------------------------------------------------------------------
def test_a_narrow_cable_delays_what_comes_at_once() -> None:
    net = Net()
    net.network.degrade(A, B, bandwidth_bytes_per_s=1280)
    net.send(10, size_bytes=100)
    assert net.times_s() == pytest.approx([0.01 + 0.1 * n for n in range(1, 11)])


def test_a_full_queue_drops_the_newest_and_a_bloated_one_delays_instead() -> None:
    net = Net()
    short = net.network.degrade(A, B, bandwidth_bytes_per_s=12_800, queue_bytes=1280)
    arrived = net.send(50)
    assert arrived == sorted(arrived)
    assert len(arrived) == 10
    assert net.network.counters["queue-full"] == 40
    short.undo()
    net.network.degrade(A, B, bandwidth_bytes_per_s=12_800, queue_bytes=10**6)
    start_s = net.world.now_s
    assert len(net.send(500)) == 500
    assert net.times_s()[-1] - start_s == pytest.approx(5.01)


def test_an_uplink_is_shared_and_a_base_link_is_not() -> None:
    uplink, base = Net(), Net(attrs.evolve(PLAIN, bandwidth_bytes_per_s=1280))
    uplink.network.degrade(A, ANY, bandwidth_bytes_per_s=1280)
    for net in (uplink, base):
        net.network.send(bytes(100), A, B)
        net.network.send(bytes(100), A, C)
        net.world.run_until(10.0)
    assert uplink.times_s(C) == pytest.approx([0.21])
    assert base.times_s(C) == pytest.approx([0.11])


def test_a_clog_holds_back_and_lets_go() -> None:
    net = Net()
    fault = net.network.clog(A, B)
    assert net.send(5) == []
    fault.undo()
    net.world.run_until(net.world.now_s + 1.0)
    assert len(net.heard[B]) == 5


# -- walls ---------------------------------------------------------------------------------------
def test_a_cut_is_one_way() -> None:
    net = Net()
    shows(net, net.network.cut(A, B), lambda: net.send() == [])
    net.network.cut(B, A)
    assert len(net.send()) == 1


def test_a_wall_against_streams_lets_datagrams_through() -> None:
    net = Net()
    net.network.cut(A, B, STREAMS)
    assert len(net.send()) == 1
    shows(net, net.network.cut(A, B, DATAGRAMS), lambda: net.send() == [])


def test_overlapping_walls_stand_until_the_last_is_gone() -> None:
    net = Net()
    first, second = net.network.cut(A, B), net.network.isolate(B)
    first.undo()
    assert net.send() == []
    second.undo()
    assert len(net.send()) == 1


def test_a_partition_separates_groups_and_the_rest_is_one() -> None:
    net = Net()
    fault = net.network.partition([[A], [B]])
    assert (net.send(to=B), net.send(to=C)) == ([], [])
    fault.undo()
    net.network.partition([[A, B]])
    assert (len(net.send(to=B)), net.send(to=C)) == (1, [])
    net.network.heal()
    assert len(net.send(to=C)) == 1


def test_later_changes_of_a_link_win_field_by_field() -> None:
    net = Net()
    net.network.degrade(A, B, latency=Constant(1.0), loss=1.0)
    later = net.network.degrade(A, B, loss=0.0)
    assert len(net.send()) == 1
    assert net.times_s()[-1] == pytest.approx(1.0)
    later.undo()
    assert net.send() == []


@given(st.lists(st.sampled_from(["cut", "isolate", "degrade", "partition", "undo"]), max_size=12))
def test_undoing_everything_in_any_order_leaves_nothing(steps: list[str]) -> None:
    net = Net()
    faults: list[Fault] = []
    make: dict[str, Callable[[], Fault]] = {
        "cut": lambda: net.network.cut(A, B),
        "isolate": lambda: net.network.isolate(A),
        "degrade": lambda: net.network.degrade(A, ANY, loss=1.0),
        "partition": lambda: net.network.partition([[A]]),
    }
    for step in steps:
        if step != "undo":
            faults.append(make[step]())
        elif faults:
            faults.pop(len(faults) // 2).undo()
    assert (net.send() == []) == bool(faults)
    for fault in faults:
        fault.undo()
    assert len(net.send()) == 1


# -- refusals ------------------------------------------------------------------------------------
def refused_by_closed_port(net: Net, size_bytes: int = 100) -> list[Refused]:
    before = len(net.refused)
    net.network.send(bytes(size_bytes), A, (B[0], 9))
    net.world.run_until(net.world.now_s + 60.0)
    return net.refused[before:]


def test_a_closed_port_answers_with_a_quote() -> None:
    net = Net()
    assert refused_by_closed_port(net) == [Refused((B[0], 9), bytes(100))]
    assert refused_by_closed_port(net, 1200)[0].quoted == bytes(520)


def test_a_host_that_is_off_refuses_nothing() -> None:
    net = Net()
    net.network.hosts[B[0]].power_off()
    assert refused_by_closed_port(net) == []
    net.network.hosts[B[0]].power_on()
    assert len(refused_by_closed_port(net)) == 1


def test_a_firewall_and_a_cut_back_silence_refusals() -> None:
    net = Net()
    shows(net, net.network.silence_refusals(B), lambda: refused_by_closed_port(net) == [])
    shows(net, net.network.cut(B, A), lambda: refused_by_closed_port(net) == [])


def test_refusals_are_limited_as_linux_limits_them() -> None:
    net = Net()
    for _ in range(20):
        net.network.send(b"x", A, (B[0], 9))
    net.world.run_until(1.0)
    assert len(net.refused) == 6
    assert net.network.counters["refusal-limited"] == 14


def test_a_forged_refusal_is_only_what_somebody_says() -> None:
    net = Net()
    net.network.forge_refusal(A, B, b"made up")
    assert net.refused == [Refused(B, b"made up")]
    assert len(net.send()) == 1


# -- watching ------------------------------------------------------------------------------------
def test_observers_learn_each_packets_fate() -> None:
    net = Net()
    seen: list[Packet] = []
    net.network.observers.append(seen.append)
    net.send()
    net.network.cut(A, B)
    net.send()
    first, second = seen
    assert (first.kind, first.size_bytes, first.sent_s) == ("udp", 100, 0.0)
    assert first.arrives_s == pytest.approx(0.01)
    assert (second.arrives_s, second.why) == (None, "cut")


def test_the_same_seed_gives_the_same_fates_and_another_others() -> None:
    def fates(seed: int) -> tuple[list[bytes], str]:
        rough = Link(loss=0.2, duplication=0.1, reordering=0.2, corruption=0.1, truncation=0.1)
        net = Net(rough, seed)
        return net.send(200), net.world.trace_digest()

    assert fates(1) == fates(1)
    assert fates(1) != fates(2)
