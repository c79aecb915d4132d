"""The peripherals of an STM32F405 (RM0090) as far as the firmware has to do with them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from unicorn import arm_const as arm

from sim.boards import stm32_family as family

PROCESSOR = family.processor(arm.UC_CPU_ARM_CORTEX_M4, 1.35)


class Rcc(family.Rcc):
    """Clocks come on at once; CSR tells why the part started."""

    NAMES: Mapping[int, str] = {
        0x00: "CR",
        0x04: "PLLCFGR",
        0x08: "CFGR",
        0x30: "AHB1ENR",
        0x34: "AHB2ENR",
        0x40: "APB1ENR",
        0x44: "APB2ENR",
        0x74: "CSR",
    }
    RESET: Mapping[int, int] = {0x00: 0x83, 0x04: 0x24003010}
    CR, CFGR, REASONS, FORGET = 0x00, 0x08, 0x74, 1 << 24
    CAUSES: Mapping[str, int] = {
        "power": 1 << 27 | 1 << 26 | 1 << 25,
        "pin": 1 << 26,
        "brownout": 1 << 26 | 1 << 25,
        "software": 1 << 28 | 1 << 26,
        "watchdog": 1 << 29 | 1 << 26,
    }

    def load(self, at: int) -> int:
        value = super().load(at)
        if at == self.CR:
            return value | value >> 24 << 25 & 1 << 25
        if at == self.CFGR:
            return value | (value & 3) << 2
        return value


class Usart(family.Usart):
    """The first generation: one byte of buffer, SR and DR."""

    STATUS, OUT, CR1, ON, DEPTH = 0x00, 0x04, 0x0C, 0x2004, 1
    NAMES: Mapping[int, str] = {
        0x00: "SR",
        0x04: "DR",
        0x08: "BRR",
        0x0C: "CR1",
        0x10: "CR2",
        0x14: "CR3",
    }

    def load(self, at: int) -> int:
        if at == self.OUT:
            self.uart.overrun = False  # SR was read before
            return self.uart.receive()
        return super().load(at)


class Flash(family.Flash):
    """Words of 32 bits at a time; sectors of 16 KB; everything stops while it works.

    A bit that is 0 cannot be programmed to 1, and programming what is programmed already is allowed
    as far as it clears bits; the firmware does not do it, and it is counted as a mistake."""

    KEYR, SR, CR = 0x04, 0x0C, 0x10
    CLEAR = SR
    NAMES: Mapping[int, str] = {
        0x00: "ACR",
        0x04: "KEYR",
        0x08: "OPTKEYR",
        0x0C: "SR",
        0x10: "CR",
        0x14: "OPTCR",
    }
    LOCK, PROGRAM, ERASE, START, BY_WORD = 1 << 31, 1, 2, 1 << 16, 2 << 8
    SEQUENCE_ERROR = 1 << 7
    SECTOR_BYTES = 0x4000
    PROGRAM_NS, ERASE_NS = 16_000, 250_000_000  # typical, data sheet table 48

    def control(self, value: int) -> None:
        if value & self.START and value & self.ERASE:
            assert value & 3 << 8 == self.BY_WORD
            self.erase_sector(value >> 3 & 0xF, self.SECTOR_BYTES, self.ERASE_NS)

    def flash_store(self, address: int, size: int, value: int) -> None:
        if not self.is_programming() or size != 4 or address % 4:
            self.refuse()
            return
        if not self._memory.is_erased(address, 4):
            self._memory.mistakes["word programmed twice"] += 1
        self.program_word(address, value.to_bytes(4, "little"))


class Adc(family.Adc):
    """Converts the one input of SQR3 when told."""

    STATUS, CR2, SQR3, DR, DONE = 0x00, 0x08, 0x34, 0x4C, 2
    NAMES: Mapping[int, str] = {
        0x00: "SR",
        0x04: "CR1",
        0x08: "CR2",
        0x0C: "SMPR1",
        0x10: "SMPR2",
        0x2C: "SQR1",
        0x30: "SQR2",
        0x34: "SQR3",
        0x4C: "DR",
    }

    def store(self, at: int, value: int) -> None:
        super().store(at, value)
        if at == self.CR2 and value & 1 << 30 and value & 1:
            self.convert(self.values[self.SQR3] & 0x1F)


PART = family.Part(
    rcc=Rcc,
    rcc_at=0x4002_3800,
    usart=Usart,
    flash=Flash,
    flash_at=0x4002_3C00,
    adc=Adc,
    adc_at=0x4001_2000,
    gpio_at=0x4002_0000,
    random_at=0x5006_0800,
    watchdog_at=0x4000_3000,
    slots=(0x0800_8000, 0x0800_C000),
)
make = partial(family.wire, PART)
