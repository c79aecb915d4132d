"""What each kind of fault of streams does to streams there are and to new ones."""

from __future__ import annotations

import pytest
import trio
from fault_stands import Effects, Street, on_a_street, shows
from test_sim_net_streams import broken_after_s, deaf, echo, now_s, said

from mesh.limits import HANDSHAKE_TIMEOUT_S
from mesh.ports import Accepted, StreamBroken
from sim.net.flow import WINDOW_BYTES

DATA = bytes(range(250)) * 80
"""20 000 bytes."""
AT_ONCE_S = 0.5


async def dial_fails_after_s(street: Street) -> float:
    begun_s = now_s()
    with pytest.raises(StreamBroken):
        await street.dial()
    return now_s() - begun_s


async def lifted(street: Street) -> None:
    """A new stream carries what it is given, at once."""
    stream, begun_s = await street.dial(), now_s()
    assert await said(stream, DATA) == DATA
    assert now_s() - begun_s < AT_ONCE_S


@on_a_street
async def stream_reset(street: Street, nursery: trio.Nursery, name: str) -> None:
    await street.serve(nursery, echo)
    stream = await street.dial()
    assert await said(stream, DATA) == DATA
    street.begin(name, 0)
    assert await broken_after_s(stream) == 0.0
    await lifted(street)


@on_a_street
async def stream_reset_after(street: Street, nursery: trio.Nursery, name: str) -> None:
    """The streams there are carry so many bytes more; those that come later carry all."""
    await street.serve(nursery, echo)
    stream = await street.dial()
    assert await said(stream, DATA) == DATA
    street.begin(name, 1, size_bytes=1000)
    assert await said(stream, bytes(900)) == bytes(900)
    with pytest.raises(StreamBroken):
        await stream.send_all(bytes(900))
    await lifted(street)


@on_a_street
async def stream_half_close(street: Street, nursery: trio.Nursery, name: str) -> None:
    """The client hears an end that nobody announced; the server goes on hearing."""
    heard = bytearray()

    async def listen(accepted: Accepted) -> None:
        while data := await accepted.stream.receive_some():
            heard.extend(data)

    await street.serve(nursery, listen)
    stream = await street.dial()
    street.begin(name, 0, 1)
    assert await broken_after_s(stream) < AT_ONCE_S
    await stream.send_all(DATA)
    await trio.sleep(1)
    assert heard == DATA


@on_a_street
async def stream_refused(street: Street, nursery: trio.Nursery, name: str) -> None:
    await street.serve(nursery, echo)
    stream = await street.dial()
    undo = street.begin(name, 0)
    assert await dial_fails_after_s(street) < AT_ONCE_S
    assert await said(stream, DATA) == DATA, "the one there was goes on"
    undo()
    await lifted(street)


@on_a_street
async def stream_stalled(street: Street, nursery: trio.Nursery, name: str) -> None:
    await street.serve(nursery, echo)
    undo = street.begin(name, 0)
    assert await dial_fails_after_s(street) == pytest.approx(HANDSHAKE_TIMEOUT_S, abs=0.1)
    undo()
    await lifted(street)


@on_a_street
async def stream_slow_reader(street: Street, nursery: trio.Nursery, name: str) -> None:
    """20 000 bytes take the server 20 s to read."""
    await street.serve(nursery, echo)
    stream, begun_s = await street.dial(), now_s()
    undo = street.begin(name, 0, rate=1000.0)
    assert await said(stream, DATA) == DATA
    assert 18.0 < now_s() - begun_s < 25.0
    undo()
    await lifted(street)


@on_a_street
async def stream_chopped(street: Street, nursery: trio.Nursery, name: str) -> None:
    pieces: list[bytes] = []

    async def listen(accepted: Accepted) -> None:
        while data := await accepted.stream.receive_some():
            pieces.append(data)

    await street.serve(nursery, listen)
    stream = await street.dial()
    undo = street.begin(name, 1, size_bytes=7)
    await stream.send_all(DATA)
    await trio.sleep(1)
    assert b"".join(pieces) == DATA
    assert max(map(len, pieces)) == 7
    undo()
    pieces.clear()
    await stream.send_all(DATA)
    await trio.sleep(1)
    assert b"".join(pieces) == DATA
    assert max(map(len, pieces)) > 1000


@on_a_street
async def stream_narrow(street: Street, nursery: trio.Nursery, name: str) -> None:
    """Nobody reads: what fits into the window goes; the sender waits until it is wide again."""
    await street.serve(nursery, deaf)
    stream = await street.dial()
    assert len(DATA) < WINDOW_BYTES
    undo = street.begin(name, 0, size_bytes=1000)
    with trio.move_on_after(30) as waited:
        await stream.send_all(DATA)
    assert waited.cancelled_caught
    (accepted,) = street.accepted
    assert len(await accepted.stream.receive_some()) == 1000
    undo()
    with trio.fail_after(AT_ONCE_S):
        await stream.send_all(DATA)


EFFECTS: Effects = {
    "stream_reset": stream_reset,
    "stream_reset_after": stream_reset_after,
    "stream_half_close": stream_half_close,
    "stream_refused": stream_refused,
    "stream_stalled": stream_stalled,
    "stream_slow_reader": stream_slow_reader,
    "stream_chopped": stream_chopped,
    "stream_narrow": stream_narrow,
}


@pytest.mark.parametrize("name", EFFECTS)
def test_a_kind_of_streams_does_what_it_says_until_undone(name: str) -> None:
    shows(EFFECTS, name)
