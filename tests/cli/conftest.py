"""What every test of the command line needs: a clean environment and a way to call it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HERE = Path(__file__).parent


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No node, language or colour of the machine that runs the tests leaks in."""
    for name in list(os.environ):
        if name.startswith(("VITTE_", "LC_", "_VITTE")) or name in (
            "LANG",
            "LANGUAGE",
            "NO_COLOR",
            "FORCE_COLOR",
            "CI",
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def vitte(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command line in this process: `vitte("dist", "status") -> Done`."""
    from cli import i18n
    from cli.main import main

    monkeypatch.setattr(sys, "argv", ["vitte"])

    def run(*args: str) -> Done:
        capsys.readouterr()
        code = main(list(args))
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    yield run
    i18n.activate("en")


@pytest.fixture
def vitte_process(tmp_path: Path) -> Any:
    """Run a command line as a process of its own, whose nodes are fake: `-> Done`."""

    def run(*args: str, timeout_s: float = 60.0, **environment: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "cli.main", *args],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run
