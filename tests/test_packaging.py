"""The wheel holds what users need and nothing else."""

from __future__ import annotations

import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=100,
    )
    (path,) = directory.glob("vitte_mesh-*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_has_exactly_three_packages(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    packages = {top for top in tops if not top.endswith(".dist-info")}
    assert packages == {"mesh", "cli", "sim"}
    assert len(tops) == 4


def test_all_sources_are_in_the_wheel_and_no_tests_or_caches(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in ("mesh", "cli", "sim")
        for path in (ROOT / package).rglob("*.py")
    }
    assert sources <= names
    assert not [name for name in names if "test" in name.lower().split("/")[0]]
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_data_files_are_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {"mesh/py.typed", "cli/py.typed", "sim/py.typed"} <= names
    assert {"cli/demo/demo.c", "cli/demo/runtime.c"} <= names
    assert {
        "cli/locale/fr/LC_MESSAGES/vitte.po",
        "cli/locale/fr/LC_MESSAGES/vitte.mo",
    } <= names


def test_the_firmware_is_in_the_wheel_where_emulated_boards_look_for_it(
    wheel: zipfile.ZipFile,
) -> None:
    names = set(wheel.namelist())
    assert {"sim/firmware/build.py", "sim/firmware/core/leaf.c", "sim/firmware/ld/leaf.ld"} <= names
    assert "sim/firmware/hal/stm32f405.c" in names


def test_the_commands_and_planners_are_registered(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    entries = configparser.ConfigParser(delimiters=("=",))
    entries.read_string(wheel.read(name).decode())
    assert dict(entries["console_scripts"]) == {
        "vitte": "cli.main:main",
        "vitte-mesh": "cli.main:main",
    }
    assert set(entries["vitte_mesh.planners"]) == {"steps", "ninja", "vitte"}


def test_the_licence_and_the_readme_travel_along(wheel: zipfile.ZipFile) -> None:
    assert [name for name in wheel.namelist() if name.endswith("licenses/LICENSE")]
    (metadata,) = [name for name in wheel.namelist() if name.endswith("dist-info/METADATA")]
    text = wheel.read(metadata).decode()
    assert "\nLicense-Expression: MIT\n" in text
    assert "\nRequires-Python: >=3.11\n" in text
    assert "# vitte-mesh" in text
