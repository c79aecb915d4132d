"""The `vitte` command tree: a lazy root that hands foreign subcommands to the next `vitte`.

Commands live in `cli.commands.*` and are imported when they are called (or listed by `--help`).
click parses; it neither prints errors nor exits here: `cli.shell` does, in the user's language.
"""

from __future__ import annotations

import os

import click

from cli import passthrough
from cli.commands.base import LazyGroup, global_options
from cli.i18n import t
from cli.settings import Settings
from cli.shell import EXIT_INTERRUPTED, guarded, usage_error
from mesh.errors import NoPassThrough, UnknownCommand

OURS = {
    "mesh": "cli.commands.mesh:mesh",
    "dist": "cli.commands.dist:dist",
    "build": "cli.commands.build:build",
    "test": "cli.commands.build:test",
    "bench": "cli.commands.build:bench",
    "sim": "cli.commands.sim:sim",
    "chaos": "cli.commands.chaos:chaos",
    "leaf": "cli.commands.leaf:leaf",
    "rule": "cli.commands.rule:rule",
    "cache": "cli.commands.cache:cache",
    "audit": "cli.commands.audit:audit",
    "doctor": "cli.commands.tools:doctor",
    "explain": "cli.commands.tools:explain",
    "completion": "cli.commands.tools:completion",
}

PROGRAM = "vitte"
COMPLETE_VARIABLE = "_VITTE_COMPLETE"
LOOKS_LIKE = 0.7
"""Less alike, a word is meant for the next `vitte`: `check` is no slip of `cache`."""
NO_ARGS_IS_HELP = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""A bare group shows its help; click before 8.2 does so without an exception."""


class Root(LazyGroup):
    """Our commands; anything else becomes the next `vitte`'s process."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not passthrough.is_ours(args, OURS) and not ctx.resilient_parsing:
            try:
                passthrough.hand_over(args)
            except NoPassThrough:
                near = self._meant(ctx, args[0])
                if near is None:
                    raise
                raise UnknownCommand(name=f"{PROGRAM} {args[0]}", near=near) from None
        return super().resolve_command(ctx, args)

    def _meant(self, ctx: click.Context, name: str) -> str | None:
        """The command of ours that this may have been: `build`, `dits`, or `status` alone."""
        from difflib import get_close_matches

        if name in passthrough.DIST_COMMANDS:
            return f"{PROGRAM} {name} --dist"
        known = {each: f"{PROGRAM} {each}" for each in OURS}
        for group in ("mesh", "dist"):
            command = self.get_command(ctx, group)
            assert isinstance(command, LazyGroup)
            known.update({each: f"{PROGRAM} {group} {each}" for each in command.list_commands(ctx)})
        known["explain"] = f"{PROGRAM} dist explain"
        near = get_close_matches(name, known, n=1, cutoff=LOOKS_LIKE)
        return known[near[0]] if near else None


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from mesh import __version__

        click.echo(f"vitte-mesh {__version__}")
        ctx.exit()


root = Root(
    PROGRAM,
    OURS,
    help=t(
        "Run builds, tests and commands across the machines you already have. No server.\n\n"
        "Commands that are not listed here are passed to the next `vitte` on PATH."
    ),
    params=[
        *global_options(),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help=t("Show the version and exit."),
        ),
    ],
)


def run(args: list[str]) -> int:
    """Parse and run; return the exit status."""
    settings = Settings()
    return guarded(lambda settings: _invoke(args, settings), settings)


def _invoke(args: list[str], settings: Settings) -> int:
    """What `click.Command.main` does, without its own way of printing errors and exiting."""
    instruction = os.environ.get(COMPLETE_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(root, {}, PROGRAM, COMPLETE_VARIABLE, instruction)
    try:
        with root.make_context(PROGRAM, list(args), obj=settings) as ctx:
            code = root.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        return _misused(error, settings)
    except click.Abort:
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else 0


def _misused(error: click.ClickException, settings: Settings) -> int:
    if isinstance(error, NO_ARGS_IS_HELP):
        click.echo(error.format_message(), err=True)
        return 2
    ctx = getattr(error, "ctx", None)
    return usage_error(error.format_message(), _usage(ctx) if ctx else "", settings)


def _usage(ctx: click.Context) -> str:
    asks_help = t("Try `{command} --help`.", command=ctx.command_path)
    return f"{ctx.get_usage()}\n{asks_help}"
