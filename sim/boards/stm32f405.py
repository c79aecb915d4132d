"""The peripherals of an STM32F405 (RM0090) as far as the firmware has to do with them."""

from __future__ import annotations

from collections.abc import Mapping

from unicorn import arm_const as arm

from sim.boards import stm32_family as family
from sim.boards.blocks import Host, Registers
from sim.boards.machine import Machine, Processor
from sim.boards.wiring import Wiring

PROCESSOR = Processor(
    cpu_model=arm.UC_CPU_ARM_CORTEX_M4,
    clock_hz=64_000_000,
    cycles_per_instruction=1.35,
    flash_base=0x0800_0000,
    flash_bytes=0x1_0000,  # of 1 MB: what the firmware uses
    vectors_at=0x0800_0000,
    ram=((0x2000_0000, 0x2000),),
)


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

    ACR, KEYR, SR, CR = 0x00, 0x04, 0x0C, 0x10
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

    def store(self, at: int, value: int) -> None:
        if at == self.SR:
            self.values[at] &= ~value
        else:
            super().store(at, value)

    def control(self, value: int) -> None:
        if value & self.START and value & self.ERASE:
            assert value & 3 << 8 == self.BY_WORD
            self.erase_sector(value >> 3 & 0xF, self.SECTOR_BYTES, self.ERASE_NS)

    def flash_store(self, address: int, size: int, value: int) -> None:
        control = self.values[self.CR]
        if control & self.LOCK or not control & self.PROGRAM or size != 4 or address % 4:
            self._memory.mistakes["write without permission"] += 1
            self.values[self.SR] |= self.SEQUENCE_ERROR
            return
        if not self._memory.is_erased(address, 4):
            self._memory.mistakes["word programmed twice"] += 1
        self._memory.program(address, value.to_bytes(4, "little"))
        self.host.stall_to(self.host.now_ns + self.PROGRAM_NS)


class Adc(Registers):
    """Converts the one input of SQR3 when told; `inputs` holds the counts."""

    SR, CR2, SQR3, DR = 0x00, 0x08, 0x34, 0x4C
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

    def __init__(self, host: Host, base: int, inputs: list[int]) -> None:
        self._inputs = inputs
        super().__init__(host, base)

    def store(self, at: int, value: int) -> None:
        super().store(at, value)
        if at == self.CR2 and value & 1 << 30 and value & 1:
            self.values[self.DR] = self._inputs[self.values[self.SQR3] & 0x1F] & 0xFFF
            self.values[self.SR] |= 2

    def load(self, at: int) -> int:
        if at == self.DR:
            self.values[self.SR] &= ~2
        return super().load(at)


def make(machine: Machine, adc: list[int], seed: int) -> Wiring:
    lines = (
        Usart(machine, family.USART1, family.USART1_EXCEPTION),
        Usart(machine, family.USART2, family.USART2_EXCEPTION),
    )
    machine.add(Flash(machine, 0x4002_3C00, machine.flash), Adc(machine, 0x4001_2000, adc))
    places = family.Places(
        gpio=0x4002_0000, random=0x5006_0800, watchdog=0x4000_3000, slots=(0x0800_8000, 0x0800_C000)
    )
    return family.wire(machine, places, Rcc(machine, 0x4002_3800), lines, seed)
