"""The simulated world keeps its promises: order, isolation of randomness, faults of links."""

from __future__ import annotations

import pytest

from mesh.types import Address
from sim.host import BUFFERED_MAX, Host
from sim.net import Link, Network
from sim.world import World

A: Address = ("10.0.0.1", 1)
B: Address = ("10.0.0.2", 1)


def test_events_run_in_time_order_and_ties_in_the_order_made() -> None:
    world, log = World(1), list[str]()
    world.at(2.0, lambda: log.append("late"))
    world.at(1.0, lambda: log.append("first"))
    world.at(1.0, lambda: log.append("second"))
    world.at(9.0, lambda: log.append("beyond"))
    world.run_until(5.0)
    assert log == ["first", "second", "late"]
    assert world.now_s == 5.0


def test_a_cancelled_event_does_nothing_and_the_past_is_now() -> None:
    world, log = World(1), list[float]()
    world.at(1.0, lambda: log.append(-1.0)).cancel()
    world.at(2.0, lambda: world.at(0.5, lambda: log.append(world.now_s)))  # type: ignore[func-returns-value]
    world.run_until(3.0)
    assert log == [2.0]


def test_running_while_a_condition_holds_stops_at_once() -> None:
    world, log = World(1), list[int]()
    for number in range(5):
        world.at(float(number), lambda number=number: log.append(number))  # type: ignore[misc]
    assert world.run_while(lambda: len(log) < 3, 10.0)
    assert (log, world.now_s) == ([0, 1, 2], 2.0)
    assert not world.run_while(lambda: len(log) < 99, 10.0)
    assert world.now_s == 10.0


def test_streams_of_randomness_do_not_disturb_each_other() -> None:
    one, two = World(7), World(7)
    two.rng("other").random()
    assert one.rng("x").random() == two.rng("x").random()
    assert one.rng("x").random() != one.rng("y").random()
    assert World(8).rng("x").random() != one.rng("x").random()


def test_traces_tell_runs_apart() -> None:
    one, two, three = World(1), World(1), World(1)
    one.note("a", 1)
    two.note("a", 1)
    three.note("a", 2)
    assert one.trace_digest() == two.trace_digest() != three.trace_digest()


class Wire:
    """A network with A sending to a listening B."""

    def __init__(self, link: Link) -> None:
        self.world = World(3)
        self.network = Network(self.world, link)
        self.heard: list[tuple[float, bytes]] = []
        self.network.attach(B, lambda data, _: self.heard.append((self.world.now_s, data)))

    def send(self, count: int) -> None:
        for number in range(count):
            self.network.send(number.to_bytes(2, "big"), A, B)
        self.world.run_until(self.world.now_s + 10)


def test_latency_and_jitter_bound_the_delay() -> None:
    wire = Wire(Link(latency_s=1.0, jitter_s=0.5))
    wire.send(100)
    times_s = [at_s for at_s, _ in wire.heard]
    assert len(times_s) == 100
    assert 1.0 <= min(times_s) < max(times_s) <= 1.5
    assert [data for _, data in wire.heard] != sorted(data for _, data in wire.heard), "reordered"


@pytest.mark.parametrize(
    ("loss", "duplication", "low", "high"), [(0.3, 0, 640, 760), (0, 0.2, 1140, 1260)]
)
def test_loss_and_duplication_happen_as_often_as_asked(
    loss: float, duplication: float, low: int, high: int
) -> None:
    wire = Wire(Link(loss=loss, duplication=duplication))
    wire.send(1000)
    assert low < len(wire.heard) < high


def test_a_cut_is_one_way_and_a_partition_is_both_until_healed() -> None:
    wire = Wire(Link())
    back: list[bytes] = []
    wire.network.attach(A, lambda data, _: back.append(data))
    wire.network.cut(A, B)
    wire.send(1)
    wire.network.send(b"back", B, A)
    wire.world.run_until(20)
    assert (wire.heard, back) == ([], [b"back"])
    wire.network.heal()
    wire.network.partition([[A]])
    wire.send(1)
    assert wire.heard == []
    wire.network.heal()
    wire.send(1)
    assert len(wire.heard) == 1


class Recorder:
    """A machine that wants a timer every second and says what it sees."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self._next_s = 1.0

    def receive(
        self, datagram: bytes, source: Address, now_s: float, arrived_s: float | None = None
    ) -> list[str]:
        self.log.append(f"{now_s:g} {datagram.decode()}")
        return []

    def handle_timer(self, now_s: float) -> list[str]:
        self.log.append(f"{now_s:g} timer")
        self._next_s = now_s + 1.0
        return []

    def next_timer_s(self) -> float:
        return self._next_s


def a_host() -> tuple[World, Network, Host, Recorder]:
    world = World(1)
    network = Network(world, Link(latency_s=0.0, jitter_s=0.0))
    machine = Recorder()
    host = Host(world, network, B, machine, lambda output: None)
    host.act([])
    return world, network, host, machine


def test_a_thawed_host_reads_its_mail_before_its_late_timer() -> None:
    world, network, host, machine = a_host()
    host.freeze()
    network.send(b"mail", A, B)
    world.run_until(5.0)
    assert machine.log == []
    host.thaw()
    world.run_until(6.0)
    assert machine.log == ["5 mail", "5 timer", "6 timer"]


def test_a_frozen_hosts_buffer_is_bounded() -> None:
    world, network, host, machine = a_host()
    host.freeze()
    for _ in range(BUFFERED_MAX + 50):
        network.send(b"x", A, B)
    world.run_until(0.5)
    host.thaw()
    assert len(machine.log) == BUFFERED_MAX


def test_a_crashed_host_is_gone() -> None:
    world, network, host, machine = a_host()
    host.crash()
    network.send(b"x", A, B)
    world.run_until(5.0)
    assert machine.log == []
