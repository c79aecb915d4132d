"""`vitte cache stats`, `ls` and `verify`: what is in the store, and whether it is as it was put."""

from __future__ import annotations

from typing import Any

import click

from cli import homes
from cli.client import Call, ask
from cli.commands.base import Command, option
from cli.i18n import t
from cli.settings import Settings, note
from cli.shell import out, out_list
from cli.text import human_bytes, print_json, printable

EXIT_DAMAGED = 1
SHOWN_DEFAULT = 50
ID_DIGITS = 16


@click.command(cls=Command, help=t("Show how much the store holds, and of what."))
@click.pass_obj
def stats(settings: Settings) -> int:
    view = ask(homes.home_to_ask(settings), "cache_stats")
    if settings.json:
        print_json(view)
        return 0
    large = view["blobs"] - view["packed"]
    limit = {"used": human_bytes(view["disk_bytes"]), "limit": human_bytes(view["limit_bytes"])}
    counts = {"packed": view["packed"], "packs": view["packs"], "large": large}
    for label, text in (
        (t("on disk"), t("{used} of {limit}", **limit)),
        (t("blobs"), f"{view['blobs']}, {human_bytes(view['size_bytes'])}"),
        (t("of these"), t("{packed} small in {packs} packs, {large} large", **counts)),
        (t("results"), str(view["results"])),
        (t("in memory"), human_bytes(view["memory_bytes"])),
        (t("pinned"), str(view["pins"])),
        (t("damaged"), t("{count} since the node's start", count=view["damaged"])),
    ):
        out(f"{label + ':':<14} {text}")
    return 0


@click.command(cls=Command, help=t("List blobs, those used last first."))
@option("--pinned", is_flag=True, help=t("Only those that are pinned."))
@option(
    "--limit",
    type=click.IntRange(1),
    default=SHOWN_DEFAULT,
    show_default=True,
    help=t("Show so many at most."),
)
@click.pass_obj
def ls(settings: Settings, pinned: bool, limit: int) -> int:
    view = ask(homes.home_to_ask(settings), "cache_ls", pinned=pinned, limit=limit)
    if settings.json:
        print_json(view)
        return 0
    rows = [
        [
            each["id"][:ID_DIGITS],
            human_bytes(each["size_bytes"]),
            t("pinned") if each["pinned"] else "-",
            printable(each["label"]) or "-",
        ]
        for each in view["blobs"]
    ]
    out_list([t("BLOB"), t("SIZE"), t("STATE"), t("LABEL")], rows, view["total"])
    for blob in view["pinned_elsewhere"]:
        note(t("{blob} is pinned, and not here", blob=blob[:ID_DIGITS]))
    return 0


@click.command(
    cls=Command,
    help=t(
        "Read every blob and compare it with its id.\n\nWhat is damaged is set aside and counts as"
        " missing: it is built or fetched again when it is needed. The exit status is 1 then."
    ),
)
@click.pass_obj
def verify(settings: Settings) -> int:
    def progress(event: dict[str, Any]) -> None:
        if not settings.json:
            done = {"count": event["blobs"], "size": human_bytes(event["size_bytes"])}
            note(t("{count} blobs so far, {size}", **done))

    with Call(homes.home_to_ask(settings), "cache_verify") as call:
        view = call.result(progress, timeout_s=None)
    if settings.json:
        print_json(view)
    else:
        for blob in view["damaged"]:
            out(t("{blob} was damaged", blob=blob))
        size = human_bytes(view["size_bytes"])
        counts = {"count": view["blobs"], "bad": len(view["damaged"]), "size": size}
        out(t("{count} blobs, {size}: {bad} damaged", **counts))
        if view["unreadable"]:
            note(t("the disk could not read {count} of them", count=view["unreadable"]))
    return EXIT_DAMAGED if view["damaged"] or view["unreadable"] else 0
