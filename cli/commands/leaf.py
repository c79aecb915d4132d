"""`vitte leaf ...`: microcontrollers at the end of this machine's lines."""

from __future__ import annotations

from cli.commands.base import LazyGroup
from cli.i18n import t

leaf = LazyGroup(
    "leaf",
    {
        "provision": "cli.commands.leaf_lines:provision",
        "attach": "cli.commands.leaf_lines:attach",
        "detach": "cli.commands.leaf_lines:detach",
        "remove": "cli.commands.leaf_lines:remove",
        "list": "cli.commands.leaf_show:list_",
        "show": "cli.commands.leaf_show:show",
        "deploy": "cli.commands.leaf_deploy:deploy",
        "logs": "cli.commands.leaf_show:logs",
        "emulate": "cli.commands.leaf_emulate:emulate",
    },
    help=t("Join microcontrollers over a serial line, and give them rules."),
)
