"""The boot ROM of an RP2040 and the flash chip outside it (data sheet, 2.8 and 4.10).

The ROM starts the second stage: it compares the checksum of the chip's first 256 bytes, puts them
at the end of RAM and jumps there. Nothing can be read from flash, nor run there, until the serial
interface has been set up for it. Its functions for programs are here in Python, behind the table
and the look-up function that programs find them by.

The chip is a NOR flash: pages of 256 bytes whose zeros are programmed, also in parts; sectors of
4 KB.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from sim.boards.blocks import Registers
from sim.boards.flash import ERASED
from sim.boards.machine import BoardFault, Machine, RomCall

BOOT2_BYTES = 256
BOOT2_RAM = 0x2004_1F00
STACK_AT = 0x2004_2000
ROM_BYTES = 0x4000
TABLE_AT, LOOK_UP_AT, FIRST_CALL_AT = 0x100, 0x80, 0x200
RETURN = b"\x70\x47"
"""`bx lr`"""
PAGE_BYTES, SECTOR_BYTES, UNIT_BYTES = 256, 4096, 32
PAGE_NS, SECTOR_NS = 700_000, 45_000_000  # typical of a W25Q16


def crc32(data: bytes) -> int:
    """Most significant bit first, from all ones, not inverted (data sheet, 2.8.1.3.1)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


class Ssi(Registers):
    """The serial interface: reads of flash work while it is on, and set up for command 03h."""

    CTRLR0, ENABLE, BAUDR, SPI_CTRLR0 = 0x00, 0x08, 0x14, 0xF4
    NAMES: Mapping[int, str] = {
        0x00: "CTRLR0",
        0x04: "CTRLR1",
        0x08: "SSIENR",
        0x14: "BAUDR",
        0xF4: "SPI_CTRLR0",
    }
    EEPROM_READ_OF_WORDS, COMMAND_03 = 31 << 16 | 3 << 8, 0x03000218

    def __init__(self, machine: Machine, base: int) -> None:
        self._machine = machine
        super().__init__(machine, base, 0x1000)

    def reset(self) -> None:
        super().reset()
        self._machine.hide_flash(True)

    def store(self, at: int, value: int) -> None:
        on = self.values[self.ENABLE] & 1
        assert at == self.ENABLE or not on, "set up while it is on"
        super().store(at, value)
        if at == self.ENABLE and value & 1:
            good = (
                self.values[self.CTRLR0] == self.EEPROM_READ_OF_WORDS
                and self.values[self.SPI_CTRLR0] == self.COMMAND_03
                and self.values[self.BAUDR] in range(2, 65535, 2)
            )
            assert good, "the chip does not understand that"
            self._machine.hide_flash(False)


class BootRom:
    """Starts what is in flash, and changes flash for programs."""

    def __init__(self, machine: Machine, ssi: Ssi) -> None:
        self._machine, self._ssi = machine, ssi
        self._is_connected = self._is_serial = False
        calls: dict[str, RomCall] = {
            "IF": self._connect,
            "EX": self._leave_xip,
            "RE": self._erase,
            "RP": self._program,
            "FC": self._flush,
        }
        self._entries = {
            ord(name[0]) | ord(name[1]) << 8: FIRST_CALL_AT + 4 * index
            for index, name in enumerate(calls)
        }
        code = bytearray(ROM_BYTES)
        struct.pack_into("<4sHHH", code, 0x10, b"Mu\x01\x03", TABLE_AT, 0, LOOK_UP_AT | 1)
        at = dict(zip(self._entries.values(), calls.values(), strict=True))
        at[LOOK_UP_AT] = self._look_up
        for address in at:
            code[address : address + 2] = RETURN
        machine.add_rom(0, bytes(code), at)

    def begin(self) -> tuple[int, int]:
        """Stack and first instruction of the second stage. Raises BoardFault without one."""
        flash = self._machine.flash
        stage = flash.read(flash.base, BOOT2_BYTES)
        if crc32(stage[:-4]) != int.from_bytes(stage[-4:], "little"):
            raise BoardFault("nothing to start: the checksum of the second stage is wrong")
        self._is_connected = self._is_serial = False
        self._machine.core.vectors_at = 0
        self._machine.put(BOOT2_RAM, stage)
        return STACK_AT, BOOT2_RAM | 1

    def _look_up(self, table: int, code: int, _c: int, _d: int) -> int:
        assert table == TABLE_AT
        return self._entries[code] | 1

    def _connect(self, *_arguments: int) -> None:
        assert self._machine.is_masked, "an interrupt would find no handler"
        self._is_connected = True
        self._ssi.values[Ssi.ENABLE] = 0
        self._machine.hide_flash(True)

    def _leave_xip(self, *_arguments: int) -> None:
        assert self._is_connected
        self._is_serial = True

    def _erase(self, at: int, size: int, _block_size: int, _block_command: int) -> None:
        self._check(at, size, SECTOR_BYTES)
        flash = self._machine.flash
        for sector in range(at, at + size, SECTOR_BYTES):
            if not flash.dark:
                flash.erase(flash.base + sector, SECTOR_BYTES)
                self._machine.stall_to(self._machine.now_ns + SECTOR_NS)

    def _program(self, at: int, data: int, size: int, _d: int) -> None:
        self._check(at, size, PAGE_BYTES)
        flash = self._machine.flash
        new = self._machine.memory(data, size)
        for page in range(0, size, PAGE_BYTES):
            if not flash.dark:
                self._program_page(flash.base + at + page, new[page : page + PAGE_BYTES])
                self._machine.stall_to(self._machine.now_ns + PAGE_NS)

    def _program_page(self, address: int, page: bytes) -> None:
        flash = self._machine.flash
        blank = bytes([ERASED]) * UNIT_BYTES
        for unit in range(0, PAGE_BYTES, UNIT_BYTES):
            held = flash.read(address + unit, UNIT_BYTES)
            if page[unit : unit + UNIT_BYTES] != blank and held != blank:
                flash.mistakes["unit programmed twice"] += 1
        flash.program(address, page)

    def _check(self, at: int, size: int, granule: int) -> None:
        assert self._is_serial, "the chip is not in serial mode"
        assert at % granule == 0
        assert size % granule == 0
        assert at + size <= self._machine.flash.size

    def _flush(self, *_arguments: int) -> None:
        self._is_connected = self._is_serial = False
