"""An RP2040 (data sheet of 2024): its lines, converter, pins, and all of it together (`make`).

Resets, clocks and time are in `rp2040_blocks`, the boot ROM and the flash chip in `rp2040_flash`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from unicorn import arm_const as arm

from sim.boards.blocks import NS_PER_S, Host, Registers
from sim.boards.machine import Machine, Processor
from sim.boards.pins import Drive, Pins
from sim.boards.rp2040_blocks import (
    Aliased,
    AliasedResets,
    ChipReset,
    Clocks,
    Crystal,
    Gate,
    Pll,
    PowerOn,
    Resets,
    RingOscillator,
    Timer,
    Watchdog,
)
from sim.boards.rp2040_flash import BOOT2_RAM, BootRom, Ssi
from sim.boards.uart import BITS_PER_BYTE, Uart
from sim.boards.wiring import Wiring

PROCESSOR = Processor(
    cpu_model=arm.UC_CPU_ARM_CORTEX_M0,
    clock_hz=96_000_000,
    cycles_per_instruction=1.6,
    flash_base=0x1000_0000,
    flash_bytes=0x8000,  # of 2 MB on most boards: what the firmware uses
    vectors_at=0x1000_0100,
    ram=((0x2000_0000, 0x2000), (BOOT2_RAM & -0x1000, 0x1000)),
)
PINS = 30
UART0_EXCEPTION, UART1_EXCEPTION = 16 + 20, 16 + 21


class Pl011(Aliased):
    """A UART with 32 bytes of FIFO; interrupts at four bytes, or when it is late, or overrun."""

    DR, FR, CR, LCR, IFLS, IMSC, RIS, ICR = 0x00, 0x18, 0x30, 0x2C, 0x34, 0x38, 0x3C, 0x44
    NAMES: Mapping[int, str] = {
        0x00: "UARTDR",
        0x18: "UARTFR",
        0x24: "UARTIBRD",
        0x28: "UARTFBRD",
        0x2C: "UARTLCR_H",
        0x30: "UARTCR",
        0x34: "UARTIFLS",
        0x38: "UARTIMSC",
        0x3C: "UARTRIS",
        0x44: "UARTICR",
    }
    DEPTH, LEVEL, LATE_BITS = 32, 4, 32
    RECEIVED, LATE, OVERRUN = 1 << 4, 1 << 6, 1 << 10

    def __init__(self, host: Host, base: int, gate: Gate, exception: int) -> None:
        self.uart = Uart(host, depth=self.DEPTH)
        self._exception = exception
        super().__init__(host, base, gate)

    def reset(self) -> None:
        super().reset()
        self.uart.reset()

    def _late_ns(self) -> int:
        """When what has come is late; it is the same for all that came before."""
        return self.uart.last_ns + self.LATE_BITS * self.uart.byte_ns // BITS_PER_BYTE

    def _raised(self) -> int:
        uart = self.uart
        raised = self.OVERRUN if uart.has_overrun() else 0
        if uart.has_received():
            raised |= self.RECEIVED if uart.received >= self.LEVEL else 0
            raised |= self.LATE if self.host.now_ns >= self._late_ns() else 0
        return raised

    def load(self, at: int) -> int:
        if at == self.DR:
            return self.uart.receive()
        if at == self.FR:
            return (not self.uart.has_received()) << 4 | (not self.uart.has_room()) << 5
        return self._raised() if at == self.RIS else super().load(at)

    def store(self, at: int, value: int) -> None:
        super().store(at, value)
        if at == self.DR:
            self.uart.send(value)
        elif at == self.ICR and value & self.OVERRUN:
            self.uart.overrun = False
        elif at == self.CR and value & 0x301 == 0x301:
            self._open()

    def _open(self) -> None:
        divider = 64 * self.values[0x24] + self.values[0x28]
        baud = PROCESSOR.clock_hz * 4 / divider
        assert abs(baud * self.uart.byte_ns / NS_PER_S / BITS_PER_BYTE - 1) < 0.01, baud
        assert self.values[self.LCR] == 0x70
        assert self.values[self.IFLS] & 0x38 == 0
        self.uart.is_on = True

    def pending(self) -> Iterable[int]:
        return (self._exception,) if self._raised() & self.values[self.IMSC] else ()

    def next_event_ns(self) -> int | None:
        moments = [self.uart.next_event_ns()]
        if self.uart.received:
            moments.append(self._late_ns())
        return min((each for each in moments if each is not None), default=None)


class Adc(Aliased):
    """Converts the one input of CS when told; `inputs` holds the counts."""

    CS, RESULT, ON, ONCE, READY = 0x0, 0x4, 1, 1 << 2, 1 << 8
    NAMES: Mapping[int, str] = {0x0: "CS", 0x4: "RESULT"}

    def __init__(self, host: Host, base: int, gate: Gate, inputs: list[int]) -> None:
        self._inputs = inputs
        super().__init__(host, base, gate)

    def load(self, at: int) -> int:
        value = super().load(at)
        return value | self.READY if at == self.CS and value & self.ON else value

    def store(self, at: int, value: int) -> None:
        super().store(at, value & ~self.ONCE)
        if at == self.CS and value & self.ONCE:
            assert value & self.ON
            self.values[self.RESULT] = self._inputs[value >> 12 & 7] & 0xFFF


class Pads(Aliased):
    """Pulls and input enables of the pins, and which block has them (IO_BANK0 tells `choose`)."""

    NAMES: Mapping[int, str] = {4 + 4 * pin: f"GPIO{pin}" for pin in range(PINS)}
    RESET: Mapping[int, int] = dict.fromkeys(NAMES, 0x56)
    SIO, UP, DOWN, INPUT = 5, 1 << 3, 1 << 2, 1 << 6

    def __init__(self, host: Host, base: int, gate: Gate, pins: Pins) -> None:
        self.pins = pins
        self.functions = [31] * PINS
        self.enabled = 0
        super().__init__(host, base, gate)

    def reset(self) -> None:
        super().reset()
        self.functions = [31] * PINS
        self.enabled = 0

    def choose(self, pin: int, function: int) -> None:
        self.functions[pin] = function
        self.update(pin)

    def has_input(self, pin: int) -> bool:
        return bool(self.values[4 + 4 * pin] & self.INPUT)

    def update(self, pin: int) -> None:
        pad = self.values[4 + 4 * pin]
        drive = Drive.UP if pad & self.UP else Drive.DOWN if pad & self.DOWN else Drive.NONE
        if self.functions[pin] == self.SIO and self.enabled >> pin & 1:
            drive = Drive.PUSH_PULL
        self.pins.configure(pin, drive)

    def store(self, at: int, value: int) -> None:
        super().store(at, value)
        self.update((at - 4) // 4)


class IoBank(Aliased):
    NAMES: Mapping[int, str] = {4 + 8 * pin: f"GPIO{pin}_CTRL" for pin in range(PINS)}
    RESET: Mapping[int, int] = dict.fromkeys(NAMES, 31)

    def __init__(self, host: Host, base: int, gate: Gate, pads: Pads) -> None:
        self._pads = pads
        super().__init__(host, base, gate)

    def store(self, at: int, value: int) -> None:
        super().store(at, value)
        self._pads.choose((at - 4) // 8, value & 31)


class Sio(Registers):
    """The processor's own access to the pins."""

    IN, OUT, OUT_SET, OUT_CLR, OE, OE_SET, OE_CLR = 0x04, 0x10, 0x14, 0x18, 0x20, 0x24, 0x28
    NAMES: Mapping[int, str] = {
        0x04: "GPIO_IN",
        0x10: "GPIO_OUT",
        0x14: "GPIO_OUT_SET",
        0x18: "GPIO_OUT_CLR",
        0x20: "GPIO_OE",
        0x24: "GPIO_OE_SET",
        0x28: "GPIO_OE_CLR",
    }

    def __init__(self, host: Host, base: int, pads: Pads) -> None:
        self._pads = pads
        super().__init__(host, base)

    def load(self, at: int) -> int:
        if at == self.IN:
            pads = self._pads
            return sum(pads.pins.level(pin) << pin for pin in range(PINS) if pads.has_input(pin))
        return super().load(at)

    def store(self, at: int, value: int) -> None:
        target = self.OUT if at <= self.OUT_CLR else self.OE
        old = self.values[target]
        new = {0: value, 4: old | value, 8: old & ~value}[at - target]
        self.values[target] = new
        for pin in range(PINS):
            if not (old ^ new) >> pin & 1:
                continue
            if target == self.OUT:
                self._pads.pins.write(pin, bool(new >> pin & 1))
            else:
                self._pads.enabled = new
                self._pads.update(pin)


