"""`vitte mesh policy`: whose results the mesh takes, and how many copies of files it keeps."""

from __future__ import annotations

import click

from cli import homes
from cli.client import ask
from cli.commands.base import Command, Trusted, option
from cli.i18n import t
from cli.settings import Settings, note
from cli.shell import out
from cli.text import print_json
from mesh.limits import EVENT_COPIES_MAX


@click.command(
    cls=Command,
    help=t(
        "Show whose results the mesh takes, or decide it.\n\nWith K, an action runs until K"
        " builders have got the same out of it. A node that was started with --trust may be"
        " stricter for itself. Deciding needs the role admin."
    ),
)
@option(
    "--trust",
    type=Trusted(),
    metavar="own|any|K",
    help=t("Whose results to take: one's own, any builder's, or what K builders agree on."),
)
@option(
    "--copies",
    type=click.IntRange(1, EVENT_COPIES_MAX),
    help=t("On how many machines the files of results are kept."),
)
@click.pass_obj
def policy(settings: Settings, trust: str | None, copies: int | None) -> int:
    view = ask(homes.home_to_ask(settings), "policy", trust=trust, copies=copies)
    if settings.json:
        print_json(view)
        return 0
    out(t("results are taken from: {trust}", trust=_whom(view["trust"])))
    if view["here"] != view["trust"]:
        out(t("by this node from: {trust}", trust=_whom(view["here"])))
    out(t("copies of files: {copies}", copies=view["copies"]))
    if view["decided"] > 1:
        note(t("several admins decided at once: the strictest of each holds"))
    return 0


def _whom(word: str) -> str:
    words = {"any": t("any builder"), "own": t("oneself")}
    return words.get(word) or t("{count} builders who agree", count=word)
