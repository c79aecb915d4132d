"""`vitte rule check`: is the file right, where does it run, and what does each rule cost."""

from __future__ import annotations

from typing import Any

from cli.i18n import n, t
from cli.settings import Settings
from cli.shell import out
from cli.text import print_json, table, width
from mesh.rules.boards import BOARDS, missing
from mesh.rules.disassemble import when
from mesh.rules.isa import INSTRUCTION_BYTES, INSTRUCTIONS_MAX
from mesh.rules.program import encode_program
from mesh.rules.resources import spell
from sim.app.rules.files import Loaded, load


def main(request: dict[str, Any], settings: Settings) -> int:
    loaded = load(request["file"], request["board"])
    program = loaded.program
    size_bytes = len(encode_program(program))
    boards = [each.kind.name.lower() for each in BOARDS.values() if not missing(program, each.kind)]
    if settings.json:
        print_json(_view(loaded, size_bytes, boards))
        return 0
    rows = [
        (
            loaded.rule_name(index),
            when(program, rule),
            f"{len(rule.code) // INSTRUCTION_BYTES}/{INSTRUCTIONS_MAX}",
            str(rule.worst),
            str(len(rule.slots)),
        )
        for index, rule in enumerate(program.rules)
    ]
    header = (t("RULE"), t("WHEN"), t("INSTRUCTIONS"), t("LONGEST RUN"), t("KEPT VALUES"))
    for line in table(header, rows, width()):
        out(line)
    touched = ", ".join(spell(each) for each in program.resources) or t("nothing")
    out(t("touches: {resources}", resources=touched))
    out(t("runs on: {boards}", boards=", ".join(boards)))
    rules = n("{count} rule", "{count} rules", len(program.rules))
    out(t("{rules}, {size} bytes: all right", rules=rules, size=size_bytes))
    return 0


def _view(loaded: Loaded, size_bytes: int, boards: list[str]) -> dict[str, Any]:
    program = loaded.program
    return {
        "schema": "vitte.rule-check/1",
        "file": str(loaded.path),
        "size_bytes": size_bytes,
        "boards": boards,
        "resources": [spell(each) for each in program.resources],
        "rules": [
            {
                "name": loaded.rule_name(index),
                "when": when(program, rule),
                "instructions": len(rule.code) // INSTRUCTION_BYTES,
                "worst": rule.worst,
                "slots": len(rule.slots),
            }
            for index, rule in enumerate(program.rules)
        ],
    }
