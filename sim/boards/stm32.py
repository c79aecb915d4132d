"""Peripherals that STM32F405 and STM32H7A3 have in common (RM0090, RM0455)."""

from __future__ import annotations

import random
from collections.abc import Mapping

from sim.boards.blocks import NS_PER_S, Host, Registers
from sim.boards.pins import Drive, Pins

PINS = 48
PIN_FIRST_OF = {"A": 0, "B": 16, "C": 32}


class Gpio(Registers):
    """One port of 16 pins."""

    MODER, OTYPER, PUPDR, IDR, ODR, BSRR = 0x00, 0x04, 0x0C, 0x10, 0x14, 0x18
    NAMES: Mapping[int, str] = {
        0x00: "MODER",
        0x04: "OTYPER",
        0x08: "OSPEEDR",
        0x0C: "PUPDR",
        0x10: "IDR",
        0x14: "ODR",
        0x18: "BSRR",
        0x20: "AFRL",
        0x24: "AFRH",
    }
    PULLS: Mapping[int, Drive] = {0: Drive.NONE, 1: Drive.UP, 2: Drive.DOWN, 3: Drive.NONE}

    def __init__(self, host: Host, base: int, pins: Pins, first: int) -> None:
        self._pins, self._first = pins, first
        super().__init__(host, base)

    def load(self, at: int) -> int:
        if at == self.IDR:
            return sum(self._pins.level(self._first + bit) << bit for bit in range(16))
        return super().load(at)

    def store(self, at: int, value: int) -> None:
        if at == self.BSRR:
            set_, clear = value & 0xFFFF, value >> 16
            self._write(self.values[self.ODR] & ~clear | set_, clear | set_)
            return
        super().store(at, value)
        if at == self.ODR:
            self._write(value & 0xFFFF, 0xFFFF)
        if at in (self.MODER, self.OTYPER, self.PUPDR):
            for bit in range(16):
                self._pins.configure(self._first + bit, self._drive(bit))

    def _write(self, levels: int, changed: int) -> None:
        self.values[self.ODR] = levels
        for bit in range(16):
            if changed >> bit & 1:
                self._pins.write(self._first + bit, bool(levels >> bit & 1))

    def _drive(self, bit: int) -> Drive:
        mode = self.values[self.MODER] >> 2 * bit & 3
        if mode == 1:
            is_open = self.values[self.OTYPER] >> bit & 1
            return Drive.OPEN_DRAIN if is_open else Drive.PUSH_PULL
        return self.PULLS[self.values[self.PUPDR] >> 2 * bit & 3] if mode == 0 else Drive.NONE


class Timer(Registers):
    """A 32-bit counter that runs from its clock divided by PSC + 1."""

    CR1, EGR, CNT, PSC, ARR = 0x00, 0x14, 0x24, 0x28, 0x2C
    NAMES: Mapping[int, str] = {
        0x00: "CR1",
        0x10: "SR",
        0x14: "EGR",
        0x24: "CNT",
        0x28: "PSC",
        0x2C: "ARR",
    }

    def __init__(self, host: Host, base: int, clock_hz: int) -> None:
        self._clock_hz = clock_hz
        self._zero_ns = 0
        self._divider = 1
        super().__init__(host, base)

    def load(self, at: int) -> int:
        if at == self.CNT and self.values[self.CR1] & 1:
            ticks = (self.host.now_ns - self._zero_ns) * self._clock_hz // NS_PER_S
            return ticks // self._divider & 0xFFFFFFFF
        return super().load(at)

    def store(self, at: int, value: int) -> None:
        super().store(at, value)
        if at == self.EGR and value & 1:  # takes the prescaler over and starts from 0
            self._divider = self.values[self.PSC] + 1
            self._zero_ns = self.host.now_ns


class RandomGenerator(Registers):
    """Words from a seeded generator; `is_broken` reports a seed error for ever."""

    CR, SR, DR = 0x00, 0x04, 0x08
    NAMES: Mapping[int, str] = {
        0x00: "CR",
        0x04: "SR",
        0x08: "DR",
    }

    def __init__(self, host: Host, base: int, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - runs must repeat
        self.is_broken = False
        super().__init__(host, base)

    def load(self, at: int) -> int:
        if at == self.SR:
            on = self.values[self.CR] & 4
            return 0x44 if self.is_broken else 1 if on else 0
        return self._random.getrandbits(32) if at == self.DR else super().load(at)


class Watchdog(Registers):
    """IWDG: resets the part when it is not written to in time, from the first start on."""

    KR, PR, RLR, SR = 0x00, 0x04, 0x08, 0x0C
    NAMES: Mapping[int, str] = {
        0x00: "KR",
        0x04: "PR",
        0x08: "RLR",
        0x0C: "SR",
    }
    RESET: Mapping[int, int] = {0x08: 0xFFF}
    LOW_SPEED_HZ = 32_000

    def reset(self) -> None:
        super().reset()
        self._due_ns: int | None = None
        self._open = False

    def store(self, at: int, value: int) -> None:
        if at == self.KR:
            self._open = value == 0x5555
            if value == 0xCCCC or (value == 0xAAAA and self._due_ns is not None):
                self._restart()
            return
        assert self._open, "the watchdog was configured without its key"
        super().store(at, value)

    def _restart(self) -> None:
        ticks = (self.values[self.RLR] + 1) * (4 << self.values[self.PR])
        self._due_ns = self.host.now_ns + ticks * NS_PER_S // self.LOW_SPEED_HZ

    def advance(self) -> None:
        if self._due_ns is not None and self.host.now_ns >= self._due_ns:
            self.host.request_reset("watchdog")

    def next_event_ns(self) -> int | None:
        return self._due_ns


class Dac(Registers):
    """Two converter outputs; `counts` is what they put out, None while they are off."""

    CR, DHR12R1, DHR12R2 = 0x00, 0x08, 0x14
    NAMES: Mapping[int, str] = {
        0x00: "CR",
        0x08: "DHR12R1",
        0x14: "DHR12R2",
    }

    def counts(self, output: int) -> int | None:
        if not self.values[self.CR] >> 16 * output & 1:
            return None
        return self.values[self.DHR12R2 if output else self.DHR12R1] & 0xFFF
