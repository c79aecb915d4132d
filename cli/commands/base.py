"""What all commands share: lazy groups, the global options, and parameter types.

The global options work before and after a subcommand: `vitte --json dist status` and
`vitte dist status --json` are the same. They are stored in the `Settings` that is click's `obj`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

import click

from cli import i18n
from cli.i18n import t
from cli.settings import Settings
from mesh.limits import COPIES_MAX, K_ATTEST_MAX

F = TypeVar("F", bound=Callable[..., Any])

PORT_MAX = 65_534

UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def _store(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None and value is not False and parameter.name:
        setattr(ctx.ensure_object(Settings), parameter.name, value)


def _check_language(_: click.Context, __: click.Parameter, value: str | None) -> None:
    if value is not None and value.split("_")[0].lower() not in i18n.LANGUAGES:
        raise click.BadParameter(
            t("choose one of {languages}", languages=", ".join(i18n.LANGUAGES))
        )


def global_options(*, hidden: bool = False) -> list[click.Parameter]:
    """`--home`, `--json`, and those that only the root's help shows."""

    def option(*names: str, **more: Any) -> click.Option:
        return click.Option(names, expose_value=False, **{"callback": _store, **more})

    return [
        option("--home", metavar="DIR", help=t("The node's home directory [env: VITTE_HOME].")),
        option("--json", is_flag=True, help=t("Print JSON; every view names its schema.")),
        option(
            "--lang",
            callback=_check_language,
            metavar="LANG",
            hidden=hidden,
            help=t("The language of messages: en or fr [env: VITTE_LANG]."),
        ),
        option(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            hidden=hidden,
            help=t("When to use colours (NO_COLOR and FORCE_COLOR are heeded)."),
        ),
        option("--debug", is_flag=True, hidden=hidden, help=t("Show tracebacks of errors.")),
    ]


class Command(click.Command):
    """A command that takes the global options, too."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.params += global_options(hidden=True)


class LazyGroup(click.Group):
    """A group whose subcommands are `module:attribute` until they are needed."""

    def __init__(self, name: str, table: dict[str, str], **more: Any) -> None:
        super().__init__(name, **{"params": global_options(hidden=True), **more})
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._table)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self._table and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], self._table, n=1)
            if near and not ctx.resilient_parsing:
                words = {"name": args[0], "near": near[0]}
                ctx.fail(t("no such command `{name}`; did you mean `{near}`?", **words))
        return super().resolve_command(ctx, args)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        where = self._table.get(cmd_name)
        if where is None:
            return None
        module, attribute = where.split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """Seconds as a float, from `90`, `90s`, `10m`, `2h`, `1d`."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        text = str(value).strip()
        digits = text.rstrip("adhimns")
        try:
            seconds = float(digits) * UNIT_S[text[len(digits) :].strip() or "s"]
        except (ValueError, KeyError):
            self.fail(t("{value} is not a duration like 90s, 10m or 2h", value=text), param, ctx)
        if not 0 < seconds < 366 * 86400:
            self.fail(t("{value} is not between 0 and a year", value=text), param, ctx)
        return seconds


class Endpoint(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """`HOST` or `HOST:PORT`, as it was written. The port after it is used too, so 65535 is not."""

    name = "endpoint"

    def __init__(self, port_min: int = 1) -> None:
        self._port_min = port_min

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).strip()
        host, colon, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "")
        if text.startswith("["):
            host, end, rest = text[1:].partition("]")
            colon, port = rest[:1] if end else "]", rest[1:]
        right = not colon or (
            colon == ":" and port.isdecimal() and self._port_min <= int(port) <= PORT_MAX
        )
        if not host or any(c.isspace() for c in host) or not right:
            self.fail(t("{value} is not HOST or HOST:PORT", value=text), param, ctx)
        return text


class Trusted(click.ParamType):  # type: ignore[type-arg]  # as above
    """`own`, `any` or how many builders must agree."""

    name = "own|any|K"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        is_number = text.isascii() and text.isdecimal() and 1 <= int(text) <= K_ATTEST_MAX
        if text not in ("own", "any") and not is_number:
            self.fail(t("{value} is not own, any or a number of builders", value=text), param, ctx)
        return text


def option(*names: str, **more: Any) -> Callable[[F], F]:
    """click.option under a short name, so that command files read easily."""
    return click.option(*names, **more)


def node_options(function: F) -> F:
    """Options of commands that may start this machine's node."""
    for decorate in (
        option(
            "--max-buffer-age-hours",
            type=click.IntRange(1, 1_000_000),
            help=t("How long events of the mesh's log are kept here, in hours (default: 72)."),
        ),
        option(
            "--max-buffer-size-mb",
            type=click.IntRange(1, 1_000_000),
            help=t("How large the mesh's log may grow here, in MiB (default: 512)."),
        ),
        option(
            "--trust",
            type=Trusted(),
            metavar="own|any|K",
            help=t("Whose results to take: one's own, any builder's, or what K builders agree on."),
        ),
        option(
            "--cache-gb",
            type=click.IntRange(1, 1_000_000),
            help=t("How large the cache may grow, in GiB (default: 20)."),
        ),
        option(
            "--copies",
            type=click.IntRange(1, COPIES_MAX),
            help=t("On how many machines each result's files are kept, at least (default: 2)."),
        ),
        option(
            "--profile",
            type=click.Choice(["lan", "wan", "loopback"]),
            help=t("How patient to be with others: their network (default: by the address)."),
        ),
        option(
            "--sandbox",
            type=click.Choice(["auto", "bwrap", "plain"]),
            help=t("How actions are isolated (default: bubblewrap when it works)."),
        ),
        option(
            "--discovery",
            type=click.Choice(["mdns", "none"]),
            help=t("How to find other nodes on the local network."),
        ),
        option("--slots", type=click.IntRange(1, 4096), help=t("Shards to run at once here.")),
        option(
            "--bind",
            type=Endpoint(port_min=0),
            metavar="HOST[:PORT]",
            help=t("Address for other nodes; the node chooses when it is not given."),
        ),
    ):
        function = decorate(function)
    return function
