"""Digests of some seeds as JSON, one a line: what `vitte sim doctor` starts in other processes."""

from __future__ import annotations

import json
import platform
from typing import Any

from cli.settings import Settings
from cli.shell import out
from sim.doctor.matrix import cases
from sim.scenario.play import play


def main(request: dict[str, Any], settings: Settings) -> int:  # noqa: ARG001 - every command's
    for name, scenario in cases(request["seeds"], request["nodes"]):
        outcome = play(scenario)
        view = {"case": name, "digest": outcome.digest, "python": platform.python_version()}
        out(json.dumps(view))
    return 0
