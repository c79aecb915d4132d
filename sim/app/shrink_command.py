"""`vitte sim shrink`: the shortest scenario with the same bug."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from cli.i18n import t
from cli.settings import Settings, note
from cli.shell import out
from sim.app.common import (
    count_nodes,
    give,
    outcome_view,
    print_failure,
    print_verdict,
    replay_line,
)
from sim.app.outputs import Outputs
from sim.app.progress import count_faults
from sim.scenario.files import dumps, load
from sim.scenario.model import Scenario
from sim.scenario.play import Outcome
from sim.shrink.shrink import DoesNotFail, ShrinkConfig, Shrunk, shrink
from sim.whole import is_special


@attrs.frozen
class Written:
    """Where the scenarios are; None: nowhere, or there is none."""

    shortest: Path | None
    passing: Path | None


def main(request: dict[str, Any], settings: Settings) -> int:
    source = Path(request["file"])
    scenario = load(source)
    outputs = Outputs(settings, reads=(source,))
    target = outputs.claim("--output", request.get("output") or source.with_suffix(".min.json"))
    passing = target.with_suffix(".passing.json")
    if not is_special(target):
        outputs.claim("--output", passing)
    config = ShrinkConfig(on_run=None if settings.json else _said)
    try:
        done = shrink(scenario, config)
    except DoesNotFail as fine:
        return _say_fine(fine.outcome, settings)
    written = Written(
        outputs.write(target, dumps(done.scenario)),
        None
        if done.passing is None or is_special(target)
        else outputs.write(passing, dumps(done.passing)),
    )
    if settings.json:
        give({**_view(done, written), **outputs.view()}, "sim_shrink")
    else:
        _print(done, written, settings)
    return outputs.status(1)


def _say_fine(outcome: Outcome, settings: Settings) -> int:
    faults = len(outcome.scenario.faults)
    if settings.json:
        view = _view(Shrunk(outcome.scenario, outcome, None, faults, 1, outcome.cpu_s))
        give(view, "sim_shrink")
    else:
        out(t("this scenario does not fail: there is nothing to shrink"))
    return 0


def _print(done: Shrunk, written: Written, settings: Settings) -> None:
    print_failure(done.outcome, settings)
    out(
        t(
            "{before} before, {after} now; {runs} runs, {cpu:.1f} s of processor time",
            before=count_faults(done.faults_before),
            after=count_faults(len(done.scenario.faults)),
            runs=done.runs,
            cpu=done.cpu_s,
        )
    )
    if written.shortest is None:
        out(dumps(done.scenario))
    else:
        out(t("replay:") + " " + replay_line(written.shortest))
    print_verdict(done.outcome)


def _said(run: int, scenario: Scenario, failed: bool) -> None:
    if failed:
        note(
            t(
                "run {run}: {faults}, {nodes}",
                run=run,
                nodes=count_nodes(scenario.nodes),
                faults=count_faults(len(scenario.faults)),
            )
        )


def _view(done: Shrunk, written: Written | None = None) -> dict[str, Any]:
    """Without files: nothing was wrong, and the outcome says so."""
    shortest = written.shortest if written is not None else None
    passing = written.passing if written is not None else None
    lost = written is not None and shortest is None
    return {
        "file": str(shortest) if shortest is not None else None,
        "passing": str(passing) if passing is not None else None,
        "faults_before": done.faults_before,
        "faults_after": len(done.scenario.faults),
        "runs": done.runs,
        "cpu_s": round(done.cpu_s, 3),
        "outcome": outcome_view(done.outcome),
        **({"scenario": dumps(done.scenario)} if lost else {}),
    }
