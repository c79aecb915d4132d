"""`vitte rule disassemble`: what a leaf would run, instruction by instruction."""

from __future__ import annotations

from typing import Any

from cli.settings import Settings
from cli.shell import out
from cli.text import print_json
from mesh.rules.disassemble import disassemble
from sim.app.rules.files import load


def main(request: dict[str, Any], settings: Settings) -> int:
    loaded = load(request["file"], request["board"])
    lines = list(disassemble(loaded.program, loaded.rule_names))
    if settings.json:
        view = {"schema": "vitte.rule-disassemble/1", "file": str(loaded.path), "lines": lines}
        print_json(view)
        return 0
    for line in lines:
        out(line)
    return 0
