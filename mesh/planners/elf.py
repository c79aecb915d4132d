"""What the system adds to a program that the project has built itself: its loader and libraries.

A test's result depends on the shared libraries that the loader finds outside the project, so they
belong to its toolchain. The loader named in the program (PT_INTERP, System V ABI) is asked with
`--list`, which loads and prints but does not run the program; glibc and musl both know it.

Deliberately not here: libraries opened later with dlopen, other formats than ELF.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

from mesh.limits import PATH_BYTES_MAX, PROBE_TIMEOUT_S

_PT_INTERP = 3
_HEADERS_MAX = 128
_LIBRARY = re.compile(r"(?:=>\s+)?(/\S.*?)\s+\(0x[0-9a-f]+\)")


def interpreter(program: Path) -> str | None:
    """The loader of an ELF program, or the interpreter of a `#!` script; None for others."""
    try:
        with program.open("rb") as file:
            head = file.read(PATH_BYTES_MAX)
            if head.startswith(b"#!"):
                words = head[2:].split(b"\n", 1)[0].split()
                return words[0].decode("utf-8", "replace") if words else None
            if head.startswith(b"\x7fELF"):
                return _loader(head)
    except (OSError, struct.error):
        return None
    return None


def libraries(program: Path, env: Mapping[str, str]) -> tuple[str, ...]:
    """Absolute paths of the loader and the libraries it finds for `program`; () when static."""
    loader = interpreter(program)
    if loader is None or not Path(loader).is_file():
        return ()
    try:
        done = subprocess.run(
            [loader, "--list", str(program)],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return (loader,)
    text = done.stdout.decode("utf-8", "replace")
    return tuple(dict.fromkeys([loader, *_LIBRARY.findall(text)]))


def _loader(head: bytes) -> str | None:
    """The PT_INTERP string, when it lies in the first page, as linkers place it."""
    wide, little = head[4] == 2, head[5] == 1
    order = "<" if little else ">"
    offset = struct.unpack_from(order + ("Q" if wide else "I"), head, 0x20 if wide else 0x1C)[0]
    size, count = struct.unpack_from(order + "HH", head, 0x36 if wide else 0x2A)
    for index in range(min(count, _HEADERS_MAX)):
        at = offset + index * size
        kind = struct.unpack_from(order + "I", head, at)[0]
        if kind == _PT_INTERP:
            start = struct.unpack_from(
                order + ("Q" if wide else "I"), head, at + (8 if wide else 4)
            )[0]
            end = head.find(b"\0", start)
            return head[start:end].decode("utf-8", "replace") if 0 < start < end else None
    return None
