"""`vitte sim shrink`: the shortest scenario with the same bug."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.i18n import t
from cli.settings import Settings, note
from cli.shell import out
from sim.app.common import give, outcome_view, print_failure, print_verdict, replay_line
from sim.app.progress import count_faults
from sim.scenario.files import load, save
from sim.scenario.model import Scenario
from sim.shrink.shrink import DoesNotFail, ShrinkConfig, Shrunk, shrink


def main(request: dict[str, Any], settings: Settings) -> int:
    source = Path(request["file"])
    config = ShrinkConfig(on_run=None if settings.json else _said)
    try:
        done = shrink(load(source), config)
    except DoesNotFail:
        out(t("this scenario does not fail: there is nothing to shrink"))
        return 0
    target = Path(request.get("output") or source.with_suffix(".min.json"))
    save(done.scenario, target)
    passing = target.with_suffix(".passing.json")
    if done.passing is not None:
        save(done.passing, passing)
    if settings.json:
        give(_view(done, target, passing), "sim_shrink")
        return 1
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
    out(t("replay:") + " " + replay_line(target))
    print_verdict(done.outcome)
    return 1


def _said(run: int, scenario: Scenario, failed: bool) -> None:
    if failed:
        note(
            t(
                "run {run}: {faults}, {nodes} nodes",
                run=run,
                nodes=scenario.nodes,
                faults=count_faults(len(scenario.faults)),
            )
        )


def _view(done: Shrunk, target: Path, passing: Path) -> dict[str, Any]:
    return {
        "file": str(target),
        "passing": str(passing) if done.passing is not None else None,
        "faults_before": done.faults_before,
        "faults_after": len(done.scenario.faults),
        "runs": done.runs,
        "cpu_s": round(done.cpu_s, 3),
        "outcome": outcome_view(done.outcome),
    }
