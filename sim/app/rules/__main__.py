"""`python -m sim.app.rules COMMAND REQUEST`: what `vitte rule` starts. REQUEST is a JSON object."""

from __future__ import annotations

import json
import os
import sys

from cli import i18n
from cli.settings import Settings
from cli.shell import guarded
from sim.app.rules import COMMANDS


def main(argv: list[str]) -> int:
    """Run one command; return its exit status."""
    name, request = argv[0], json.loads(argv[1])
    i18n.activate(request.get("language", "en"))
    settings = Settings()
    settings.json = bool(request.get("json"))
    settings.color = request.get("color", "auto")
    settings.debug = bool(request.get("debug"))
    try:
        code = guarded(lambda settings: COMMANDS[name](request, settings), settings)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
