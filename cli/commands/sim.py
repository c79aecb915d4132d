"""`vitte sim ...`: the simulator, in a process of its own.

`vitte sim NAME` parses here and starts `python -P -m sim NAME REQUEST`; answer, progress and exit
status are that process's. It shares our terminal and process group, so Ctrl-C reaches it, and it
ends with 130 by itself. Deliberately not here: anything of the simulator; it loads what a thin
client of the node must not.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from cli.commands.base import Command, Duration, LazyGroup, option
from cli.i18n import language, t, user_environment
from cli.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

SIM_COMMAND = (sys.executable, "-P", "-m", "sim")
END_S = 3.0
"""A run that is interrupted ends within this time."""
SEED_MAX = 2**63 - 1
NODES_MAX = 2000
PROFILES = (
    *("calm", "mild", "pairs", "loss", "partitions", "crashes", "starved", "clocks", "disks"),
    *("streams", "hostile", "liars", "serial", "builds", "state", "state-keys"),
    *("state-roster", "state-gaps", "state-disks", "state-full", "everything"),
)
"""Those of `sim.scenario.profiles`; a test compares the two."""
RANGE = re.compile(r"([0-9]{1,20})(?:\.\.([0-9]{1,20}))?")


def start(name: str, request: dict[str, Any], settings: Settings) -> int:
    """Run one command of the simulator; return its exit status."""
    request |= {
        "json": settings.json,
        "color": settings.color,
        "debug": settings.debug,
        "language": language(),
    }
    argv = [*SIM_COMMAND, name, json.dumps(request)]
    process = subprocess.Popen(argv, env=user_environment())
    try:
        status = process.wait()
    except KeyboardInterrupt:  # it has heard Ctrl-C, too, and knows how to end
        status = _interrupted(process)
    return 128 - status if status < 0 else status


def _interrupted(process: subprocess.Popen[bytes]) -> int:
    """Its status; told once more if only we were interrupted, and ended if that does not help."""
    for tell in (process.send_signal, process.send_signal):
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            return process.wait(timeout=END_S)
        tell(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        return process.wait(timeout=END_S)
    process.kill()
    return process.wait()


class Seeds(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """`7` or `0..999`, both ends included."""

    name = "seeds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        found = RANGE.fullmatch(str(value))
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, SEED_MAX + 1)
        if max(first, last) > SEED_MAX:
            self.fail(t("{value} is not a seed or a range like 0..999", value=value), param, ctx)
        if first > last:
            turned = f"{last}..{first}"
            said = t("{value} is backwards: write {turned}", value=value, turned=turned)
            self.fail(said, param, ctx)
        return first, last


def mesh_options(function: F) -> F:
    """Options of commands that draw scenarios."""
    for decorate in (
        option(
            "--swim",
            type=click.Choice(["lan", "wan", "loopback"]),
            default="lan",
            show_default=True,
            help=t("The membership profile of the nodes."),
        ),
        option(
            "--world",
            type=click.Choice(["membership", "mesh"]),
            default=None,
            show_default=t("mesh, or the profile's own"),
            help=t("Membership cores alone, or whole nodes."),
        ),
        option(
            "--profile",
            type=click.Choice(PROFILES),
            default="everything",
            show_default=True,
            help=t("What kind of bad day it is."),
        ),
    ):
        function = decorate(function)
    return function


def nodes_option(default: int) -> Callable[[F], F]:
    return option(
        "--nodes",
        type=click.IntRange(1, NODES_MAX),
        default=default,
        show_default=True,
        help=t("Nodes in the mesh."),
    )


FILE = click.Path(exists=True, dir_okay=False)
OUTPUT = click.Path(dir_okay=False)


@click.command(
    cls=Command,
    help=t(
        "Play one seed and watch it.\n\nThe last line is the run's digest and the verdict; the same"
        " seed gives the same digest everywhere. Exit status 1 when the run is wrong."
    ),
)
@nodes_option(20)
@option("--seed", type=click.IntRange(0, SEED_MAX), default=1, show_default=True)
@mesh_options
@option("--hours", type=click.FloatRange(0.001, 8760), help=t("Hours of trouble, of their time."))
@option("--trace", type=OUTPUT, metavar="FILE", help=t("Write every event, for `vitte sim diff`."))
@option("--html", type=OUTPUT, metavar="FILE", help=t("Write a picture of the run."))
@option("--save", type=OUTPUT, metavar="FILE", help=t("Write the scenario that is played."))
@click.pass_obj
def run(settings: Settings, /, **request: Any) -> int:
    return start("run", request, settings)


@click.command(
    cls=Command,
    help=t(
        "Play many seeds; save and shrink what fails.\n\nFailing scenarios are written to"
        " .vitte/sim, under names that tell profile, world, nodes and seed. Exit status 1 when any"
        " seed failed."
    ),
)
@option("--seeds", type=Seeds(), default="0..199", show_default=True, metavar="A..B")
@nodes_option(5)
@mesh_options
@option(
    "--jobs",
    type=click.IntRange(1, 256),
    help=t("Runs at the same time (default: one a processor)."),
)
@option("--budget", type=Duration(), help=t("Begin no more runs after this time."))
@option("--folder", type=click.Path(file_okay=False), help=t("Where failing scenarios go."))
@click.pass_obj
def explore(settings: Settings, /, seeds: tuple[int, int], jobs: int | None, **request: Any) -> int:
    first, last = seeds
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    request |= {"first": first, "last": last, "jobs": jobs or cores or 1}
    return start("explore", request, settings)


@click.command(cls=Command, help=t("Play a scenario file again, exactly."))
@click.argument("file", type=FILE)
@option("--until", type=Duration(), help=t("Stop at this time."))
@option("--trace", type=OUTPUT, metavar="FILE", help=t("Write every event, for `vitte sim diff`."))
@option("--html", type=OUTPUT, metavar="FILE", help=t("Write a picture of the run."))
@click.pass_obj
def replay(settings: Settings, /, **request: Any) -> int:
    return start("replay", request, settings)


@click.command(
    cls=Command,
    help=t(
        "Find the shortest scenario with the same bug.\n\nWrites FILE.min.json, and beside it the"
        " nearest scenario that passes. FILE itself stays as it is."
    ),
)
@click.argument("file", type=FILE)
@option("--output", "-o", type=OUTPUT, metavar="FILE", help=t("Where to write it."))
@click.pass_obj
def shrink(settings: Settings, /, **request: Any) -> int:
    return start("shrink", request, settings)


@click.command(
    cls=Command,
    help=t(
        "Say when a bug became likely.\n\nRewinds a failing run to points in time, and plays other"
        " futures from each."
    ),
)
@click.argument("file", type=FILE)
@option("--futures", type=click.IntRange(1, 1000), help=t("Futures from each point."))
@click.pass_obj
def why(settings: Settings, /, **request: Any) -> int:
    return start("why", request, settings)


@click.command(cls=Command, help=t("Draw a scenario's run as one page that opens offline."))
@click.argument("file", type=FILE)
@option("--output", "-o", type=OUTPUT, metavar="FILE", help=t("Where to write it."))
@click.pass_obj
def timeline(settings: Settings, /, **request: Any) -> int:
    return start("timeline", request, settings)


@click.command(
    cls=Command,
    help=t(
        "Show where two runs part.\n\nA and B are traces, or scenario files, which are played."
        " Exit status 1 when they differ."
    ),
)
@click.argument("one", type=FILE, metavar="A")
@click.argument("other", type=FILE, metavar="B")
@click.pass_obj
def diff(settings: Settings, /, **request: Any) -> int:
    return start("diff", request, settings)


@click.command(
    cls=Command,
    help=t(
        "Check that the simulator is the same everywhere.\n\nPlays seeds under several hash seeds"
        " and all Pythons that can, and compares the digests."
    ),
)
@option("--seeds", type=click.IntRange(1, 100_000), default=5, show_default=True)
@nodes_option(6)
@option(
    "--python",
    "pythons",
    multiple=True,
    metavar="PATH",
    help=t("One more Python to compare with; may be repeated."),
)
@click.pass_obj
def doctor(settings: Settings, /, pythons: tuple[str, ...], **request: Any) -> int:
    return start("doctor", {**request, "pythons": list(pythons)}, settings)


@click.command(
    cls=Command,
    help=t("Plant bugs and see whether they are found.\n\nExit status 1 when one of them lives."),
)
@option("--only", multiple=True, metavar="NAME", help=t("Only this one; may be repeated."))
@option("--jobs", type=click.IntRange(1, 256), help=t("How many at the same time."))
@option("--seeds", type=click.IntRange(1, 100_000), default=40, show_default=True)
@click.pass_obj
def mutants(settings: Settings, /, only: tuple[str, ...], **request: Any) -> int:
    return start("mutants", {**request, "only": list(only)}, settings)


HERE = "cli.commands.sim"
COMMANDS = ("run", "explore", "replay", "shrink", "why", "timeline", "diff", "doctor", "mutants")
sim = LazyGroup(
    "sim",
    {name: f"{HERE}:{name}" for name in COMMANDS},
    help=t(
        "Simulate meshes: the real code, virtual time, every fault.\n\nThe same seed always plays"
        " the same run."
    ),
)
