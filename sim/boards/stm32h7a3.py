"""The peripherals of an STM32H7A3 (RM0455) as far as the firmware has to do with them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from unicorn import arm_const as arm

from sim.boards import stm32_family as family
from sim.boards.blocks import Host
from sim.boards.flash import ERASED, FlashMemory

PROCESSOR = family.processor(arm.UC_CPU_ARM_CORTEX_M7, 1.0)


class Rcc(family.Rcc):
    """Clocks come on at once; RSR tells why the part started."""

    NAMES: Mapping[int, str] = {
        0x00: "CR",
        0x130: "RSR",
        0x138: "AHB1ENR",
        0x13C: "AHB2ENR",
        0x140: "AHB4ENR",
        0x148: "APB1LENR",
        0x150: "APB2ENR",
    }
    RESET: Mapping[int, int] = {0x00: 0x25}
    CR, REASONS, FORGET = 0x00, 0x130, 1 << 16
    CAUSES: Mapping[str, int] = {
        "power": 1 << 23 | 1 << 22 | 1 << 21,
        "pin": 1 << 22,
        "brownout": 1 << 22 | 1 << 21,
        "software": 1 << 24 | 1 << 22,
        "watchdog": 1 << 26 | 1 << 22,
    }

    def load(self, at: int) -> int:
        value = super().load(at)
        return value | (value >> 12 & 1) << 13 if at == self.CR else value


class Usart(family.Usart):
    """The second generation, with its FIFO switched on."""

    CR1, STATUS, ICR, RDR, OUT, DEPTH = 0x00, 0x1C, 0x20, 0x24, 0x28, 16
    NAMES: Mapping[int, str] = {
        0x00: "CR1",
        0x04: "CR2",
        0x08: "CR3",
        0x0C: "BRR",
        0x1C: "ISR",
        0x20: "ICR",
        0x24: "RDR",
        0x28: "TDR",
    }
    ON = 1 << 29 | 1 << 2 | 1

    def load(self, at: int) -> int:
        return self.uart.receive() if at == self.RDR else super().load(at)

    def store(self, at: int, value: int) -> None:
        super().store(at, value)
        if at == self.ICR and value & 8:
            self.uart.overrun = False


class Flash(family.Flash):
    """Words of 16 bytes, each with ECC: written once between erasures, in whole. Sectors of 8 KB.

    The firmware runs from the same bank, so everything stops while it works. A word that is
    programmed a second time can no longer be read back on the part: a mistake, and garbage. One
    that lost power in between is a bus fault to whoever reads it."""

    KEYR, CR, SR, CLEAR = 0x04, 0x0C, 0x10, 0x14
    NAMES: Mapping[int, str] = {
        0x00: "ACR",
        0x04: "KEYR",
        0x08: "OPTKEYR",
        0x0C: "CR",
        0x10: "SR",
        0x14: "CCR",
    }
    LOCK, PROGRAM, ERASE, START = 1, 2, 4, 1 << 5
    BUFFER_NOT_EMPTY, SEQUENCE_ERROR, STROBE_ERROR = 2, 1 << 18, 1 << 19
    WORD_BYTES, SECTOR_BYTES = 16, 0x2000
    PROGRAM_NS, ERASE_NS = 90_000, 2_200_000  # typical, data sheet

    def __init__(self, host: Host, base: int, memory: FlashMemory) -> None:
        memory.ecc_bytes = self.WORD_BYTES
        super().__init__(host, base, memory)

    def reset(self) -> None:
        super().reset()
        self._buffer: dict[int, int] = {}

    def control(self, value: int) -> None:
        if not value & self.PROGRAM:
            self._buffer.clear()
        if value & self.START and value & self.ERASE:
            self.erase_sector(value >> 6 & 0x7F, self.SECTOR_BYTES, self.ERASE_NS)

    def load(self, at: int) -> int:
        value = super().load(at)
        return value | self.BUFFER_NOT_EMPTY if at == self.SR and self._buffer else value

    def flash_store(self, address: int, size: int, value: int) -> None:
        if not self.is_programming():
            self.refuse()
            return
        begin = address & -self.WORD_BYTES
        for offset, byte in enumerate(value.to_bytes(size, "little")):
            at = address + offset
            if at in self._buffer:
                self.values[self.SR] |= self.STROBE_ERROR
            assert all(each & -self.WORD_BYTES == begin for each in self._buffer)
            self._buffer[at] = byte
        if len(self._buffer) == self.WORD_BYTES:
            self._program(begin)

    def _program(self, begin: int) -> None:
        word = bytes(self._buffer[begin + i] for i in range(self.WORD_BYTES))
        self._buffer.clear()
        if word != bytes([ERASED]) * self.WORD_BYTES and not self._memory.is_erased(
            begin, self.WORD_BYTES
        ):
            self._memory.mistakes["word programmed twice"] += 1
        self.program_word(begin, word)


class Adc(family.Adc):
    """ADC1: converts the one input of SQR1 when told."""

    STATUS, CR, PCSEL, SQR1, DR, DONE = 0x00, 0x08, 0x1C, 0x30, 0x40, 4
    NAMES: Mapping[int, str] = {
        0x00: "ISR",
        0x04: "IER",
        0x08: "CR",
        0x0C: "CFGR",
        0x14: "SMPR1",
        0x18: "SMPR2",
        0x1C: "PCSEL",
        0x30: "SQR1",
        0x40: "DR",
        0x308: "CCR",
    }
    RESET: Mapping[int, int] = {0x08: 1 << 29}
    ENABLE, START, REGULATOR, DEEP_SLEEP = 1, 1 << 2, 1 << 28, 1 << 29
    CHANNELS = (16, 17, 14, 15, 18, 19, 3, 7, 9, 5, 10, 11, 12, 13, 4, 8)
    """Of PA0..PA7, PB0, PB1, PC0..PC5, which are inputs 0 to 15 (data sheet, pin table)."""

    def store(self, at: int, value: int) -> None:
        super().store(at, value)
        if at == self.CR and value & self.ENABLE:
            assert value & self.REGULATOR, "no supply"
            assert not value & self.DEEP_SLEEP, "it sleeps"
            self.values[self.STATUS] |= 1
            if value & self.START:
                self._convert(self.values[self.SQR1] >> 6 & 0x1F)

    def _convert(self, channel: int) -> None:
        assert self.values[self.PCSEL] >> channel & 1, "the input is not connected (PCSEL)"
        self.convert(self.CHANNELS.index(channel))
        self.values[self.CR] &= ~self.START


PART = family.Part(
    rcc=Rcc,
    rcc_at=0x5802_4400,
    usart=Usart,
    flash=Flash,
    flash_at=0x5200_2000,
    adc=Adc,
    adc_at=0x4002_2000,
    gpio_at=0x5802_0000,
    random_at=0x4802_1800,
    watchdog_at=0x5800_4800,
    slots=(0x0800_8000, 0x0800_A000),
)
make = partial(family.wire, PART)
