"""Finding each other over simulated multicast."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from mesh.ports import Announcement
from sim.kernel.run import run_world
from sim.kernel.world import World
from sim.net import ANY, MULTICAST, Link, Network, Sockets


def announcement(name: str, peer_port: int = 7446) -> Announcement:
    return Announcement(
        name=name,
        mesh_prefix="fedcba9876543210",
        mesh_name="home",
        node_prefix="0123456789abcdef",
        host="10.0.0.1",
        peer_port=peer_port,
        join_port=7447,
        swim_port=7446,
    )


class Segment:
    def __init__(self, world: World, nursery: trio.Nursery, link: Link) -> None:
        self.world = world
        self.network = Network(world, link)
        self.nursery = nursery
        self.found: dict[str, list[tuple[float, Announcement]]] = {}

    def host(self, address: str) -> Sockets:
        return self.network.add_host(address).boot()

    async def browse(self, sockets: Sockets) -> None:
        found = self.found.setdefault(sockets.host.address, [])
        async with sockets.discovery.browse() as browsing:
            async for each in browsing:
                found.append((trio.current_time(), each))

    async def announce(self, sockets: Sockets, what: Announcement, for_s: float) -> None:
        async with sockets.discovery.announce(what):
            await trio.sleep(for_s)

    def names(self, address: str) -> list[str]:
        return [each.name for _, each in self.found.get(address, [])]


Story = Callable[[Segment], Awaitable[None]]


def on_a_segment(story: Story, link: Link | None = None) -> None:
    async def main(world: World) -> None:
        async with trio.open_nursery() as nursery:
            await story(Segment(world, nursery, link or Link()))
            nursery.cancel_scope.cancel()

    assert run_world(1, main).findings == ()


def test_those_who_come_first_and_those_who_come_later_find_each_other_once() -> None:
    async def story(segment: Segment) -> None:
        one, two = segment.host("10.0.0.1"), segment.host("10.0.0.2")
        segment.nursery.start_soon(segment.browse, one)
        segment.nursery.start_soon(segment.announce, one, announcement("one"), 1e6)
        await trio.sleep(100)
        segment.nursery.start_soon(segment.browse, two)
        segment.nursery.start_soon(segment.announce, two, announcement("two"), 1e6)
        await trio.sleep(100)
        assert segment.names("10.0.0.1") == ["one", "two"]
        assert sorted(segment.names("10.0.0.2")) == ["one", "two"]
        assert all(at_s - 100 < 0.5 for at_s, _ in segment.found["10.0.0.2"])

    on_a_segment(story)


def test_a_change_is_told_and_a_goodbye_makes_it_new_again() -> None:
    async def story(segment: Segment) -> None:
        one, two = segment.host("10.0.0.1"), segment.host("10.0.0.2")
        segment.nursery.start_soon(segment.browse, two)
        await segment.announce(one, announcement("one"), 10)
        await segment.announce(one, announcement("one", peer_port=1), 10)
        await trio.sleep(1)
        await segment.announce(one, announcement("one", peer_port=1), 10)
        assert [each.peer_port for _, each in segment.found["10.0.0.2"]] == [7446, 1, 1]

    on_a_segment(story)


def test_who_is_cut_from_multicast_is_not_found_until_the_cut_ends() -> None:
    async def story(segment: Segment) -> None:
        one, two = segment.host("10.0.0.1"), segment.host("10.0.0.2")
        fault = segment.network.cut("10.0.0.1", ANY, MULTICAST)
        segment.nursery.start_soon(segment.browse, two)
        segment.nursery.start_soon(segment.announce, one, announcement("one"), 1e6)
        await trio.sleep(60)
        assert segment.names("10.0.0.2") == []
        fault.undo()
        await trio.sleep(70)
        assert segment.names("10.0.0.2") == ["one"]

    on_a_segment(story)


def test_loss_only_delays_finding() -> None:
    async def story(segment: Segment) -> None:
        one, two = segment.host("10.0.0.1"), segment.host("10.0.0.2")
        segment.nursery.start_soon(segment.browse, two)
        segment.nursery.start_soon(segment.announce, one, announcement("one"), 1e6)
        await trio.sleep(600)
        assert segment.names("10.0.0.2") == ["one"]

    on_a_segment(story, Link(loss=0.5))


def test_a_process_that_ends_says_no_goodbye_and_announces_no_more() -> None:
    async def story(segment: Segment) -> None:
        one, two = segment.host("10.0.0.1"), segment.host("10.0.0.2")
        segment.nursery.start_soon(segment.announce, one, announcement("one"), 1e6)
        await trio.sleep(10)
        one.close()
        segment.nursery.start_soon(segment.browse, two)
        await trio.sleep(1000)
        assert segment.names("10.0.0.2") == []

    on_a_segment(story)


@pytest.mark.parametrize("count", [20])
def test_many_find_all(count: int) -> None:
    async def story(segment: Segment) -> None:
        for number in range(count):
            sockets = segment.host(f"10.0.1.{number}")
            segment.nursery.start_soon(segment.browse, sockets)
            segment.nursery.start_soon(segment.announce, sockets, announcement(f"n{number}"), 1e6)
        await trio.sleep(10)
        everybody = {f"n{number}" for number in range(count)}
        assert all(set(segment.names(f"10.0.1.{n}")) == everybody for n in range(count))

    on_a_segment(story)
