"""One leaf on a board made of memory: bytes in, bytes out, pins, time, power.

    board = HostBoard(BoardKind.STM32F405, seed=1)
    board.start(); board.feed(data); board.run(until_ms); board.take()

The same C that runs on the parts. Its flash has the rules of the strictest of them and can lose
power in the middle of any operation. Deliberately not here: lines with noise (`line`), the other
end of the link (`rig`).
"""

from __future__ import annotations

import ctypes
import struct
from enum import IntEnum

from mesh.leaf.messages import Event, EventKind
from mesh.rules.program import BoardKind
from sim.leaves.library import library

SLOTS = 2
SLOT_BYTES = 4096
EVENTS_KEPT = 64
_TAKE_BYTES = 8192
_EVENT = struct.Struct("<IiBBBB")


class Cut(IntEnum):
    """How power fails during a flash operation."""

    NEVER = 0
    CLEAN = 1
    """Before it."""
    TORN = 2
    """A unit is programmed up to a byte; an erasure has not begun."""
    HALF = 3
    """Half of a slot is erased; a unit is not programmed."""


class ResetCause(IntEnum):
    POWER = 1
    PIN = 2
    SOFTWARE = 3
    WATCHDOG = 4
    BROWNOUT = 5
    FAULT = 6


class Count(IntEnum):
    """What the board counts; as in `firmware/host/access.c`."""

    FLASH_OPS = 0
    REWRITES = 1
    OVERRUNS = 2
    RESTARTS = 3
    LOST_EVENTS = 4
    KEPT_EVENTS = 5


class HostBoard:
    """A leaf and its board. Time is what it is told; it only runs inside `run`."""

    def __init__(self, kind: BoardKind = BoardKind.STM32F405, seed: int = 1) -> None:
        self._lib = library()
        self._state = ctypes.create_string_buffer(self._lib.board_bytes())
        self._out = ctypes.create_string_buffer(_TAKE_BYTES)
        self._ring = ctypes.create_string_buffer(EVENTS_KEPT * _EVENT.size)
        self.kind = kind
        self._lib.board_make(self._state, kind.value, seed)

    # -- power and time --------------------------------------------------------------------------
    def start(self, cause: ResetCause = ResetCause.POWER) -> bool:
        """Power on, or reset; flash is as it was. False if power failed again."""
        return bool(self._lib.board_start(self._state, cause.value))

    def run(self, until_ms: int) -> bool:
        """Let it work until that time. False if power failed: it is dark until `start`."""
        return bool(self._lib.board_run(self._state, ctypes.c_uint32(until_ms)))

    def cut(self, at: int, kind: Cut = Cut.CLEAN, byte: int = 0) -> None:
        """Let power fail during the `at`th flash operation from now; 0: never."""
        self._lib.board_cut(self._state, at, kind.value, byte)

    # -- the link --------------------------------------------------------------------------------
    def feed(self, data: bytes) -> int:
        """Bytes for it; returns how many its receive buffer had room for, the rest is lost."""
        return int(self._lib.board_feed(self._state, data, len(data)))

    def take(self) -> bytes:
        """What it has sent since the last time."""
        size = self._lib.board_take(self._state, self._out, _TAKE_BYTES)
        return self._out.raw[:size]

    # -- what is around it -----------------------------------------------------------------------
    def pin(self, pin: int) -> int:
        return int(self._lib.board_pin(self._state, pin))

    def set_pin(self, pin: int, level: int) -> None:
        self._lib.board_set_pin(self._state, pin, level)

    def set_input(self, input_: int, counts: int) -> None:
        self._lib.board_set_input(self._state, input_, counts)

    def output(self, output: int) -> int:
        return int(self._lib.board_output(self._state, output))

    def break_buses(self, broken: bool = True) -> None:
        """Nothing answers on SPI and I2C from now on."""
        self._lib.board_break_buses(self._state, int(broken))

    def uart(self, port: int, data: bytes) -> int:
        """Bytes for a rule's UART; returns how many had room."""
        return int(self._lib.board_uart(self._state, port, data, len(data)))

    def flash(self, slot: int) -> bytes:
        return bytes(self._lib.board_flash(self._state, slot)[:SLOT_BYTES])

    def set_flash(self, slot: int, data: bytes) -> None:
        """Put bytes there, as a faulty part or a thief would."""
        assert len(data) == SLOT_BYTES
        ctypes.memmove(self._lib.board_flash(self._state, slot), data, SLOT_BYTES)

    def events(self) -> list[tuple[int, Event]]:
        """(number, event) of all that it keeps now, oldest first: the truth, for comparisons."""
        first = self._lib.board_events(self._state, self._ring)
        return [
            (first + i, Event(time_ms, EventKind(kind), rule, code, value, slot))
            for i, (time_ms, value, kind, rule, code, slot) in enumerate(
                _EVENT.iter_unpack(self._ring.raw[: self.count(Count.KEPT_EVENTS) * _EVENT.size])
            )
        ]

    def boot_nonce(self) -> bytes:
        """The name of its present start."""
        return ctypes.string_at(self._lib.board_boot_nonce(self._state), 8)

    def count(self, which: Count) -> int:
        return int(self._lib.board_count(self._state, which.value))
