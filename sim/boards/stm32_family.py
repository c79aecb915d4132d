"""Blocks that STM32F405 and STM32H7A3 have in two generations: what both do alike; the wiring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

import attrs

from sim.boards.blocks import FlashController, Host, Registers
from sim.boards.flash import FlashMemory
from sim.boards.machine import Machine
from sim.boards.pins import Pins
from sim.boards.stm32 import PINS, Dac, Gpio, RandomGenerator, Timer, Watchdog
from sim.boards.uart import Uart
from sim.boards.wiring import Wiring

USART1, USART2 = 0x4001_1000, 0x4000_4400
USART1_EXCEPTION, USART2_EXCEPTION = 16 + 37, 16 + 38


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
    LOCK: ClassVar[int]
    START: ClassVar[int]
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

    def control(self, value: int) -> None:
        """CR was written while it was open."""
        raise NotImplementedError

    def erase_sector(self, sector: int, size: int, duration_ns: int) -> None:
        self._memory.erase(self._memory.base + sector * size, size)
        self.host.stall_to(self.host.now_ns + duration_ns)


@attrs.frozen
class Places:
    """Where one part has blocks that the other has elsewhere."""

    gpio: int
    random: int
    watchdog: int
    slots: tuple[int, int]


def wire(
    machine: Machine, places: Places, rcc: Rcc, lines: tuple[Usart, Usart], seed: int
) -> Wiring:
    """Put in what both parts have: ports A to C, TIM2, DAC, RNG, watchdog; and those given."""
    pins = Pins(PINS)
    dac = Dac(machine, 0x4000_7400)
    link, uart = lines
    machine.add(
        *(Gpio(machine, places.gpio + 0x400 * port, pins, 16 * port) for port in range(3)),
        Timer(machine, 0x4000_0000, machine.processor.clock_hz),
        dac,
        RandomGenerator(machine, places.random, seed),
        Watchdog(machine, places.watchdog),
        rcc,
        link,
        uart,
    )
    return Wiring(
        link=link.uart, uart=uart.uart, pins=pins, dac=dac.counts,
        scl=22, sda=23, sck=19, miso=20, mosi=21, release=15,
        slots=places.slots, on_reset=rcc.set_cause,
    )  # fmt: skip
