"""One deployed leaf on each part, made once for all tests: they take its flash, not the board."""

from __future__ import annotations

from functools import cache

from mesh.rules.boards import BOARDS
from mesh.rules.program import BoardKind
from sim.boards.board import Board, BoardConfig
from sim.boards.cuts import Journey, Known, Recorder
from sim.boards.image import Image
from sim.boards.workbench import Workbench

TALK = """
@every("30ms")
def buses(seen: int = 0):
    seen = i2c(0, address=0x48, register=2, size=2)
    emit(2, seen)
    spi(0, select=7, first=5, size=1).set(seen & 255)
    emit(3, spi(0, select=7, first=0x85, size=1))

@on_line(uart(0))
def talk(c: int = 0):
    c = uart(0)
    emit(4, c)
    uart(0).set(c + 1)
"""
HEAT = """
@every("20ms")
def heat(n: int = 0):
    gpio(5).set(adc(0) * 0.1 > 80.0)
    n += 1
    emit(1, n)
"""
OLD = '@every("1s")\ndef old():\n    emit(9, 9)\n'


def everything(name: str) -> str:
    """Rules that use all that a board has."""
    outputs = BOARDS[BoardKind[name.upper()]].dac_outputs
    return HEAT + ("    dac(0).set(adc(1))\n" if outputs else "") + TALK


class OnceDeployed:
    """One deployed board of each part, shared: tests take its flash, not the board itself.

    The RP2040 has no program before: its processor takes as long for one signature as the others do
    for five."""

    def __init__(self, name: str) -> None:
        self.bench = bench = Workbench(name, BoardConfig(seed=7))
        key = bench.provision()
        packages = {1: bench.package(OLD, 1), 2: bench.package(everything(name), 2)}
        memory = bench.chip.machine.flash
        self.known = Known(name, memory.base, key, packages, memory.ecc_bytes)
        recorder = Recorder(bench)
        before = 0 if name == "rp2040" else 1
        if before:
            recorder.deploy("first", (0, 1), packages[1])
            recorder.confirm("first", (1, 1))
            recorder.phases.clear()
        recorder.deploy("deploy", (before, 2), packages[2])
        recorder.confirm("confirm", (before, 2))
        self.phases = recorder.phases

    def config(self) -> BoardConfig:
        return BoardConfig(seed=9, flash=self.bench.chip.flash_image())

    def board(self) -> Board:
        """The same leaf on another board, just switched on."""
        board = Board(self.known.board, self.config())
        board.power_on()
        return board

    def fresh(self) -> Workbench:
        """Another gateway at such a board."""
        bench = Workbench(self.known.board, self.config())
        bench.admitted |= self.bench.admitted
        return bench

    def with_firmware(self, image: Image) -> Workbench:
        """A gateway at such a board whose firmware is another one's."""
        blank = Board(self.known.board, BoardConfig(seed=9, image=image))
        flash = blank.with_slots_of(self.bench.chip.flash_image()).flash_image()
        bench = Workbench(self.known.board, BoardConfig(seed=9, flash=flash, image=image))
        bench.admitted |= self.bench.admitted
        return bench

    @property
    def journey(self) -> Journey:
        """Its last deploy and its confirmation."""
        return Journey(self.known, tuple(self.phases))


@cache
def once_deployed(name: str) -> OnceDeployed:
    return OnceDeployed(name)
