"""`vitte sim run`: one seed, watched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.i18n import t
from cli.settings import Settings
from cli.shell import out
from cli.text import human_seconds
from sim.app.common import (
    give,
    outcome_view,
    print_failure,
    print_verdict,
    replay_line,
    say_saved,
    status_of,
    wish_of,
)
from sim.app.progress import RunProgress, count_faults
from sim.diff import TraceFile
from sim.scenario.files import save
from sim.scenario.model import Scenario
from sim.scenario.play import Outcome, PlayConfig, Prepare, play
from sim.scenario.profiles import draw
from sim.timeline.page import write_page
from sim.timeline.recorder import Recorder


def main(request: dict[str, Any], settings: Settings) -> int:
    scenario = draw(wish_of(request, request["seed"]))
    if request.get("save"):
        save(scenario, Path(request["save"]))
    outcome = watch(scenario, request, settings)
    if settings.json:
        give(outcome_view(outcome), "sim_run")
        return status_of(outcome)
    summary(outcome)
    if not outcome.ok:
        path = Path(".vitte/sim") / f"{scenario.profile}-{scenario.seed}.json"
        save(scenario, path)
        out(t("replay:") + " " + replay_line(path))
    print_verdict(outcome)
    return status_of(outcome)


def watch(scenario: Scenario, request: dict[str, Any], settings: Settings) -> Outcome:
    """Play with whatever the options record."""
    prepare: list[Prepare] = [] if settings.json else [RunProgress().prepare]
    trace = TraceFile(Path(request["trace"])) if request.get("trace") else None
    recorder = Recorder() if request.get("html") else None
    if trace is not None:
        prepare.append(trace.prepare)
    if recorder is not None:
        prepare.append(recorder.prepare)
    config = PlayConfig(prepare=prepare, until_s=request.get("until"))
    try:
        outcome = play(scenario, config)
    finally:
        if trace is not None:
            trace.close()
    if recorder is not None:
        path = Path(request["html"])
        write_page(recorder, outcome, path)
        say_saved(t("timeline"), path)
    return outcome


def summary(outcome: Outcome) -> None:
    """What a run did and cost, and its story if it failed."""
    scenario = outcome.scenario
    if not outcome.ok:
        print_failure(outcome, Settings())
    node_s = outcome.virtual_s * scenario.nodes
    out(
        t(
            "{nodes} nodes, {virtual} of their time, {faults}, in {cpu} of processor time:"
            " {rate:.0f} node-seconds a second",
            nodes=scenario.nodes,
            virtual=human_seconds(outcome.virtual_s),
            faults=count_faults(len(scenario.faults)),
            cpu=human_seconds(outcome.cpu_s),
            rate=node_s / max(1e-6, outcome.cpu_s),
        )
    )
    figures = "  ".join(f"{name} {value:g}" for name, value in sorted(outcome.figures.items()))
    if figures:
        out(figures)
