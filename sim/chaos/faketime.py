"""Wall clocks of processes, by libfaketime: https://github.com/wolfcw/libfaketime

The library reads a file at every call, so a running process's clock jumps when the file changes.
Monotonic time is left alone, as the kernel leaves it. Found where distributions install it, or in
VITTE_LIBFAKETIME.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

NAME = "libfaketime.so.1"
VARIABLE = "VITTE_LIBFAKETIME"
FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib")


def library() -> Path | None:
    """Where it is, or None."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given) if Path(given).is_file() else None
    for folder in FOLDERS:
        for pattern in (f"faketime/{NAME}", f"*/faketime/{NAME}"):
            found = sorted(Path(folder).glob(pattern))
            if found:
                return found[0]
    return None


class FakeClock:
    """The wall clock of one node's processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset_s = 0.0
        self._rate = 1.0
        self._write()

    def environment(self) -> Mapping[str, str]:
        """For the process that shall believe it."""
        found = library()
        assert found is not None, "kinds has asked for it"
        return {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Its repair for old C libraries breaks timed waits of new ones: Python's threads spin.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }

    def step(self, step_s: float) -> None:
        self._offset_s += step_s
        self._write()

    def drift(self, rate: float) -> None:
        self._rate = rate
        self._write()

    def _write(self) -> None:
        rate = f" x{self._rate:g}" if self._rate != 1.0 else ""
        fresh = self._path.with_suffix(".new")
        fresh.write_text(f"{self._offset_s:+.3f}{rate}\n")
        fresh.replace(self._path)
