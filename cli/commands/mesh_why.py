"""`vitte mesh why`: who says what about a member, with whose signature."""

from __future__ import annotations

from typing import Any

import click

from cli import homes
from cli.client import ask
from cli.commands.base import Command
from cli.i18n import t
from cli.settings import Settings
from cli.shell import out
from cli.status import state_word
from cli.text import human_seconds, print_json, printable, table, width

SIGNATURE_DIGITS = 16
"""Enough to compare two outputs; --json has all."""


@click.command(
    cls=Command,
    help=t(
        "Say why a member is in the state it is in.\n\n"
        "Shows what the member signed about itself, who charged it with what, whether that was "
        "refuted, and what happened to it lately, as the local node knows it. NODE is a name or "
        "the start of a node id."
    ),
)
@click.argument("node")
@click.pass_obj
def why(settings: Settings, node: str) -> int:
    view = ask(homes.home_to_ask(settings), "why", node=node)
    if settings.json:
        print_json(view)
        return 0
    for line in render(view, width()):
        out(line)
    return 0


def render(view: dict[str, Any], columns: int) -> list[str]:
    """The lines for a `vitte.why/1`."""
    lines = [_headline(view)]
    if not view["signature"]:
        return [*lines, t("  the local node has never heard of it")]
    lines += [_record(view), *_heard(view), *_judges(view)]
    if view["charges"]:
        lines += ["", *table(_charges_header(), [_charge(c) for c in view["charges"]], columns)]
    if view["history"]:
        lines += ["", *table(_history_header(), [_line(h) for h in view["history"]], columns)]
    return lines


def _headline(view: dict[str, Any]) -> str:
    name = printable(view["name"]) + (" " + t("(self)") if view["self"] else "")
    state = state_word(view["state"])
    if view["since_ago_s"] is None:
        return f"{name} ({view['id'][:8]}): {state}"
    since = t("for {time}", time=human_seconds(view["since_ago_s"]))
    return f"{name} ({view['id'][:8]}): {state} {since}"


def _record(view: dict[str, Any]) -> str:
    return "  " + t(
        "says of itself: {address}, epoch {epoch}, incarnation {incarnation} (signature {start})",
        address=view["address"],
        epoch=view["epoch"],
        incarnation=view["incarnation"],
        start=view["signature"][:SIGNATURE_DIGITS],
    )


def _heard(view: dict[str, Any]) -> list[str]:
    if view["self"]:
        return []
    if view["heard_ago_s"] is None:
        return ["  " + t("never heard directly")]
    return ["  " + t("heard directly {time} ago", time=human_seconds(view["heard_ago_s"]))]


def _judges(view: dict[str, Any]) -> list[str]:
    if not view["observers"]:
        return []
    names = ", ".join(printable(name) for name in view["observers"])
    if view["quorum"] is None:
        return ["  " + t("observers: {names}; too few members for a verdict", names=names)]
    quorum = view["quorum"]
    return ["  " + t("observers: {names}; {quorum} votes make it dead", names=names, quorum=quorum)]


def _charges_header() -> list[str]:
    return [t("CHARGED BY"), t("WITH"), t("VOTE"), t("AGO"), t("SIGNATURE")]


def _charge(charge: dict[str, Any]) -> list[str]:
    vote = t("for its death") if charge["vote"] else "-"
    who = printable(charge["accuser"]) + ("" if charge["observer"] else " " + t("(no observer)"))
    return [
        who,
        _what_word(charge["evidence"]),
        vote,
        human_seconds(charge["ago_s"]),
        charge["signature"][:SIGNATURE_DIGITS],
    ]


def _history_header() -> list[str]:
    return [t("AGO"), t("WHAT"), t("BY"), t("INCARNATION")]


def _line(line: dict[str, Any]) -> list[str]:
    what = _what_word(line["what"])
    if line["evidence"]:
        what += f" ({_what_word(line['evidence'])})"
    by = printable(line["by"]) or "-"
    return [human_seconds(line["ago_s"]), what, by, str(line["incarnation"])]


def _what_word(what: str) -> str:
    words = {
        "charged": t("charged"),
        "voted": t("vote for its death"),
        "refuted": t("refuted"),
        "silent": t("silent"),
        "refused": t("refused"),
    }
    return words.get(what) or state_word(what)
