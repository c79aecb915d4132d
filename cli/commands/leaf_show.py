"""`vitte leaf list`, `show` and `logs`: the leaves, how they are, and what they have said."""

from __future__ import annotations

import time
from typing import Any

import click

from cli import homes
from cli.client import Call, ask
from cli.commands.base import Command, option
from cli.i18n import n, t
from cli.leaves import describe, via
from cli.settings import Settings, note
from cli.shell import out
from cli.status import state_word
from cli.text import human_bytes, human_seconds, print_json, printable, table, width


@click.command(cls=Command, help=t("List the leaves of the mesh."))
@click.pass_obj
def list_(settings: Settings) -> int:
    view = ask(homes.home_to_ask(settings), "leaf_list")
    if settings.json:
        print_json(view)
        return 0
    if not view["leaves"] and not view["ports"]:
        out(t("this mesh has no leaves; `vitte leaf provision PORT` makes one"))
        return 0
    rows = [
        [
            printable(each["name"]),
            each["id"][:8],
            state_word(each["state"]),
            printable(each["gateway"]) or "-",
            each["board"] or "-",
            "-" if each["rules"] is None else str(each["rules"]),
            str(each["events"]),
            str(each["missing_events"]),
            describe(each),
        ]
        for each in view["leaves"]
    ]
    header = [t("NAME"), t("ID"), t("STATE"), t("VIA"), t("BOARD"), t("RULES")]
    header += [t("EVENTS"), t("MISSING"), t("NOTE")]
    for line in table(header, rows, width()):
        out(line)
    for port in view["ports"]:
        why = printable(port["trouble"]) or t("nobody has answered yet")
        note(t("{port}: {why}", port=port["port"], why=why))
    return 0


@click.command(cls=Command, help=t("Show a leaf: its health, its line, its rules and their slots."))
@click.argument("name")
@click.pass_obj
def show(settings: Settings, name: str) -> int:
    view = ask(homes.home_to_ask(settings), "leaf_show", leaf=name)
    if settings.json:
        print_json(view)
        return 0
    for label, text in _facts(view):
        out(f"{label + ':':<14} {text}")
    rows = [
        [
            printable(each["name"]),
            each["trigger"],
            str(each["worst"]),
            str(each["runs"]),
            ", ".join(f"{printable(slot)}={value}" for slot, value in each["slots"].items()),
        ]
        for each in view["rule_states"]
    ]
    if rows:
        out("")
        header = [t("RULE"), t("TRIGGER"), t("WORST"), t("RUNS"), t("SLOTS")]
        for line in table(header, rows, width()):
            out(line)
    return 0


def _facts(view: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [
        (t("leaf"), f"{printable(view['name'])} ({view['id'][:16]}), {view['board'] or '?'}"),
        (t("state"), f"{state_word(view['state'])}, {describe(view)}"),
        (t("authority"), printable(view["authority"])),
    ]
    if view["port"]:
        facts.append((t("line"), f"{via(view)}, {printable(view['port'])}"))
    if view["uptime_s"] is not None:
        stack = human_bytes(view["stack_bytes"])
        size = human_bytes(view["ram_bytes"])
        cause = view["reset_cause"]
        facts += [
            (
                t("up for"),
                f"{human_seconds(view['uptime_s'])} ({t('reset: {cause}', cause=cause)})",
            ),
            (t("firmware"), f"{view['firmware'][:16]}, {human_bytes(view['flash_bytes'])}"),
            (t("RAM"), t("{size}, stack {stack} of it", size=size, stack=stack)),
            (t("program"), _program(view)),
            (t("line errors"), f"CRC {view['crc_errors']}, {t('overruns')} {view['overruns']}"),
            (t("resources"), t("{count} failures", count=view["resource_failures"])),
        ]
    counts = {"kept": view["events"], "missing": view["missing_events"]}
    facts.append((t("events"), t("{kept} kept, {missing} missing", **counts)))
    return facts


def _program(view: dict[str, Any]) -> str:
    if not view["counter"]:
        return t("none")
    trial = ", " + t("on trial") if view["trial"] else ""
    return t(
        "{digest}, counter {counter}", digest=view["program"][:16], counter=view["counter"]
    ) + (trial)


@click.command(
    cls=Command,
    help=t(
        "Show the events of a leaf, each once, in order.\n\nWhat is missing is said where it is."
    ),
)
@click.argument("name")
@option("--follow", "-f", is_flag=True, help=t("Stay, and show what comes."))
@option(
    "--last",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    help=t("Begin so many events before the newest."),
)
@click.pass_obj
def logs(settings: Settings, name: str, follow: bool, last: int) -> int:
    show_event = print_json if settings.json else _event
    home = homes.home_to_ask(settings)
    with Call(home, "leaf_logs", leaf=name, follow=follow, last=last) as call:
        view = call.result(show_event, timeout_s=None if follow else 60.0)
    if settings.json:
        print_json(view)
    elif not view["events"]:
        note(t("it has said nothing yet"))
    return 0


def _event(event: dict[str, Any]) -> None:
    if event["event"] == "leaf_gap":
        out(_gap(event))
    elif event["event"] == "leaf_event":
        when = time.strftime("%H:%M:%S", time.localtime(event["unix_s"]))
        millis = int(event["unix_s"] * 1000) % 1000
        out(f"{when}.{millis:03} {event['start'][:8]}/{event['number']:<5} {_said(event)}")


def _gap(event: dict[str, Any]) -> str:
    missing = event["missing"]
    if event["let_go"]:
        return n(
            "... {count} event here is older than what is kept",
            "... {count} events here are older than what is kept",
            missing,
        )
    if event["signed"]:
        return n(
            "... {count} event is lost here, as the leaf has signed",
            "... {count} events are lost here, as the leaf has signed",
            missing,
        )
    return n("... {count} event is missing here", "... {count} events are missing here", missing)


def _said(event: dict[str, Any]) -> str:
    if event["kind"] == "system":
        return f"{event['what'].replace('_', ' ')} {event['value']}"
    what = t("asks") if event["kind"] == "asked" else t("event")
    return f"{t('rule')} {event['rule']}: {what} {event['code']}, {t('value')} {event['value']}"
