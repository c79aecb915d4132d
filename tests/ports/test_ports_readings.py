"""What the real machine says about itself."""

from __future__ import annotations

import os

import trio

from mesh.ports.real import readings as readings_module
from mesh.ports.real.clock import RealClock
from mesh.ports.real.readings import RealReadings


async def test_readings_are_in_range() -> None:
    readings = RealReadings(RealClock())
    assert readings.process_id == os.getpid()
    assert 1 <= readings.cores <= (os.cpu_count() or 1)
    load = readings.load()
    assert 0 <= load.cpu_percent <= 100
    assert 0 < load.memory_free_mib < 100_000_000
    pressure = readings.pressure()
    assert all(0.0 <= each <= 100.0 for each in (pressure.cpu, pressure.memory, pressure.io))
    assert readings.lag_s() >= 0.0


async def test_work_shows_in_the_load() -> None:
    readings = RealReadings(RealClock())
    before, began = os.times(), trio.current_time()
    while trio.current_time() - began < 0.3:
        sum(range(1000))
    after = os.times()
    assert after.user > before.user
    assert readings.load().cpu_percent > 0


async def test_a_machine_without_these_files_reads_zero(tmp_path, monkeypatch) -> None:
    for name in ("_STAT", "_MEMINFO", "_PRESSURE"):
        monkeypatch.setattr(readings_module, name, tmp_path / "none")
    readings = RealReadings(RealClock())
    assert (readings.load().cpu_percent, readings.load().memory_free_mib) == (0, 0)
    assert readings.pressure() == readings_module.Pressure(0.0, 0.0, 0.0)
