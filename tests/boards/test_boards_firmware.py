"""The production firmware of both STM32 on a board in software: everything a board does, once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesh.leaf.messages import Op, Status, decode_status
from mesh.leaf.transfer import Deployed
from sim.boards.board import Board, BoardConfig
from sim.boards.devices import I2cDevice, SpiDevice
from sim.boards.flash import Cut, Tear
from sim.boards.machine import RETURN_AT, BoardFault
from sim.boards.workbench import Workbench
from sim.leaves.board import ResetCause

pytestmark = pytest.mark.timeout(300)

EVERYTHING = """
@every("20ms")
def heat(n: int = 0):
    gpio(5).set(adc(0) * 0.1 > 80.0)
    dac(0).set(adc(1))
    n += 1
    emit(1, n)

@every("30ms")
def buses(seen: int = 0):
    seen = i2c(0, address=0x48, register=2, size=2)
    emit(2, seen)
    spi(0, select=6, first=5, size=1).set(seen & 255)
    emit(3, spi(0, select=6, first=0x85, size=1))

@on_line(uart(0))
def talk(c: int = 0):
    c = uart(0)
    emit(4, c)
    uart(0).set(c + 1)
"""


class OnceDeployed:
    """One deployed board of each part, shared: tests take its flash, not the board itself."""

    def __init__(self, name: str) -> None:
        self.bench = bench = Workbench(name, BoardConfig(seed=7))
        bench.provision()
        self.outcome = bench.deploy(bench.package(EVERYTHING, counter=1))
        self.confirmed = bench.ask(Op.CONFIRM, [1]).error

    def fresh(self) -> Workbench:
        """Another gateway at a board that has just been switched on with that flash."""
        name = self.bench.chip.name
        bench = Workbench(name, BoardConfig(seed=9, flash=self.bench.chip.flash_image()))
        bench.admitted |= self.bench.admitted
        return bench


_made: dict[str, OnceDeployed] = {}


@pytest.fixture(params=["stm32f405", "stm32h7a3"])
def deployed(request: pytest.FixtureRequest) -> OnceDeployed:
    name: str = request.param
    if name not in _made:
        _made[name] = OnceDeployed(name)
    return _made[name]


def status(bench: Workbench) -> Status:
    return decode_status(bench.ask(Op.STATUS).results)


def emitted(bench: Workbench, code: int) -> list[int]:
    return [e.value for _, e in bench.delivered if e.kind == 0 and e.code == code]


def test_a_deploy_breaks_no_rule_of_the_flash_and_stays_within_six_kilobytes(
    deployed: OnceDeployed,
) -> None:
    chip = deployed.bench.chip
    assert isinstance(deployed.outcome, Deployed)
    assert deployed.confirmed == 0
    assert not chip.machine.flash.mistakes
    assert chip.image.ram_bytes + chip.stack_bytes() <= 6 * 1024


def test_rules_reach_pins_converters_buses_and_the_uart(deployed: OnceDeployed) -> None:
    bench = deployed.fresh()
    chip, wiring = bench.chip, bench.chip.wiring
    sensor = I2cDevice(chip.pins, wiring.scl, wiring.sda, 0x48)
    sensor.registers[2:4] = b"\x12\x34"
    memory = SpiDevice(chip.pins, wiring.sck, wiring.miso, wiring.mosi, select=6)
    bench.trust()
    chip.adc[0], chip.adc[1] = 900, 1234
    chip.uart.put(b"A\n")
    bench.step(150)
    assert chip.pins.level(5)
    assert chip.dac(0) == 1234
    assert emitted(bench, 2)[-1] == 0x1234
    assert memory.registers[5] == 0x34
    assert emitted(bench, 3)[-1] == 0x34
    assert emitted(bench, 4) == [ord("A")]
    assert chip.uart.take() == b"B"
    chip.adc[0] = 700
    bench.step(50)
    assert not chip.pins.level(5)


def test_a_sensor_that_is_not_there_is_counted_and_the_rule_goes_on(deployed: OnceDeployed) -> None:
    bench = deployed.fresh()
    bench.trust()
    bench.step(150)
    assert emitted(bench, 2)[-1] == -(2**31)
    assert status(bench).resource_failures > 0


def test_the_program_survives_a_power_cycle(deployed: OnceDeployed) -> None:
    bench = deployed.fresh()
    bench.trust()
    now = status(bench)
    assert (now.counter, now.trial, now.reset_cause) == (1, 0, ResetCause.POWER)


def test_a_reset_tells_its_cause(deployed: OnceDeployed) -> None:
    bench = deployed.fresh()
    bench.trust()
    bench.ask(Op.RESTART)
    bench.until(lambda: bench.chip.machine.resets == 2)
    bench.trust()
    assert status(bench).reset_cause == ResetCause.SOFTWARE


def test_a_program_that_hangs_is_restarted_by_the_watchdog(deployed: OnceDeployed) -> None:
    board = Board(deployed.bench.chip.name, BoardConfig(flash=deployed.bench.chip.flash_image()))
    board.power_on()
    board.run_ms(400)
    board.machine.jump(RETURN_AT)  # a jump to itself
    board.run_ms(9000)
    assert board.machine.reset_cause == "watchdog"


def test_holding_the_release_pin_low_at_start_makes_the_leaf_forget(deployed: OnceDeployed) -> None:
    bench = deployed.fresh()
    bench.chip.pins.set(bench.chip.wiring.release, False)
    bench.until(lambda: bench.link.hello is not None and bench.link.hello.key == b"")
    assert bench.chip.machine.flash.operations == 2  # both slots erased


def test_a_glitch_on_the_release_pin_makes_it_forget_nothing(deployed: OnceDeployed) -> None:
    bench = deployed.fresh()
    bench.chip.pins.set(bench.chip.wiring.release, False)
    bench.step(500)
    bench.chip.pins.set(bench.chip.wiring.release, None)
    bench.trust()
    assert bench.chip.machine.flash.operations == 0


@pytest.mark.parametrize("tear", list(Tear))
def test_power_that_fails_during_a_deploy_leaves_the_old_program(
    deployed: OnceDeployed, tear: Tear
) -> None:
    bench = deployed.fresh()
    bench.trust()
    package = bench.package(EVERYTHING, counter=2)
    bench.cut(operations=3, cut=Cut(0, tear, seed=5))
    bench.start_deploy(package)
    bench.until(lambda: bench.chip.machine.flash.operations == 0 and bench.closed > 0)
    bench.trust()
    assert status(bench).counter == 1  # what was cut is not there, and what was there still is
    assert isinstance(bench.deploy(package), Deployed)
    assert not bench.chip.machine.flash.mistakes


def test_bytes_that_come_while_the_flash_is_erased_are_lost_and_counted() -> None:
    board = Board("stm32f405")
    board.power_on()
    board.run_ms(5)
    board.machine.stall_to(board.machine.now_ns + 10_000_000)
    board.link.put(bytes(50))
    board.machine.stall_to(board.machine.now_ns + 10_000_000)
    board.run_ms(2)
    assert board.link.overruns == 49


def test_a_fault_makes_the_firmware_note_it_and_start_again(deployed: OnceDeployed) -> None:
    bench = deployed.fresh()
    bench.trust()
    bench.chip.machine.raise_fault()
    bench.until(lambda: bench.chip.machine.resets == 2)
    bench.trust()
    assert status(bench).reset_cause == ResetCause.FAULT


def test_an_access_where_nothing_is_stops_the_board() -> None:
    board = Board("stm32f405")
    board.power_on()
    board.machine.jump(0x2000_0100)  # RAM, which holds nonsense
    with pytest.raises(BoardFault, match="pc 0x"):
        board.run_ms(100)


def test_a_board_is_a_function_of_its_seed() -> None:
    def sent(seed: int) -> tuple[bytes, int]:
        bench = Workbench("stm32f405", BoardConfig(seed=seed))
        bench.until(lambda: bench.link.hello is not None)
        assert bench.link.hello is not None
        return bench.link.hello.boot_nonce, bench.chip.machine.instructions

    same: Callable[[], tuple[bytes, int]] = lambda: sent(3)  # noqa: E731 - reads better
    assert same() == same()
    assert sent(3)[0] != sent(4)[0]
