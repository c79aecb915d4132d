"""The engine on Linux against the leaf's own, and the resources of this machine."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from random import Random

import pytest

from mesh.leaf.messages import EventKind
from mesh.ports.real.hardware import devices
from mesh.ports.real.hardware.devices import GpioLine, I2cDevice, SpiDevice
from mesh.ports.real.hardware.plain import CommandAdapter, FileAdapter, first_number
from mesh.rules.boards import BOARDS, has_anywhere
from mesh.rules.compile import compile_rules
from mesh.rules.engine import Engine, Ran, ResourceFailed, Said, Wrote
from mesh.rules.program import Access, Class, Resource
from mesh.rules.vm import Emitted
from sim.app.rules.outside import AdapterWrong, RealBoard, SimulatedBoard
from sim.leaves.rig import Rig

EVERYTHING = """
@every("30ms")
def beat(n: int = 0, answer: int = 0):
    n += 1
    gpio(7).set(n % 3 == 0)
    emit(1, n + adc(0))
    if n % 4 == 0:
        ask(9, n, into=answer)
    emit(5, answer)

@on_edge(gpio(3), "both")
def edge(seen: int = 0):
    seen += 1
    emit(2, seen * 10 + int(gpio(3)))

@on_edge(gpio(7), "rising")
def chained():
    emit(3, now())

@on_line(uart(0))
def line():
    emit(4, uart(0))
"""


def test_both_engines_do_the_same_with_every_kind_of_trigger() -> None:
    rig, random = Rig(seed=2), Random(2)
    rig.provision()
    rig.deploy(rig.package(EVERYTHING, 1))
    start_ms = rig.now_ms
    here = SimulatedBoard()
    program = compile_rules(EVERYTHING, has_anywhere).program
    engine = Engine(program, here, start_ms)
    pin, uart = Resource(Class.GPIO, Access.BOTH, 3), Resource(Class.UART, Access.READ, 0)
    said: list[tuple[int, int, int]] = []
    truth: list[tuple[int, int, int]] = []
    seen = 0
    for _ in range(2000):
        if random.random() < 0.03:
            level = random.randrange(2)
            rig.board.set_pin(3, level)
            here.set(pin, level)
        if random.random() < 0.02:
            text = random.choice([b"a", b"b\n", b"\n"])
            rig.board.uart(0, text)
            here.type_in(uart.channel, text)
        rig.now_ms += 1
        now_ms = rig.now_ms
        rig.board.run(now_ms)
        for each in engine.poll(now_ms) + engine.poll(now_ms):  # the leaf looks twice, too
            if isinstance(each, Said):
                message = each.message
                code = message.code if isinstance(message, Emitted) else message.prompt
                said.append((each.rule, code, message.value))
        for number, event in rig.board.events():
            if number >= seen:
                seen = number + 1
                if event.kind is not EventKind.SYSTEM:
                    truth.append((event.rule, event.code, event.value))

    assert len(truth) > 150
    assert {code for _, code, _ in truth} == {1, 2, 3, 4, 5, 9}
    # `now()` differs by the millisecond in which the program started; all else is the same.
    assert [each[:2] for each in said] == [each[:2] for each in truth]
    assert [e for e in said if e[1] != 3] == [e for e in truth if e[1] != 3]


def test_an_answer_goes_into_a_declared_slot_only() -> None:
    engine = Engine(compile_rules(EVERYTHING, has_anywhere).program, SimulatedBoard(), 0)

    assert engine.write_input(0, 1, 42)
    assert not engine.write_input(0, 0, 42)
    assert not engine.write_input(1, 0, 42)
    assert not engine.write_input(9, 0, 42)
    assert engine.slots[0] == (0, 42)


def test_a_late_poll_runs_once_and_keeps_the_beat() -> None:
    program = compile_rules('@every("100ms")\ndef r():\n    emit(1, now())\n', has_anywhere).program
    engine = Engine(program, SimulatedBoard(), 0)

    runs = [
        sum(isinstance(e, Ran) for e in engine.poll(at)) for at in (99, 100, 101, 555, 599, 600)
    ]

    assert runs == [0, 1, 0, 1, 0, 1]


# -- this machine ----------------------------------------------------------------------------------
def test_files_and_commands_are_resources(tmp_path: Path) -> None:
    source = """
@every("1s")
def r():
    gpio(5).set(adc(0) > 40)
    dac(0).set(adc(1))
"""
    (tmp_path / "temp").write_text("  41 degrees\n")
    relay, out = tmp_path / "relay", tmp_path / "out"
    program = compile_rules(source, has_anywhere).program
    script = f"import sys; open({str(out)!r}, 'w').write(sys.argv[1])"
    board = RealBoard(
        program,
        {
            "adc(0)": {"file": str(tmp_path / "temp")},
            "adc(1)": {"command": [sys.executable, "-c", "print(7)"]},
            "gpio(5)": {"file": str(relay)},
            "dac(0)": {"command": [sys.executable, "-c", script]},
        },
    )
    engine = Engine(program, board, 0)
    happened = engine.poll(1000)
    (tmp_path / "temp").unlink()
    later = engine.poll(2000)
    board.close()

    assert relay.read_text() == "0\n"  # what fails reads as the smallest number: not above 40
    assert out.read_text() == "7"
    assert [e.value for e in happened if isinstance(e, Wrote)] == [1, 7]
    assert [type(e) for e in later] == [ResourceFailed, Wrote, Wrote, Ran]
    assert engine.failures == 1


def test_a_command_that_fails_or_does_not_exist_does_not_answer() -> None:
    assert CommandAdapter([sys.executable, "-c", "raise SystemExit(1)"]).read() is None
    assert CommandAdapter(["/no/such/command"]).read() is None
    assert not FileAdapter(Path("/no/such/folder/file")).write(1)
    assert first_number(b"none here") is None
    assert first_number(b"-99999999999") == -(2**31)


def test_devices_that_are_not_there_are_told_before_the_rules_run() -> None:
    source = '@every("1s")\ndef r():\n    gpio(5).set(1)\n'
    program = compile_rules(source, has_anywhere).program

    with pytest.raises(AdapterWrong, match=r"gpio\(5\)"):
        RealBoard(program, {"gpio(5)": {"chip": "/dev/no-such-chip"}})
    for make in (
        lambda: GpioLine("/dev/null", 1, output=True),  # no chip: the kernel does not know the call
        lambda: I2cDevice("/dev/no-such-bus", 1, 2, 2),
        lambda: SpiDevice("/dev/no-such-bus", 1, 2),
    ):
        with pytest.raises(OSError):  # noqa: PT011 - which one is the kernel's choice
            make()
    assert I2cDevice("/dev/null", 0x48, 0, 2).read() is None
    assert SpiDevice("/dev/null", 0, 2).read() is None


def test_calls_to_the_kernel_have_the_numbers_of_its_headers() -> None:
    """linux/gpio.h and linux/spi/spidev.h; the numbers contain the sizes of the structs."""
    assert devices.GET_LINE == 0xC250B407
    assert devices.GET_VALUES == 0xC010B40E
    assert devices.SET_VALUES == 0xC010B40F
    assert devices.SPI_MESSAGE == 0x40206B00
    assert ctypes.sizeof(devices._I2cMessage) == 16


# -- boards ----------------------------------------------------------------------------------------
def test_the_command_line_and_the_parts_know_the_same_boards() -> None:
    from cli.commands import rule

    assert {each.kind.name.lower() for each in BOARDS.values()} == set(rule.BOARDS)
