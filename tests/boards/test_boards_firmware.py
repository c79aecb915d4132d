"""The production firmware of all four parts on boards in software: all that a board does, once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from leaves_once import OLD, OnceDeployed, everything, once_deployed

from mesh.leaf.frame import Frame, Kind, encode
from mesh.leaf.messages import Op, Status, decode_status
from mesh.leaf.transfer import Deployed
from sim.boards.board import MAKERS, Board, BoardConfig
from sim.boards.cuts import cases_of, chosen_of, judge
from sim.boards.devices import I2cDevice, SpiDevice
from sim.boards.flash import Cut, Tear
from sim.boards.machine import RETURN_AT, BoardFault
from sim.boards.prober import AGAIN_EACH_MS, Prober
from sim.boards.workbench import Workbench
from sim.leaves.board import ResetCause

pytestmark = pytest.mark.timeout(300)

BOARDS_HERE = sorted(MAKERS)


@pytest.fixture(params=BOARDS_HERE)
def deployed(request: pytest.FixtureRequest) -> OnceDeployed:
    return once_deployed(request.param)


@pytest.fixture
def deployed_f405() -> OnceDeployed:
    """For what is the same on all boards."""
    return once_deployed("stm32f405")


def status(board: Board) -> Status:
    found = Prober(board).status()
    assert found is not None
    return found


def emitted(bench: Workbench, code: int) -> list[int]:
    return [e.value for _, e in bench.delivered if e.kind == 0 and e.code == code]


def test_deploys_break_no_rule_of_the_flash_and_stay_within_six_kilobytes(
    deployed: OnceDeployed,
) -> None:
    chip = deployed.bench.chip
    assert not chip.machine.flash.mistakes
    assert chip.image.ram_bytes + chip.stack_bytes() <= 6 * 1024


def test_rules_reach_pins_converters_buses_and_the_uart(deployed: OnceDeployed) -> None:
    bench = deployed.fresh()
    chip, wiring = bench.chip, bench.chip.wiring
    bench.trust()
    now = decode_status(bench.ask(Op.STATUS).results)  # the program has survived the power cycle
    assert (now.counter, now.trial, now.reset_cause) == (2, 0, ResetCause.POWER)
    bench.step(70)
    assert emitted(bench, 2)[-1] == -(2**31)  # no sensor is there yet
    sensor = I2cDevice(chip.pins, wiring.scl, wiring.sda, 0x48)
    sensor.registers[2:4] = b"\x12\x34"
    memory = SpiDevice(chip.pins, wiring.sck, wiring.miso, wiring.mosi, select=7)
    chip.adc[0], chip.adc[1] = 900, 1234
    chip.uart.put(b"A\n")
    bench.step(150)
    assert chip.pins.level(5)
    assert chip.dac(0) == (1234 if "dac" in everything(chip.name) else None)
    assert emitted(bench, 2)[-1] == 0x1234
    assert memory.registers[5] == 0x34
    assert emitted(bench, 3)[-1] == 0x34
    assert emitted(bench, 4) == [ord("A")]
    assert chip.uart.take() == b"B"
    chip.adc[0] = 700
    bench.step(50)
    assert not chip.pins.level(5)
    assert decode_status(bench.ask(Op.STATUS).results).resource_failures > 0


@pytest.mark.parametrize("name", BOARDS_HERE)
def test_resets_tell_their_cause(name: str) -> None:
    board = Board(name)
    board.power_on()
    assert status(board).reset_cause == ResetCause.POWER
    assert Prober(board).ask(Op.RESTART) is not None
    board.run_ms(10)
    assert status(board).reset_cause == ResetCause.SOFTWARE
    board.machine.raise_fault()
    board.run_ms(10)
    assert status(board).reset_cause == ResetCause.FAULT
    board.machine.reset("pin")
    assert status(board).reset_cause == ResetCause.PIN
    assert board.machine.resets == 4


@pytest.mark.parametrize("name", BOARDS_HERE)
def test_a_program_that_hangs_is_restarted_by_the_watchdog(name: str) -> None:
    board = Board(name)
    board.power_on()
    assert status(board).reset_cause == ResetCause.POWER
    board.machine.jump(RETURN_AT)  # a jump to itself
    board.run_ms(7800)
    assert board.machine.resets == 1
    board.run_ms(500)
    assert (board.machine.resets, board.machine.reset_cause) == (2, "watchdog")
    assert status(board).reset_cause == ResetCause.WATCHDOG


def test_a_boot_longer_than_a_hello_waits_ends_in_one_session() -> None:
    board = once_deployed("rp2040").board()
    prober = Prober(board)
    now = prober.status()
    assert now is not None
    assert prober.hello is not None
    assert now.uptime_ms > AGAIN_EACH_MS
    assert prober.hello.epoch == 2  # both hellos were heard at its end
    assert now.crc_errors == 0  # and nothing was asked in the session of the first one


def test_a_restart_ends_a_session_and_the_next_one_begins() -> None:
    board = Board("stm32f405")
    board.power_on()
    prober = Prober(board)
    assert prober.ask(Op.RESTART) is not None
    assert prober.hello is not None
    boot_nonce = prober.hello.boot_nonce
    now = prober.status()
    assert now is not None
    assert now.reset_cause == ResetCause.SOFTWARE
    assert prober.hello.boot_nonce != boot_nonce


def test_what_an_earlier_conversation_left_on_the_line_is_not_an_answer(
    deployed_f405: OnceDeployed,
) -> None:
    board = deployed_f405.board()
    before = Prober(board)
    assert before.status() is not None
    assert before.hello is not None
    left = Frame(Kind.ANSWER, before.hello.epoch, bytes.fromhex("820100"))
    board.link.sent.extend(b"\0" + encode(left))  # of request 1, which all of them ask
    assert Prober(board).status() is not None


def test_holding_the_release_pin_low_at_start_makes_the_leaf_forget(deployed: OnceDeployed) -> None:
    board = Board(deployed.known.board, deployed.config())
    board.pins.set(board.wiring.release, False)
    board.power_on()
    prober = Prober(board)
    assert prober.status() is not None
    assert prober.hello is not None
    assert prober.hello.key == b""
    assert board.machine.flash.operations == 2  # both slots erased


def test_a_glitch_on_the_release_pin_makes_it_forget_nothing(deployed_f405: OnceDeployed) -> None:
    board = deployed_f405.board()
    board.pins.set(board.wiring.release, False)
    board.run_ms(500)
    board.pins.set(board.wiring.release, None)
    assert status(board).counter == 2
    assert board.machine.flash.operations == 0


def test_power_that_fails_leaves_the_old_program_or_the_new_one(deployed: OnceDeployed) -> None:
    """A sample; `python -m sim.boards.powercut` is all of it."""
    deploy, confirm = deployed.phases
    cases = [
        *cases_of(deployed.known, deploy, chosen_of(len(deploy.operations), 3)),
        *cases_of(deployed.known, confirm, range(1)),
    ]
    seen = set()
    for case in cases[5 :: len(Tear) + 1] if deployed.known.board == "rp2040" else cases[1::4]:
        outcome, why = judge(deployed.known, case)
        assert outcome in ("old", "new"), (case.phase, case.operation, case.tear, why)
        seen.add(case.tear)
    assert len(seen) >= 2


def test_a_leaf_whose_deploy_was_cut_can_be_deployed_to_again(deployed_f405: OnceDeployed) -> None:
    bench = deployed_f405.fresh()
    bench.trust()
    package = bench.package(OLD, counter=3)
    bench.cut(operations=3, cut=Cut(0, Tear.TORN, seed=5))
    bench.start_deploy(package)
    bench.until(lambda: bench.chip.machine.flash.operations == 0 and bench.closed > 0)
    bench.trust()
    assert decode_status(bench.ask(Op.STATUS).results).counter == 2
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
