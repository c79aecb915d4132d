"""`vitte dist demo`: four nodes here, one real build, the same again from the cache, then stop."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from cli import cluster
from cli.client import Call
from cli.commands.base import Command, option
from cli.i18n import n, t, user_environment
from cli.live import LiveSink
from cli.progress import OutputSink
from cli.runs import Sink, follow, on_terminal
from cli.settings import Settings
from cli.shell import out
from cli.summary import print_summary
from cli.text import human_seconds, print_json

NODES = 4


@click.command(
    cls=Command,
    help=t(
        "See local nodes build a C project.\n\n"
        "Starts them on 127.0.0.1 in a temporary directory, builds, builds again from the cache,"
        " stops."
    ),
)
@option("--nodes", type=click.IntRange(1, 16), default=NODES, show_default=True)
@click.pass_obj
def demo(settings: Settings, nodes: int) -> int:
    from cli.demo_project import prepare

    with tempfile.TemporaryDirectory(prefix="vitte-demo-") as directory:
        project = prepare(Path(directory) / "project")
        group = cluster.Cluster(str(Path(directory) / "mesh"), nodes, ("--slots", "1"))
        seconds = group.start()
        try:
            _say(
                settings,
                n(
                    "{count} node on 127.0.0.1, started in {time}",
                    "{count} nodes on 127.0.0.1, started in {time}",
                    nodes,
                    time=human_seconds(seconds),
                ),
            )
            return _build_twice(settings, group.first, project)
        finally:
            stopped = group.stop()
            _say(settings, n("{count} node stopped", "{count} nodes stopped", stopped))


def _build_twice(settings: Settings, home: str, project: Path) -> int:
    before = _files(project)
    _say(settings, t("building {project}, nothing cached:", project=project.name))
    cold = _build(settings, home, project)
    if cold["exit_code"]:
        return int(cold["exit_code"])
    for made in _files(project) - before:
        made.unlink()
    _say(settings, t("building it again, after removing everything that was built:"))
    warm = _build(settings, home, project)
    if settings.json:
        print_json({"schema": "vitte.demo/1", "cold": cold, "warm": warm})
    return int(warm["exit_code"])


def _build(settings: Settings, home: str, project: Path) -> dict[str, Any]:
    request: dict[str, Any] = {
        "cwd": str(project),
        "kind": "build",
        "env": user_environment(),
    }
    with Call(home, "run", **request) as call:
        sink: Sink = _sink(settings)
        try:
            outcome, interrupts = follow(call, sink)
        finally:
            sink.close()
    if interrupts:
        raise KeyboardInterrupt
    if outcome.error is not None:
        raise outcome.error
    assert outcome.view is not None
    if not settings.json:
        print_summary(outcome.view, quiet=False, settings=settings)
    return outcome.view


def _sink(settings: Settings) -> Sink:
    """Live on a terminal; otherwise the summaries say it all."""
    return LiveSink(settings) if on_terminal() and not settings.json else OutputSink()


def _files(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if not path.is_dir() or path.is_symlink()}


def _say(settings: Settings, text: str) -> None:
    if not settings.json:
        out(text)
