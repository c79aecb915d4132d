"""The binary `.ninja_deps`, version 4: read, extended, appended to.

    "# ninjadeps\n", int32 version
    path record: uint32 size, path padded with NUL to 4 bytes, uint32 ~number
    deps record: uint32 size | 0x80000000, int32 output, int64 mtime in ns, int32 inputs...

Numbers are given in the order of path records. A file with a wrong header or a broken record is
written anew from what could be read, as ninja recovers it. Source: ninja's src/deps_log.cc.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

_HEADER = b"# ninjadeps\n" + struct.pack("<i", 4)
_DEPS_BIT = 0x80000000
_RECORD_BYTES_MAX = (1 << 19) - 1


class DepsLog:
    """The log at one path; `add` collects, `save` writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: dict[bytes, int] = {}
        self._numbers: dict[str, int] = {}
        """The same for paths as they are asked for: each comes a hundred times."""
        self._pending = bytearray()
        self._good_bytes = self._load()

    def add(self, output: str, mtime_ns: int, read: Sequence[str]) -> None:
        """Record what an output was made from. A list too long for the format is left out: ninja
        then builds that output again."""
        if 4 * (3 + len(read)) > _RECORD_BYTES_MAX:
            return
        numbers = [self._number(path) for path in (output, *read)]
        body = struct.pack(f"<iq{len(read)}i", numbers[0], mtime_ns, *numbers[1:])
        self._pending += struct.pack("<I", len(body) | _DEPS_BIT) + body

    def save(self) -> None:
        """Append what was added. Raises OSError."""
        if not self._pending:
            return
        with self._path.open("r+b" if self._good_bytes else "wb") as file:
            if self._good_bytes:
                file.truncate(self._good_bytes)
                file.seek(self._good_bytes)
            else:
                file.write(_HEADER)
            file.write(self._pending)
        self._good_bytes = self._path.stat().st_size
        self._pending.clear()

    def _number(self, path: str) -> int:
        known = self._numbers.get(path)
        if known is None:
            known = self._numbers[path] = self._number_of(os.fsencode(path))
        return known

    def _number_of(self, raw: bytes) -> int:
        known = self._ids.get(raw)
        if known is not None:
            return known
        number = self._ids[raw] = len(self._ids)
        padded = raw + b"\0" * (-len(raw) % 4)
        body = padded + struct.pack("<I", ~number & 0xFFFFFFFF)
        self._pending += struct.pack("<I", len(body)) + body
        return number

    def _load(self) -> int:
        """Read the numbers of paths; returns how many bytes at the front are sound."""
        try:
            data = self._path.read_bytes()
        except OSError:
            return 0
        if not data.startswith(_HEADER):
            return 0
        at = len(_HEADER)
        while at + 4 <= len(data):
            (size,) = struct.unpack_from("<I", data, at)
            is_deps, size = bool(size & _DEPS_BIT), size & ~_DEPS_BIT
            body = data[at + 4 : at + 4 + size]
            if len(body) < size or size > _RECORD_BYTES_MAX or size % 4 or size < 8:
                break
            if not is_deps and not self._load_path(body):
                break
            at += 4 + size
        return at

    def _load_path(self, body: bytes) -> bool:
        number = len(self._ids)
        (check,) = struct.unpack("<I", body[-4:])
        path = body[:-4].rstrip(b"\0")
        if check != (~number & 0xFFFFFFFF) or path in self._ids or not path:
            return False
        self._ids[path] = number
        return True
