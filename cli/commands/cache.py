"""`vitte cache ...`: what this machine's node keeps, and what is to stay."""

from __future__ import annotations

from cli.commands.base import LazyGroup
from cli.i18n import t

cache = LazyGroup(
    "cache",
    {
        "stats": "cli.commands.cache_show:stats",
        "ls": "cli.commands.cache_show:ls",
        "get": "cli.commands.cache_blobs:get",
        "put": "cli.commands.cache_blobs:put",
        "pin": "cli.commands.cache_blobs:pin",
        "gc": "cli.commands.cache_blobs:gc",
        "verify": "cli.commands.cache_show:verify",
        "taint": "cli.commands.mesh_revoke:taint",
    },
    help=t("Look at the store of this machine's node, and keep it in order."),
)
