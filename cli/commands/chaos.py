"""`vitte chaos FILE...`: the scenarios of `vitte sim replay`, with real processes.

It runs in a process of its own, like `vitte sim`, and ends with its status. Deliberately not here:
namespaces, faults, verdicts (`sim.chaos`).
"""

from __future__ import annotations

from typing import Any

import click

from cli.commands.base import Command, Duration, option
from cli.commands.sim import FILE, start
from cli.i18n import t
from cli.settings import Settings

CARRIERS = ("switch", "kernel")
"""Those of `sim.chaos.kinds`; a test compares the two."""


@click.command(
    cls=Command,
    help=t(
        "Play scenario files with real processes on this machine.\n\nThe files are those of"
        " `vitte sim replay`. Every node is a process in a network namespace of its own; nothing"
        " touches the machine's own network, and everything is removed at the end. Needs Linux and"
        " root. The last line is the verdict; exit status 1 when a run is wrong."
    ),
)
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@option(
    "--netns",
    is_flag=True,
    default=True,
    help=t("Nodes in network namespaces of this machine; what it does anyway."),
)
@option(
    "--carrier",
    type=click.Choice(CARRIERS),
    default="switch",
    show_default=True,
    help=t("Who carries the packets: our own switch, or the kernel's bridge with nftables."),
)
@option("--compare", is_flag=True, help=t("Play each file in the simulator, too, and compare."))
@option("--until", type=Duration(), help=t("Stop at this time."))
@option(
    "--logs",
    type=click.Path(file_okay=False),
    metavar="FOLDER",
    help=t("Keep the nodes' logs there."),
)
@click.pass_obj
def chaos(settings: Settings, /, files: tuple[str, ...], netns: bool, **request: Any) -> int:
    assert netns, "the flag has no other value"
    return start("chaos", {**request, "files": list(files)}, settings)
