"""GPIO, I2C and SPI through the kernel's character devices: linux/gpio.h (v2), i2c-dev.h, spidev.h.

The numbers of the calls carry the size of what they take; `_call` computes them from our structs,
so a struct of a wrong size is a call that the kernel does not know. Deliberately not here: pins by
name, interrupts (edges are seen by whoever reads often enough).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
from ctypes import c_char, c_uint8, c_uint16, c_uint32, c_uint64

_WRITE, _READ_WRITE = 1, 3
GPIO_INPUT, GPIO_OUTPUT, GPIO_PULL_UP, GPIO_PULL_DOWN = 1 << 2, 1 << 3, 1 << 8, 1 << 9
PULL_FLAGS = (0, GPIO_PULL_UP, GPIO_PULL_DOWN)
SPI_HZ = 500_000
I2C_READ_FLAG = 1
I2C_RDWR = 0x0707
"""Older than the scheme of call numbers with sizes."""


class _Attribute(ctypes.Structure):
    _fields_ = [("id", c_uint32), ("padding", c_uint32), ("value", c_uint64)]


class _ConfigAttribute(ctypes.Structure):
    _fields_ = [("attribute", _Attribute), ("mask", c_uint64)]


class _LineConfig(ctypes.Structure):
    _fields_ = [
        ("flags", c_uint64),
        ("count", c_uint32),
        ("padding", c_uint32 * 5),
        ("attributes", _ConfigAttribute * 10),
    ]


class _LineRequest(ctypes.Structure):
    _fields_ = [
        ("offsets", c_uint32 * 64),
        ("consumer", c_char * 32),
        ("config", _LineConfig),
        ("lines", c_uint32),
        ("event_buffer_size", c_uint32),
        ("padding", c_uint32 * 5),
        ("fd", ctypes.c_int32),
    ]


class _LineValues(ctypes.Structure):
    _fields_ = [("bits", c_uint64), ("mask", c_uint64)]


class _I2cMessage(ctypes.Structure):
    _fields_ = [
        ("address", c_uint16),
        ("flags", c_uint16),
        ("size", c_uint16),
        ("data", ctypes.c_void_p),
    ]


class _I2cTransfer(ctypes.Structure):
    _fields_ = [("messages", ctypes.POINTER(_I2cMessage)), ("count", c_uint32)]


class _SpiTransfer(ctypes.Structure):
    _fields_ = [
        ("sent", c_uint64),
        ("received", c_uint64),
        ("size", c_uint32),
        ("speed_hz", c_uint32),
        ("delay_us", c_uint16),
        *((name, c_uint8) for name in ("bits", "change", "tx_bits", "rx_bits", "word", "padding")),
    ]


def _call(direction: int, kind: int, number: int, structure: type[ctypes.Structure]) -> int:
    """The number of an ioctl, as asm-generic/ioctl.h makes it."""
    return direction << 30 | ctypes.sizeof(structure) << 16 | kind << 8 | number


GET_LINE = _call(_READ_WRITE, 0xB4, 0x07, _LineRequest)
GET_VALUES = _call(_READ_WRITE, 0xB4, 0x0E, _LineValues)
SET_VALUES = _call(_READ_WRITE, 0xB4, 0x0F, _LineValues)
SPI_MESSAGE = _call(_WRITE, ord("k"), 0, _SpiTransfer)


def _ioctl(fd: int, call: int, argument: ctypes.Structure) -> bool:
    try:
        fcntl.ioctl(fd, call, argument, True)
    except OSError:
        return False
    return True


class _Device:
    """Something with a descriptor."""

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
        self._fd = -1


class GpioLine(_Device):
    """One line of a GPIO chip, ours until it is closed."""

    def __init__(self, chip: str, line: int, *, output: bool, pull: int = 0) -> None:
        """Raises OSError when there is no such line, or somebody else has it."""
        super().__init__(chip)
        request = _LineRequest(consumer=b"vitte", lines=1)
        request.offsets[0] = line
        request.config.flags = GPIO_OUTPUT if output else GPIO_INPUT | PULL_FLAGS[pull]
        try:
            fcntl.ioctl(self._fd, GET_LINE, request, True)
        finally:
            os.close(self._fd)
            self._fd = -1
        self._fd = request.fd

    def read(self) -> int | None:
        values = _LineValues(mask=1)
        return int(values.bits & 1) if _ioctl(self._fd, GET_VALUES, values) else None

    def write(self, value: int) -> bool:
        return _ioctl(self._fd, SET_VALUES, _LineValues(bits=int(value != 0), mask=1))


class I2cDevice(_Device):
    """A register of one device on a bus, most significant byte first."""

    def __init__(self, bus: str, address: int, register: int, size: int) -> None:
        """Raises OSError."""
        super().__init__(bus)
        self._address, self._register, self._size = address, register, size

    def read(self) -> int | None:
        ask, answer = (c_uint8 * 1)(self._register), (c_uint8 * self._size)()
        good = self._transfer((0, ask), (I2C_READ_FLAG, answer))
        return int.from_bytes(bytes(answer), "big", signed=self._size == 4) if good else None

    def write(self, value: int) -> bool:
        low = (value & 0xFFFF_FFFF).to_bytes(4, "big")[-self._size :]
        return self._transfer((0, (c_uint8 * (1 + self._size))(self._register, *low)))

    def _transfer(self, *parts: tuple[int, ctypes.Array[c_uint8]]) -> bool:
        messages = (_I2cMessage * len(parts))(
            *(
                _I2cMessage(self._address, flags, len(data), ctypes.addressof(data))
                for flags, data in parts
            )
        )
        return _ioctl(self._fd, I2C_RDWR, _I2cTransfer(messages, len(parts)))


class SpiDevice(_Device):
    """A device that is told one byte and then reads or is written a number."""

    def __init__(self, path: str, first: int, size: int) -> None:
        """Raises OSError."""
        super().__init__(path)
        self._first, self._size = first, size

    def read(self) -> int | None:
        got = self._exchange(bytes((self._first, *bytes(self._size))))
        return int.from_bytes(got[1:], "big", signed=self._size == 4) if got else None

    def write(self, value: int) -> bool:
        low = (value & 0xFFFF_FFFF).to_bytes(4, "big")[-self._size :]
        return bool(self._exchange(bytes((self._first, *low))))

    def _exchange(self, data: bytes) -> bytes:
        """What came back; empty when it failed."""
        sent, received = (c_uint8 * len(data))(*data), (c_uint8 * len(data))()
        transfer = _SpiTransfer(
            sent=ctypes.addressof(sent),
            received=ctypes.addressof(received),
            size=len(data),
            speed_hz=SPI_HZ,
            bits=8,
        )
        return bytes(received) if _ioctl(self._fd, SPI_MESSAGE, transfer) else b""
