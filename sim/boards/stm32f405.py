"""The peripherals of an STM32F405 (RM0090) as far as the firmware has to do with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from unicorn import arm_const as arm

from sim.boards.blocks import FlashController, Host, Registers
from sim.boards.flash import FlashMemory
from sim.boards.machine import Processor
from sim.boards.uart import Uart

PROCESSOR = Processor(
    cpu_model=arm.UC_CPU_ARM_CORTEX_M4,
    clock_hz=64_000_000,
    cycles_per_instruction=1.35,
    flash_base=0x0800_0000,
    flash_bytes=0x1_0000,  # of 1 MB: what the firmware uses
    vectors_at=0x0800_0000,
    ram=((0x2000_0000, 0x2000),),
)
USART1, USART2 = 0x4001_1000, 0x4000_4400
USART1_EXCEPTION, USART2_EXCEPTION = 16 + 37, 16 + 38


class Rcc(Registers):
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
    CR, CFGR, CSR = 0x00, 0x08, 0x74
    CAUSES: Mapping[str, int] = {
        "power": 1 << 27 | 1 << 26 | 1 << 25,
        "pin": 1 << 26,
        "brownout": 1 << 26 | 1 << 25,
        "software": 1 << 28 | 1 << 26,
        "watchdog": 1 << 29 | 1 << 26,
    }

    def __init__(self, host: Host, base: int) -> None:
        self.flags = 0
        super().__init__(host, base)

    def load(self, at: int) -> int:
        value = super().load(at)
        if at == self.CR:
            return value | value >> 24 << 25 & 1 << 25
        if at == self.CFGR:
            return value | (value & 3) << 2
        return value | self.flags if at == self.CSR else value

    def store(self, at: int, value: int) -> None:
        if at == self.CSR and value & 1 << 24:
            self.flags, value = 0, 0
        super().store(at, value)


class Usart(Registers):
    """The first generation: one byte of buffer, SR and DR."""

    SR, DR, CR1 = 0x00, 0x04, 0x0C
    NAMES: Mapping[int, str] = {
        0x00: "SR",
        0x04: "DR",
        0x08: "BRR",
        0x0C: "CR1",
        0x10: "CR2",
        0x14: "CR3",
    }

    def __init__(self, host: Host, base: int, exception: int) -> None:
        self.uart = Uart(host, depth=1)
        self._exception = exception
        super().__init__(host, base)

    def reset(self) -> None:
        super().reset()
        self.uart.reset()

    def load(self, at: int) -> int:
        uart = self.uart
        if at == self.SR:
            return uart.has_overrun() << 3 | uart.has_received() << 5 | uart.has_room() << 7
        if at == self.DR:
            uart.overrun = False  # SR was read before
            return uart.receive()
        return super().load(at)

    def store(self, at: int, value: int) -> None:
        super().store(at, value)
        if at == self.DR:
            self.uart.send(value)
        elif at == self.CR1:
            self.uart.is_on = value & 0x2004 == 0x2004

    def pending(self) -> Iterable[int]:
        wanted = self.values[self.CR1] >> 5 & 1
        return (self._exception,) if wanted and self.uart.has_received() else ()

    def next_event_ns(self) -> int | None:
        return self.uart.next_event_ns()


class Flash(FlashController):
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
    KEYS = (0x45670123, 0xCDEF89AB)
    LOCK, PROGRAM, ERASE, START, BY_WORD = 1 << 31, 1, 2, 1 << 16, 2 << 8
    SEQUENCE_ERROR = 1 << 7
    SECTOR_BYTES = 0x4000
    PROGRAM_NS, ERASE_NS = 16_000, 250_000_000  # typical, data sheet table 48

    def __init__(self, host: Host, base: int, memory: FlashMemory) -> None:
        self._memory = memory
        super().__init__(host, base)

    def reset(self) -> None:
        super().reset()
        self.values[self.CR] = self.LOCK
        self._keys = 0

    def store(self, at: int, value: int) -> None:
        if at == self.KEYR:
            self._unlock(value)
        elif at == self.SR:
            self.values[at] &= ~value
        elif at == self.CR:
            self._control(value)
        else:
            super().store(at, value)

    def _unlock(self, key: int) -> None:
        assert key == self.KEYS[self._keys], "a wrong key locks until reset"
        self._keys += 1
        if self._keys == 2:
            self.values[self.CR] &= ~self.LOCK
            self._keys = 0

    def _control(self, value: int) -> None:
        if self.values[self.CR] & self.LOCK:
            self._memory.mistakes["control while locked"] += 1
            return
        self.values[self.CR] = value & ~self.START
        if value & self.START and value & self.ERASE:
            assert value & 3 << 8 == self.BY_WORD
            sector = value >> 3 & 0xF
            self._memory.erase(self._memory.base + sector * self.SECTOR_BYTES, self.SECTOR_BYTES)
            self.host.stall_to(self.host.now_ns + self.ERASE_NS)

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
