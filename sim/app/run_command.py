"""`vitte sim run`: one seed, watched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from cli.i18n import t
from cli.settings import Settings
from cli.shell import out
from cli.text import human_seconds
from sim.app.common import (
    count_nodes,
    give,
    outcome_view,
    print_failure,
    print_verdict,
    replay_line,
    say_saved,
    status_of,
    wish_of,
)
from sim.app.outputs import Outputs, keep_elsewhere
from sim.app.progress import RunProgress, count_faults
from sim.diff import TraceFile
from sim.scenario.files import dumps
from sim.scenario.model import Scenario
from sim.scenario.play import Outcome, PlayConfig, Prepare, play
from sim.scenario.profiles import Wish, draw, file_name
from sim.timeline.page import render
from sim.timeline.recorder import Recorder
from sim.whole import write_whole

FOLDER = Path(".vitte/sim")


@attrs.frozen
class Recorded:
    """Where the options want a run to be recorded."""

    outputs: Outputs
    trace: Path | None
    html: Path | None


def main(request: dict[str, Any], settings: Settings) -> int:
    wish = wish_of(request, request["seed"])
    scenario = draw(wish)
    outputs = Outputs(settings)
    target = outputs.claim("--save", request["save"]) if request.get("save") else None
    recorded = claim(request, outputs)
    if target is not None:
        outputs.write(target, dumps(scenario))
    outcome = watch(scenario, request, settings, recorded)
    if settings.json:
        give({**outcome_view(outcome), **outputs.view()}, "sim_run")
        return outputs.status(status_of(outcome))
    summary(outcome)
    if not outcome.ok:
        _keep(scenario, wish)
    print_verdict(outcome)
    return outputs.status(status_of(outcome))


def _keep(scenario: Scenario, wish: Wish) -> None:
    """Write what failed where it can be replayed from, or else say all of it."""
    name, text = file_name(wish), dumps(scenario)
    written: Path | None = FOLDER / name
    try:
        write_whole(FOLDER / name, text)
    except OSError:
        written = keep_elsewhere(name, text)
    out(text if written is None else t("replay:") + " " + replay_line(written))


def claim(request: dict[str, Any], outputs: Outputs) -> Recorded:
    """See that what the options want can be written. Raises OutputIsInput, OutputUnwritable."""
    trace, html = (
        outputs.claim(f"--{name}", request[name]) if request.get(name) else None
        for name in ("trace", "html")
    )
    return Recorded(outputs, trace, html)


def watch(
    scenario: Scenario, request: dict[str, Any], settings: Settings, recorded: Recorded
) -> Outcome:
    """Play with whatever the options record."""
    prepare: list[Prepare] = [] if settings.json else [RunProgress().prepare]
    trace = _begin_trace(recorded)
    recorder = Recorder() if recorded.html is not None else None
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
    if trace is not None and trace.failure is not None and recorded.trace is not None:
        recorded.outputs.failed(recorded.trace, trace.failure)
    if recorder is not None and recorded.html is not None:
        page = recorded.outputs.write(recorded.html, render(recorder, outcome))
        if page == recorded.html:
            say_saved(t("timeline"), page)
    return outcome


def _begin_trace(recorded: Recorded) -> TraceFile | None:
    if recorded.trace is None:
        return None
    try:
        return TraceFile(recorded.trace)
    except OSError as error:  # it could be written a moment ago
        recorded.outputs.failed(recorded.trace, error)
        return None


def summary(outcome: Outcome) -> None:
    """What a run did and cost, and its story if it failed."""
    scenario = outcome.scenario
    if not outcome.ok:
        print_failure(outcome, Settings())
    node_s = outcome.virtual_s * scenario.nodes
    out(
        t(
            "{nodes}, {virtual} of their time, {faults}, in {cpu} of processor time:"
            " {rate:.0f} node-seconds a second",
            nodes=count_nodes(scenario.nodes),
            virtual=human_seconds(outcome.virtual_s),
            faults=count_faults(len(scenario.faults)),
            cpu=human_seconds(outcome.cpu_s),
            rate=node_s / max(1e-6, outcome.cpu_s),
        )
    )
    figures = "  ".join(f"{name} {value:g}" for name, value in sorted(outcome.figures.items()))
    if figures:
        out(figures)