def make(machine: Machine, adc: list[int], seed: int) -> Wiring:
    pins = Pins(PINS)
    resets = AliasedResets(machine, 0x4000_C000)

    def gate(bit: int) -> Gate:
        return Gate(resets, bit)

    power_on, chip = PowerOn(machine, 0x4001_0000), ChipReset(machine, 0x4006_4000)
    watchdog = Watchdog(machine, 0x4005_8000, power_on)
    pads = Pads(machine, 0x4001_C000, gate(Resets.PADS_BANK0), pins)
    link = Pl011(machine, 0x4003_4000, gate(Resets.UART0), UART0_EXCEPTION)
    uart = Pl011(machine, 0x4003_8000, gate(Resets.UART1), UART1_EXCEPTION)
    ssi = Ssi(machine, 0x1800_0000)
    rom = BootRom(machine, ssi)
    machine.add(
        resets,
        Clocks(machine, 0x4000_8000),
        power_on,
        IoBank(machine, 0x4001_4000, gate(Resets.IO_BANK0), pads),
        pads,
        Crystal(machine, 0x4002_4000),
        Pll(machine, 0x4002_8000, gate(Resets.PLL_SYS)),
        link,
        uart,
        Adc(machine, 0x4004_C000, gate(Resets.ADC), adc),
        Timer(machine, 0x4005_4000, gate(Resets.TIMER), watchdog),
        watchdog,
        RingOscillator(machine, 0x4006_0000, seed),
        chip,
        ssi,
        Sio(machine, 0xD000_0000, pads),
    )
    machine.begin = rom.begin

    def set_cause(cause: str) -> None:
        watchdog.reason = Watchdog.REASONS.get(cause, 0)
        chip.flags = ChipReset.CAUSES.get(cause, chip.flags)

    return Wiring(
        link=link.uart, uart=uart.uart, pins=pins,
        scl=21, sda=20, sck=18, miso=16, mosi=19, release=22,
        slots=(0x1000_6000, 0x1000_7000), on_reset=set_cause,
    )  # fmt: skip
