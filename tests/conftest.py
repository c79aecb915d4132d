"""What all tests share: nothing of this user's own mesh, language or terminal leaks into them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How fast a shared machine happens to be is no property of the code: on a fresh checkout the first
# text that Hypothesis draws builds tables for two seconds.
settings.register_profile("vitte", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vitte")

WAITING = ("e2e", "chaos")
"""Folders whose tests mostly wait for processes."""
LONG = ("boards", "bench", "sim", "swim", "node")
"""Folders whose files take long, the longest first."""
WAITING_BEGIN_WITHIN = 0.35
"""The tests that wait have all begun after such a share of the files."""

_LEAKS = ("VITTE_", "XDG_", "NO_COLOR", "FORCE_COLOR", "LANGUAGE", "CCACHE_", "MAKEFLAGS")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that wait are spread among those that compute, so that workers of which each takes the
    next file keep the cores busy; what is short comes last, so that they end together."""
    places = _places(list(dict.fromkeys(item.path for item in items)))
    items.sort(key=lambda item: places[item.path])  # stable: within a file nothing changes


def _places(files: list[Path]) -> dict[Path, float]:
    """Where a file comes in the order of all: 0 to 1."""
    waiting = [file for file in files if file.parent.name in WAITING]
    others = [file for file in files if file.parent.name not in WAITING]
    ranks = {folder: rank for rank, folder in enumerate(LONG)}
    others.sort(key=lambda file: ranks.get(file.parent.name, len(LONG)))
    places = {file: at / len(others) for at, file in enumerate(others)}
    shares = {file: at / len(waiting) * WAITING_BEGIN_WITHIN for at, file in enumerate(waiting)}
    return places | shares


@pytest.fixture(autouse=True)
def _own_world(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each test has its own XDG directories, English, and no settings from outside."""
    for name in list(os.environ):
        if name.startswith(_LEAKS):
            monkeypatch.delenv(name)
    home = _world_directory(tmp_path_factory)
    for kind in ("STATE", "CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


def _world_directory(factory: pytest.TempPathFactory) -> Path:
    return factory.mktemp("xdg")
