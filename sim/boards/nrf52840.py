"""An nRF52840: its serial lines, converter and flash, and all of it put together (`make`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from unicorn import arm_const as arm

from sim.boards import nordic
from sim.boards.blocks import Bus, FlashController, Host
from sim.boards.flash import FlashMemory
from sim.boards.machine import Machine, Processor
from sim.boards.nordic import Nordic
from sim.boards.pins import Pins
from sim.boards.uart import Uart
from sim.boards.wiring import Wiring

PROCESSOR = Processor(
    cpu_model=arm.UC_CPU_ARM_CORTEX_M4,
    clock_hz=64_000_000,
    cycles_per_instruction=1.35,
    flash_base=0,
    flash_bytes=0x1_0000,  # of 1 MB: what the firmware uses
    vectors_at=0,
    ram=((0x2000_0000, 0x2000),),
)
UART_FIFO_BYTES, DMA_FIFO_BYTES = 6, 4
FIRST_EXCEPTION = 16
UART0, TIMER0, UARTE1 = 2, 8, 40
"""Interrupts."""


class UartOld(Nordic):
    """The UART without DMA. A byte moves from the FIFO into RXD when that is free, and then
    RXDRDY is set; so the event must be cleared before RXD is read."""

    STARTRX, STARTTX, RXDRDY, TXDRDY, ERROR = 0x000, 0x008, 0x108, 0x11C, 0x124
    ERRORSRC, ENABLE, RXD, TXD = 0x480, 0x500, 0x518, 0x51C
    NAMES: Mapping[int, str] = {
        0x000: "STARTRX",
        0x008: "STARTTX",
        0x108: "RXDRDY",
        0x11C: "TXDRDY",
        0x124: "ERROR",
        0x304: "INTENSET",
        0x480: "ERRORSRC",
        0x500: "ENABLE",
        0x50C: "PSEL.TXD",
        0x514: "PSEL.RXD",
        0x518: "RXD",
        0x51C: "TXD",
        0x524: "BAUDRATE",
    }
    RATE_115200 = 0x01D7E000

    def __init__(self, host: Host, base: int, exception: int) -> None:
        self.uart = Uart(host, depth=UART_FIFO_BYTES)
        super().__init__(host, base, exception)

    def reset(self) -> None:
        super().reset()
        self.uart.reset()
        self._is_in_rxd = self._is_sending = self._may_send = False

    def task(self, at: int) -> None:
        assert self.values[self.ENABLE] == 4
        assert self.values[0x524] == self.RATE_115200
        if at == self.STARTRX:
            self.uart.is_on = True
        elif at == self.STARTTX:
            self._may_send = True

    def look(self) -> None:
        if self.uart.has_overrun():
            self.uart.overrun = False
            self.values[self.ERROR] = 1
            self.values[self.ERRORSRC] |= 1
        if not self._is_in_rxd and self.uart.has_received():
            self._is_in_rxd = True
            self.values[self.RXDRDY] = 1

    def load(self, at: int) -> int:
        self.look()
        if at == self.RXD and self._is_in_rxd:
            self._is_in_rxd = False
            return self.uart.receive()
        if at == self.TXDRDY and self._is_sending and self.uart.has_room():
            self._is_sending = False
            self.values[at] = 1
        return super().load(at)

    def store(self, at: int, value: int) -> None:
        if at == self.ERRORSRC:
            self.values[at] &= ~value
            return
        super().store(at, value)
        if at == self.TXD:
            assert self._may_send, "STARTTX comes first"
            self._is_sending = True
            self.uart.send(value)

    def next_event_ns(self) -> int | None:
        return self.uart.next_event_ns()


class UartDma(Nordic):
    """UARTE, a byte at a time; each overwrites the one before."""

    STARTRX, STARTTX, ENDRX, ENDTX = 0x000, 0x008, 0x110, 0x120
    SHORTS, ENABLE, BAUDRATE = 0x200, 0x500, 0x524
    RXD_PTR, RXD_MAXCNT, TXD_PTR, TXD_MAXCNT = 0x534, 0x538, 0x544, 0x548
    NAMES: Mapping[int, str] = {
        0x000: "STARTRX",
        0x008: "STARTTX",
        0x110: "ENDRX",
        0x120: "ENDTX",
        0x200: "SHORTS",
        0x304: "INTENSET",
        0x500: "ENABLE",
        0x50C: "PSEL.TXD",
        0x514: "PSEL.RXD",
        0x524: "BAUDRATE",
        0x534: "RXD.PTR",
        0x538: "RXD.MAXCNT",
        0x544: "TXD.PTR",
        0x548: "TXD.MAXCNT",
    }
    RATE_115200, AGAIN = 0x01D60000, 1 << 5

    def __init__(self, bus: Bus, base: int, exception: int) -> None:
        self.uart = Uart(bus, depth=DMA_FIFO_BYTES)
        self._bus = bus
        super().__init__(bus, base, exception)

    def reset(self) -> None:
        super().reset()
        self.uart.reset()
        self._is_receiving = self._is_sending = False

    def task(self, at: int) -> None:
        assert self.values[self.ENABLE] == 8
        assert self.values[self.BAUDRATE] == self.RATE_115200
        if at == self.STARTRX:
            assert self.values[self.RXD_MAXCNT] == 1
            self.uart.is_on = self._is_receiving = True
        elif at == self.STARTTX:
            assert self.values[self.TXD_MAXCNT] == 1
            self.uart.send(self._bus.memory(self.values[self.TXD_PTR], 1)[0])
            self._is_sending = True

    def look(self) -> None:
        while self._is_receiving and self.uart.has_received():
            self._bus.put(self.values[self.RXD_PTR], bytes([self.uart.receive()]))
            self.values[self.ENDRX] = 1
            self._is_receiving = bool(self.values[self.SHORTS] & self.AGAIN)

    def load(self, at: int) -> int:
        if at == self.ENDTX and self._is_sending and self.uart.has_room():
            self._is_sending = False
            self.values[at] = 1
        return super().load(at)

    def next_event_ns(self) -> int | None:
        return self.uart.next_event_ns()


class Adc(Nordic):
    """SAADC, one input at a time into RAM; its whole scale must be the supply, in 12 bits."""

    START, SAMPLE, STOP = 0x000, 0x004, 0x008
    STARTED, END, STOPPED = 0x100, 0x104, 0x114
    ENABLE, PSELP, CONFIG, RESOLUTION, PTR, MAXCNT = 0x500, 0x510, 0x518, 0x5F0, 0x62C, 0x630
    NAMES: Mapping[int, str] = {
        0x000: "START",
        0x004: "SAMPLE",
        0x008: "STOP",
        0x100: "STARTED",
        0x104: "END",
        0x114: "STOPPED",
        0x500: "ENABLE",
        0x510: "CH[0].PSELP",
        0x518: "CH[0].CONFIG",
        0x5F0: "RESOLUTION",
        0x62C: "RESULT.PTR",
        0x630: "RESULT.MAXCNT",
    }

    def __init__(self, bus: Bus, base: int, inputs: list[int]) -> None:
        self._bus, self._inputs = bus, inputs
        self._is_started = False
        super().__init__(bus, base)

    def task(self, at: int) -> None:
        assert self.values[self.ENABLE] == 1
        if at == self.SAMPLE:
            assert self._is_started
            self._sample()
        self._is_started = at != self.STOP
        self.values[{self.START: self.STARTED, self.SAMPLE: self.END}.get(at, self.STOPPED)] = 1

    def _sample(self) -> None:
        config, selected = self.values[self.CONFIG], self.values[self.PSELP]
        assert config >> 8 & 7 == 2, "a gain of a quarter,"
        assert config >> 12 & 1, "of a quarter of the supply"
        assert self.values[self.RESOLUTION] == 2
        assert self.values[self.MAXCNT] == 1
        counts = self._inputs[selected - 1] & 0xFFF if selected else 0
        self._bus.put(self.values[self.PTR], counts.to_bytes(2, "little"))


class Flash(FlashController):
    """NVMC: words of 32 bits, written twice at most between erasures; pages of 4 KB."""

    READY, CONFIG, ERASEPAGE = 0x400, 0x504, 0x508
    NAMES: Mapping[int, str] = {
        0x400: "READY",
        0x504: "CONFIG",
        0x508: "ERASEPAGE",
        0x540: "ICACHECNF",
    }
    RESET: Mapping[int, int] = {0x400: 1}
    WRITE, ERASE, WRITES_MAX = 1, 2, 2
    PAGE_BYTES = nordic.Information.PAGE_BYTES
    WRITE_NS, ERASE_NS = 41_000, 85_000_000

    def __init__(self, host: Host, base: int, memory: FlashMemory) -> None:
        self._memory = memory
        self._writes: Counter[int] = Counter()
        super().__init__(host, base, 0x1000)

    def store(self, at: int, value: int) -> None:
        if at != self.ERASEPAGE:
            super().store(at, value)
        elif self.values[self.CONFIG] != self.ERASE or value % self.PAGE_BYTES:
            self._memory.mistakes["erase without permission"] += 1
        else:
            for word in range(value, value + self.PAGE_BYTES, 4):
                self._writes.pop(word, None)
            self._memory.erase(value, self.PAGE_BYTES)
            self.host.stall_to(self.host.now_ns + self.ERASE_NS)

    def flash_store(self, address: int, size: int, value: int) -> None:
        if self.values[self.CONFIG] != self.WRITE or size != 4 or address % 4:
            self._memory.mistakes["write without permission"] += 1
            return
        self._writes[address] += 1
        if self._writes[address] > self.WRITES_MAX:
            self._memory.mistakes["word written too often"] += 1
        self._memory.program(address, value.to_bytes(4, "little"))
        self.host.stall_to(self.host.now_ns + self.WRITE_NS)


def make(machine: Machine, adc: list[int], seed: int) -> Wiring:
    pins = Pins(nordic.PINS)
    power = nordic.Power(machine, 0x4000_0000)
    link = UartOld(machine, 0x4000_2000, FIRST_EXCEPTION + UART0)
    uart = UartDma(machine, 0x4002_8000, FIRST_EXCEPTION + UARTE1)
    machine.add(
        power,
        link,
        uart,
        Adc(machine, 0x4000_7000, adc),
        nordic.Timer(machine, 0x4000_8000, FIRST_EXCEPTION + TIMER0),
        nordic.RandomGenerator(machine, 0x4000_D000, seed),
        nordic.Watchdog(machine, 0x4001_0000),
        nordic.Information(machine, 0x1000_0000),
        nordic.Gpio(machine, 0x5000_0000, pins, 0, 32),
        nordic.Gpio(machine, 0x5000_0300, pins, 32, nordic.PINS - 32),
        Flash(machine, 0x4001_E000, machine.flash),
    )
    return Wiring(
        link=link.uart, uart=uart.uart, pins=pins,
        scl=27, sda=26, sck=47, miso=46, mosi=45, slots=(0x8000, 0x9000),
        release=11, on_reset=power.set_cause,
    )  # fmt: skip
