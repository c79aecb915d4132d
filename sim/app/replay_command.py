"""`vitte sim replay`: a scenario file again, to its end or to a point in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.i18n import t
from cli.settings import Settings, note
from mesh import __version__
from sim.app.common import give, outcome_view, print_verdict, status_of
from sim.app.outputs import Outputs
from sim.app.run_command import claim, summary, watch
from sim.scenario.files import load


def main(request: dict[str, Any], settings: Settings) -> int:
    source = Path(request["file"])
    scenario = load(source)
    outputs = Outputs(settings, reads=(source,))
    recorded = claim(request, outputs)
    if scenario.vitte and scenario.vitte != __version__:
        note(t("written by version {version}: it may end differently", version=scenario.vitte))
    outcome = watch(scenario, request, settings, recorded)
    if settings.json:
        give({**outcome_view(outcome), **outputs.view()}, "sim_run")
    else:
        summary(outcome)
        print_verdict(outcome)
    return outputs.status(status_of(outcome))
