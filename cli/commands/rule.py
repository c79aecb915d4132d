"""`vitte rule ...`: rule files, on this machine; `vitte leaf deploy` brings them to leaves.

Parses here; the work is done by `python -P -m sim.app.rules`, a process of its own, because the
compiler loads what a thin client of the node must not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from cli.commands.base import Command, Duration, LazyGroup, option
from cli.i18n import language, t, user_environment
from cli.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

RULE_COMMAND = (sys.executable, "-P", "-m", "sim.app.rules")
BOARDS = ("stm32f405", "stm32h7a3", "nrf52840", "rp2040", "linux")
"""Those of `mesh.rules.program.BoardKind`; a test compares the two."""
RUN_DEFAULT_S = 10.0
FILE = click.Path(exists=True, dir_okay=False)


def start(name: str, request: dict[str, Any], settings: Settings) -> int:
    """Run one command; return its exit status."""
    request |= {
        "json": settings.json,
        "color": settings.color,
        "debug": settings.debug,
        "language": language(),
    }
    argv = [*RULE_COMMAND, name, json.dumps(request)]
    process = subprocess.Popen(argv, env=user_environment())
    try:
        status = process.wait()
    except KeyboardInterrupt:  # it has heard Ctrl-C, too
        status = process.wait()
    return 128 - status if status < 0 else status


def board_option() -> Callable[[F], F]:
    return option(
        "--board",
        type=click.Choice(BOARDS),
        help=t("The board that must have all that the rules touch (default: any)."),
    )


@click.command(
    cls=Command,
    help=t(
        "Check a rule file.\n\nSays what each rule costs and which boards have all it touches, or"
        " what is wrong, with the line."
    ),
)
@click.argument("file", type=FILE)
@board_option()
@click.pass_obj
def check(settings: Settings, /, **request: Any) -> int:
    return start("check", request, settings)


@click.command(
    name="compile",
    cls=Command,
    help=t("Compile a rule file.\n\nThe program is not signed: `vitte leaf deploy` signs it."),
)
@click.argument("file", type=FILE)
@board_option()
@option("--output", "-o", type=click.Path(dir_okay=False), metavar="FILE", help=t("Where to."))
@click.pass_obj
def compile_(settings: Settings, /, **request: Any) -> int:
    return start("compile", request, settings)


@click.command(
    cls=Command,
    help=t("Show the instructions of a rule file, or of a compiled or signed program."),
)
@click.argument("file", type=FILE)
@board_option()
@click.pass_obj
def disassemble(settings: Settings, /, **request: Any) -> int:
    return start("disassemble", request, settings)


@click.command(
    cls=Command,
    help=t(
        "Run a rule file here, against a simulated board.\n\nSimulated time takes no time. With"
        " --adapters the rules run in real time on files, commands and devices of this machine."
    ),
)
@click.argument("file", type=FILE)
@board_option()
@option(
    "--for",
    "duration",
    type=Duration(),
    default=RUN_DEFAULT_S,
    show_default=True,
    help=t("How long the rules run, of their time."),
)
@option(
    "--input",
    "inputs",
    multiple=True,
    metavar="RESOURCE=N[@TIME]",
    help=t("What a resource reads, as `adc(0)=850` or `adc(0)=900@5s`; may be repeated."),
)
@option(
    "--answer",
    "answers",
    multiple=True,
    metavar="QUESTION=N",
    help=t("How a question of `ask` is answered; may be repeated."),
)
@option("--every-write", is_flag=True, help=t("Show writes that change nothing, too."))
@option("--adapters", type=FILE, metavar="FILE", help=t("Resources on this machine (TOML)."))
@click.pass_obj
def run(
    settings: Settings, /, inputs: tuple[str, ...], answers: tuple[str, ...], **request: Any
) -> int:
    request |= {"inputs": list(inputs), "answers": list(answers)}
    return start("run", request, settings)


HERE = "cli.commands.rule"
rule = LazyGroup(
    "rule",
    {
        "check": f"{HERE}:check",
        "compile": f"{HERE}:compile_",
        "disassemble": f"{HERE}:disassemble",
        "run": f"{HERE}:run",
    },
    help=t("Rules for leaves: check, compile, look inside, try."),
)
