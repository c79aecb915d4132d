"""`vitte sim diff A B`: the first entry in which two runs differ."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from cli.i18n import t
from cli.settings import Settings
from cli.shell import out
from sim.app.common import give
from sim.app.outputs import unwritable
from sim.diff import Difference, first_difference, is_trace, record
from sim.scenario.files import BadScenarioFile, load


def main(request: dict[str, Any], settings: Settings) -> int:
    """A and B are traces, or scenario files, which are played."""
    with _folder() as folder:
        paths = [_trace_of(Path(request[name]), Path(folder) / name) for name in ("one", "other")]
        found = first_difference(*paths)
    if settings.json:
        give({"same": found is None, **(_view(found) if found else {})}, "sim_diff")
    elif found is None:
        out(t("no difference"))
    else:
        _print(found, request["one"], request["other"])
    return 0 if found is None else 1


def _folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="vitte-sim-")
    except OSError as error:
        raise unwritable(Path("TMPDIR"), error, t("set TMPDIR to a folder with room")) from None


def _trace_of(path: Path, made: Path) -> Path:
    try:
        if is_trace(path):
            return path
    except OSError as error:
        raise BadScenarioFile(str(path), 0, error.strerror or str(error)) from None
    scenario = load(path)
    try:
        record(scenario, made)
    except OSError as error:
        hint = t("a played scenario's trace goes there: make room, or set TMPDIR")
        raise unwritable(made, error, hint) from None
    return made


def _print(found: Difference, one: str, other: str) -> None:
    out(t("they part at entry {number}:", number=found.number))
    for line in found.before:
        out(f"    {line}")
    for mark, name, lines in (("-", one, found.one), ("+", other, found.other)):
        out(f"{mark} {name}")
        for line in lines or (t("(it ends here)"),):
            out(f"{mark}   {line}")


def _view(found: Difference) -> dict[str, Any]:
    return {
        "number": found.number,
        "before": list(found.before),
        "one": list(found.one),
        "other": list(found.other),
    }
