"""`vitte rule compile`: write the program that a leaf runs, not signed yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.i18n import t
from cli.settings import Settings
from cli.shell import out
from cli.text import print_json
from mesh.rules.program import encode_program
from sim.app.rules.files import load, wrong

SUFFIX = ".rules"


def main(request: dict[str, Any], settings: Settings) -> int:
    loaded = load(request["file"], request["board"])
    data = encode_program(loaded.program)
    output = Path(request["output"] or loaded.path.with_suffix(SUFFIX))
    try:
        output.write_bytes(data)
    except OSError as error:
        raise wrong(str(output), error.strerror or str(error)) from None
    if settings.json:
        view = {"schema": "vitte.rule-compile/1", "file": str(output), "size_bytes": len(data)}
        print_json(view)
    else:
        out(t("{file}: {size} bytes, not signed", file=output, size=len(data)))
    return 0
