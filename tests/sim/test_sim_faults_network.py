"""What each kind of fault of the network does to datagrams, and that its end takes it back."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import trio
from fault_stands import (
    COUNT,
    DOOR,
    NEAR,
    Effect,
    Effects,
    Probe,
    Street,
    fault_of,
    on_a_street,
    pass_s,
    payloads,
    running,
    shows,
)

from mesh.ports import Announcement
from sim.faults import begin
from sim.host import BUFFERED_MAX


# -- lost ----------------------------------------------------------------------------------------
def loses(fewest: int, most: int, *target: int, **params: float) -> Effect:
    """So many of 400 datagrams from node 0 to node 1 arrive; all when it is over."""

    def effect(name: str) -> None:
        probe = Probe()
        undo = probe.begin(name, *target, **params)
        assert fewest <= len(probe.send()) <= most
        undo()
        assert len(probe.send()) == COUNT

    return effect


def burst_loss(name: str) -> None:
    """What is lost is lost in a row: far fewer rows than by a loss of the same share."""
    gaps = {}
    for each, params in ((name, {"chance": 0.4, "length": 10.0}), ("loss", {"chance": 0.4})):
        probe = Probe()
        undo = probe.begin(each, 0, **params)
        arrived = [int.from_bytes(data[:4], "big") for data in probe.send()]
        assert 120 <= len(arrived) <= 340
        gaps[each] = sum(b - a > 1 for a, b in pairwise(arrived))
        undo()
        assert len(probe.send()) == COUNT
    assert gaps[name] < gaps["loss"] / 2


def cuts(*target: int, lost: str, kept: str) -> Effect:
    """Ways as "01 12": from node 0 to node 1, from 1 to 2; all are open when it is over."""

    def effect(name: str) -> None:
        probe = Probe()
        undo = probe.begin(name, *target)
        for expected, ways in ((0, lost), (COUNT, kept)):
            for source, to in ways.split():
                assert len(probe.send(int(source), int(to))) == expected, source + to
        undo()
        for source, to in f"{lost} {kept}".split():
            assert len(probe.send(int(source), int(to))) == COUNT

    return effect


def flapping(name: str) -> None:
    """It comes and goes every second, and stays away when it is over."""
    probe = Probe()
    undo = probe.begin(name, 0, period_s=2.0)
    heard = []
    for _ in range(20):
        pass_s(probe.stage, 0.5)
        probe.arrived.clear()
        probe.stage.network.send(b"x", probe.at(0), probe.at(1))
        pass_s(probe.stage, 0.5)
        heard.append(bool(probe.arrived))
    assert 5 <= sum(heard) <= 15, heard
    assert sum(a != b for a, b in pairwise(heard)) >= 8, heard
    undo()
    assert len(probe.send()) == COUNT


def mtu(name: str) -> None:
    """What is too large is lost, headers included; what fits arrives."""
    probe = Probe()
    undo = probe.begin(name, 0, size_bytes=200)
    assert len(probe.send(size=200)) == 0
    assert len(probe.send(size=150)) == COUNT
    undo()
    assert len(probe.send(size=200)) == COUNT


# -- late ----------------------------------------------------------------------------------------
def delays(least_s: float, fewest_late: int, **params: float) -> Effect:
    """Nothing is lost; so many of 400 come so late, and none when it is over."""

    def effect(name: str) -> None:
        probe = Probe()
        undo = probe.begin(name, 0, **params)
        assert len(probe.send()) == COUNT
        assert sum(delay_s >= least_s for delay_s in probe.delays_s) >= fewest_late
        undo()
        probe.send()
        assert max(probe.delays_s) < 0.1

    return effect


def bandwidth(name: str) -> None:
    """Bytes come at the rate of the cable; what does not fit into its queue is lost."""
    probe = Probe()
    undo = probe.begin(name, 0, rate=2000.0, queue_bytes=3000.0)
    arrived = probe.send()
    assert 5 <= len(arrived) <= 40
    assert probe.delays_s[-1] > 1.0
    undo()
    assert len(probe.send()) == COUNT
    assert max(probe.delays_s) < 0.1


def reorder(name: str) -> None:
    probe = Probe()
    undo = probe.begin(name, 0)
    heard = probe.send()
    assert heard != sorted(heard)
    assert sorted(heard) == payloads()
    undo()
    assert probe.send() == payloads()


def clog(name: str) -> None:
    probe = Probe()
    undo = probe.begin(name, 0)
    probe.send(count=20)
    assert not probe.arrived
    undo()
    pass_s(probe.stage, 5)
    assert len(probe.arrived) == 20


# -- twice, spoiled ------------------------------------------------------------------------------
def duplicate(name: str) -> None:
    probe = Probe()
    undo = probe.begin(name, 0)
    heard = probe.send()
    assert len(heard) > COUNT * 1.3
    assert set(heard) == set(payloads())
    undo()
    assert len(probe.send()) == COUNT


def damages(*, shorter: bool) -> Effect:
    def effect(name: str) -> None:
        probe = Probe()
        undo = probe.begin(name, 0)
        heard = probe.send()
        damaged = [data for data in heard if data not in payloads()]
        assert len(heard) == COUNT
        assert len(damaged) > COUNT / 4
        assert all((len(data) < 200) == shorter for data in damaged)
        undo()
        assert probe.send() == payloads()

    return effect


# -- hosts ---------------------------------------------------------------------------------------
def no_refusals(name: str) -> None:
    probe = Probe()
    network, closed = probe.stage.network, (probe.stage.place(2), 4711)
    network.add_host(probe.stage.place(2))
    refusals: list[Any] = []
    source = (probe.stage.place(0), 4712)
    network.attach(source, lambda *_: None, refusals.append)
    undo = probe.begin(name, 2)
    for expected in (0, 1):
        network.send(b"x", source, closed)
        pass_s(probe.stage, 5)
        assert len(refusals) == expected
        undo()


@on_a_street
async def small_buffers(street: Street, nursery: trio.Nursery, name: str) -> None:
    """A program that does not read finds so many datagrams and no more; the others are counted."""
    del nursery
    near = await street.near_sockets.datagrams.open((NEAR, 0))
    far = await street.far_sockets.datagrams.open((DOOR[0], 0))

    async def kept() -> int:
        for data in payloads(100):
            near.send(data, far.address)
        await trio.sleep(1)
        return len([each for _ in range(100) for each in far.take_waiting()])

    undo = street.begin(name, 0, datagrams=5)
    before = street.network.counters["buffer-full"]
    assert await kept() == 5
    assert street.network.counters["buffer-full"] - before == 95
    undo()
    assert await kept() == 100
    assert street.network.counters["buffer-full"] - before == 95


def test_the_small_buffer_of_a_frozen_membership_core_overflows() -> None:
    for name, most in (("small_buffers", 3), ("", BUFFERED_MAX)):
        stage = running()
        if name:
            begin(stage, fault_of(name, 1, datagrams=3))
        stage.freeze(1)
        host = stage.mesh[1].host
        for data in payloads(BUFFERED_MAX + 50, 20):
            stage.network.deliver(data, stage.address(0), host.address)
        assert len(host._waiting) == most
        assert stage.network.counters["buffer-full"] == BUFFERED_MAX + 50 - most
        stage.thaw(1)
        assert host._waiting == []


@on_a_street
async def no_multicast(street: Street, nursery: trio.Nursery, name: str) -> None:
    """Who announces itself is not found until it is over; datagrams between the two arrive."""
    what = Announcement("far", "f" * 16, "home", "0" * 16, DOOR[0], 1, 2, 3)
    found: list[Announcement] = []

    async def announce() -> None:
        async with street.far_sockets.discovery.announce(what):
            await trio.sleep_forever()

    async def browse() -> None:
        async with street.near_sockets.discovery.browse() as browsing:
            async for each in browsing:
                found.append(each)  # noqa: PERF401 - one by one, as they come

    undo = street.begin(name, 0)
    nursery.start_soon(announce)
    nursery.start_soon(browse)
    await trio.sleep(100)
    assert found == []
    near = await street.near_sockets.datagrams.open((NEAR, 0))
    far = await street.far_sockets.datagrams.open((DOOR[0], 0))
    near.send(b"hello", far.address)
    await trio.sleep(1)
    assert len(far.take_waiting()) == 1
    undo()
    await trio.sleep(200)
    assert found == [what]


EFFECTS: Effects = {
    "loss": loses(150, 250, 1, chance=0.5),
    "burst_loss": burst_loss,
    "delay": delays(1.5, COUNT, delay_s=1.5),
    "jitter": delays(0.5, COUNT // 4, jitter_s=1.0),
    "spikes": delays(2.0, COUNT // 5, chance=0.3, spike_s=2.0),
    "duplicate": duplicate,
    "reorder": reorder,
    "corrupt": damages(shorter=False),
    "truncate": damages(shorter=True),
    "mtu": mtu,
    "bandwidth": bandwidth,
    "clog": clog,
    "one_way": cuts(0, 1, lost="01", kept="10 02 21"),
    "mute": cuts(0, lost="01 02", kept="10 20 12"),
    "deaf": cuts(1, lost="01 21", kept="10 12 02"),
    "isolate": cuts(0, lost="01 10 02 20", kept="12 21"),
    "partition": cuts(0, 1, lost="02 20 12 21", kept="01 10"),
    "flapping": flapping,
    "no_refusals": no_refusals,
    "small_buffers": small_buffers,
    "no_multicast": no_multicast,
}


@pytest.mark.parametrize("name", EFFECTS)
def test_a_kind_of_the_network_does_what_it_says_until_undone(name: str) -> None:
    shows(EFFECTS, name)


def test_loss_without_a_target_hits_every_link() -> None:
    probe = Probe()
    undo = probe.begin("loss", chance=0.5)
    for source, to in ((0, 1), (1, 2), (2, 0)):
        assert 150 <= len(probe.send(source, to)) <= 250
    undo()
    assert len(probe.send()) == COUNT
