"""How busy this machine is, from /proc. Linux only, like the rest of the executor."""

from __future__ import annotations

from pathlib import Path

_STAT = Path("/proc/stat")
_MEMINFO = Path("/proc/meminfo")


class Machine:
    """Call `sample` about once a second; percentages are over the time between two calls."""

    def __init__(self) -> None:
        self._busy, self._total = _cpu_ticks()

    def sample(self) -> tuple[int, int]:
        """(CPU busy in percent, available memory in MiB)."""
        busy, total = _cpu_ticks()
        passed = total - self._total
        percent = round(100 * (busy - self._busy) / passed) if passed > 0 else 0
        self._busy, self._total = busy, total
        return max(0, min(100, percent)), _memory_free_mib()


def _cpu_ticks() -> tuple[int, int]:
    try:
        first = _STAT.read_text(encoding="ascii").split("\n", 1)[0]
    except OSError:
        return 0, 0
    fields = [int(field) for field in first.split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, sum(fields)


def _memory_free_mib() -> int:
    try:
        for line in _MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    except OSError:
        pass
    return 0
