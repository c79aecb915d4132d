"""`vitte sim timeline FILE -o x.html`: one page with everything that happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.i18n import t
from cli.settings import Settings
from cli.shell import out
from sim.app.common import give
from sim.scenario.files import load
from sim.scenario.play import PlayConfig, play
from sim.timeline.page import write_page
from sim.timeline.recorder import Recorder


def main(request: dict[str, Any], settings: Settings) -> int:
    scenario = load(Path(request["file"]))
    recorder = Recorder()
    outcome = play(scenario, PlayConfig(prepare=(recorder.prepare,)))
    target = Path(request.get("output") or Path(request["file"]).with_suffix(".html"))
    size = write_page(recorder, outcome, target)
    if settings.json:
        view = {"file": str(target), "size_bytes": size, "verdict": outcome.verdict}
        give(view, "sim_timeline")
    else:
        out(
            t(
                "{path}: {size} KB, {verdict}",
                path=target,
                size=size // 1000,
                verdict=outcome.verdict,
            )
        )
    return 0
