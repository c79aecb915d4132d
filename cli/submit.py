"""Sending one run to the node, and staying with it to its end."""

from __future__ import annotations

import os

from cli import homes
from cli.i18n import user_environment
from cli.runs import execute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cli.settings import Settings

DEFAULTS: Mapping[str, Any] = {
    "mode": "hybrid",
    "jobs": None,
    "keep_going": False,
    "use_cache": True,
    "timeout_s": None,
    "outputs": (),
}
"""What is wished for when nothing is said."""


def submit(
    settings: Settings,
    kind: str,
    targets: tuple[str, ...],
    argv: tuple[str, ...],
    *,
    progress: str,
    **wishes: Any,
) -> int:
    """Run it; the exit status of the command."""
    request = {
        **wishes,
        "outputs": list(wishes["outputs"]),
        "cwd": os.getcwd(),  # noqa: PTH109 - loading pathlib takes longer than all else in here
        "kind": kind,
        "targets": list(targets),
        "argv": list(argv),
        "env": user_environment(),
        "live": kind == "command",
    }
    return execute(homes.home_to_ask(settings), request, settings, progress)
