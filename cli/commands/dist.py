"""`vitte dist ...`: nodes of this machine, and work on the mesh."""

from __future__ import annotations

from cli.commands.base import LazyGroup
from cli.i18n import t

dist = LazyGroup(
    "dist",
    {
        "start": "cli.commands.dist_nodes:start",
        "stop": "cli.commands.dist_nodes:stop",
        "status": "cli.commands.dist_show:status",
        "connect": "cli.commands.dist_nodes:connect",
        "run": "cli.commands.dist_run:run",
        "cancel": "cli.commands.dist_run:cancel",
        "logs": "cli.commands.dist_show:logs",
        "explain": "cli.commands.dist_show:explain",
        "demo": "cli.commands.dist_demo:demo",
    },
    help=t("Start nodes, run work on the mesh, see what happened."),
)
