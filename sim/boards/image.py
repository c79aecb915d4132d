"""The firmware as the linker made it: found or built, and read.

`firmware/build.py` makes it, in a process of its own, and says where it is. Deliberately not here:
how it is made.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import attrs
from elftools.elf.elffile import ELFFile

from sim.sources import FIRMWARE

BUILD_SCRIPT = FIRMWARE / "build.py"
BUILD_TIMEOUT_S = 300.0


class NoFirmware(Exception):
    """It could not be built; the text says why."""


@attrs.frozen
class Image:
    """What stands in flash, and where the linker put things."""

    path: Path
    pieces: tuple[tuple[int, bytes], ...]
    """Address and bytes of each loadable segment."""
    symbols: Mapping[str, int]

    @property
    def flash_bytes(self) -> int:
        """From the first byte of the image to its last."""
        return self.symbols["_image_end"] - self.symbols["_image_start"]

    @property
    def ram_bytes(self) -> int:
        """Static data, without the stack."""
        symbols = self.symbols
        stack = symbols["_stack_top"] - symbols["_stack_bottom"]
        return symbols["_ram_end"] - symbols["_ram_start"] - stack

    def flash(self, base: int, size: int) -> bytes:
        """The contents of a flash memory that it was loaded into, all else erased."""
        cells = bytearray(b"\xff" * size)
        for address, data in self.pieces:
            assert base <= address <= base + size - len(data)
            cells[address - base : address - base + len(data)] = data
        return bytes(cells)


def load(path: Path) -> Image:
    """Read an ELF file."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        pieces = tuple(
            (int(segment["p_paddr"]), bytes(segment.data()))
            for segment in elf.iter_segments()
            if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]
        )
        table = elf.get_section_by_name(".symtab")
        symbols = {each.name: int(each["st_value"]) for each in table.iter_symbols() if each.name}
    return Image(path, pieces, symbols)


@cache
def firmware(target: str, compiler: str = "zig") -> Image:
    """The production firmware of a board, built if need be. Raises NoFirmware."""
    done = subprocess.run(
        [sys.executable, str(BUILD_SCRIPT), "--compiler", compiler, target],
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise NoFirmware(done.stderr.strip())
    return load(Path(done.stdout.strip()))
