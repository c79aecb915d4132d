"""`mesh.ports.Readings` of a simulated machine: its slots, its other programs, its lateness."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mesh.ports.machine import Load, Pressure
from sim.machine.processor import Processor

PRESSURE_WINDOW_S = 10.0


@attrs.define
class Body:
    """How the machine is built, and how busy it is with other people's work. May be changed."""

    cores: int = 4
    speed: float = 1.0
    """Actions take their time divided by this."""
    memory_free_mib: int = 8192
    foreign_percent: int = 0
    """CPU time taken by programs that are not ours."""
    memory_pressure: float = 0.0
    io_pressure: float = 0.0
    tools_problem: str = ""
    """Why this machine's tools are not those of the others; empty when they are."""


class SimReadings:
    """See `mesh.ports.machine.Readings`."""

    def __init__(
        self, process_id: int, body: Body, processor: Processor, lag_s: Callable[[], float]
    ) -> None:
        self.process_id = process_id
        self._body = body
        self._processor = processor
        self.lag_s = lag_s
        self.busy: Callable[[], int] = lambda: 0
        """Slots that are working."""

    @property
    def cores(self) -> int:
        return self._body.cores

    def load(self) -> Load:
        own_percent = 100 * self.busy() // self._body.cores
        percent = min(100, own_percent + self._body.foreign_percent)
        return Load(percent, self._body.memory_free_mib)

    def pressure(self) -> Pressure:
        stalled = 100 * self._processor.stalled_share(PRESSURE_WINDOW_S)
        return Pressure(stalled, self._body.memory_pressure, self._body.io_pressure)
