"""`vitte dist start`, `stop` and `connect`: the nodes of this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from cli import cluster, daemon, homes
from cli.client import ask
from cli.commands.base import Command, Endpoint, node_options, option
from cli.commands.mesh_enter import node_arguments
from cli.i18n import n, t
from cli.settings import Settings, note
from cli.shell import out
from cli.text import human_seconds, print_json
from mesh.limits import LOCAL_NODES_MAX

CLUSTER_WISHES = (
    *("slots", "sandbox", "profile", "cache_gb", "copies", "trust"),
    *("max_buffer_size_mb", "max_buffer_age_hours"),
)
"""Options of nodes that make sense for all of a local cluster."""


@click.command(
    cls=Command,
    help=t(
        "Start this machine's node or a local cluster.\n\n"
        "With --nodes it is a whole cluster on 127.0.0.1."
        " Commands find the cluster by themselves; `vitte dist stop` ends it."
    ),
)
@option("--nodes", type=click.IntRange(1, LOCAL_NODES_MAX), help=t("A local cluster of N nodes."))
@option("--dir", "directory", metavar="DIR", help=t("Where a local cluster keeps its homes."))
@option("--name", "node_name", metavar="NAME", help=t("This node's name (default: host name)."))
@node_options
@option("--foreground", is_flag=True, help=t("Stay attached: for containers and services."))
@click.pass_obj
def start(
    settings: Settings,
    /,
    nodes: int | None,
    directory: str | None,
    node_name: str | None,
    foreground: bool,
    **node: Any,
) -> int:
    if nodes is not None or directory is not None:
        if node_name or node["bind"] or node["discovery"] or foreground:
            raise click.UsageError(
                t(
                    "--name, --bind, --discovery and --foreground are for one node, not for a"
                    " local cluster"
                )
            )
        wishes = {wish: node[wish] for wish in CLUSTER_WISHES}
        return _start_cluster(settings, nodes, directory, **wishes)
    home = homes.home_to_start(settings)
    arguments = node_arguments(node_name, **node)
    with daemon.entering(home, arguments, foreground=foreground) as running:
        _tell_started(settings, home, started=running.started)
    return 0


def _tell_started(settings: Settings, home: str, *, started: bool) -> None:
    view = ask(home, "ping")
    if settings.json:
        print_json({"schema": "vitte.start/1", "homes": [home], "started": started})
    elif started:
        out(t("node {name} started (process {pid})", name=view["name"], pid=view["pid"]))
    else:
        out(t("node {name} was running already", name=view["name"]))
    if view["mesh"] is None:
        note(t("create one with `vitte mesh init` or join one with `vitte mesh join`"))
    sys.stdout.flush()


def _start_cluster(
    settings: Settings,
    nodes: int | None,
    directory: str | None,
    slots: int | None,
    **wishes: Any,
) -> int:
    where = str(Path(directory).resolve()) if directory else homes.default_cluster_dir()
    before = cluster.existing(where)
    count = nodes or (len(before.homes) if before else 4)
    slots = slots or max(1, (os.cpu_count() or 1) // count)
    group = cluster.Cluster(where, count, tuple(node_arguments(None, slots=slots, **wishes)))
    seconds = group.start()
    group.remember()
    if settings.json:
        print_json({"schema": "vitte.start/1", "homes": group.homes, "started": True})
        return 0
    out(
        t(
            "{names} alive on 127.0.0.1 ({time})",
            names="node-1" if count == 1 else f"node-1..{count}",
            time=human_seconds(seconds),
        )
    )
    return 0


@click.command(
    cls=Command,
    help=t(
        "Stop the local cluster or this node.\n\nWaits until it is gone. With --home, that node."
    ),
)
@option("--dir", "directory", metavar="DIR", help=t("Stop the local cluster of this directory."))
@click.pass_obj
def stop(settings: Settings, directory: str | None) -> int:
    stopped = _stop_what(settings, directory)
    if settings.json:
        print_json({"schema": "vitte.stopped/1", "stopped": stopped})
    elif stopped:
        out(n("{count} node stopped", "{count} nodes stopped", stopped))
    else:
        out(t("no node was running"))
    return 0


def _stop_what(settings: Settings, directory: str | None) -> int:
    if directory is None and settings.home:
        return int(daemon.stop(homes.home_to_ask(settings)))
    group = cluster.existing(str(Path(directory).resolve())) if directory else cluster.remembered()
    if group is not None and group.running():
        stopped = group.stop()
        cluster.forget(group.directory)
        return stopped
    return 0 if directory else int(daemon.stop(homes.default_home()))


@click.command(
    cls=Command,
    help=t("Tell this node a member's address.\n\nFor networks where it cannot find one itself."),
)
@option(
    "--host",
    required=True,
    type=Endpoint(),
    metavar="ADDR[:PORT]",
    help=t("Address of the member."),
)
@click.pass_obj
def connect(settings: Settings, host: str) -> int:
    view = ask(homes.home_to_ask(settings), "connect", host=host)
    if settings.json:
        print_json(view)
    else:
        out(t("connected to {node} at {address}", node=view["name"], address=view["address"]))
    return 0
