"""`vitte mesh ...`: who belongs to the mesh."""

from __future__ import annotations

from cli.commands.base import LazyGroup
from cli.i18n import t

mesh = LazyGroup(
    "mesh",
    {
        "init": "cli.commands.mesh_enter:init",
        "invite": "cli.commands.mesh_admit:invite",
        "join": "cli.commands.mesh_enter:join",
        "admit": "cli.commands.mesh_admit:admit",
        "revoke": "cli.commands.mesh_revoke:revoke",
        "policy": "cli.commands.mesh_policy:policy",
        "leave": "cli.commands.mesh_enter:leave",
        "members": "cli.commands.mesh_admit:members",
        "why": "cli.commands.mesh_why:why",
        "status": "cli.commands.dist_show:status",
    },
    help=t("Create a mesh, let machines in, see who is there."),
)
