"""Simulated serial lines: the pace, the buffer, and how each fault shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from mesh.errors import SerialUnavailable
from mesh.ports import StreamBroken
from sim.kernel.run import run_world
from sim.serial import SerialLine, SerialLineConfig, SimSerial
from sim.undo import Fault
from sim.world import World


class Wire:
    """A line without tasks: the left end is written to, the right one is heard."""

    def __init__(self, seed: int = 1) -> None:
        self.world = World(seed)
        self.line = SerialLine(self.world, "line", SerialLineConfig(baud=9600))
        self.heard = bytearray()
        self.line.right.attach(self.heard.extend)

    def say(self, data: bytes) -> bytes:
        self.heard.clear()
        self.line.left.write(data)
        self.world.run_until(self.world.now_s + len(data) / 960 + 1.0)
        return bytes(self.heard)


def shows(wire: Wire, fault: Fault, effect: Callable[[], bool]) -> None:
    assert effect()
    fault.undo()
    assert wire.say(b"clear") == b"clear"


def test_bytes_arrive_in_order_at_the_pace_of_the_baud_rate() -> None:
    wire = Wire()
    data = bytes(range(256)) * 4
    wire.line.left.write(data)
    wire.world.run_until(0.5)
    assert len(wire.heard) == 480
    wire.world.run_until(len(data) * 10 / 9600)
    assert wire.heard == data


def test_bytes_are_lost_as_often_as_asked() -> None:
    wire = Wire()
    shows(wire, wire.line.lose(0.2), lambda: 740 <= len(wire.say(bytes(1000))) <= 860)


def test_bits_flip_one_a_byte() -> None:
    def flips() -> bool:
        heard = wire.say(bytes(1000))
        return len(heard) == 1000 and 60 <= sum(byte.bit_count() for byte in heard) <= 140

    wire = Wire()
    shows(wire, wire.line.flip(0.1), flips)


def test_noise_is_heard_though_nobody_speaks() -> None:
    wire = Wire()
    fault = wire.line.noise(bytes_per_s=50, at="right")
    wire.world.run_until(10.0)
    assert 380 <= len(wire.heard) <= 620
    assert wire.line.counters["nobody-listens"] == 0
    fault.undo()
    assert wire.say(b"clear") == b"clear"


def test_a_cut_is_of_the_end_it_names() -> None:
    wire = Wire()
    wire.line.cut(at="left")
    assert wire.say(b"to the right") == b"to the right"
    shows(wire, wire.line.cut(at="right"), lambda: wire.say(b"x") == b"")


def test_another_speed_is_garbage() -> None:
    wire = Wire()
    shows(wire, wire.line.mismatch(at="right"), lambda: wire.say(bytes(100)) != bytes(100))
    wire.line.left.baud = 115_200
    assert wire.say(bytes(100)) != bytes(100)


def test_healing_undoes_all() -> None:
    wire = Wire()
    faults = [wire.line.lose(1.0), wire.line.cut(), wire.line.unplug("both")]
    assert wire.say(b"x") == b""
    wire.line.heal()
    assert wire.say(b"x") == b"x"
    for fault in faults:
        fault.undo()


def in_world(story: Callable[[SerialLine, SimSerial], object]) -> None:
    async def main(world: World) -> None:
        line = SerialLine(world, "line", SerialLineConfig(baud=9600))
        await story(line, SimSerial({"sim0": line.left}))  # type: ignore[misc]

    run_world(1, main)


def test_a_writer_waits_when_the_system_takes_no_more() -> None:
    async def story(line: SerialLine, serial: SimSerial) -> None:
        stream = await serial.open("sim0", 9600)
        await stream.send_all(bytes(4096))
        assert trio.current_time() == 0.0
        await stream.send_all(bytes(4096))
        assert trio.current_time() == pytest.approx(4096 / 960, rel=0.02)

    in_world(story)


def test_an_end_that_is_not_read_overruns() -> None:
    async def story(line: SerialLine, serial: SimSerial) -> None:
        stream = await serial.open("sim0", 9600)
        line.right.write(b"a" * 4096 + b"b" * 904)
        await trio.sleep(10)
        assert line.counters["overrun"] == 904
        assert await stream.receive_some() == b"a" * 4096

    in_world(story)


def test_a_pulled_plug_breaks_and_a_plug_put_back_opens_again() -> None:
    async def story(line: SerialLine, serial: SimSerial) -> None:
        stream = await serial.open("sim0", 9600)
        line.world.after(1.0, lambda: faults.append(line.unplug()))
        faults: list[Fault] = []
        with pytest.raises(StreamBroken):
            await stream.receive_some()
        assert await serial.devices() == []
        with pytest.raises(SerialUnavailable):
            await serial.open("sim0", 9600)
        await stream.aclose()
        faults[0].undo()
        assert [device.name for device in await serial.devices()] == ["sim0"]
        again = await serial.open("sim0", 9600)
        line.right.write(b"hello again")
        heard = b""
        while len(heard) < 11:
            heard += await again.receive_some()
        assert heard == b"hello again"

    in_world(story)


def test_a_process_that_ends_frees_its_lines() -> None:
    async def story(line: SerialLine, serial: SimSerial) -> None:
        await serial.open("sim0", 9600)
        with pytest.raises(SerialUnavailable):
            await serial.open("sim0", 9600)
        serial.close_all()
        await serial.open("sim0", 9600)

    in_world(story)
