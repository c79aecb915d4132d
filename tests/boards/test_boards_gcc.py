"""The second compiler: what it makes fits, and does on the boards what the first one's does."""

from __future__ import annotations

import shutil

import pytest

from mesh.leaf.messages import Op
from mesh.leaf.transfer import Deployed
from sim.boards.board import MAKERS, BoardConfig
from sim.boards.image import firmware
from sim.boards.workbench import Workbench

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
    bench = Workbench(name, BoardConfig(seed=3, image=image))
    bench.provision()
    assert isinstance(bench.deploy(bench.package(SOURCE, 1)), Deployed)
    assert bench.ask(Op.CONFIRM, [1]).error == 0
    bench.chip.adc[0] = 900
    bench.step(60)
    assert bench.chip.pins.level(5)
    bench.chip.adc[0] = 700
    bench.step(60)
    assert not bench.chip.pins.level(5)
    assert image.ram_bytes + bench.chip.stack_bytes() <= 6 * 1024
    assert not bench.chip.machine.flash.mistakes
