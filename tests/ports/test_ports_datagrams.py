"""The real datagram port on loopback."""

from __future__ import annotations

import pytest
import trio

from mesh.errors import AddressInUse
from mesh.limits import DATAGRAM_BYTES_MAX
from mesh.ports.real.datagrams import RealDatagramPort, RealDatagrams

LOOPBACK = ("127.0.0.1", 0)


async def a_port() -> RealDatagramPort:
    return await RealDatagrams().open(LOOPBACK)


async def test_a_datagram_arrives_with_its_source() -> None:
    one, two = await a_port(), await a_port()
    await one.send(b"hello", two.address)
    with trio.fail_after(5):
        assert await two.receive() == (b"hello", one.address)
    one.close()
    two.close()


async def test_waiting_datagrams_are_drained_without_waiting() -> None:
    one, two = await a_port(), await a_port()
    for number in range(10):
        await one.send(bytes([number]), two.address)
    with trio.fail_after(5):
        first, _ = await two.receive()
    rest = [two.receive_nowait() for _ in range(10)]
    assert [first, *(got[0] for got in rest if got)] == [bytes([n]) for n in range(10)]
    assert rest[-1] is None
    one.close()
    two.close()


async def test_a_refused_send_does_not_end_receiving() -> None:
    one, two, gone = await a_port(), await a_port(), await a_port()
    dead_address = gone.address
    gone.close()
    await one.send(b"into the void", dead_address)
    await one.send(b"again", dead_address)
    await two.send(b"still here?", one.address)
    with trio.fail_after(5):
        assert (await one.receive())[0] == b"still here?"
    one.close()
    two.close()


@pytest.mark.parametrize(
    "to", [("127.0.0.1", 0), ("256.0.0.1", 9), ("::1", 9), ("127.0.0.1", 70_000), ("é\0", 9)]
)
async def test_what_cannot_be_sent_is_counted_not_raised(to: tuple[str, int]) -> None:
    port = await a_port()
    await port.send(b"x", to)
    assert sum(port.counters.values()) == 1
    port.close()


async def test_an_oversized_datagram_stays_recognisable() -> None:
    one, two = await a_port(), await a_port()
    await one.send(bytes(3000), two.address)
    with trio.fail_after(5):
        data, _ = await two.receive()
    assert len(data) == DATAGRAM_BYTES_MAX + 1
    one.close()
    two.close()


async def test_a_taken_port_is_a_readable_error() -> None:
    port = await a_port()
    with pytest.raises(AddressInUse) as caught:
        await RealDatagrams().open(port.address)
    assert str(port.address[1]) in str(caught.value)
    port.close()


@pytest.mark.parametrize("host", ["localhost.example", "", "203.0.113.7"])
async def test_an_address_that_is_not_ours_is_a_readable_error(host: str) -> None:
    with pytest.raises(AddressInUse):
        await RealDatagrams().open((host, 0))


async def test_closing_twice_is_harmless() -> None:
    port = await a_port()
    port.close()
    port.close()
