"""`vitte audit ...`: the signed log of a home or of an exported file, read offline.

Parses and prints; the work is done by `python -P -m mesh.node.audit`, a process of its own, because
it loads what a thin client must not. No node needs to run, and none is asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cli import homes
from cli.client import to_error
from cli.commands.base import Command, LazyGroup, option
from cli.i18n import n, t, user_environment
from cli.settings import Settings, note
from cli.shell import out, out_list, out_table
from cli.text import human_bytes, print_json, printable, table, width
from mesh.errors import Bug

AUDIT_COMMAND = (sys.executable, "-P", "-m", "mesh.node.audit")
EXIT_BROKEN = 1
SHOWN_DEFAULT = 100
FILE = click.Path(exists=True, dir_okay=False)
F = TypeVar("F", bound=Callable[..., Any])


def node_option() -> Callable[[F], F]:
    """`--node`, which each of them has."""
    words = t("Only what this node wrote: a name or the start of an id.")
    return option("--node", metavar="NAME", help=words)


def read(name: str, settings: Settings, **request: Any) -> dict[str, Any]:
    """One answer. Raises its error."""
    request["home"] = homes.home_to_ask(settings)
    argv = [*AUDIT_COMMAND, name, json.dumps(request)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, env=user_environment(), check=False)
    if done.returncode or not done.stdout:
        raise Bug(what=f"the reader of the log ended with {done.returncode}")
    line: dict[str, Any] = json.loads(done.stdout)
    if "error" in line:
        raise to_error(line["error"])
    view: dict[str, Any] = line["ok"]
    return view


def _absolute(file: str | None) -> str | None:
    return None if file is None else str(Path(file).absolute())


@click.command(
    cls=Command,
    help=t(
        "Check the whole log of this machine's node, or an exported FILE.\n\nEvery signature, every"
        " link of every chain and every event is checked anew, offline. Says where it breaks; the"
        " exit status is 1 then."
    ),
)
@click.argument("file", type=FILE, required=False)
@node_option()
@click.pass_obj
def verify(settings: Settings, file: str | None, node: str | None) -> int:
    view = read("verify", settings, file=_absolute(file), node=node)
    if settings.json:
        print_json(view)
    else:
        for line in _verified(view, width()):
            out(line)
    return 0 if view["whole"] else EXIT_BROKEN


def _verified(view: dict[str, Any], columns: int) -> list[str]:
    rows = [
        [
            each["feed"],
            printable(each["node"]),
            str(each["events"]),
            str(each["frames"]),
            str(each["covered"]),
            str(each["lost"]),
            _verdict(each),
        ]
        for each in view["feeds"]
    ]
    header = [t("FEED"), t("WRITER"), t("EVENTS"), t("FRAMES"), t("COVERED"), t("LOST"), t("STATE")]
    lines = table(header, rows, columns) if rows else [t("there are none")]
    for name in view["forks"]:
        lines.append("# " + t("{node} has signed two histories", node=printable(name)))
    for each in view["damage"]:
        where = {"file": each["file"], "at": each["offset"], "count": each["size_bytes"]}
        words = t("{file} is damaged at byte {at}: {count} bytes", **where)
        if each["healed"]:
            words += "; " + t("what was there is here again")
        lines.append("# " + words)
    if view["torn_bytes"]:
        torn = t("{count} bytes at the end are no record yet", count=view["torn_bytes"])
        lines.append("# " + torn)
    for each in view["unreadable"]:
        where = {"at": each["at"], "why": each["reason"]}
        lines.append("# " + t("the file is damaged at byte {at}: {why}", **where))
    lines.append(t("the log is whole") if view["whole"] else t("the log is NOT whole"))
    return lines


def _verdict(feed: dict[str, Any]) -> str:
    if feed["broken"] is not None:
        return t("BROKEN at {at}: {why}", at=feed["broken"]["at"], why=feed["broken"]["reason"])
    if feed["bad_events"]:
        bad = feed["bad_events"]
        return n("{count} event cannot be read", "{count} events cannot be read", bad)
    words = {"removed": t("whole; its writer was removed"), "unknown": t("whole; writer unknown")}
    return words.get(feed["writer"], t("whole"))


@click.command(
    cls=Command,
    help=t("Write the log into FILE, for `vitte audit verify FILE` on any machine."),
)
@click.argument("file", type=click.Path(dir_okay=False))
@node_option()
@click.pass_obj
def export(settings: Settings, file: str, node: str | None) -> int:
    view = read("export", settings, out=_absolute(file), node=node)
    if settings.json:
        print_json(view)
        return 0
    size = human_bytes(view["size_bytes"])
    note(
        n(
            "{count} event written to {file}, {size}",
            "{count} events written to {file}, {size}",
            view["events"],
            file=file,
            size=size,
        )
    )
    return 0


@click.command(
    cls=Command,
    name="log",
    help=t(
        "Show who did what, newest last.\n\nTimes are what the clock of each writer said; they"
        " prove nothing."
    ),
)
@click.argument("file", type=FILE, required=False)
@node_option()
@option(
    "--limit",
    type=click.IntRange(1),
    default=SHOWN_DEFAULT,
    show_default=True,
    help=t("Show so many at most."),
)
@click.pass_obj
def log(settings: Settings, file: str | None, node: str | None, limit: int) -> int:
    view = read("log", settings, file=_absolute(file), node=node, limit=limit)
    if settings.json:
        print_json(view)
        return 0
    rows = [
        [
            _when(each["wall_unix_s"]),
            printable(each["node"]),
            each["what"],
            " ".join(f"{name}={printable(str(v))}" for name, v in each["details"].items()),
        ]
        for each in view["events"]
    ]
    out_list([t("TIME"), t("NODE"), t("EVENT"), t("DETAILS")], rows, view["total"])
    return 0


def _when(wall_unix_s: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall_unix_s))
    except (ValueError, OverflowError, OSError):  # some clock
        return "-"


@click.command(
    cls=Command,
    help=t(
        "List the events that are gone: their bodies are not here, and no checkpoint of their"
        " writer stands for them.\n\nThe headers are kept, so that nothing is lost in silence."
    ),
)
@click.argument("file", type=FILE, required=False)
@node_option()
@click.pass_obj
def lost(settings: Settings, file: str | None, node: str | None) -> int:
    view = read("lost", settings, file=_absolute(file), node=node)
    if settings.json:
        print_json(view)
        return 0
    words = {"dropped": t("dropped to make room"), "missing": t("damaged, or not come yet")}
    rows = [
        [
            each["feed"],
            printable(each["node"]),
            f"{each['from_seq']}..{each['to_seq'] - 1}",
            _when(each["wall_unix_s"]),
            words.get(each["why"], each["why"]),
        ]
        for each in view["lost"]
    ]
    out_table([t("FEED"), t("WRITER"), t("EVENTS"), t("TIME"), t("WHY")], rows)
    out(n("{count} event is lost", "{count} events are lost", view["events"]))
    return 0


audit = LazyGroup(
    "audit",
    {
        "verify": "cli.commands.audit:verify",
        "log": "cli.commands.audit:log",
        "lost": "cli.commands.audit:lost",
        "export": "cli.commands.audit:export",
    },
    help=t("Check the signed log, and see who did what. No node needs to run."),
)
