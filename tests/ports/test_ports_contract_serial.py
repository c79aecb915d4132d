"""Promises of serial lines: devices, serial servers' sockets, and simulated ones."""

from __future__ import annotations

import pytest
import trio
from stands import Computer, Stand

from mesh.errors import SerialUnavailable
from mesh.ports import ByteStream, StreamBroken


async def read_exactly(stream: ByteStream, size_bytes: int) -> bytes:
    heard = b""
    while len(heard) < size_bytes:
        more = await stream.receive_some()
        assert more, "a line has no end"
        heard += more
    return heard


def test_a_line_carries_bytes_both_ways(line_stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        left = await one.env.serial.open(one.plug, 115_200)
        right = await two.env.serial.open(two.plug, 115_200)
        await left.send_all(b"hello, board")
        assert await read_exactly(right, 12) == b"hello, board"
        await right.send_all(bytes(range(256)))
        assert await read_exactly(left, 256) == bytes(range(256))
        await right.send_all(b"0")
        assert await left.receive_some(1) == b"0"
        await left.aclose()
        await right.aclose()

    line_stand.run(story)


def test_a_device_has_one_user(stand: Stand) -> None:
    """Of a serial server's socket that is the server's business."""

    async def story(one: Computer, two: Computer) -> None:
        stream = await one.env.serial.open(one.plug, 9600)
        with pytest.raises(SerialUnavailable):
            await one.env.serial.open(one.plug, 9600)
        await stream.aclose()
        await (await one.env.serial.open(one.plug, 9600)).aclose()

    stand.run(story)


def test_a_closed_line_is_broken_and_can_be_opened_again(line_stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        stream = await one.env.serial.open(one.plug, 9600)
        await stream.aclose()
        await stream.aclose()
        with pytest.raises(StreamBroken):
            await stream.send_all(b"x")
        with pytest.raises(StreamBroken):
            await stream.receive_some()
        again = await one.env.serial.open(one.plug, 9600)
        other = await two.env.serial.open(two.plug, 9600)
        await again.send_all(b"again")
        assert await read_exactly(other, 5) == b"again"
        await again.aclose()
        await other.aclose()

    line_stand.run(story)


def test_large_messages_pass_whole_and_in_order(line_stand: Stand) -> None:
    data = bytes(range(256)) * 40

    async def story(one: Computer, two: Computer) -> None:
        left = await one.env.serial.open(one.plug, 921_600)
        right = await two.env.serial.open(two.plug, 921_600)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(left.send_all, data)
            assert await read_exactly(right, len(data)) == data
        await left.aclose()
        await right.aclose()

    line_stand.run(story)


def test_a_reader_of_a_line_learns_that_it_was_closed(line_stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        stream = await one.env.serial.open(one.plug, 9600)

        async def read() -> None:
            with pytest.raises(StreamBroken):
                await stream.receive_some()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()

    line_stand.run(story)


@pytest.mark.parametrize("name", ["/dev/no-such-line", "unix:/no/such/line"])
def test_a_line_that_is_not_there_is_a_readable_error(stand: Stand, name: str) -> None:
    async def story(one: Computer, two: Computer) -> None:
        with pytest.raises(SerialUnavailable, match="No such file"):
            await one.env.serial.open(name, 9600)
        assert all(device.name for device in await one.env.serial.devices())

    stand.run(story)
