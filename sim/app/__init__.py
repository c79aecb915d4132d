"""The commands of `vitte sim`, and `vitte chaos`: each takes a request and settings, and prints.

    COMMANDS[name](request, settings) -> exit status

Statuses: 0 all is well; 1 something was found (a failing run, a difference, a surviving mutant); 2
a scenario that cannot be used; 130 interrupted. Modules are loaded when called.
Deliberately not here: options and help (`cli.commands.sim`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from cli.settings import Settings

Command = Callable[[dict[str, Any], Settings], int]


def _lazy(module: str) -> Command:
    def command(request: dict[str, Any], settings: Settings) -> int:
        function: Command = importlib.import_module(f"sim.app.{module}").main
        return function(request, settings)

    return command


COMMANDS: Mapping[str, Command] = {
    name: _lazy(f"{name}_command")
    for name in (
        "run",
        "explore",
        "replay",
        "shrink",
        "why",
        "timeline",
        "diff",
        "doctor",
        "mutants",
        "chaos",
    )
} | {"digest": _lazy("digest_command")}
