"""Promises of datagrams, streams and control sockets; real and simulated."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import trio
from stands import Computer, Member, Stand, serving

from mesh.errors import AddressInUse
from mesh.limits import DATAGRAM_BYTES_MAX
from mesh.ports import (
    Accepted,
    Arrived,
    ByteStream,
    DatagramPort,
    Refused,
    StreamBroken,
)


class Inbox:
    """A handler of datagrams that can be waited on."""

    def __init__(self) -> None:
        self.got: list[Arrived | Refused] = []
        self._changed = trio.Event()

    def __call__(self, batch: Sequence[Arrived | Refused]) -> None:
        self.got.extend(batch)
        self._changed.set()
        self._changed = trio.Event()

    async def holds(self, count: int) -> list[Arrived | Refused]:
        while len(self.got) < count:
            await self._changed.wait()
        return self.got


async def a_port(computer: Computer) -> DatagramPort:
    return await computer.env.datagrams.open((computer.host, 0))


async def read_exactly(stream: ByteStream, size_bytes: int) -> bytes:
    heard = b""
    while len(heard) < size_bytes:
        more = await stream.receive_some()
        assert more, f"ended after {len(heard)} bytes"
        heard += more
    return heard


# -- datagrams -----------------------------------------------------------------------------------
def test_datagrams_arrive_with_source_and_time(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        near, far, inbox = await a_port(one), await a_port(two), Inbox()
        before_s = two.env.clock.monotonic()
        async with serving(far.serve, inbox):
            near.send(b"hello", far.address)
            (first,) = await inbox.holds(1)
        assert isinstance(first, Arrived)
        assert (first.data, first.source) == (b"hello", near.address)
        assert before_s <= first.arrived_s <= two.env.clock.monotonic()
        near.close()
        far.close()

    stand.run(story)


def test_what_arrived_before_serving_is_not_lost_and_can_be_taken(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        near, far, inbox = await a_port(one), await a_port(two), Inbox()
        near.send(b"early", far.address)
        async with serving(far.serve, inbox):
            await inbox.holds(1)
        near.send(b"taken", far.address)
        taken: list[Arrived | Refused] = []
        while not taken:
            await trio.sleep(0.005)
            taken = list(far.take_waiting())
        assert [each.data for each in taken if isinstance(each, Arrived)] == [b"taken"]
        assert list(far.take_waiting()) == []
        near.close()
        far.close()

    stand.run(story)


def test_a_closed_port_is_told_to_the_sender(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        near, gone, inbox = await a_port(one), await a_port(two), Inbox()
        where = gone.address
        gone.close()
        async with serving(near.serve, inbox):
            near.send(b"anybody there?" * 60, where)
            (notice,) = await inbox.holds(1)
        assert isinstance(notice, Refused)
        assert notice.to == where
        assert (b"anybody there?" * 60).startswith(notice.quoted)
        assert len(notice.quoted) >= 400
        near.close()

    stand.run(story)


def test_a_too_large_datagram_stays_recognisable(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        near, far, inbox = await a_port(one), await a_port(two), Inbox()
        async with serving(far.serve, inbox):
            near.send(bytes(3000), far.address)
            (got,) = await inbox.holds(1)
        assert isinstance(got, Arrived)
        assert len(got.data) == DATAGRAM_BYTES_MAX + 1
        near.close()
        far.close()

    stand.run(story)


@pytest.mark.parametrize(
    "to", [("256.0.0.1", 9), ("127.0.0.1", 0), ("127.0.0.1", 70_000), ("é", 9)]
)
def test_what_cannot_be_sent_is_lost_not_raised(stand: Stand, to: tuple[str, int]) -> None:
    async def story(one: Computer, two: Computer) -> None:
        port = await a_port(one)
        port.send(b"x", to)
        port.close()
        port.close()

    stand.run(story)


def test_a_taken_or_foreign_address_is_a_readable_error(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        port = await a_port(one)
        listener = await one.env.streams.listen((one.host, 0), one.member)
        foreign, name = ("203.0.113.7", 0), ("no.such.host.invalid", 0)
        for bind in (port.address, foreign, name):
            with pytest.raises(AddressInUse):
                await one.env.datagrams.open(bind)
        for bind in (listener.address, foreign):
            with pytest.raises(AddressInUse):
                await one.env.streams.listen(bind, one.member)
            with pytest.raises(AddressInUse):
                await one.env.streams.listen_join(bind, one.member)
        port.close()
        await listener.aclose()
        await (await one.env.streams.listen(listener.address, one.member)).aclose()

    stand.run(story)


# -- streams -------------------------------------------------------------------------------------
async def echo(accepted: Accepted) -> None:
    while data := await accepted.stream.receive_some():
        await accepted.stream.send_all(data)


def test_members_meet_and_each_knows_the_other(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        seen: list[Accepted] = []

        async def handler(accepted: Accepted) -> None:
            seen.append(accepted)
            await echo(accepted)

        listener = await one.env.streams.listen((one.host, 0), one.member)
        async with serving(listener.serve, handler), trio.open_nursery() as nursery:
            stream = await two.env.streams.dial(listener.address, one.member.node_id, two.member)
            data = bytes(range(256)) * 2000
            nursery.start_soon(stream.send_all, data)
            assert await read_exactly(stream, len(data)) == data
            await stream.aclose()
        assert seen[0].peer == two.member.node_id
        assert seen[0].address[0] == two.host
        await listener.aclose()

    stand.run(story)


def test_bytes_come_into_memory_of_the_readers_own(stand: Stand) -> None:
    """Whole, in order, however they are asked for; mixed with `receive_some`; the end is 0, and a
    stream that was closed here is broken."""

    async def story(one: Computer, two: Computer) -> None:
        listener = await one.env.streams.listen((one.host, 0), one.member)
        data = bytes(range(256)) * 5000

        async def give(accepted: Accepted) -> None:
            view = memoryview(bytearray(data))
            for start in range(0, len(data), 300_000):
                await accepted.stream.send_all(view[start : start + 300_000])

        async with serving(listener.serve, give):
            stream = await two.env.streams.dial(listener.address, one.member.node_id, two.member)
            memory, got = bytearray(len(data)), 0
            for size in itertools.cycle((1, 70_000, 16_384, 400_000)):
                space = memoryview(memory)[got : got + size]
                if not space:
                    break
                if size == 1:
                    space[:] = await stream.receive_some(1)
                    got += 1
                    continue
                count = await stream.receive_into(space)
                assert 0 < count <= len(space)
                got += count
            assert bytes(memory) == data
            assert await stream.receive_into(memoryview(bytearray(10))) == 0
            await stream.aclose()
            with pytest.raises(StreamBroken):
                await stream.receive_into(memoryview(bytearray(10)))
        await listener.aclose()

    stand.run(story)


def test_who_waits_for_bytes_learns_that_its_own_side_was_closed(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        listener = await one.env.streams.listen((one.host, 0), one.member)

        async def read(stream: ByteStream) -> None:
            with pytest.raises(StreamBroken):
                await stream.receive_into(memoryview(bytearray(10)))

        async with serving(listener.serve, echo), trio.open_nursery() as nursery:
            stream = await two.env.streams.dial(listener.address, one.member.node_id, two.member)
            nursery.start_soon(read, stream)
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()
        await listener.aclose()

    stand.run(story)


def test_an_announced_end_is_empty_and_silence_afterwards_is_broken(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        async def short(accepted: Accepted) -> None:
            await accepted.stream.send_all(b"bye")

        listener = await one.env.streams.listen((one.host, 0), one.member)
        async with serving(listener.serve, short):
            stream = await two.env.streams.dial(listener.address, one.member.node_id, two.member)
            assert await read_exactly(stream, 3) == b"bye"
            assert await stream.receive_some() == b""
            await stream.aclose()
            with pytest.raises(StreamBroken):
                await stream.send_all(b"x")
            with pytest.raises(StreamBroken):
                await stream.receive_some()
        await listener.aclose()

    stand.run(story)


def test_a_reader_learns_that_its_own_side_was_closed(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        listener = await one.env.streams.listen((one.host, 0), one.member)

        async def read(stream: ByteStream) -> None:
            with pytest.raises(StreamBroken):
                await stream.receive_some()

        async with serving(listener.serve, echo), trio.open_nursery() as nursery:
            stream = await two.env.streams.dial(listener.address, one.member.node_id, two.member)
            nursery.start_soon(read, stream)
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()
        await listener.aclose()

    stand.run(story)


async def is_turned_away(computer: Computer, listener: object, to: Member, as_: Member) -> bool:
    """Refused at the dial, or at the first read at the latest."""
    try:
        stream = await computer.env.streams.dial(listener.address, to.node_id, as_)  # type: ignore[attr-defined]
    except StreamBroken:
        return True
    try:
        await stream.send_all(b"hello")
        return await stream.receive_some() == b""
    except StreamBroken:
        return True
    finally:
        await stream.aclose()


def test_strangers_and_removed_members_are_turned_away(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        mallory, forger = Member("mallory"), Member("forger")
        mallory.trusts(one.member, mallory)
        forger.trusts(one.member, forger)
        forger.certificate = two.member.certificate  # a member's, without its key
        listener = await one.env.streams.listen((one.host, 0), one.member)
        async with serving(listener.serve, echo):
            assert not await is_turned_away(two, listener, one.member, two.member)
            assert await is_turned_away(two, listener, one.member, mallory)
            one.member.trusts(one.member)
            assert await is_turned_away(two, listener, one.member, two.member)
            one.member.trusts(one.member, two.member, mallory)
            assert not await is_turned_away(two, listener, one.member, mallory)
        await listener.aclose()

    stand.run(story)


def test_a_dialler_wants_exactly_that_member(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        carol = Member("carol")
        two.member.trusts(one.member, two.member, carol)
        listener = await one.env.streams.listen((one.host, 0), one.member)
        async with serving(listener.serve, echo):
            with pytest.raises(StreamBroken, match="another-node"):
                await two.env.streams.dial(listener.address, carol.node_id, two.member)
            stranger = Member("stranger").node_id
            with pytest.raises(StreamBroken, match="not-a-member"):
                await two.env.streams.dial(listener.address, stranger, two.member)
            two.member.trusts(two.member, carol)
            with pytest.raises(StreamBroken, match="not-a-member"):
                await two.env.streams.dial(listener.address, one.member.node_id, two.member)
        await listener.aclose()

    stand.run(story)


def test_the_join_door_takes_strangers_and_says_who_it_is(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        seen: list[Accepted] = []

        async def handler(accepted: Accepted) -> None:
            seen.append(accepted)
            await echo(accepted)

        listener = await one.env.streams.listen_join((one.host, 0), one.member)
        async with serving(listener.serve, handler):
            stream, node = await two.env.streams.dial_join(listener.address)
            assert node == one.member.node_id
            await stream.send_all(b"knock")
            assert await read_exactly(stream, 5) == b"knock"
            await stream.aclose()
        assert seen[0].peer is None
        await listener.aclose()

    stand.run(story)


def test_somebody_without_a_certificate_gets_through_no_members_door(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        listener = await one.env.streams.listen((one.host, 0), one.member)
        async with serving(listener.serve, echo):
            stream, node = await two.env.streams.dial_join(listener.address)
            assert node == one.member.node_id
            with pytest.raises(StreamBroken):
                await stream.receive_some()
            await stream.aclose()
        await listener.aclose()

    stand.run(story)


def test_nobody_there_is_a_broken_stream(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        listener = await one.env.streams.listen((one.host, 0), one.member)
        await listener.aclose()
        with pytest.raises(StreamBroken, match="cannot connect"):
            await two.env.streams.dial(listener.address, one.member.node_id, two.member)
        with pytest.raises(StreamBroken, match="cannot connect"):
            await two.env.streams.dial_join(listener.address)

    stand.run(story)


def test_a_handlers_crash_ends_only_its_connection(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        async def crash_once(accepted: Accepted) -> None:
            if await accepted.stream.receive_some() == b"crash":
                raise StreamBroken("as a handler's reading would")
            await accepted.stream.send_all(b"fine")

        listener = await one.env.streams.listen((one.host, 0), one.member)
        async with serving(listener.serve, crash_once):
            for word, answer in ((b"crash", b""), (b"be nice", b"fine")):
                stream = await two.env.streams.dial(
                    listener.address, one.member.node_id, two.member
                )
                await stream.send_all(word)
                assert await stream.receive_some() == answer
                await stream.aclose()
        await listener.aclose()

    stand.run(story)


# -- the control socket --------------------------------------------------------------------------
def test_a_users_program_talks_to_the_node(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        async def answer(stream: ByteStream) -> None:
            while data := await stream.receive_some():
                await stream.send_all(data.upper())

        listener = await one.env.control.listen()
        async with serving(listener.serve, answer):
            stream = await one.dial_control()
            await stream.send_all(b"status\n")
            assert await read_exactly(stream, 7) == b"STATUS\n"
            await stream.aclose()
        await listener.aclose()
        with pytest.raises((StreamBroken, OSError)):
            await one.dial_control()

    stand.run(story)
