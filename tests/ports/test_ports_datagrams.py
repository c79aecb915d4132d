"""The real datagram port on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest
import trio

from mesh.errors import AddressInUse
from mesh.limits import DATAGRAM_BYTES_MAX
from mesh.ports import Arrived, Refused
from mesh.ports.real.datagrams import RealDatagramPort, RealDatagrams
from mesh.types import Address

LOOPBACK = ("127.0.0.1", 0)


async def a_port(bind: Address = LOOPBACK) -> RealDatagramPort:
    return await RealDatagrams().open(bind)


async def received(port: RealDatagramPort, count: int) -> list[Arrived | Refused]:
    """The first `count` of what the port serves."""
    got: list[Arrived | Refused] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            def handler(batch: Sequence[Arrived | Refused]) -> None:
                got.extend(batch)
                if len(got) >= count:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(port.serve, handler)
    return got


async def test_a_datagram_arrives_with_its_source() -> None:
    one, two = await a_port(), await a_port()
    one.send(b"hello", two.address)
    (got,) = await received(two, 1)
    assert isinstance(got, Arrived)
    assert (got.data, got.source) == (b"hello", one.address)
    one.close()
    two.close()


async def test_waiting_datagrams_are_taken_in_order_and_once() -> None:
    one, two = await a_port(), await a_port()
    for number in range(10):
        one.send(bytes([number]), two.address)
    got = two.take_waiting()
    assert [each.data for each in got if isinstance(each, Arrived)] == [
        bytes([number]) for number in range(10)
    ]
    assert two.take_waiting() == []
    one.close()
    two.close()


def await_stamps(one: RealDatagramPort, two: RealDatagramPort) -> None:
    """The kernel begins to note arrivals some time after the first socket that asks for it; until
    then a datagram has arrived when it is read."""
    for _ in range(500):
        one.send(b"?", two.address)
        sent_s = time.monotonic()
        time.sleep(0.01)
        (got,) = two.take_waiting()
        assert isinstance(got, Arrived)
        if got.arrived_s < (sent_s + time.monotonic()) / 2:
            return
    raise AssertionError("the kernel notes no arrivals")


async def test_a_datagram_read_late_tells_when_it_arrived() -> None:
    one, two = await a_port(), await a_port()
    await_stamps(one, two)
    before_s = time.monotonic()
    one.send(b"on time", two.address)
    sent_s = time.monotonic()
    time.sleep(0.2)  # noqa: ASYNC251 (the lateness that is measured: nothing may run)
    (got,) = two.take_waiting()
    assert isinstance(got, Arrived)
    assert before_s - 0.01 <= got.arrived_s <= sent_s + 0.05
    one.close()
    two.close()


async def test_an_arrival_is_never_older_than_the_last_look_whatever_the_wall_clock_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = await a_port(), await a_port()
    two.take_waiting()
    looked_s = time.monotonic()
    one.send(b"x", two.address)
    wall: Callable[[], float] = time.time
    monkeypatch.setattr("mesh.ports.real.datagrams.time.time", lambda: wall() + 3600)
    (got,) = two.take_waiting()
    assert isinstance(got, Arrived)
    assert looked_s - 0.01 <= got.arrived_s <= time.monotonic()
    one.send(b"y", two.address)
    monkeypatch.setattr("mesh.ports.real.datagrams.time.time", lambda: wall() - 3600)
    (got,) = two.take_waiting()
    assert isinstance(got, Arrived)
    assert got.arrived_s <= time.monotonic()
    one.close()
    two.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_closed_port_answers_with_what_we_sent_and_receiving_goes_on(host: str) -> None:
    one, two, gone = await a_port((host, 0)), await a_port((host, 0)), await a_port((host, 0))
    dead = gone.address
    gone.close()
    one.send(b"into the void", dead)
    one.send(b"again", dead)
    two.send(b"still here?", one.address)
    got = await received(one, 3)
    assert sorted(each.quoted for each in got if isinstance(each, Refused)) == [
        b"again",
        b"into the void",
    ]
    assert {each.to for each in got if isinstance(each, Refused)} == {dead}
    assert [each.data for each in got if isinstance(each, Arrived)] == [b"still here?"]
    one.close()
    two.close()


async def test_a_pending_refusal_costs_the_next_send_nothing() -> None:
    one, two, gone = await a_port(), await a_port(), await a_port()
    dead = gone.address
    gone.close()
    one.send(b"refused", dead)
    one.send(b"not lost", two.address)
    (got,) = await received(two, 1)
    assert isinstance(got, Arrived)
    assert got.data == b"not lost"
    assert not one.counters
    one.close()
    two.close()


@pytest.mark.parametrize(
    "to", [("127.0.0.1", 0), ("256.0.0.1", 9), ("::1", 9), ("127.0.0.1", 70_000), ("é\0", 9)]
)
async def test_what_cannot_be_sent_is_counted_not_raised(to: tuple[str, int]) -> None:
    port = await a_port()
    port.send(b"x", to)
    assert sum(port.counters.values()) == 1
    port.close()


async def test_an_oversized_datagram_stays_recognisable() -> None:
    one, two = await a_port(), await a_port()
    one.send(bytes(3000), two.address)
    (got,) = await received(two, 1)
    assert isinstance(got, Arrived)
    assert len(got.data) == DATAGRAM_BYTES_MAX + 1
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
