"""`vitte mesh invite`, `admit` and `members`: letting others in, and who is in."""

from __future__ import annotations

import time
from typing import Any

import click

from cli import homes, i18n
from cli.client import Call, ask
from cli.commands.base import Command, Duration, option
from cli.i18n import n, t
from cli.settings import Settings, note
from cli.shell import out, out_table
from cli.status import state_word
from cli.text import human_seconds, print_json, printable

ROLES = click.Choice(["admin", "builder", "viewer", "leaf"])
EXIT_TIMEOUT = 13


@click.command(
    cls=Command,
    help=t(
        "Make an invitation for other machines.\n\n"
        "With --code, a short one-time code, valid while this command waits."
    ),
)
@option("--uses", type=click.IntRange(1, 10_000), default=1, show_default=True)
@option(
    "--for",
    "for_s",
    type=Duration(),
    default="10m",
    show_default=True,
    help=t("How long it is valid: 90s, 10m, 2h."),
)
@option("--role", type=ROLES, default="builder", show_default=True)
@option("--code", is_flag=True, help=t("A code of a number and two words, for typing."))
@click.pass_obj
def invite(settings: Settings, uses: int, for_s: float, role: str, code: bool) -> int:
    home = homes.home_to_ask(settings)
    if code:
        return _invite_by_code(settings, home, for_s, role)
    view = ask(home, "invite", uses=uses, for_s=for_s, role=role)
    if settings.json:
        print_json(view)
        return 0
    note(t("on the other machine run:"))
    out(f"  {view['command']}")
    note(
        n(
            "valid for {time}, {count} use, role {role}",
            "valid for {time}, {count} uses, role {role}",
            view["uses"],
            time=human_seconds(view["expires_unix_s"] - time.time()),
            role=view["role"],
        )
    )
    return 0


def _invite_by_code(settings: Settings, home: str, for_s: float, role: str) -> int:
    show = print_json if settings.json else _tell_code
    with Call(home, "invite_code", for_s=for_s, role=role, language=i18n.language()) as call:
        view = call.result(show, timeout_s=for_s + 60)
    if settings.json:
        print_json(view)
    return 0 if view["joined"] else EXIT_TIMEOUT


def _tell_code(event: dict[str, Any]) -> None:
    match event["event"]:
        case "code":
            note(t("on the other machine run:"))
            out(f"  {event['command']}")
            left = human_seconds(event["expires_unix_s"] - time.time())
            note(t("waiting for {time}; one wrong guess burns it (Ctrl-C withdraws it)", time=left))
        case "joined":
            out(t("{node} has joined", node=printable(event["name"])))
        case "expired":
            note(t("nobody used the code in time; ask for a new one: `vitte mesh invite --code`"))


@click.command(
    cls=Command,
    help=t(
        "Let a waiting machine in, by its name. Without a name: list who waits.\n\n"
        "Compare the check words with those on the other screen first."
    ),
)
@click.argument("name", required=False)
@option("--role", type=ROLES, default="builder", show_default=True)
@option("--deny", is_flag=True, help=t("Turn it away instead."))
@option("--yes", is_flag=True, help=t("Do not ask whether the check words are the same."))
@click.pass_obj
def admit(settings: Settings, name: str | None, role: str, deny: bool, yes: bool) -> int:
    home = homes.home_to_ask(settings)
    if name is None:
        return _list_candidates(settings, home)
    asks = not (yes or deny or settings.json)
    if asks and not _confirm_words(home, name):
        return 1
    view = ask(home, "admit", name=name, role=role, deny=deny)
    if settings.json:
        print_json(view)
    elif view["denied"]:
        out(t("{node} was turned away", node=view["name"]))
    else:
        out(t("{node} was admitted as {role}", node=view["name"], role=view["role"]))
    return 0


def _list_candidates(settings: Settings, home: str) -> int:
    view = ask(home, "admit", list=True)
    if settings.json:
        print_json(view)
        return 0
    candidates = view["candidates"]
    if not candidates:
        out(t("nobody is waiting"))
        return 0
    rows = [
        [
            printable(each["name"]),
            " ".join(each["words"]),
            each["address"],
            human_seconds(each["waiting_s"]),
        ]
        for each in candidates
    ]
    out_table([t("NAME"), t("CHECK WORDS"), t("ADDRESS"), t("WAITING")], rows)
    note(t("admit one with `vitte mesh admit NAME` when its screen shows the same words"))
    return 0


def _confirm_words(home: str, name: str) -> bool:
    """Show the check words of the one who is meant, and ask. The node complains about others."""
    candidates = ask(home, "admit", list=True)["candidates"]
    for each in candidates:
        if name == each["name"] or each["id"].startswith(name):
            words = " ".join(each["words"])
            question = t("does the other screen show: {words}?", words=words)
            if not _confirmed(question):
                note(t("not admitted, it still waits; `--deny` turns it away"))
                return False
    return True


def _confirmed(question: str) -> bool:
    """Ask until the answer is a yes or a no in the user's language or in English."""
    yes, no = t("y/yes"), t("n/no")
    while True:
        answer = (
            click.prompt(
                f"{question} [{yes[0]}/{no[0].upper()}]",
                default="",
                err=True,
                show_default=False,
                prompt_suffix=" ",
            )
            .strip()
            .lower()
        )
        if not answer or answer in {*no.split("/"), "n", "no"}:
            return False
        if answer in {*yes.split("/"), "y", "yes"}:
            return True


@click.command(cls=Command, help=t("List everybody the mesh has admitted."))
@click.pass_obj
def members(settings: Settings) -> int:
    view = ask(homes.home_to_ask(settings), "members")
    if settings.json:
        print_json(view)
        return 0
    rows = [
        [
            printable(each["name"]) + (" " + t("(self)") if each["self"] else ""),
            each["id"][:8],
            each["role"],
            state_word(each["state"]),
            each["address"] or "-",
            printable(each["admitted_by"]) or "-",
        ]
        for each in sorted(view["members"], key=lambda each: each["name"])
    ]
    out_table([t("NAME"), t("ID"), t("ROLE"), t("STATE"), t("ADDRESS"), t("ADMITTED BY")], rows)
    return 0
