"""`vitte sim why`: when the bug became likely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.i18n import n, t
from cli.settings import Settings, note
from cli.shell import out
from cli.text import human_seconds
from sim.app.common import finding_view, give, outcome_view
from sim.scenario.files import load
from sim.scenario.model import Scenario
from sim.story import sentence
from sim.why import FUTURES, Causality, NothingWrong, causality

BAR_CELLS = 30
NOTHING: dict[str, Any] = {
    "finding": None,
    "rewinds": [],
    "window_s": None,
    "forks": 0,
    "seconds": 0.0,
    "parent_same": True,
}
"""The answer where nothing is wrong: nothing was rewound."""


def main(request: dict[str, Any], settings: Settings) -> int:
    scenario = load(Path(request["file"]))
    futures = request.get("futures") or FUTURES
    try:
        done = causality(scenario, futures, on_outcome=None if settings.json else _begin)
    except NothingWrong as fine:
        if settings.json:
            give({**NOTHING, "outcome": outcome_view(fine.outcome)}, "sim_why")
        else:
            out(t("this scenario does not fail: there is no why"))
        return 0
    if settings.json:
        give(_view(done), "sim_why")
    else:
        _print(done)
    return 1


def _begin(outcome: Any) -> None:
    finding = outcome.findings[0]
    note(f"{finding.at_s:.2f} s  {finding.oracle}: {finding.text}")


def _print(done: Causality) -> None:
    out(t("rewound to     P(bug)"))
    for rewind in done.rewinds:
        bar = "#" * round(BAR_CELLS * rewind.chance)
        share = f"{rewind.failed}/{rewind.futures}"
        out(f"  {rewind.at_s:9.2f} s  {share:>6}  {bar}")
    if done.window_s is not None:
        begin_s, end_s = done.window_s
        out(
            t(
                "the bug became likely between {begin:.2f} s and {end:.2f} s",
                begin=begin_s,
                end=end_s,
            )
        )
        for line in _meanwhile(done.outcome.scenario, begin_s, end_s):
            out(f"  {line}")
    else:
        out(_no_window())
    out(
        t(
            "{futures} in {time}; the run itself stayed the same: {same}",
            futures=n("{count} future", "{count} futures", sum(r.futures for r in done.rewinds)),
            time=human_seconds(done.seconds),
            same=t("yes") if done.parent_same else t("NO"),
        )
    )


def _no_window() -> str:
    return t("it is likely from the beginning: the scenario itself is enough, no chance is needed")


def _meanwhile(scenario: Scenario, begin_s: float, end_s: float) -> list[str]:
    """Faults that began or ended in the window."""
    lines = []
    for fault in scenario.faults:
        if begin_s <= fault.at_s <= end_s:
            lines.append(f"{fault.at_s:8.2f} s  {sentence(fault)}")
        elif begin_s <= fault.until_s <= end_s:
            lines.append(f"{fault.until_s:8.2f} s  " + t("over:") + f" {sentence(fault)}")
    return lines


def _view(done: Causality) -> dict[str, Any]:
    return {
        "outcome": outcome_view(done.outcome),
        "finding": finding_view(done.outcome.findings[0]),
        "rewinds": [
            {"at_s": r.at_s, "futures": r.futures, "failed": r.failed} for r in done.rewinds
        ],
        "window_s": list(done.window_s) if done.window_s else None,
        "forks": done.forks,
        "seconds": round(done.seconds, 3),
        "parent_same": done.parent_same,
    }
