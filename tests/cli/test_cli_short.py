"""The short ways ask exactly what click's commands ask, and take nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_node import FakeNode, run_view, status_view

from cli.main import main
from cli.short import short_way

SHORT = (
    "dist status",
    "mesh status --json",
    "dist run build",
    "dist run test --json",
    "dist run bench --progress none",
    "build --dist",
    "test --dist --progress plain",
)
LONG = (
    "dist",
    "dist members",
    "dist status now",
    "dist status --progress none",
    "dist run",
    "dist run build app",
    "dist run build --jobs 2",
    "dist run build --progress=none",
    "dist run build --progress loud",
    "dist run build --help",
    "dist run -- build",
    "build",
    "--dist build",
    "dist run build --home",
)


def asked(home: Path, line: str, capfd: pytest.CaptureFixture[str]) -> tuple[Any, ...]:
    """The status, what the node was asked, and what was printed."""
    with FakeNode(home, status=status_view(), run=run_view()) as node:
        code = main([*line.split(), "--home", str(home)])
    return code, node.requests, capfd.readouterr()


@pytest.mark.parametrize("line", SHORT)
def test_a_short_way_leads_where_click_does(
    line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert (said := short_way(line.split(), {})) is not None
    assert said.command() is not None
    long = f"--color auto {line}"
    assert (said := short_way(long.split(), {})) is None or said.command() is None
    assert asked(tmp_path / "n", line, capfd) == asked(tmp_path / "n", long, capfd)


@pytest.mark.parametrize("line", LONG)
def test_everything_else_is_left_to_click(line: str) -> None:
    said = short_way(line.split(), {})
    assert said is None or said.command() is None


@pytest.mark.parametrize("name", ["_VITTE_COMPLETE", "VITTE_PROGRESS"])
def test_what_click_asks_the_environment_is_left_to_it(name: str) -> None:
    assert short_way(["dist", "run", "build"], {name: "none"}) is None
