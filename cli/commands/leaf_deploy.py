"""`vitte leaf deploy`: rules onto a leaf."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click

from cli import homes
from cli.client import Call
from cli.commands.base import Command, option
from cli.i18n import n, t
from cli.settings import Settings, note
from cli.shell import out
from cli.text import human_bytes, human_seconds, print_json, printable

PATIENCE_S = 200.0
COUNTER_MAX = 2**32 - 1


@click.command(
    cls=Command,
    help=t(
        "Compile and sign rule files, and bring them to a leaf.\n\n"
        "They replace all its rules. The new program runs on trial first; a leaf that loses power"
        " then goes back to the old one."
    ),
)
@click.argument("name")
@click.argument("rules", nargs=-1, type=click.Path(exists=True, dir_okay=False))
@option(
    "--package",
    type=click.Path(exists=True, dir_okay=False),
    help=t("A program that was signed before, instead of RULES."),
)
@option("--save", metavar="FILE", help=t("Write the signed program to FILE; deploy nothing."))
@option(
    "--counter",
    type=click.IntRange(1, COUNTER_MAX),
    help=t("Sign with this counter (default: the next one)."),
)
@click.pass_obj
def deploy(
    settings: Settings,
    /,
    name: str,
    rules: tuple[str, ...],
    package: str | None,
    save: str | None,
    counter: int | None,
) -> int:
    if bool(rules) == (package is not None):
        raise click.UsageError(t("give rule files, or --package"))
    if save is not None and package is not None:
        raise click.UsageError(t("--save is for rule files"))
    request = {
        "leaf": name,
        "names": list(rules),
        "sources": [_text(each) for each in rules],
        "package": base64.b64encode(Path(package).read_bytes()).decode() if package else None,
        "counter": counter,
        "sign_only": save is not None,
    }
    show = print_json if settings.json else _tell
    with Call(homes.home_to_ask(settings), "leaf_deploy", **request) as call:
        view = call.result(show, timeout_s=PATIENCE_S)
    if save is not None:
        Path(save).write_bytes(base64.b64decode(view["package"]))
    if settings.json:
        print_json(view)
    else:
        _tell_end(view, save)
    return 0


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise click.UsageError(t("{path} is not text; is it a --package?", path=path)) from None


def _tell(event: dict[str, Any]) -> None:
    if event["event"] == "trial":
        time = human_seconds(event["seconds"])
        note(t("it runs, on trial for {time}", time=time))


def _tell_end(view: dict[str, Any], save: str | None) -> None:
    size = human_bytes(view["bytes"])
    if save is not None:
        out(t("signed for {name}: {path}, {size}", name=view["name"], path=save, size=size))
        return
    words = {"name": printable(view["name"]), "size": size, "counter": view["counter"]}
    if view["rules"]:
        rules = n("{count} rule", "{count} rules", len(view["rules"]))
        out(t("{name} runs {rules} ({size}, counter {counter})", rules=rules, **words))
    else:
        out(t("{name} runs the program ({size}, counter {counter})", **words))
