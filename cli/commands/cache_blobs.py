"""`vitte cache get`, `put`, `pin` and `gc`: single blobs in and out, and room."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from cli import homes
from cli.client import Call
from cli.commands.base import Command, option
from cli.i18n import n, t
from cli.settings import Settings, note
from cli.shell import out
from cli.text import human_bytes, print_json

STDOUT = "-"
GIB = 1024**3


@click.command(
    cls=Command,
    help=t("Copy a blob into a new file (`-`: to stdout).\n\nThe beginning of its id is enough."),
)
@click.argument("blob")
@click.argument("file", type=click.Path())
@click.pass_obj
def get(settings: Settings, blob: str, file: str) -> int:
    home = homes.home_to_ask(settings)
    if file == STDOUT:
        return _to_stdout(home, blob)
    view = _get(home, blob, str(Path(file).absolute()))
    if settings.json:
        print_json(view)
    else:
        note(t("{size} written to {file}", size=human_bytes(view["size_bytes"]), file=file))
    return 0


def _get(home: str, blob: str, path: str) -> dict[str, Any]:
    with Call(home, "cache_get", blob=blob, path=path) as call:
        return call.result(timeout_s=None)


def _to_stdout(home: str, blob: str) -> int:
    with tempfile.TemporaryDirectory(prefix="vitte-") as folder:
        path = Path(folder) / "blob"
        _get(home, blob, str(path))
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    return 0


@click.command(cls=Command, help=t("Store a file, and print the id of its content."))
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@option("--pin", "label", metavar="LABEL", help=t("Pin it, too, with this label."))
@click.pass_obj
def put(settings: Settings, file: str, label: str | None) -> int:
    path = os.path.realpath(file)
    with Call(homes.home_to_ask(settings), "cache_put", path=path, pin=label) as call:
        view = call.result(timeout_s=None)
    if settings.json:
        print_json(view)
    else:
        out(view["id"])
    return 0


@click.command(
    cls=Command,
    help=t("Keep a blob whatever happens, until it is unpinned.\n\nPins outlive the node."),
)
@click.argument("blob")
@option("--label", default="", help=t("Why, for whoever finds it later."))
@option("--remove", is_flag=True, help=t("Unpin it."))
@click.pass_obj
def pin(settings: Settings, blob: str, label: str, remove: bool) -> int:
    home = homes.home_to_ask(settings)
    with Call(home, "cache_pin", blob=blob, label=label, remove=remove) as call:
        view = call.result(timeout_s=None)
    if settings.json:
        print_json(view)
    elif remove:
        out(t("{blob} is not pinned any more", blob=view["id"]))
    else:
        out(t("{blob} is pinned", blob=view["id"]))
    return 0


@click.command(
    cls=Command,
    help=t(
        "Make room: remove the least recently used blobs.\n\nWhat is pinned or in use stays."
        " Without --keep-gb nothing is removed that fits within the node's bound."
    ),
)
@option("--keep-gb", type=click.FloatRange(0), help=t("Leave so many GiB at most."))
@click.pass_obj
def gc(settings: Settings, keep_gb: float | None) -> int:
    keep_bytes = None if keep_gb is None else int(keep_gb * GIB)
    with Call(homes.home_to_ask(settings), "cache_gc", keep_bytes=keep_bytes) as call:
        view = call.result(timeout_s=None)
    if settings.json:
        print_json(view)
        return 0
    size = {"freed": human_bytes(view["freed_bytes"]), "left": human_bytes(view["disk_bytes"])}
    out(t("{freed} freed, {left} left", **size))
    if view["kept"]:
        said = n(
            "{count} blob is in use or pinned", "{count} blobs are in use or pinned", view["kept"]
        )
        note(said)
    return 0
