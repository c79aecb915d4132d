"""`python -m sim COMMAND REQUEST`: what `vitte sim` starts. REQUEST is one JSON object.

The command line (`cli.commands.sim`) parses and explains options; here they are only used. Answers
go to stdout, progress to stderr, errors are printed like those of any other command of ours.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from cli import i18n
from cli.settings import Settings
from cli.shell import guarded, print_error
from mesh.errors import ScenarioUnusable, SimulatorFault
from sim.app import COMMANDS
from sim.app.outputs import takes_no_answer, unanswered
from sim.kernel.trio_internals import TrioChanged
from sim.scenario.files import BadScenarioFile
from sim.scenario.model import BadScenario


def main(argv: list[str]) -> int:
    """Run one command; return its exit status."""
    name, request = argv[0], json.loads(argv[1])
    i18n.activate(request.get("language", "en"))
    settings = Settings()
    settings.json = bool(request.get("json"))
    settings.color = request.get("color", "auto")
    settings.debug = bool(request.get("debug"))
    try:
        code = guarded(lambda settings: _run(name, request, settings), settings)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has enough
        _say_no_more()
        code = 141
    except OSError as error:  # the last of the answer found no room
        code = _unanswered(error, settings)
    return code


def _unanswered(error: OSError, settings: Settings) -> int:
    _say_no_more()
    said = unanswered(error)
    print_error(said, settings)
    return said.exit_code


def _say_no_more() -> None:
    """Not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(name: str, request: dict[str, Any], settings: Settings) -> int:
    try:
        return COMMANDS[name](request, settings)
    except BadScenarioFile as error:
        where = f"{error.path}:{error.line}" if error.line else error.path
        raise ScenarioUnusable(where=where, why=error.why) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is not None or not takes_no_answer():
            raise
        return _unanswered(error, settings)
    except TrioChanged as error:
        raise SimulatorFault(why=str(error)) from None
    except BadScenario as error:
        raise ScenarioUnusable(where=request.get("file") or "scenario", why=str(error)) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
