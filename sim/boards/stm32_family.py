"""Blocks that STM32F405 and STM32H7A3 have in two generations: what both do alike; the wiring."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar

import attrs

from sim.boards.blocks import FlashController, Host, Registers
from sim.boards.flash import FlashMemory
from sim.boards.machine import Machine, Processor
from sim.boards.pins import Pins
from sim.boards.stm32 import PINS, Dac, Gpio, RandomGenerator, Timer, Watchdog
from sim.boards.uart import Uart
from sim.boards.wiring import Wiring

USART1, USART2 = 0x4001_1000, 0x4000_4400
USART1_EXCEPTION, USART2_EXCEPTION = 16 + 37, 16 + 38


def processor(cpu_model: int, cycles_per_instruction: float) -> Processor:
    """Both run at 64 MHz, from flash at the same address; of it and of RAM there is only what the
    firmware uses."""
    return Processor(
        cpu_model=cpu_model,
        clock_hz=64_000_000,
        cycles_per_instruction=cycles_per_instruction,
        flash_base=0x0800_0000,
        flash_bytes=0x1_0000,
        vectors_at=0x0800_0000,
        ram=((0x2000_0000, 0x2000),),
    )


class Rcc(Registers):
    """Why the part started: flags in one register, until one bit of it clears them."""

    REASONS: ClassVar[int]
    """That register."""
    FORGET: ClassVar[int]
    CAUSES: Mapping[str, int]

    def __init__(self, host: Host, base: int) -> None:
        self.flags = 0
        super().__init__(host, base)

    def set_cause(self, cause: str) -> None:
        self.flags |= self.CAUSES[cause]

    def load(self, at: int) -> int:
        value = super().load(at)
        return value | self.flags if at == self.REASONS else value

    def store(self, at: int, value: int) -> None:
        if at == self.REASONS and value & self.FORGET:
            self.flags, value = 0, 0
        super().store(at, value)


class Usart(Registers):
    """A line, a status and a control register; where they are differs."""

    CR1: ClassVar[int]
    STATUS: ClassVar[int]
    OUT: ClassVar[int]
    ON: ClassVar[int]
    DEPTH: ClassVar[int]

    def __init__(self, host: Host, base: int, exception: int) -> None:
        self.uart = Uart(host, depth=self.DEPTH)
        self._exception = exception
        super().__init__(host, base)

    def reset(self) -> None:
        super().reset()
        self.uart.reset()

    def load(self, at: int) -> int:
        uart = self.uart
        if at == self.STATUS:
            return uart.has_overrun() << 3 | uart.has_received() << 5 | uart.has_room() << 7
        return super().load(at)

    def store(self, at: int, value: int) -> None:
        super().store(at, value)
        if at == self.OUT:
            self.uart.send(value)
        elif at == self.CR1:
            self.uart.is_on = value & self.ON == self.ON

    def pending(self) -> Iterable[int]:
        wanted = self.values[self.CR1] >> 5 & 1
        raised = self.uart.has_received() or self.uart.has_overrun()
        return (self._exception,) if wanted and raised else ()

    def next_event_ns(self) -> int | None:
        return self.uart.next_event_ns()


class Flash(FlashController):
    """Locked until two keys are written; everything stops while it works."""

    KEYR: ClassVar[int]
    CR: ClassVar[int]
    SR: ClassVar[int]
    CLEAR: ClassVar[int]
    """What is written there clears flags of SR."""
    LOCK: ClassVar[int]
    PROGRAM: ClassVar[int]
    START: ClassVar[int]
    SEQUENCE_ERROR: ClassVar[int]
    PROGRAM_NS: ClassVar[int]
    KEYS = (0x45670123, 0xCDEF89AB)

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
        elif at == self.CR:
            self._control(value)
        elif at == self.CLEAR:
            self.values[self.SR] &= ~value
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
        self.control(value)

    @abstractmethod
    def control(self, value: int) -> None:
        """CR was written while it was open."""

    def is_programming(self) -> bool:
        """Whether flash may be stored to."""
        return self.values[self.CR] & (self.LOCK | self.PROGRAM) == self.PROGRAM

    def refuse(self) -> None:
        """It was, and may not be."""
        self._memory.mistakes["write without permission"] += 1
        self.values[self.SR] |= self.SEQUENCE_ERROR

    def program_word(self, address: int, word: bytes) -> None:
        self._memory.program(address, word)
        self.host.stall_to(self.host.now_ns + self.PROGRAM_NS)

    def erase_sector(self, sector: int, size: int, duration_ns: int) -> None:
        self._memory.erase(self._memory.base + sector * size, size)
        self.host.stall_to(self.host.now_ns + duration_ns)


class Adc(Registers):
    """Converts one input when told; `inputs` holds the counts. Reading the result takes it."""

    STATUS: ClassVar[int]
    DR: ClassVar[int]
    DONE: ClassVar[int]
    """A flag of STATUS."""

    def __init__(self, host: Host, base: int, inputs: list[int]) -> None:
        self._inputs = inputs
        super().__init__(host, base)

    def convert(self, number: int) -> None:
        self.values[self.DR] = self._inputs[number] & 0xFFF
        self.values[self.STATUS] |= self.DONE

    def load(self, at: int) -> int:
        if at == self.DR:
            self.values[self.STATUS] &= ~self.DONE
        return super().load(at)


@attrs.frozen
class Part:
    """What one part has where the other has something else."""

    rcc: type[Rcc]
    rcc_at: int
    usart: type[Usart]
    flash: type[Flash]
    flash_at: int
    adc: type[Adc]
    adc_at: int
    gpio_at: int
    random_at: int
    watchdog_at: int
    slots: tuple[int, int]


def wire(part: Part, machine: Machine, adc: list[int], seed: int) -> Wiring:
    """Put it all in: ports A to C, TIM2, DAC, RNG, watchdog, two lines, flash, converter."""
    pins = Pins(PINS)
    rcc = part.rcc(machine, part.rcc_at)
    dac = Dac(machine, 0x4000_7400)
    link = part.usart(machine, USART1, USART1_EXCEPTION)
    uart = part.usart(machine, USART2, USART2_EXCEPTION)
    machine.add(
        part.flash(machine, part.flash_at, machine.flash),
        part.adc(machine, part.adc_at, adc),
        *(Gpio(machine, part.gpio_at + 0x400 * port, pins, 16 * port) for port in range(3)),
        Timer(machine, 0x4000_0000, machine.processor.clock_hz),
        dac,
        RandomGenerator(machine, part.random_at, seed),
        Watchdog(machine, part.watchdog_at),
        rcc,
        link,
        uart,
    )
    return Wiring(
        link=link.uart, uart=uart.uart, pins=pins, dac=dac.counts,
        scl=22, sda=23, sck=19, miso=20, mosi=21, release=15,
        slots=part.slots, on_reset=rcc.set_cause,
    )  # fmt: skip
