"""Numbers of pings go round: a node that runs for weeks sends more pings than there are numbers."""

from __future__ import annotations

from mesh.limits import SWIM_PINGS_MAX
from mesh.swim.messages import PING_NUMBER_MAX, Ping
from mesh.swim.probe import Pings
from mesh.types import NodeId
from mesh.wire.schema import decode_message, encode_message

PEER = NodeId(bytes(32))


def test_every_number_fits_a_ping() -> None:
    pings = Pings()
    numbers = [pings.open(PEER, 0.0) for _ in range(PING_NUMBER_MAX + 10)]
    assert max(numbers) == PING_NUMBER_MAX
    for number in numbers[-12:]:
        ping = Ping(number, bytes(8), None, (), None)
        assert decode_message(encode_message(ping)) == ping


def test_numbers_that_are_still_waited_for_are_different_ones() -> None:
    pings = Pings()
    numbers = [pings.open(PEER, float(i)) for i in range(3 * PING_NUMBER_MAX)]
    newest = numbers[-SWIM_PINGS_MAX:]
    assert len(set(newest)) == SWIM_PINGS_MAX
    for i, number in enumerate(newest, 3 * PING_NUMBER_MAX - SWIM_PINGS_MAX):
        assert pings.close(number, PEER, i + 0.5) == 0.5


def test_a_number_that_comes_again_is_of_the_new_ping() -> None:
    pings = Pings()
    first = pings.open(PEER, 0.0)
    other = NodeId(b"\x01" * 32)
    while pings.open(other, 1.0) != first:
        pass
    assert pings.close(first, PEER, 2.0) is None
    assert pings.close(first, other, 2.0) == 1.0
