"""Streams between simulated hosts: what TCP does, what breaks it, and how each fault shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trusting import Member

from mesh.limits import CONNECT_TIMEOUT_S, HANDSHAKE_TIMEOUT_S
from mesh.ports import Accepted, ByteStream, StreamBroken
from mesh.types import Address
from sim.kernel.run import Outcome, run_world
from sim.kernel.world import World
from sim.net import ANY, STREAMS, Constant, Host, Link, Network, Sockets
from sim.net.streams import SimListener, SimStreams

DOOR: Address = ("10.0.0.1", 7446)
PLAIN = Link(latency_s=0.01, jitter_s=0.0)
TRIP_S = 0.01
SILENCE_S = 20.0
"""By keepalive; see `sim.net.tcp`."""


class Pair:
    """A server with a door and a client, in one world."""

    def __init__(self, world: World, link: Link = PLAIN) -> None:
        self.world = world
        self.network = Network(world, link)
        self.server, self.client = Member("server"), Member("client")
        for each in (self.server, self.client):
            each.trusted = {m.node_id: m.certificate for m in (self.server, self.client)}
        self.far: Host = self.network.add_host(DOOR[0])
        self.near: Host = self.network.add_host("10.0.0.2")
        self.far_sockets: Sockets = self.far.boot()
        self.near_sockets: Sockets = self.near.boot()
        self.accepted: list[Accepted] = []

    @property
    def streams(self) -> SimStreams:
        return self.near_sockets.streams

    async def serve(
        self, nursery: trio.Nursery, handler: Callable[[Accepted], Awaitable[None]]
    ) -> SimListener:
        listener = await self.far_sockets.streams.listen(DOOR, self.server)

        async def remember(accepted: Accepted) -> None:
            self.accepted.append(accepted)
            await handler(accepted)

        nursery.start_soon(listener.serve, remember)
        return listener

    async def dial(self) -> ByteStream:
        return await self.streams.dial(DOOR, self.server.node_id, self.client)


Story = Callable[[Pair, trio.Nursery], Awaitable[None]]


async def echo(accepted: Accepted) -> None:
    while data := await accepted.stream.receive_some():
        await accepted.stream.send_all(data)


async def deaf(accepted: Accepted) -> None:
    await trio.sleep_forever()


def tell(story: Story, link: Link = PLAIN, seed: int = 1) -> Outcome[None]:
    """Run a story of a pair in a world of its own; nothing may be left unexplained."""

    async def main(world: World) -> None:
        pair = Pair(world, link)
        async with trio.open_nursery() as nursery:
            await story(pair, nursery)
            nursery.cancel_scope.cancel()

    done = run_world(seed, main)
    assert done.findings == ()
    return done


async def said(stream: ByteStream, data: bytes) -> bytes:
    """Send, and read as much."""
    heard = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, data)
        while len(heard) < len(data):
            heard += await stream.receive_some()
    return bytes(heard)


def now_s() -> float:
    return trio.current_time()


async def read_all(stream: ByteStream) -> None:
    while await stream.receive_some():
        pass


async def broken_after_s(stream: ByteStream) -> float:
    """How long reading waits until it breaks."""
    start_s = now_s()
    with pytest.raises(StreamBroken):
        await read_all(stream)
    return now_s() - start_s


# -- what TCP does -------------------------------------------------------------------------------
def test_bytes_arrive_in_order_under_jitter_and_loss() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        stream = await pair.dial()
        data = bytes(range(256)) * 2000
        assert await said(stream, data) == data
        assert pair.network.counters["resent"] > 0

    tell(story, Link(latency_s=0.01, jitter_s=0.05, loss=0.05))


def test_a_dial_takes_two_round_trips() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        await pair.dial()
        assert now_s() == pytest.approx(4 * TRIP_S)

    tell(story)


def test_a_reader_that_does_not_read_holds_up_the_writer() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, deaf)
        stream = await pair.dial()
        with trio.move_on_after(3600) as waited:
            await stream.send_all(bytes(10**6))
        assert waited.cancelled_caught
        assert len(pair.accepted[0].stream.end.incoming.unread) == 256 * 1024

    tell(story)


def test_a_goodbye_is_an_end_and_what_comes_after_it_is_a_reset() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        async def short(accepted: Accepted) -> None:
            await accepted.stream.send_all(b"bye")

        await pair.serve(nursery, short)
        stream = await pair.dial()
        assert await stream.receive_some() == b"bye"
        assert await stream.receive_some() == b""
        await stream.send_all(b"are you there?")
        await trio.sleep(1)
        with pytest.raises(StreamBroken):
            await stream.send_all(b"really?")

    tell(story)


def test_who_dials_where_nobody_listens_is_refused() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        with pytest.raises(StreamBroken, match="refused"):
            await pair.dial()
        assert now_s() == pytest.approx(2 * TRIP_S)

    tell(story)


def test_who_dials_a_host_that_is_off_times_out() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        pair.far.power_off()
        with pytest.raises(StreamBroken, match="timed out"):
            await pair.dial()
        assert now_s() == pytest.approx(CONNECT_TIMEOUT_S)

    tell(story)


def test_a_lost_first_packet_is_repeated() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        cut = pair.network.cut(ANY, DOOR)
        pair.world.after(2.0, cut.undo)
        await pair.dial()
        assert now_s() == pytest.approx(3.0 + 4 * TRIP_S)

    tell(story)


# -- ends of hosts and processes -----------------------------------------------------------------
def test_a_process_that_ends_breaks_its_streams_at_once_and_refuses_new_ones() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        stream = await pair.dial()
        pair.far_sockets.close()
        assert await broken_after_s(stream) == pytest.approx(TRIP_S)
        with pytest.raises(StreamBroken, match="refused"):
            await pair.dial()

    tell(story)


def test_a_host_that_vanishes_is_noticed_after_twenty_seconds() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        stream = await pair.dial()
        pair.far.power_off()
        assert await broken_after_s(stream) == pytest.approx(SILENCE_S)

    tell(story)


def test_a_host_that_is_back_resets_what_it_no_longer_knows() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        idle, talking = await pair.dial(), await pair.dial()
        pair.far.power_off()
        await trio.sleep(3)
        pair.far.power_on()
        start_s = now_s()
        await talking.send_all(b"hello?")
        assert await broken_after_s(talking) < 5.0
        assert await broken_after_s(idle) + now_s() - start_s < 10.0

    tell(story)


def test_a_short_cut_only_delays_and_a_long_one_breaks_both_ends() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        stream = await pair.dial()
        cut = pair.network.cut(DOOR, ANY)
        pair.world.after(5.0, cut.undo)
        start_s = now_s()
        assert await said(stream, b"hello") == b"hello"
        assert 5.0 < now_s() - start_s < 15.0
        pair.network.isolate(DOOR)
        assert await broken_after_s(stream) == pytest.approx(SILENCE_S)
        await trio.sleep(TRIP_S)
        assert pair.accepted[0].stream.end.over

    tell(story)


def test_order_holds_when_the_road_closes_while_bytes_are_under_way() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        stream = await pair.dial()
        await stream.send_all(b"one ")
        cut = pair.network.cut(ANY, DOOR)
        await stream.send_all(b"two ")
        pair.world.after(0.005, cut.undo)
        await trio.sleep(0.006)
        await stream.send_all(b"three")
        heard = b""
        while len(heard) < 13:
            heard += await stream.receive_some()
        assert heard == b"one two three"

    tell(story)


def test_what_the_road_swallowed_is_not_overtaken_by_what_was_still_far_away() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        stream = await pair.dial()
        await stream.send_all(b"one ")
        slow = pair.network.degrade(ANY, DOOR, latency_s=1.0)
        await stream.send_all(b"two ")
        slow.undo()
        cut = pair.network.cut(ANY, DOOR)
        pair.world.after(0.1, cut.undo)
        heard = b""
        while len(heard) < 8:
            heard += await stream.receive_some()
        assert heard == b"one two "

    tell(story)


# -- faults --------------------------------------------------------------------------------------
def test_a_reset_breaks_both_ends_now() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        stream = await pair.dial()
        assert pair.network.reset_streams(DOOR, ANY) == 1
        assert await broken_after_s(stream) == 0.0
        assert pair.network.reset_streams(ANY, ANY) == 0

    tell(story)


def test_a_reset_after_so_many_bytes_comes_in_the_middle_and_only_once() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        stream = await pair.dial()
        assert pair.network.reset_streams_after(DOOR, ANY, 100_000) == 1
        with pytest.raises(StreamBroken):
            await stream.send_all(bytes(10**6))
        assert await broken_after_s(stream) < 1.0
        assert len(await said(await pair.dial(), bytes(10**6))) == 10**6

    tell(story)


def test_a_half_closed_stream_ends_in_one_direction_only() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        heard = []

        async def listen(accepted: Accepted) -> None:
            heard.append(await accepted.stream.receive_some())
            await trio.sleep_forever()

        await pair.serve(nursery, listen)
        stream = await pair.dial()
        assert pair.network.half_close_streams(DOOR, ANY) == 1
        assert await broken_after_s(stream) == pytest.approx(TRIP_S)
        await stream.send_all(b"still here")
        await trio.sleep(1)
        assert heard == [b"still here"]

    tell(story)


def test_refusing_hosts_refuse_until_undone() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        fault = pair.network.refuse_streams(DOOR)
        with pytest.raises(StreamBroken, match="refused"):
            await pair.dial()
        fault.undo()
        await pair.dial()

    tell(story)


def test_a_stalled_handshake_times_out() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        fault = pair.network.stall_handshakes(DOOR)
        start_s = now_s()
        with pytest.raises(StreamBroken):
            await pair.dial()
        assert now_s() - start_s == pytest.approx(HANDSHAKE_TIMEOUT_S, abs=0.1)
        fault.undo()
        await pair.dial()

    tell(story)


def test_a_black_hole_for_streams_leaves_datagrams_alone() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        pair.network.isolate(DOOR, STREAMS)
        with pytest.raises(StreamBroken, match="timed out"):
            await pair.dial()
        heard: list[bytes] = []
        pair.network.attach(DOOR, lambda data, _: heard.append(data))
        pair.network.send(b"x", ("10.0.0.2", 9), DOOR)
        await trio.sleep(1)
        assert heard == [b"x"]

    tell(story)


def test_a_slow_reader_reads_no_faster_than_told() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        stream = await pair.dial()
        fault = pair.network.read_slowly(DOOR, bytes_per_s=10_000)
        start_s = now_s()
        await said(stream, bytes(50_000))
        assert 4.0 < now_s() - start_s < 6.0
        fault.undo()
        start_s = now_s()
        await said(stream, bytes(50_000))
        assert now_s() - start_s < 0.2

    tell(story)


def test_chopped_streams_arrive_in_pieces() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        stream = await pair.dial()
        fault = pair.network.chop_streams(DOOR, ANY, size_bytes=3)
        await stream.send_all(b"0123456789")
        assert [await stream.receive_some() for _ in range(4)] == [b"012", b"345", b"678", b"9"]
        fault.undo()
        await stream.send_all(b"0123456789")
        assert await stream.receive_some() == b"0123456789"

    tell(story)


def test_a_narrow_window_makes_a_long_line_slow() -> None:
    def seconds(narrow: bool) -> float:
        async def story(pair: Pair, nursery: trio.Nursery) -> None:
            await pair.serve(nursery, echo)
            stream = await pair.dial()
            if narrow:
                pair.network.narrow_window(ANY, DOOR, size_bytes=2_000)
            await said(stream, bytes(100_000))

        return tell(story).virtual_s

    assert seconds(narrow=False) < 0.2
    assert seconds(narrow=True) > 0.5


def test_bandwidth_is_shared_by_two_streams() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        one, two = await pair.dial(), await pair.dial()
        pair.network.degrade(ANY, DOOR, bandwidth_bytes_per_s=100_000, queue_bytes=20_000)
        start_s = now_s()
        async with trio.open_nursery() as both:
            both.start_soon(said, one, bytes(200_000))
            both.start_soon(said, two, bytes(200_000))
        assert 3.5 < now_s() - start_s < 5.0

    tell(story)


def test_a_bloated_queue_makes_everybody_wait() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        bulk, small = await pair.dial(), await pair.dial()
        pair.network.degrade(ANY, DOOR, bandwidth_bytes_per_s=100_000, queue_bytes=10**6)
        nursery.start_soon(bulk.send_all, bytes(256 * 1024))
        await trio.sleep(0.1)
        start_s = now_s()
        await said(small, b"x")
        assert now_s() - start_s > 2.0

    tell(story)


def test_latency_spikes_reach_streams() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        stream = await pair.dial()
        pair.network.degrade(ANY, ANY, latency=Constant(3.0))
        start_s = now_s()
        await said(stream, b"x")
        assert now_s() - start_s == pytest.approx(6.0)

    tell(story)


def test_the_same_seed_gives_the_same_story() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        await said(await pair.dial(), bytes(100_000))

    rough = Link(loss=0.1)
    assert tell(story, rough, 1).digest == tell(story, rough, 1).digest
    assert tell(story, rough, 1).digest != tell(story, rough, 2).digest


def test_no_connection_is_kept_when_both_ends_are_done() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        for _ in range(20):
            stream = await pair.dial()
            await stream.aclose()
        await trio.sleep(1)
        assert len(pair.network.connections) == 0

    tell(story)


def test_a_host_that_was_replaced_behind_a_partition_resets_after_the_heal() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, echo)
        stream = await pair.dial()
        cut = pair.network.isolate(DOOR)
        pair.far.power_off()
        pair.far.power_on()
        await trio.sleep(10)
        cut.undo()
        assert await broken_after_s(stream) < 5.1

    tell(story)


def test_a_goodbye_that_was_given_up_during_short_cuts_shows_at_the_next_keepalive() -> None:
    """Each cut is too short to be noticed, and each try to say goodbye falls into one."""

    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, deaf)
        stream = await pair.dial()
        await trio.sleep(1)
        cut = pair.network.isolate(DOOR)
        await pair.accepted[0].stream.aclose()
        for cut_s in (14, 12, 12):
            await trio.sleep(cut_s)
            cut.undo()
            await trio.sleep(1)
            cut = pair.network.isolate(DOOR)
        await trio.sleep(11)
        cut.undo()
        assert await broken_after_s(stream) < 5.1

    tell(story)


def test_closing_with_unread_bytes_is_a_reset_for_the_sender() -> None:
    async def story(pair: Pair, nursery: trio.Nursery) -> None:
        await pair.serve(nursery, deaf)
        stream = await pair.dial()
        await stream.send_all(b"never read")
        await trio.sleep(1)
        pair.far_sockets.close()
        assert await broken_after_s(stream) == pytest.approx(TRIP_S)
        with pytest.raises(StreamBroken):
            await stream.send_all(b"x")

    tell(story)
