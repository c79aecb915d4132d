"""`vitte mesh revoke`: shutting a node out, and `vitte cache taint`: what that withdraws."""

from __future__ import annotations

import time
from typing import Any

import click

from cli import homes
from cli.client import ask
from cli.commands.base import Command, option
from cli.i18n import n, t
from cli.settings import Settings, note
from cli.shell import out
from cli.text import print_json, printable, table, width

ID_DIGITS = 16
FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """Seconds since 1970, from `2h` (ago), `2026-11-20 14:00` (here), or `start`."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        text = str(value).strip()
        moment = _moment(text)
        if moment is None:
            words = t("{value} is not like 2h, `2026-11-20 14:00` or start", value=text)
            self.fail(words, param, ctx)
        return moment


def _moment(text: str) -> float | None:
    if text == "start":
        return 0.0
    if text[-1:] in UNIT_S and text[:-1].replace(".", "", 1).isdigit():
        return time.time() - float(text[:-1]) * UNIT_S[text[-1]]
    for form in FORMS:
        try:
            return time.mktime(time.strptime(text, form))
        except (ValueError, OverflowError):
            continue
    return None


@click.command(
    cls=Command,
    help=t(
        "Shut a node out of the mesh, everywhere and at once.\n\nIts connections are closed. What"
        " it has written so far goes on counting; with --after, what it wrote from then on is"
        " withdrawn, and everything that was built from that is built anew. NODE is a name or the"
        " start of a node id. Needs the role admin."
    ),
)
@click.argument("node")
@option("--reason", default="", help=t("Why, for whoever reads the log."))
@option(
    "--after",
    "after_unix_s",
    type=Moment(),
    metavar="WHEN",
    help=t("Withdraw what it wrote since: 2h (ago), `2026-11-20 14:00`, or start (all of it)."),
)
@click.pass_obj
def revoke(settings: Settings, node: str, reason: str, after_unix_s: float | None) -> int:
    home = homes.home_to_ask(settings)
    view = ask(home, "revoke", node=node, reason=reason, after_unix_s=after_unix_s)
    if settings.json:
        print_json(view)
        return 0
    out(t("{node} was shut out of the mesh", node=printable(view["name"])))
    kept = view["kept_events"]
    note(n("{count} event of its log counts", "{count} events of its log count", kept))
    if view["cut_events"]:
        cut = view["cut_events"]
        note(n("{count} event counts no more", "{count} events count no more", cut))
    if view["withdrawn"] or view["tainted"]:
        note(
            t(
                "{results} results are withdrawn, and {actions} that were made from them;"
                " `vitte cache taint` lists them",
                results=view["withdrawn"],
                actions=view["tainted"],
            )
        )
    return 0


@click.command(
    cls=Command,
    help=t(
        "List what is not offered any more because its builder was shut out, and what was made"
        " from it.\n\nWith --after, withdraw more: what a node that was shut out wrote since then."
    ),
)
@option("--node", metavar="NAME", help=t("Only on account of this node: a name or an id."))
@option(
    "--after",
    "after_unix_s",
    type=Moment(),
    metavar="WHEN",
    help=t("Withdraw what it wrote since: 2h (ago), `2026-11-20 14:00`, or start (all of it)."),
)
@click.pass_obj
def taint(settings: Settings, node: str | None, after_unix_s: float | None) -> int:
    if after_unix_s is not None and node is None:
        raise click.UsageError(t("--after needs --node"))
    home = homes.home_to_ask(settings)
    view = ask(home, "cache_taint", node=node, after_unix_s=after_unix_s)
    if settings.json:
        print_json(view)
        return 0
    rows = [
        [each["action"][:ID_DIGITS], each["outputs"][:ID_DIGITS], ", ".join(each["builders"])]
        for each in view["withdrawn"]
    ]
    derived = t("made from what is withdrawn")
    rows += [[action[:ID_DIGITS], "-", derived] for action in view["derived"]]
    if not rows:
        note(t("nothing is withdrawn"))
        return 0
    for line in table([t("ACTION"), t("OUTPUTS"), t("WHY")], rows, width()):
        out(printable(line))
    return 0
