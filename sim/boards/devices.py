"""Devices on a board's buses, as they see its pins: registers behind I2C, and behind SPI.

Both keep 256 registers of one byte; reading and writing goes on to the next register. The I2C one
follows NXP UM10204 (start, address, acknowledge, repeated start, stop), the SPI one mode 0 with the
first byte naming the register, its top bit set for reading.
"""

from __future__ import annotations

from sim.boards.pins import Pins

REGISTERS = 256


class I2cDevice:
    """A device with a 7-bit address. `registers` is what it holds."""

    def __init__(self, pins: Pins, scl: int, sda: int, address: int) -> None:
        self.registers = bytearray(REGISTERS)
        self.is_there = True
        """False: it does not answer."""
        self._pins, self._scl, self._sda, self._address = pins, scl, sda, address
        self._name = f"i2c-{address:#04x}"
        self._clock = self._data = True
        self._bits: list[bool] | None = None
        self._bytes = 0
        self._chosen = self._reading = self._acknowledging = False
        self._pointer = 0
        self._out = 0
        pins.watch(scl, self._on_clock)
        pins.watch(sda, self._on_data)

    def _on_data(self, _pin: int, level: bool) -> None:
        if self._clock and level != self._data:
            self._bits = None if level else []  # stop, or start
            self._bytes = 0
            self._chosen = self._reading = self._acknowledging = False
            self._hold(False)
        self._data = level

    def _on_clock(self, _pin: int, level: bool) -> None:
        self._clock = level
        if self._bits is None:
            return
        if level:
            self._bits.append(self._pins.level(self._sda))
        else:
            self._on_falling()

    def _on_falling(self) -> None:
        assert self._bits is not None
        if len(self._bits) == 8:
            self._end_of_byte()
        elif len(self._bits) == 9:
            self._end_of_acknowledge(self._bits[8])
        elif self._chosen and self._reading:
            self._drive_bit(len(self._bits))

    def _end_of_byte(self) -> None:
        assert self._bits is not None
        byte = sum(bit << 7 - i for i, bit in enumerate(self._bits[:8]))
        if self._chosen and self._reading:
            self._hold(False)  # the other side acknowledges
            return
        if self._bytes == 0:
            self._chosen = self.is_there and byte >> 1 == self._address
            self._begins_reading = bool(byte & 1)
        elif self._chosen and self._bytes == 1:
            self._pointer = byte
        elif self._chosen:
            self.registers[self._pointer] = byte
            self._pointer = (self._pointer + 1) % REGISTERS
        self._bytes += 1
        self._hold(self._chosen)

    def _end_of_acknowledge(self, refused: bool) -> None:
        was_reading = self._reading
        self._bits = []
        self._hold(False)
        if not self._chosen:
            return
        self._reading = self._begins_reading
        if self._reading and not (was_reading and refused):
            self._out = self.registers[self._pointer]
            self._pointer = (self._pointer + 1) % REGISTERS
            self._drive_bit(0)
        elif was_reading:
            self._chosen = False

    def _drive_bit(self, index: int) -> None:
        self._hold(not self._out >> 7 - index & 1)

    def _hold(self, low: bool) -> None:
        self._pins.pull_low(self._sda, self._name, low)


class SpiDevice:
    """A device with its own select pin."""

    def __init__(self, pins: Pins, sck: int, miso: int, mosi: int, select: int) -> None:
        self.registers = bytearray(REGISTERS)
        self._pins, self._miso, self._mosi = pins, miso, mosi
        self._selected = False
        self._in: list[bool] = []
        self._first: int | None = None
        self._out = 0
        pins.watch(sck, self._on_clock)
        pins.watch(select, self._on_select)

    def _on_select(self, _pin: int, level: bool) -> None:
        self._selected = not level
        self._in, self._first, self._out = [], None, 0
        self._pins.set(self._miso, None if level else False)

    def _on_clock(self, _pin: int, level: bool) -> None:
        if not self._selected:
            return
        if level:
            self._in.append(self._pins.level(self._mosi))
            if len(self._in) == 8:
                self._end_of_byte(sum(bit << 7 - i for i, bit in enumerate(self._in)))
                self._in = []
        else:
            self._pins.set(self._miso, bool(self._out >> 7 - len(self._in) & 1))

    def _end_of_byte(self, byte: int) -> None:
        if self._first is None:
            self._first = byte
        else:
            if not self._first & 0x80:
                self.registers[self._first & 0x7F] = byte
            self._first = (self._first & 0x80) | (self._first + 1 & 0x7F)
        self._out = self.registers[self._first & 0x7F] if self._first & 0x80 else 0
