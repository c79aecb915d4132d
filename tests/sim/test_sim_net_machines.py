"""Streams between whole machines: what others see when one freezes, dies or comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trusting import Member

from mesh.limits import HANDSHAKE_TIMEOUT_S
from mesh.ports import Accepted, ByteStream, Env, StreamBroken
from mesh.types import Address
from sim.kernel.run import run_world
from sim.kernel.world import World
from sim.machine.machine import Machine, MachineConfig
from sim.machine.rack import Rack
from sim.net import Link, Network

DOOR: Address = ("10.0.0.1", 7446)


class Office:
    """An echo server on a machine, and a client's ports on another one."""

    def __init__(self, world: World, rack: Rack) -> None:
        self.network = Network(world, Link(latency_s=0.01, jitter_s=0.0))
        self.server, self.client = (
            Machine(world, rack, MachineConfig(name, self.network.add_host(host)))
            for name, host in (("server", DOOR[0]), ("client", "10.0.0.2"))
        )
        self._one, self._two = Member("one"), Member("two")
        for each in (self._one, self._two):
            each.trusted = {m.node_id: m.certificate for m in (self._one, self._two)}
        self._env = self.client.start(_idle).env

    async def serve(self, env: Env) -> None:
        """The server's program."""
        listener = await env.streams.listen(DOOR, self._one)
        await listener.serve(_echo)

    async def dial(self) -> ByteStream:
        return await self._env.streams.dial(DOOR, self._one.node_id, self._two)


async def _idle(env: Env) -> None:
    del env
    await trio.sleep_forever()


async def _echo(accepted: Accepted) -> None:
    while data := await accepted.stream.receive_some():
        await accepted.stream.send_all(data)


def in_office(story: Callable[[Office], Awaitable[None]]) -> None:
    async def main(world: World) -> None:
        rack = Rack()
        async with rack.powered():
            office = Office(world, rack)
            office.server.start(office.serve)
            await trio.sleep(0.1)
            await story(office)

    assert run_world(1, main).findings == ()


async def says(stream: ByteStream, data: bytes) -> bytes:
    await stream.send_all(data)
    return await stream.receive_some()


def test_a_frozen_machine_hangs_its_streams_and_answers_when_thawed() -> None:
    async def story(office: Office) -> None:
        stream = await office.dial()
        assert await says(stream, b"hello") == b"hello"
        office.server.freeze()
        with trio.move_on_after(300) as waited:
            await says(stream, b"hello?")
        assert waited.cancelled_caught
        office.server.thaw()
        assert await stream.receive_some() == b"hello?"

    in_office(story)


def test_a_frozen_machine_takes_connections_and_shakes_no_hands() -> None:
    async def story(office: Office) -> None:
        office.server.freeze()
        start_s = trio.current_time()
        with pytest.raises(StreamBroken, match="handshake timed out"):
            await office.dial()
        assert trio.current_time() - start_s == pytest.approx(HANDSHAKE_TIMEOUT_S, abs=0.1)
        office.server.thaw()
        assert await says(await office.dial(), b"awake") == b"awake"

    in_office(story)


def test_a_killed_process_resets_and_its_next_life_serves_again() -> None:
    async def story(office: Office) -> None:
        stream = await office.dial()
        assert await says(stream, b"x") == b"x"
        office.server.crash()
        with pytest.raises(StreamBroken):
            await stream.receive_some()
        with pytest.raises(StreamBroken, match="refused"):
            await office.dial()
        office.server.start(office.serve)
        await trio.sleep(0.1)
        assert await says(await office.dial(), b"again") == b"again"

    in_office(story)


def test_a_power_cut_is_silent_until_the_machine_is_back() -> None:
    async def story(office: Office) -> None:
        stream = await office.dial()
        office.server.power_cut()
        with trio.move_on_after(10) as waited:
            await says(stream, b"hello?")
        assert waited.cancelled_caught
        office.server.start(office.serve)
        with trio.fail_after(10), pytest.raises(StreamBroken):
            await stream.receive_some()
        assert await says(await office.dial(), b"again") == b"again"

    in_office(story)


def test_a_dying_clients_last_words_do_not_arrive() -> None:
    async def story(office: Office) -> None:
        heard: list[bytes] = []

        async def last_words(env: Env) -> None:
            stream = await env.streams.dial(DOOR, office._one.node_id, office._two)
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True), pytest.raises(StreamBroken):
                    await stream.send_all(b"remember me")
                heard.append(b"tried")

        office.client.crash()
        office.client.start(last_words)
        await trio.sleep(1)
        sent = office.network.connections
        assert len(sent) == 1
        office.client.crash()
        await trio.sleep(1)
        assert heard == [b"tried"]
        assert len(sent) == 0

    in_office(story)
