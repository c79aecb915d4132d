"""The second compiler: what it makes fits, and does on the boards what the first one's does."""

from __future__ import annotations

import shutil

import pytest
from leaves_once import once_deployed

from mesh.leaf.messages import Op, decode_status
from mesh.leaf.transfer import Deployed
from sim.boards.board import MAKERS
from sim.boards.image import firmware

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="gcc-arm-none-eabi"),
]
SOURCE = """
@every("20ms")
def relay():
    gpio(5).set(adc(0) > 800)
"""


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_a_board_built_with_gcc_takes_a_program_and_runs_it(name: str) -> None:
    image = firmware(name, "gcc")
    bench = once_deployed(name).with_firmware(image)
    bench.trust()
    assert decode_status(bench.ask(Op.STATUS).results).counter == 2  # what the other's took
    assert isinstance(bench.deploy(bench.package(SOURCE, 3)), Deployed)
    assert bench.ask(Op.CONFIRM, [3]).error == 0
    bench.chip.adc[0] = 900
    bench.step(60)
    assert bench.chip.pins.level(5)
    bench.chip.adc[0] = 700
    bench.step(60)
    assert not bench.chip.pins.level(5)
    assert image.flash_bytes <= 16 * 1024
    assert image.ram_bytes + bench.chip.stack_bytes() <= 6 * 1024
    assert not bench.chip.machine.flash.mistakes
