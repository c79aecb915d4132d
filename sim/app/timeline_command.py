"""`vitte sim timeline FILE -o x.html`: one page with everything that happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.i18n import t
from cli.settings import Settings
from cli.shell import out
from sim.app.common import give
from sim.app.outputs import Outputs
from sim.scenario.files import load
from sim.scenario.play import PlayConfig, play
from sim.timeline.page import render
from sim.timeline.recorder import Recorder


def main(request: dict[str, Any], settings: Settings) -> int:
    source = Path(request["file"])
    scenario = load(source)
    outputs = Outputs(settings, reads=(source,))
    target = outputs.claim("--output", request.get("output") or source.with_suffix(".html"))
    recorder = Recorder()
    outcome = play(scenario, PlayConfig(prepare=(recorder.prepare,)))
    page = render(recorder, outcome).encode()
    written = outputs.write(target, page)
    if settings.json:
        path = str(written) if written is not None else None
        view = {"file": path, "size_bytes": len(page), "verdict": outcome.verdict}
        give({**view, **outputs.view()}, "sim_timeline")
    else:
        out(
            t(
                "{path}: {size} KB, {verdict}",
                path=written or t("nowhere"),
                size=len(page) // 1000,
                verdict=outcome.verdict,
            )
        )
    return outputs.status(0)
