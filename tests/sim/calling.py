"""Calling `vitte` as people do: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def vitte(
    *args: str, folder: Path, lang: str = "en", **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run it in `folder`; `environment` is added to ours, `more` is for `subprocess.run`."""
    argv = [sys.executable, "-m", "cli.main", "--lang", lang, *args]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more.pop("environment", {})}
    return subprocess.run(
        argv, capture_output=True, text=True, cwd=folder, env=environment, timeout=100, **more
    )
