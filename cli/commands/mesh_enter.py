"""`vitte mesh init`, `join` and `leave`: how this machine gets into a mesh and out of it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import click

from cli import daemon, homes
from cli.client import Call, ask
from cli.commands.base import Command, Endpoint, node_options, option
from cli.i18n import t
from cli.settings import Settings, note
from cli.shell import out
from cli.text import print_json, printable
from mesh.errors import BadToken, LastAdmin

STDIN = "-"
CODE = re.compile(r"^\d{1,4}(-[a-z]{2,16}){2,4}$")
JOIN_TIMEOUT_S = 660.0
"""Longer than any approval may take at the node, which gives the better error."""


@click.command(cls=Command, help=t("Create a mesh with this machine as its first admin."))
@click.argument("name", required=False)
@option("--name", "node_name", metavar="NAME", help=t("This node's name (default: host name)."))
@node_options
@option("--foreground", is_flag=True, help=t("Stay attached: for containers and services."))
@click.pass_obj
def init(settings: Settings, /, name: str | None, node_name: str | None, **node: Any) -> int:
    home = homes.home_to_start(settings)
    attached = node.pop("foreground")
    options = node_arguments(node_name, **node)
    with daemon.entering(home, options, foreground=attached):
        view = ask(home, "init", mesh_name=name or _default_mesh_name(), node_name=node_name)
        if settings.json:
            print_json(view)
        else:
            mesh = view["mesh"]["name"]
            out(t("mesh {mesh} created; this is {node}", mesh=mesh, node=view["name"]))
            out(t("next: `vitte mesh invite`, and on another machine `vitte mesh join`"))
            sys.stdout.flush()
    return 0


@click.command(
    cls=Command,
    help=t(
        "Join a mesh.\n\n"
        "With an invitation, with a code like 7-word-word, or with neither when a member"
        " approves.\n\n"
        "An invitation is also read from VITTE_TOKEN or --token-file, which `ps` does not show."
    ),
)
@click.argument("invitation", required=False)
@option(
    "--token-file",
    type=click.Path(),
    metavar="FILE",
    help=t("Read the invitation from FILE; `-` is stdin."),
)
@option(
    "--host",
    "hosts",
    multiple=True,
    type=Endpoint(),
    metavar="ADDR[:PORT]",
    help=t("Ask this member, where the network cannot be searched. Repeatable."),
)
@option("--name", "node_name", metavar="NAME", help=t("This node's name (default: host name)."))
@node_options
@option("--foreground", is_flag=True, help=t("Stay attached: for containers and services."))
@click.pass_obj
def join(
    settings: Settings,
    /,
    invitation: str | None,
    token_file: str | None,
    hosts: tuple[str, ...],
    node_name: str | None,
    **node: Any,
) -> int:
    how = _how_to_join(_invitation(invitation, token_file))
    home = homes.home_to_start(settings)
    attached = node.pop("foreground")
    options = node_arguments(node_name, **node)
    with daemon.entering(home, options, foreground=attached):
        with Call(home, "join", **how, hosts=list(hosts), name=node_name) as call:
            on_event = print_json if settings.json else _tell
            view = call.result(on_event, timeout_s=JOIN_TIMEOUT_S)
        if settings.json:
            print_json(view)
        else:
            out(t("joined {mesh} as {node}", mesh=view["mesh"]["name"], node=view["name"]))
            out(t("next: `vitte mesh status`"))
            sys.stdout.flush()
    return 0


@click.command(cls=Command, help=t("Leave the mesh. The others forget this node for good."))
@option("--yes", is_flag=True, help=t("Even when nobody can be let in any more."))
@click.pass_obj
def leave(settings: Settings, yes: bool) -> int:
    home = homes.home_to_ask(settings)
    if not yes:
        _require_another_admin(home)
    view = ask(home, "leave")
    if settings.json:
        print_json(view)
    else:
        out(t("{node} has left {mesh}", node=view["name"], mesh=view["mesh"]["name"]))
    return 0


def _require_another_admin(home: str) -> None:
    """Raises LastAdmin when this node is one and others would be left without."""
    members = ask(home, "members")["members"]
    admins = [each for each in members if each["role"] == "admin"]
    if len(members) > 1 and len(admins) == 1 and admins[0]["self"]:
        raise LastAdmin(name=admins[0]["name"])


def node_arguments(name: str | None, **wishes: str | int | None) -> list[str]:
    """The node process's arguments for what was asked (`base.node_options`); what was not is the
    node's to choose."""
    asked = {"name": name, **wishes}
    words = [(f"--{wish.replace('_', '-')}", value) for wish, value in asked.items() if value]
    return [word for flag, value in words for word in (flag, str(value))]


def _default_mesh_name() -> str:
    return os.environ.get("USER") or "mesh"


def _invitation(argument: str | None, token_file: str | None) -> str | None:
    if argument:
        return argument.strip()
    if token_file == STDIN:
        return sys.stdin.read().strip()
    if token_file:
        try:
            return Path(token_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise BadToken(why=f"{token_file}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise BadToken(why=f"{token_file}: {error}") from None
    return os.environ.get("VITTE_TOKEN", "").strip() or None


def _how_to_join(invitation: str | None) -> dict[str, str]:
    if not invitation:
        return {"how": "approval"}
    if CODE.match(invitation.lower()):
        return {"how": "code", "code": invitation.lower()}
    return {"how": "token", "token": invitation}


def _tell(event: dict[str, Any]) -> None:
    match event["event"]:
        case "found":
            note(
                t(
                    "found mesh {mesh} ({node} at {address})",
                    mesh=printable(event["mesh"]),
                    node=printable(event["node"]),
                    address=event["address"],
                )
            )
        case "check_words":
            words = " ".join(event["words"])
            note(t("check words, which must be the same on both screens: {words}", words=words))
        case "waiting":
            note(
                t(
                    "waiting {seconds:.0f} s for a member to run `vitte mesh admit`... "
                    "(Ctrl-C gives up)",
                    seconds=event["seconds"],
                )
            )
