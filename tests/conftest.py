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

_LEAKS = ("VITTE_", "XDG_", "NO_COLOR", "FORCE_COLOR", "LANGUAGE", "CCACHE_", "MAKEFLAGS")


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
