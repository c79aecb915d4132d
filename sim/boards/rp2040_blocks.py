"""The RP2040's resets, clocks, watchdog, time and randomness (data sheet of 2024).

Every register has aliases that exclusive-or, set and clear bits. A block is held in reset until the
program lets go of it, and an access before that is a mistake. Deliberately not here: what has pins
(`rp2040`), the flash chip (`rp2040_flash`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from sim.boards.blocks import Host, Registers

LOCKED = 1 << 31
CRYSTAL_HZ = 12_000_000


class Resets(Registers):
    """What is let go of comes up at once."""

    RESET_AT, DONE = 0x0, 0x8
    ALL = 0x1FFFFFF
    NAMES: Mapping[int, str] = {0x0: "RESET", 0x8: "RESET_DONE"}
    RESET: Mapping[int, int] = {0x0: ALL}
    ADC, IO_BANK0, PADS_BANK0, PLL_SYS, TIMER, UART0, UART1 = 0, 5, 8, 12, 21, 22, 23

    def released(self, bit: int) -> bool:
        return not self.values[self.RESET_AT] >> bit & 1

    def load(self, at: int) -> int:
        return ~self.values[self.RESET_AT] & self.ALL if at == self.DONE else super().load(at)


class Gate:
    """One bit of RESETS, for the block behind it."""

    def __init__(self, resets: Resets, bit: int) -> None:
        self._resets, self._bit = resets, bit

    def is_open(self) -> bool:
        return self._resets.released(self._bit)


class Aliased(Registers):
    """Registers with their aliases; behind a gate if there is one."""

    def __init__(self, host: Host, base: int, gate: Gate | None = None) -> None:
        self._gate = gate
        super().__init__(host, base, 0x4000)

    def read(self, at: int, size: int) -> int:
        self._check()
        return super().read(at & 0xFFF, size)

    def write(self, at: int, size: int, value: int) -> None:
        self._check()
        alias, at = at >> 12, at & 0xFFF
        if alias:
            old = self.values[at]
            value = (old ^ value, old | value, old & ~value)[alias - 1]
        super().write(at, size, value)

    def _check(self) -> None:
        assert self._gate is None or self._gate.is_open(), f"{type(self).__name__} is in reset"


class AliasedResets(Aliased, Resets):
    """RESETS itself."""


class Clocks(Aliased):
    """Multiplexers switch at once. They must be what the drivers count with."""

    REF_CTRL, REF_SELECTED, SYS_CTRL, SYS_SELECTED = 0x30, 0x38, 0x3C, 0x44
    NAMES: Mapping[int, str] = {
        0x30: "CLK_REF_CTRL",
        0x38: "CLK_REF_SELECTED",
        0x3C: "CLK_SYS_CTRL",
        0x44: "CLK_SYS_SELECTED",
        0x48: "CLK_PERI_CTRL",
        0x60: "CLK_ADC_CTRL",
        0x64: "CLK_ADC_DIV",
    }

    def load(self, at: int) -> int:
        if at in (self.REF_SELECTED, self.SYS_SELECTED):
            return 1 << (self.values[at - 8] & 3)
        return super().load(at)


class Crystal(Aliased):
    CTRL, STATUS, ON = 0x0, 0x4, 0xFABAA0
    NAMES: Mapping[int, str] = {0x0: "CTRL", 0x4: "STATUS", 0xC: "STARTUP"}

    def load(self, at: int) -> int:
        if at == self.STATUS and self.values[self.CTRL] == self.ON:
            return LOCKED
        return super().load(at)


class Pll(Aliased):
    """Locks when it is switched on within what it can do."""

    CS, PWR, FBDIV, PRIM = 0x0, 0x4, 0x8, 0xC
    NAMES: Mapping[int, str] = {0x0: "CS", 0x4: "PWR", 0x8: "FBDIV_INT", 0xC: "PRIM"}
    RESET: Mapping[int, int] = {0x0: 1, 0x4: 0x2D, 0xC: 0x77000}
    FEEDBACK_MHZ = range(750, 1601)

    def load(self, at: int) -> int:
        value = super().load(at)
        if at == self.CS and not self.values[self.PWR] & 0x21:
            assert CRYSTAL_HZ * self.values[self.FBDIV] // 1_000_000 in self.FEEDBACK_MHZ
            return value | LOCKED
        return value

    @property
    def output_hz(self) -> int:
        prim = self.values[self.PRIM]
        return CRYSTAL_HZ * self.values[self.FBDIV] // (prim >> 16 & 7) // (prim >> 12 & 7)


class PowerOn(Aliased):
    """PSM: what a watchdog resets."""

    NAMES: Mapping[int, str] = {0x8: "WDSEL"}


class ChipReset(Aliased):
    """VREG_AND_CHIP_RESET: what reset the whole chip, the watchdog apart."""

    CHIP_RESET = 0x8
    NAMES: Mapping[int, str] = {0x8: "CHIP_RESET"}
    CAUSES: Mapping[str, int] = {"power": 1 << 8, "brownout": 1 << 8, "pin": 1 << 16}

    def __init__(self, host: Host, base: int) -> None:
        self.flags = 0
        super().__init__(host, base)

    def load(self, at: int) -> int:
        return self.flags if at == self.CHIP_RESET else super().load(at)


class Watchdog(Aliased):
    """Counts down twice in each tick (erratum E1); REASON survives what it does itself."""

    CTRL, LOAD, REASON, TICK = 0x00, 0x04, 0x08, 0x2C
    NAMES: Mapping[int, str] = {0x00: "CTRL", 0x04: "LOAD", 0x08: "REASON", 0x2C: "TICK"}
    ENABLE, TRIGGER, TICK_ON = 1 << 30, 1 << 31, 1 << 9
    REASONS: Mapping[str, int] = {"watchdog": 1, "software": 2}

    def __init__(self, host: Host, base: int, power_on: PowerOn) -> None:
        self.reason = 0
        self._power_on = power_on
        super().__init__(host, base)

    def reset(self) -> None:
        super().reset()
        self._due_ns: int | None = None

    def ticks_each_us(self) -> bool:
        return self.values[self.TICK] == self.TICK_ON | CRYSTAL_HZ // 1_000_000

    def load(self, at: int) -> int:
        return self.reason if at == self.REASON else super().load(at)

    def store(self, at: int, value: int) -> None:
        super().store(at, value)
        if at == self.LOAD:
            assert value < 1 << 24
        if at == self.CTRL and value & (self.ENABLE | self.TRIGGER):
            assert self._power_on.values[0x8] == 0x1FFFC, "it would not reset the peripherals"
        if at == self.CTRL and value & self.TRIGGER:
            self.host.request_reset("software")
        elif self.values[self.CTRL] & self.ENABLE:
            assert self.ticks_each_us()
            self._due_ns = self.host.now_ns + self.values[self.LOAD] * 1000 // 2

    def advance(self) -> None:
        if self._due_ns is not None and self.host.now_ns >= self._due_ns:
            self.host.request_reset("watchdog")

    def next_event_ns(self) -> int | None:
        return self._due_ns


class Timer(Aliased):
    """Microseconds since it was let out of reset, if the watchdog's tick is on."""

    TIMERAWL = 0x28
    NAMES: Mapping[int, str] = {0x28: "TIMERAWL"}

    def __init__(self, host: Host, base: int, gate: Gate, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        super().__init__(host, base, gate)

    def reset(self) -> None:
        super().reset()
        self._zero_ns = self.host.now_ns

    def load(self, at: int) -> int:
        assert at == self.TIMERAWL
        assert self._watchdog.ticks_each_us()
        return (self.host.now_ns - self._zero_ns) // 1000 & 0xFFFFFFFF


class RingOscillator(Aliased):
    """RANDOMBIT, from a seeded generator; `is_broken` stands still."""

    NAMES: Mapping[int, str] = {0x1C: "RANDOMBIT"}

    def __init__(self, host: Host, base: int, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - runs must repeat
        self.is_broken = False
        super().__init__(host, base)

    def load(self, at: int) -> int:
        assert at == 0x1C
        return 0 if self.is_broken else self._random.getrandbits(1)
