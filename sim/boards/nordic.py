"""Peripherals of an nRF52840 (Product Specification v1.7) that use no memory but their own.

Every block is tasks that are triggered by writing 1, events that are set by the block and cleared
by writing 0, and an interrupt for each event whose bit is enabled.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from sim.boards.blocks import NS_PER_S, Host, Registers
from sim.boards.pins import Drive, Pins

EVENTS_AT = 0x100
PINS = 48


class Nordic(Registers):
    """Tasks below 0x100, events from there, then registers."""

    INTENSET, INTENCLR = 0x304, 0x308

    def __init__(self, host: Host, base: int, exception: int = 0, size: int = 0x1000) -> None:
        self._exception = exception
        super().__init__(host, base, size)

    def reset(self) -> None:
        super().reset()
        self._interrupts = 0

    def store(self, at: int, value: int) -> None:
        if at < EVENTS_AT:
            if value & 1:
                self.task(at)
        elif at == self.INTENSET:
            self._interrupts |= value
        elif at == self.INTENCLR:
            self._interrupts &= ~value
        else:
            super().store(at, value)

    def task(self, at: int) -> None:
        """It was triggered."""

    def look(self) -> None:
        """Set the events that are due."""

    def raised(self, event: int) -> bool:
        return bool(self.values[event] & 1)

    def wants(self, event: int) -> bool:
        """Whether the event makes an interrupt."""
        return bool(self._interrupts >> (event - EVENTS_AT) // 4 & 1)

    def pending(self) -> Iterable[int]:
        self.look()
        events = (at for at in self.NAMES if EVENTS_AT <= at < EVENTS_AT + 0x80)
        wanted = any(self.raised(at) and self.wants(at) for at in events)
        return (self._exception,) if wanted else ()


class Power(Nordic):
    """Clocks come on at once; RESETREAS tells why the part started."""

    RESETREAS = 0x400
    NAMES: Mapping[int, str] = {0x000: "HFCLKSTART", 0x400: "RESETREAS"}
    CAUSES: Mapping[str, int] = {
        "power": 0,
        "brownout": 0,
        "pin": 1 << 0,
        "watchdog": 1 << 1,
        "software": 1 << 2,
    }

    def __init__(self, host: Host, base: int) -> None:
        self.flags = 0
        super().__init__(host, base)

    def set_cause(self, cause: str) -> None:
        self.flags = 0 if cause == "power" else self.flags | self.CAUSES[cause]

    def load(self, at: int) -> int:
        return self.flags if at == self.RESETREAS else super().load(at)

    def store(self, at: int, value: int) -> None:
        if at == self.RESETREAS:
            self.flags &= ~value
        else:
            super().store(at, value)


class Information(Registers):
    """FICR: what was written in the factory."""

    PAGE_BYTES = 4096
    NAMES: Mapping[int, str] = {0x10: "CODEPAGESIZE"}
    RESET: Mapping[int, int] = {0x10: PAGE_BYTES}


class Timer(Nordic):
    """A counter of 32 bits at 16 MHz divided by a power of two; six moments to compare with."""

    BITMODE, PRESCALER, CLOCK_HZ, CHANNELS = 0x508, 0x510, 16_000_000, 6
    CAPTURE, COMPARE, CC = 0x040, 0x140, 0x540
    NAMES: Mapping[int, str] = {
        0x000: "START",
        0x304: "INTENSET",
        0x508: "BITMODE",
        0x510: "PRESCALER",
        **{0x040 + 4 * i: f"CAPTURE[{i}]" for i in range(CHANNELS)},
        **{0x140 + 4 * i: f"COMPARE[{i}]" for i in range(CHANNELS)},
        **{0x540 + 4 * i: f"CC[{i}]" for i in range(CHANNELS)},
    }

    def reset(self) -> None:
        super().reset()
        self._zero_ns: int | None = None
        self._due_ticks: dict[int, int] = {}

    def _ticks(self) -> int:
        """Since it was started, without end."""
        if self._zero_ns is None:
            return 0
        cycles = (self.host.now_ns - self._zero_ns) * self.CLOCK_HZ // NS_PER_S
        return cycles >> self.values[self.PRESCALER]

    def task(self, at: int) -> None:
        if at >= self.CAPTURE:
            self.store(self.CC + at - self.CAPTURE, self._ticks() & 0xFFFFFFFF)
        else:
            assert self.values[self.BITMODE] == 3, "32 bits"
            self._zero_ns = self.host.now_ns

    def store(self, at: int, value: int) -> None:
        super().store(at, value)
        if at >= self.CC:
            ticks = self._ticks()
            ahead = (value - ticks) & 0xFFFFFFFF
            self._due_ticks[(at - self.CC) // 4] = ticks + (ahead or 1 << 32)

    def look(self) -> None:
        ticks = self._ticks()
        for channel, due in self._due_ticks.items():
            if ticks >= due:
                self.values[self.COMPARE + 4 * channel] = 1
                self._due_ticks[channel] = due + (1 << 32)

    def next_event_ns(self) -> int | None:
        dues = [due for i, due in self._due_ticks.items() if self.wants(self.COMPARE + 4 * i)]
        if not dues or self._zero_ns is None:
            return None
        cycles = min(dues) << self.values[self.PRESCALER]
        return self._zero_ns - (-cycles * NS_PER_S // self.CLOCK_HZ)


class RandomGenerator(Nordic):
    """A byte every now and then, from a seeded generator."""

    VALRDY, VALUE, EACH_NS = 0x100, 0x508, 120_000  # with bias correction
    NAMES: Mapping[int, str] = {
        0x000: "START",
        0x100: "VALRDY",
        0x504: "CONFIG",
        0x508: "VALUE",
    }

    def __init__(self, host: Host, base: int, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - runs must repeat
        super().__init__(host, base)

    def reset(self) -> None:
        super().reset()
        self._ready_ns: int | None = None

    def task(self, at: int) -> None:  # noqa: ARG002 - there is one
        self._ready_ns = self.host.now_ns + self.EACH_NS

    def store(self, at: int, value: int) -> None:
        super().store(at, value)
        if at == self.VALRDY and self._ready_ns is not None:
            self._ready_ns = self.host.now_ns + self.EACH_NS

    def load(self, at: int) -> int:
        if at == self.VALRDY and self._ready_ns is not None:
            if self.host.now_ns < self._ready_ns:
                self.host.skip_to(self._ready_ns)
            elif not self.values[at]:
                self.values[self.VALUE] = self._random.getrandbits(8)
                self.values[at] = 1
        return super().load(at)


class Watchdog(Nordic):
    """Cannot be stopped or changed once it runs."""

    CRV, RR, KEY, HZ = 0x504, 0x600, 0x6E524635, 32_768
    NAMES: Mapping[int, str] = {0x000: "START", 0x504: "CRV", 0x508: "RREN", 0x600: "RR[0]"}
    RESET: Mapping[int, int] = {0x504: 0xFFFFFFFF, 0x508: 1}

    def reset(self) -> None:
        super().reset()
        self._due_ns: int | None = None

    def task(self, at: int) -> None:  # noqa: ARG002 - there is one
        self._restart()

    def _restart(self) -> None:
        self._due_ns = self.host.now_ns + (self.values[self.CRV] + 1) * NS_PER_S // self.HZ

    def store(self, at: int, value: int) -> None:
        if at == self.RR:
            if value == self.KEY and self._due_ns is not None:
                self._restart()
        elif self._due_ns is None or at < EVENTS_AT:
            super().store(at, value)

    def advance(self) -> None:
        if self._due_ns is not None and self.host.now_ns >= self._due_ns:
            self.host.request_reset("watchdog")

    def next_event_ns(self) -> int | None:
        return self._due_ns


class Gpio(Registers):
    """One port; both are in one page of addresses."""

    OUT, OUTSET, OUTCLR, IN, PIN_CNF = 0x504, 0x508, 0x50C, 0x510, 0x700
    NAMES: Mapping[int, str] = {
        0x504: "OUT",
        0x508: "OUTSET",
        0x50C: "OUTCLR",
        0x510: "IN",
        **{0x700 + 4 * i: f"PIN_CNF[{i}]" for i in range(32)},
    }
    RESET: Mapping[int, int] = {0x700 + 4 * i: 2 for i in range(32)}
    PULLS: Mapping[int, Drive] = {0: Drive.NONE, 1: Drive.DOWN, 3: Drive.UP}

    def __init__(self, host: Host, base: int, pins: Pins, first: int, count: int) -> None:
        self._pins, self._first, self._count = pins, first, count
        super().__init__(host, base, 0x800)

    def load(self, at: int) -> int:
        if at == self.IN:
            return sum(
                self._pins.level(self._first + bit) << bit
                for bit in range(self._count)
                if not self.values[self.PIN_CNF + 4 * bit] & 2
            )
        return super().load(at)

    def store(self, at: int, value: int) -> None:
        if at in (self.OUT, self.OUTSET, self.OUTCLR):
            self._write(at, value)
            return
        super().store(at, value)
        self._pins.configure(self._first + (at - self.PIN_CNF) // 4, self._drive(value))

    def _write(self, at: int, value: int) -> None:
        old = self.values[self.OUT]
        new = {self.OUT: value, self.OUTSET: old | value, self.OUTCLR: old & ~value}[at]
        self.values[self.OUT] = new
        for bit in range(self._count):
            if (old ^ new) >> bit & 1:
                self._pins.write(self._first + bit, bool(new >> bit & 1))

    def _drive(self, cnf: int) -> Drive:
        if not cnf & 1:
            return self.PULLS[cnf >> 2 & 3]
        return {0: Drive.PUSH_PULL, 6: Drive.OPEN_DRAIN}[cnf >> 8 & 7]
