"""`vitte dist status`, `logs` and `explain`: what is going on, what was said, and why."""

from __future__ import annotations

from typing import Any

import click

from cli import homes
from cli.client import Call, ask
from cli.commands.base import Command, option
from cli.i18n import said, t
from cli.progress import ENCODING, outcome_text, plan_text, safe_line, shard_text
from cli.settings import Settings
from cli.shell import out
from cli.status import show
from cli.summary import failure_lines
from cli.summary import lines as summary_lines
from cli.text import human_seconds, print_json, printable, table, width
from mesh.control.phases import FINAL_PHASES


@click.command(cls=Command, help=t("Show the nodes, the runs under way, and what is wrong."))
@click.pass_obj
def status(settings: Settings) -> int:
    return show(settings)


@click.command(
    cls=Command,
    help=t("Show what the shards of a run wrote. RUN: an id, the start of one, or `last`."),
)
@click.argument("run", required=False)
@option("--follow", "-f", is_flag=True, help=t("Stay until the run has ended."))
@click.pass_obj
def logs(settings: Settings, run: str | None, follow: bool) -> int:
    show_event = print_json if settings.json else LogPrinter().event
    with Call(homes.home_to_ask(settings), "logs", run=run, follow=follow) as call:
        view = call.result(show_event, timeout_s=None if follow else 60.0)
    if settings.json:
        print_json(view)
    elif view["state"] == "running":
        out(t("run {run} is still running; `--follow` stays with it", run=view["run"]))
    return 0


class LogPrinter:
    """Prints the events of a run. The node sends its plan and its shards as a snapshot, and again
    whenever some may have been missed: what was printed once is not printed again."""

    def __init__(self) -> None:
        self._planned = False
        self._ended: set[int] = set()

    def event(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "plan" if not self._planned:
                self._planned = True
                fields = {key: event[key] for key in ("run", "kind", "root")}
                out(t("run {run}: {kind} {root}", **fields))
                out(plan_text(event))
            case "shards":
                for item in event["items"]:
                    self._shard(item)
            case "output":
                text = event["text"].encode(*ENCODING).decode("utf-8", "replace")
                for line in text.rstrip("\n").split("\n"):
                    out(f"{printable(event['name'])} | {safe_line(line)}")
            case "finish":
                _show_log_end(event["view"])

    def _shard(self, item: list[Any]) -> None:
        if item[1] in FINAL_PHASES and item[0] not in self._ended:
            self._ended.add(item[0])
            out(shard_text(item))


def _show_log_end(view: dict[str, Any]) -> None:
    for failure in view["failures"]:
        for line in failure_lines(failure):
            out(line)
    for line in summary_lines(view):
        out(line)


@click.command(
    cls=Command,
    help=t(
        "Say why each shard ran where it ran.\n\n"
        "With SHARD (a name, a part of one, an index): the reason of every node."
        " RUN: an id, the start of one, or `last` (the default)."
    ),
)
@click.argument("run", required=False)
@click.argument("shard", required=False)
@click.pass_obj
def explain(settings: Settings, run: str | None, shard: str | None) -> int:
    view = ask(homes.home_to_ask(settings), "explain", run=run, shard=shard)
    if settings.json:
        print_json(view)
        return 0
    for line in _explain_one(view) if shard else _explain_all(view):
        out(line)
    return 0


def _explain_all(view: dict[str, Any]) -> list[str]:
    rows = [
        [printable(each["name"]), _how(each), _seconds(each), printable(said(each["why"]))]
        for each in view["shards"]
    ]
    return [
        t("run {run} ({state})", run=view["run"], state=view["state"]),
        *table([t("SHARD"), t("HOW"), t("TIME"), t("WHY")], rows, width()),
    ]


def _explain_one(view: dict[str, Any]) -> list[str]:
    result: list[str] = []
    for each in view["shards"]:
        result.append(f"{printable(each['name'])}: {_how(each)}, {_seconds(each)}")
        result.append(f"  {printable(said(each['why']))}")
        nodes = [
            [printable(reason["node"]), printable(said(reason["reason"]))]
            for reason in each.get("nodes", [])
        ]
        if nodes:
            result += ["", *table([t("NODE"), t("REASON")], nodes, width())]
        moments = [
            [
                f"{entry['at_s']:.3f} s",
                entry["phase"],
                printable(entry["where"]) or "-",
                printable(said(entry["detail"])),
            ]
            for entry in each.get("timeline", [])
        ]
        if moments:
            header = [t("AT"), t("PHASE"), t("NODE"), t("DETAIL")]
            result += ["", *table(header, moments, width())]
    return result


def _how(shard: dict[str, Any]) -> str:
    if shard["phase"] in FINAL_PHASES:
        return outcome_text(shard["phase"], shard["source"], shard["where"])
    return str(shard["phase"])


def _seconds(shard: dict[str, Any]) -> str:
    return human_seconds(shard["seconds"]) if shard["seconds"] else "-"
