"""`vitte dist run`: builds, tests, benchmarks and single commands on the mesh."""

from __future__ import annotations

from typing import Any

import click

from cli import homes
from cli.client import ask
from cli.commands.base import Command, Duration, F, option
from cli.i18n import t
from cli.settings import Settings
from cli.shell import out
from cli.submit import DEFAULTS, submit
from cli.text import print_json

KINDS = ("build", "test", "bench")


def _complete_words(ctx: click.Context, _: click.Parameter, start: str) -> list[str]:
    """TAB offers the kinds first; what targets there are, only planning would say."""
    return [] if ctx.params.get("words") else [kind for kind in KINDS if kind.startswith(start)]


class RunCommand(Command):
    """Keeps what follows `--` as the command to run, which click would merge with the rest."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta["vitte.argv"] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


def run_options(function: F) -> F:
    """Options of a run, whichever way it is spelled."""
    for decorate in (
        option(
            "--progress",
            type=click.Choice(["auto", "plain", "none"]),
            default="auto",
            envvar="VITTE_PROGRESS",
            help=t("How to show progress (plain when not on a terminal)."),
        ),
        option(
            "--out",
            "outputs",
            multiple=True,
            metavar="PATH",
            help=t("A file or directory that the command makes. Repeatable."),
        ),
        option(
            "--timeout", "timeout_s", type=Duration(), help=t("Stop the run after 90s, 10m, 2h.")
        ),
        option(
            "--no-cache",
            "use_cache",
            is_flag=True,
            flag_value=False,
            default=DEFAULTS["use_cache"],
            help=t("Run everything, even what is known."),
        ),
        option("--keep-going", is_flag=True, help=t("Go on after failures, as far as possible.")),
        option("--jobs", type=click.IntRange(1, 100_000), help=t("Shards at once, at most.")),
        option(
            "--mode",
            type=click.Choice(["local", "cluster", "hybrid"]),
            default=DEFAULTS["mode"],
            show_default=True,
            help=t("Run here only, on other nodes only, or both."),
        ),
    ):
        function = decorate(function)
    return function


@click.command(
    cls=RunCommand,
    help=t(
        "Run work on the mesh.\n\n"
        "\b\n"
        "  vitte dist run build [TARGET...]\n"
        "  vitte dist run test [TARGET...]\n"
        "  vitte dist run bench [TARGET...]\n"
        "  vitte dist run -- CMD [ARG...]\n\n"
        "What to build is found in vitte-dist.toml, in a Ninja build directory or in a Vitte"
        " workspace. Exit status: 0 done, 1 failed, 3 tests failed, 4 no tests, 12 no node fits,"
        " 13 timeout, 130 interrupted; of a single command, its own."
    ),
    options_metavar="[OPTIONS]",
)
@click.argument(
    "words",
    nargs=-1,
    metavar="build|test|bench [TARGET]... | -- CMD [ARG]...",
    shell_complete=_complete_words,
)
@run_options
@click.pass_context
def run(ctx: click.Context, /, words: tuple[str, ...], **wishes: Any) -> int:
    argv = ctx.meta.get("vitte.argv")
    if argv and not words:
        return submit(ctx.obj, "command", (), tuple(argv), **wishes)
    if argv is not None:
        raise click.UsageError(t("give a command after `--`, and nothing before it"))
    if not words or words[0] not in KINDS:
        raise click.UsageError(_what_instead(words))
    return submit(ctx.obj, words[0], words[1:], (), **wishes)


def _what_instead(words: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(words[0], KINDS, n=1) if words else []
    if near:
        names = {"name": words[0], "near": near[0]}
        return t("no such command `{name}`; did you mean `{near}`?", **names)
    return t("say `build`, `test` or `bench`, or put `--` before a command of your own")


@click.command(
    cls=Command,
    help=t(
        "Stop a run that this node started.\n\n"
        "RUN: its id, the start of one, or `last`. What is done stays done."
    ),
)
@click.argument("run")
@click.pass_obj
def cancel(settings: Settings, run: str) -> int:
    view = ask(homes.home_to_ask(settings), "cancel", run=run)
    if settings.json:
        print_json(view)
    elif view["cancelled"]:
        out(t("run {run} is cancelled", run=view["run"]))
    else:
        out(t("run {run} had ended already ({state})", run=view["run"], state=view["state"]))
    return 0
