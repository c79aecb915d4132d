"""The page: what was recorded as JSON inside `page.html`, and nothing from anywhere else.

Deliberately not here: writing it to a file (`sim.app.outputs`).
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from sim import faults
from sim.scenario.model import as_dict
from sim.scenario.play import Outcome
from sim.story import sentence, tell_story
from sim.timeline.recorder import Recorder

PLACEHOLDER = "/*DATA*/null"
PAGE_BYTES_MAX = 1_000_000
SHRINK_STEPS = 8


def _data(recorder: Recorder, outcome: Outcome, every: int) -> dict[str, Any]:
    scenario = outcome.scenario
    phases = scenario.phases
    played = [fault for fault in scenario.faults if fault.at_s <= outcome.virtual_s]
    return {
        "title": f"seed {scenario.seed}, {scenario.nodes} nodes, {scenario.profile}",
        "verdict": outcome.verdict,
        "digest": outcome.digest,
        "nodes": scenario.nodes,
        "end": round(outcome.virtual_s * 1000),
        "phases": [
            ["warm-up", 0],
            ["chaos", round(phases.warm_up_s * 1000)],
            ["settle", round(phases.heal_s * 1000)],
            ["canary", round(phases.canary_at_s * 1000)],
        ],
        "faults": [
            [
                round(fault.at_s * 1000),
                round(min(fault.until_s, phases.heal_s) * 1000)
                if faults.KINDS[fault.kind].lasts
                else round(fault.at_s * 1000),
                fault.kind,
                list(fault.target),
                sentence(fault),
                faults.KINDS[fault.kind].group,
            ]
            for fault in played
        ],
        "lives": recorder.lives,
        "changes": list(recorder.changes),
        "packets": recorder.packets()[::-1][::every][::-1],
        "findings": [
            [round(f.at_s * 1000), f.oracle, f.text, list(f.nodes)] for f in outcome.findings
        ],
        "figures": outcome.figures,
        "story": tell_story(outcome),
        "scenario": as_dict(scenario) if len(scenario.faults) <= 200 else None,
    }


def render(recorder: Recorder, outcome: Outcome) -> str:
    """The page, smaller than PAGE_BYTES_MAX: packets are thinned out until it is."""
    template = files("sim.timeline").joinpath("page.html").read_text(encoding="utf-8")
    assert template.count(PLACEHOLDER) == 1, "one place for the data"
    page = ""
    for step in range(SHRINK_STEPS):
        data = _data(recorder, outcome, 2**step)
        text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
        page = template.replace(PLACEHOLDER, text)
        if len(page.encode()) < PAGE_BYTES_MAX:
            break
    return page
