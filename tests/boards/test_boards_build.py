"""The firmware is built by one command, without a warning, and fits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sim.boards.image import BUILD_SCRIPT, firmware, load

pytestmark = pytest.mark.timeout(300)

SEEDS_BUDGET_KIB = {
    "stm32f405": (64, 16),
    "stm32h7a3": (128, 32),
    "nrf52840": (48, 12),
    "rp2040": (32, 8),
}
FLASH_GATE_BYTES = 16 * 1024
ZIG_CACHE = BUILD_SCRIPT.parents[1] / "build" / "zig"
"""Of firmware/build.py: the compiler's own library need not be made again."""
STACK_GATE_BYTES = 2560
"""bench/leaf_size.py measures 2,344 at most."""


@pytest.mark.parametrize("name", sorted(SEEDS_BUDGET_KIB))
def test_the_firmware_fits_what_was_asked_for_and_does_not_grow_unnoticed(name: str) -> None:
    image = firmware(name)
    flash_kib, ram_kib = SEEDS_BUDGET_KIB[name]
    assert image.flash_bytes <= FLASH_GATE_BYTES <= 1024 * flash_kib
    assert image.ram_bytes + STACK_GATE_BYTES <= 6 * 1024 <= 1024 * ram_kib


def test_building_again_takes_what_is_there() -> None:
    first = firmware("stm32f405").path
    before = first.stat().st_mtime_ns
    said = subprocess.run(
        [sys.executable, str(BUILD_SCRIPT), "stm32f405"], capture_output=True, text=True, check=True
    )
    assert Path(said.stdout.strip()) == first
    assert first.stat().st_mtime_ns == before


def test_the_same_sources_in_another_place_make_the_same_bytes(tmp_path: Path) -> None:
    """The compiler has to do it all again there: it keeps what it made by the names of files."""
    elsewhere = tmp_path / "sources"
    shutil.copytree(BUILD_SCRIPT.parent, elsewhere)
    said = subprocess.run(
        [sys.executable, str(elsewhere / BUILD_SCRIPT.name), "--out", str(tmp_path), "stm32f405"],
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "ZIG_GLOBAL_CACHE_DIR": str(BUILD_SCRIPT.parent.parent / "build" / "zig"),
        },
    )
    assert load(Path(said.stdout.strip())).pieces == firmware("stm32f405").pieces


def test_an_unknown_target_is_told(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, str(BUILD_SCRIPT), "--out", str(tmp_path), "z80"],
        capture_output=True,
        text=True,
    )
    assert said.returncode == 2
    assert "no such target: z80" in said.stderr
