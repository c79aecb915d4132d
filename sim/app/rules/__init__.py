"""`vitte rule`: check, compile, disassemble and run rule files, on this machine and no leaf.

    COMMANDS[name](request, settings) -> exit status

Each prints its answer; what is wrong with a file is `RuleFileWrong`, with the line and a caret.
Deliberately not here: options and help (`cli.commands.rule`), leaves (`vitte leaf`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from cli.settings import Settings

Command = Callable[[dict[str, Any], Settings], int]


def _lazy(module: str) -> Command:
    def command(request: dict[str, Any], settings: Settings) -> int:
        function: Command = importlib.import_module(f"sim.app.rules.{module}").main
        return function(request, settings)

    return command


COMMANDS: Mapping[str, Command] = {
    "check": _lazy("check_command"),
    "compile": _lazy("compile_command"),
    "disassemble": _lazy("disassemble_command"),
    "run": _lazy("run_command"),
}
