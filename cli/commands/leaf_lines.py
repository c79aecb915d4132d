"""`vitte leaf provision`, `attach` and `detach`: making a leaf ours, taking its line."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cli import homes
from cli.client import Call, ask
from cli.commands.base import Command, option
from cli.i18n import t
from cli.settings import Settings, note
from cli.shell import out
from cli.text import print_json, printable

F = TypeVar("F", bound=Callable[..., Any])

BAUD_MAX = 4_000_000


class Port(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A serial device, `tcp:HOST:PORT` or `unix:PATH`; paths are made absolute, for the node has
    another working directory."""

    name = "port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if text.startswith("tcp:"):
            host, colon, port = text.removeprefix("tcp:").rpartition(":")
            if not (host and colon and port.isdecimal() and 0 < int(port) < 65_536):
                self.fail(t("{value} is not tcp:HOST:PORT", value=text), param, ctx)
            return text
        if text.startswith("unix:"):
            return "unix:" + str(Path(text.removeprefix("unix:")).absolute())
        return str(Path(text).absolute()) if "/" in text else text


def line_options(function: F) -> F:
    """PORT and --baud."""
    function = option(
        "--baud",
        type=click.IntRange(1, BAUD_MAX),
        default=115_200,
        show_default=True,
        help=t("Speed of a serial device."),
    )(function)
    return click.argument("port", type=Port())(function)


@click.command(
    cls=Command,
    help=t(
        "Make the leaf at PORT one of this mesh.\n\n"
        "It makes its own key, and from then on runs only programs signed by this node."
        " PORT: a serial device, tcp:HOST:PORT or unix:PATH."
    ),
)
@line_options
@option("--name", metavar="NAME", help=t("Its name in the mesh (default: the kind of board)."))
@click.pass_obj
def provision(settings: Settings, port: str, baud: int, name: str | None) -> int:
    with Call(homes.home_to_ask(settings), "leaf_provision", port=port, baud=baud, name=name) as c:
        view = c.result()
    if settings.json:
        print_json(view)
        return 0
    fields = {"name": printable(view["name"]), "board": view["board"], "id": view["id"][:8]}
    if view["known"]:
        out(t("{name} ({board}, {id}) is a leaf of this mesh already", **fields))
    else:
        out(t("{name} ({board}, {id}) is a leaf of this mesh now", **fields))
        note(t("attach it with `vitte leaf attach {port}`", port=port))
    return 0


@click.command(
    cls=Command,
    help=t(
        "Attend to the leaf at PORT, now and after a restart.\n\n"
        "A cable that was pulled may come back at any time."
        " PORT: a serial device, tcp:HOST:PORT or unix:PATH."
    ),
)
@line_options
@option(
    "--answer",
    metavar="COMMAND",
    default="",
    help=t("Answers questions of rules: gets QUESTION VALUE, prints a number."),
)
@click.pass_obj
def attach(settings: Settings, port: str, baud: int, answer: str) -> int:
    argv = _command(answer)
    with Call(
        homes.home_to_ask(settings), "leaf_attach", port=port, baud=baud, answer=argv
    ) as call:
        view = call.result()
    if settings.json:
        print_json(view)
    else:
        out(t("{name} is attached at {port}", name=printable(view["name"]), port=view["port"]))
    return 0


def _command(text: str) -> list[str]:
    """A shell-like command line as words; a program named by a path is found from the root."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise click.UsageError(t("--answer: {why}", why=error)) from None
    return [str(Path(word).absolute()) if Path(word).exists() else word for word in words]


@click.command(cls=Command, help=t("Attend to the line at PORT no longer. Its leaf runs on."))
@click.argument("port", type=Port())
@click.pass_obj
def detach(settings: Settings, port: str) -> int:
    view = ask(homes.home_to_ask(settings), "leaf_detach", port=port)
    if settings.json:
        print_json(view)
    elif view["detached"]:
        out(t("{port} is detached", port=port))
    else:
        out(t("{port} was not attached", port=port))
    return 0 if view["detached"] else 1


@click.command(
    cls=Command,
    help=t(
        "Shut a leaf out of the mesh.\n\n"
        "Nobody listens to it any more. It still runs its program until its release pin is held."
    ),
)
@click.argument("name")
@click.pass_obj
def remove(settings: Settings, name: str) -> int:
    view = ask(homes.home_to_ask(settings), "leaf_remove", leaf=name)
    if settings.json:
        print_json(view)
    else:
        out(t("{name} is no leaf of this mesh any more", name=printable(view["name"])))
    return 0
