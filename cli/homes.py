"""Which node a command talks to: where homes are, and which of them is meant.

    --home, VITTE_HOME      that one
    $XDG_STATE_HOME/vitte/node      when a node runs there
    the local cluster's node-1      when `vitte dist start --nodes N` started one (said on stderr)
    $XDG_STATE_HOME/vitte/node      otherwise

This file is on the way of `status`: it loads os.path, json and socket only, not pathlib, which
costs as much as a bare start-up.
"""

from __future__ import annotations

import json
import os
import socket

from cli.i18n import t
from cli.settings import Settings, note

SOCKET_NAME = "control.sock"
SOCKET_PATH_BYTES_MAX = 100


def state_dir() -> str:
    """$XDG_STATE_HOME/vitte"""
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(
        os.path.expanduser("~"), ".local", "state"
    )
    return os.path.join(base, "vitte")


def default_home() -> str:
    return os.path.join(state_dir(), "node")


def default_cluster_dir() -> str:
    return os.path.join(state_dir(), "local")


def pointer_path() -> str:
    """The file that remembers the local cluster: {"directory": ..., "nodes": N}."""
    return os.path.join(state_dir(), "cluster.json")


def remembered_cluster() -> tuple[str, int] | None:
    """(directory, nodes) of the local cluster that was started last, running or not."""
    try:
        with open(pointer_path(), encoding="utf-8") as file:
            pointer = json.load(file)
        return str(pointer["directory"]), int(pointer["nodes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def node_home(directory: str, number: int) -> str:
    return os.path.join(directory, f"node-{number}")


def home_to_start(settings: Settings) -> str:
    """The home of this machine's own node, for commands that may start it."""
    return os.path.abspath(settings.home or default_home())


def home_to_ask(settings: Settings) -> str:
    """The home of the node that a command talks to; see the head of this file."""
    if settings.home:
        return os.path.abspath(settings.home)
    home = default_home()
    if answers(home):
        return home
    cluster = remembered_cluster()
    if cluster is not None:
        first = node_home(cluster[0], 1)
        if answers(first):
            note(t("using node-1 of the local cluster in {directory}", directory=cluster[0]))
            return first
    return home


def answers(home: str) -> bool:
    """Whether something accepts connections on the home's control socket."""
    try:
        dial(home).close()
    except OSError:
        return False
    return True


def dial(home: str) -> socket.socket:
    """Connect to a home's control socket. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = os.path.join(home, SOCKET_NAME)
    directory = -1
    try:
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:  # sun_path holds 107
            directory = os.open(home, os.O_PATH | os.O_DIRECTORY)
            path = f"/proc/self/fd/{directory}/{SOCKET_NAME}"
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    finally:
        if directory >= 0:
            os.close(directory)
    return connection
