"""`Readings` from /proc. Linux only, like the rest of the executor; elsewhere all is zero."""

from __future__ import annotations

import os
from pathlib import Path

from mesh.ports.machine import Load, Pressure
from mesh.ports.real.clock import RealClock

_STAT = Path("/proc/stat")
_MEMINFO = Path("/proc/meminfo")
_PRESSURE = Path("/proc/pressure")
_READ_BYTES = 4096
"""More than the head of each of these files that is looked at."""


class RealReadings:
    """See `mesh.ports.machine.Readings`. `clock` is the node's: its timers show our own delays."""

    def __init__(self, clock: RealClock) -> None:
        self._clock = clock
        self._busy, self._total = _cpu_ticks()

    @property
    def process_id(self) -> int:
        return os.getpid()

    @property
    def cores(self) -> int:
        return len(os.sched_getaffinity(0))

    def load(self) -> Load:
        busy, total = _cpu_ticks()
        passed = total - self._total
        percent = round(100 * (busy - self._busy) / passed) if passed > 0 else 0
        self._busy, self._total = busy, total
        return Load(max(0, min(100, percent)), _memory_free_mib())

    def pressure(self) -> Pressure:
        return Pressure(*(_some_avg10(name) for name in ("cpu", "memory", "io")))

    def lag_s(self) -> float:
        return self._clock.lag_s()


def _cpu_ticks() -> tuple[int, int]:
    fields = [int(field) for field in _head(_STAT).split("\n", 1)[0].split()[1:9]]
    if len(fields) < 8:
        return 0, 0
    idle = fields[3] + fields[4]
    return sum(fields) - idle, sum(fields)


def _memory_free_mib() -> int:
    for line in _head(_MEMINFO).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0


def _some_avg10(resource: str) -> float:
    """`some avg10=0.12 avg60=...`, the first line of a pressure file."""
    for word in _head(_PRESSURE / resource).split("\n", 1)[0].split():
        if word.startswith("avg10="):
            return float(word.removeprefix("avg10="))
    return 0.0


def _head(path: Path) -> str:
    """The start of a file of the kernel's, "" when it has none (PSI may be turned off)."""
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(_READ_BYTES).decode("ascii", "replace")
    except OSError:
        return ""
