"""The firmware in an emulator that shares nothing with ours; skipped where there is no QEMU."""

from __future__ import annotations

import pytest

from mesh.leaf.messages import LeafError, Op, decode_status
from mesh.leaf.transfer import Deployed
from mesh.rules.program import BoardKind
from sim.boards.qemu import QEMU, QemuBench, has_qemu
from sim.leaves.board import ResetCause

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not has_qemu(), reason=f"{QEMU} is not installed"),
]

RULES = (
    '@every("50ms")\ndef beat(n: int = 0):\n    n += 1\n    gpio(5).set(n & 1)\n    emit(1, n)\n'
)


def test_an_stm32f405_boots_and_tells_that_its_flash_cannot_be_written() -> None:
    with QemuBench("netduinoplus2") as bench:
        bench.until(lambda: bench.link.hello is not None)
        assert bench.link.hello is not None
        assert (bench.link.hello.board, bench.link.hello.key) == (BoardKind.STM32F405, b"")
        identity = [bench.authority.mesh, bench.authority.key, b"e" * 32]
        assert bench.ask(Op.PROVISION, identity).error == LeafError.FLASH_FAILED
        assert decode_status(bench.ask(Op.STATUS).results).slot == 0


def test_the_driver_of_the_nrf52840_keeps_a_program_over_a_reset() -> None:
    with QemuBench("microbit") as bench:
        bench.provision()
        assert isinstance(bench.deploy(bench.package(RULES, counter=1)), Deployed)
        assert bench.ask(Op.CONFIRM, [1]).error == 0
        bench.until(lambda: len(bench.delivered) >= 5)
        resets = {event_name[0] for event_name, _ in bench.delivered}

        bench.reset_leaf(ResetCause.PIN)
        bench.until(lambda: {event_name[0] for event_name, _ in bench.delivered} > resets)

        now = decode_status(bench.ask(Op.STATUS).results)
        assert (now.counter, now.trial) == (1, 0)
        assert now.slot != 0
        assert not bench.distrusted
