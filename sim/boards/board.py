"""A whole board: a part with its firmware in flash, and everything that is wired to it.

    board = Board("stm32f405")
    board.power_on(); board.run_ms(5)
    board.link.put(bytes); board.link.take()
    board.adc[0] = 2048; board.pins.level(5)
    again = Board("stm32f405", BoardConfig(flash=board.flash_image()))    # power cycle

Each part has a maker in MAKERS that puts its peripherals into the machine and returns the Wiring.
"""

from __future__ import annotations

import attrs

from sim.boards import nrf52840, rp2040, stm32f405, stm32h7a3
from sim.boards.flash import Cut
from sim.boards.image import Image, firmware
from sim.boards.machine import Machine, Processor
from sim.boards.wiring import Maker, Wiring

NS_PER_MS = 1_000_000
ADC_INPUTS = 16
STACK_PAINT = 0x5EAF5EAF


@attrs.frozen
class BoardConfig:
    seed: int = 0
    """Of random numbers and of what RAM holds at power on."""
    flash: bytes | None = None
    """What flash holds; the firmware and nothing else by default."""
    unreadable: frozenset[int] = frozenset()
    """Addresses of words in it whose ECC is torn."""
    cut: Cut | None = None
    image: Image | None = None
    """Another firmware than the production one."""


class Board:
    """One board. Nothing runs until it has power."""

    def __init__(self, name: str, config: BoardConfig | None = None) -> None:
        config = config or BoardConfig()
        processor, maker = MAKERS[name]
        self.name, self.config = name, config
        self.image = config.image or firmware(name)
        contents = config.flash
        if contents is None:
            contents = self.image.flash(processor.flash_base, processor.flash_bytes)
        self.machine = Machine(processor, contents, config.seed)
        self.machine.flash.cut = config.cut
        self.adc = [0] * ADC_INPUTS
        """Counts at the converter inputs; set them."""
        self._wiring = wiring = maker(self.machine, self.adc, config.seed)
        self.machine.spoil(config.unreadable)
        self.link, self.uart, self.pins = wiring.link, wiring.uart, wiring.pins
        self.machine.on_reset = wiring.on_reset

    @property
    def wiring(self) -> Wiring:
        return self._wiring

    @property
    def now_ms(self) -> float:
        return self.machine.now_ns / NS_PER_MS

    def dac(self, output: int) -> int | None:
        return self._wiring.dac(output)

    def power_on(self) -> None:
        self.machine.power_on()

    def run_ms(self, duration_ms: float) -> bool:
        """Let time pass. False once power has failed. Raises BoardFault."""
        self.machine.run_until(self.machine.now_ns + int(duration_ms * NS_PER_MS))
        return not self.machine.is_dark

    def again(self) -> Board:
        """The same board after power was gone, still off: its flash, and the outside's settings.
        Its random numbers are others."""
        config = self.config
        torn = frozenset(self.machine.flash.unreadable)
        config = attrs.evolve(
            config, seed=config.seed + 1, flash=self.flash_image(), unreadable=torn, cut=None
        )
        board = Board(self.name, config)
        board.machine.now_ns = self.machine.now_ns
        board.adc[:] = self.adc
        return board

    def with_slots_of(self, old: bytes) -> Board:
        """This firmware beside what else an older flash held, as after an update by debugger.
        Raises ValueError for a flash of another size."""
        flash = self.machine.flash
        if len(old) != flash.size:
            raise ValueError(f"a {self.name} has {flash.size} bytes of flash here, not {len(old)}")
        merged = bytearray(old)
        for address, data in self.image.pieces:
            merged[address - flash.base : address - flash.base + len(data)] = data
        return Board(self.name, attrs.evolve(self.config, flash=bytes(merged)))

    def flash_image(self) -> bytes:
        """What flash holds now; give it to the next board for a power cycle."""
        return bytes(self.machine.flash.data)

    def stack_bytes(self) -> int:
        """The most stack that was ever used, interrupts included."""
        symbols = self.image.symbols
        bottom, top = symbols["_stack_bottom"], symbols["_stack_top"]
        at = bottom
        while at < top and self.machine.word(at) == STACK_PAINT:
            at += 4
        return top - at


MAKERS: dict[str, tuple[Processor, Maker]] = {
    "stm32f405": (stm32f405.PROCESSOR, stm32f405.make),
    "stm32h7a3": (stm32h7a3.PROCESSOR, stm32h7a3.make),
    "nrf52840": (nrf52840.PROCESSOR, nrf52840.make),
    "rp2040": (rp2040.PROCESSOR, rp2040.make),
}
