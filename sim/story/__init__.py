"""A failing run in words: who, what went wrong when, and how it ended.

    tell_story(outcome) -> lines

Deliberately not here: pictures (`sim.timeline`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sim import faults
from sim.scenario.model import Fault, Scenario
from sim.scenario.play import Outcome

MOMENTS_MAX = 60
WHO: Mapping[str, tuple[str, str]] = {
    "mesh": ("whole node", "whole nodes"),
    "membership": ("membership core", "membership cores"),
    "state": ("replica of the log", "replicas of the log"),
}
"""What plays in each world: one of them, and several."""


def tell_story(outcome: Outcome) -> list[str]:
    """Lines to print, the ending last."""
    scenario = outcome.scenario
    lines = [_opening(scenario)]
    moments = sorted(_moments(scenario, outcome), key=lambda moment: moment[0])
    if len(moments) > MOMENTS_MAX:
        half = MOMENTS_MAX // 2
        left_out = len(moments) - 2 * half
        lines += [_line(*moment) for moment in moments[:half]]
        lines.append(f"            ... {left_out} more ...")
        lines += [_line(*moment) for moment in moments[-half:]]
    else:
        lines += [_line(*moment) for moment in moments]
    return lines


def _opening(scenario: Scenario) -> str:
    one, several = WHO[scenario.world]
    what = one if scenario.nodes == 1 else several
    return f"{scenario.nodes} {what}, seed {scenario.seed}, profile {scenario.profile}:"


def _beginning(scenario: Scenario) -> str:
    if scenario.world == "state":
        return "everybody starts; links are made where they can be"
    return "everybody joins through node 0" if scenario.nodes > 1 else "node 0 starts"


def _moments(scenario: Scenario, outcome: Outcome) -> Iterator[tuple[float, str]]:
    phases = scenario.phases
    until_s = outcome.virtual_s
    plot = [
        (0.0, _beginning(scenario)),
        (
            phases.heal_s,
            "everything is healed"
            if scenario.options.heal == "all"
            else "a majority is healed, the rest stays broken",
        ),
    ]
    if phases.canary_s:
        words = "healthy nodes are killed, one or a row of the ring, to see whether it is noticed"
        plot.append((phases.canary_at_s, words))
    yield from (moment for moment in plot if moment[0] <= until_s)
    for fault in scenario.faults:
        if fault.at_s <= until_s:
            yield fault.at_s, sentence(fault)
    for finding in outcome.findings:
        yield finding.at_s, f"WRONG ({finding.oracle}): {finding.text}"


def sentence(fault: Fault) -> str:
    """What a fault does, and for how long."""
    said = faults.tell(fault)
    if faults.KINDS[fault.kind].lasts:
        said += f" (for {fault.for_s:g} s)"
    return said


def _line(at_s: float, words: str) -> str:
    return f"  {at_s:8.2f} s  {words}"
