"""`vitte chaos`: scenario files with real processes, one after the other, watched.

All files are played, whatever the ones before came to; one that this machine could not play to its
end counts as failed. Only when it is the only one, that is the answer.

With `--compare` each file is played in the simulator as well, and the last table says how the two
worlds differ. Deliberately not here: the world itself (`sim.chaos`).
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import attrs

from cli.i18n import t
from cli.settings import Settings, note
from cli.shell import out
from mesh.errors import ChaosFailed, ScenarioUnusable
from sim.app.common import give, outcome_view, print_failure
from sim.app.outputs import Outputs
from sim.app.progress import survey
from sim.chaos.commands import die_with_parent
from sim.chaos.play import LIVE_ORACLES, ChaosConfig, check, play_live
from sim.oracles.model import Finding, Oracle
from sim.scenario.files import load
from sim.scenario.model import BadScenario, Fault, Scenario
from sim.scenario.play import Director, Outcome, PlayConfig, play
from sim.story import sentence

LINE_EVERY_S = 5.0
COMPARED = ("reunited_s", "crash_known_s", "runs_ok", "worst_datagrams_per_s")


@attrs.frozen
class Played:
    """One file's outcomes."""

    path: Path
    real: Outcome
    simulated: Outcome | None

    @property
    def ok(self) -> bool:
        return self.real.ok and (self.simulated is None or self.simulated.ok)


def main(request: dict[str, Any], settings: Settings) -> int:
    carrier = request["carrier"]
    die_with_parent(signal.SIGTERM)  # `vitte chaos` that is killed shall not leave us behind
    scenarios = [(Path(name), _load(Path(name), carrier)) for name in request["files"]]
    outputs = Outputs(settings)
    if request.get("logs"):
        outputs.claim_folder("--logs", request["logs"])
    played = []
    for path, scenario in scenarios:
        if len(scenarios) > 1 and not settings.json:
            note(f"{path}:")
        played.append(_play(path, scenario, request, outputs))
        if not settings.json:
            _tell(played[-1], settings)
    ok = all(each.ok for each in played)
    if settings.json:
        runs = [_view(each, carrier) for each in played]
        give({"ok": ok, "runs": runs, **outputs.view()}, "chaos")
    else:
        if request["compare"]:
            _print_table(played)
        _print_verdict(played)
    return outputs.status(0 if ok else 1)


def _load(path: Path, carrier: str) -> Scenario:
    """Read it, and see that it can be played, before anything is played."""
    scenario = load(path)
    try:
        check(scenario, carrier, str(path))
    except BadScenario as error:
        raise ScenarioUnusable(where=str(path), why=str(error)) from None
    return scenario


def _play(path: Path, scenario: Scenario, request: dict[str, Any], outputs: Outputs) -> Played:
    until_s = request.get("until")
    simulated = None
    if request["compare"]:
        simulated = play(scenario, PlayConfig(until_s=until_s))
    prepare = () if outputs.settings.json else (_narrate,)
    config = ChaosConfig(
        carrier=request["carrier"],
        play=PlayConfig(oracles=LIVE_ORACLES, until_s=until_s, prepare=prepare),
        keep=Path(request["logs"]) / path.stem if request.get("logs") else None,
        on_lost_log=outputs.failed,
    )
    try:
        return Played(path, play_live(scenario, config), simulated)
    except ChaosFailed as error:
        if len(request["files"]) == 1:
            raise
        return Played(path, _not_played(scenario, error), simulated)


def _not_played(scenario: Scenario, error: ChaosFailed) -> Outcome:
    """The world broke, not the nodes; the next file gets a new one."""
    finding = Finding("stage", 0.0, str(error))
    return Outcome(scenario, (finding,), "", virtual_s=0.0, events=0, figures={}, cpu_s=0.0)


class _Narrator(Oracle):
    """Says on stderr what happens; judges nothing."""

    name = "narrator"

    def _say(self, words: str) -> None:
        note(f"{self.stage.world.now_s:7.1f} s  {words}")

    def fault_began(self, fault: Fault) -> None:
        if fault in self.scenario.faults:
            self._say(sentence(fault))

    def fault_ended(self, fault: Fault) -> None:
        if fault.for_s and fault in self.scenario.faults:
            self._say(t("over: {kind}", kind=fault.kind))

    def warmed_up(self) -> None:
        self._say(t("the trouble begins"))

    def healed(self) -> None:
        self._say(t("everything is healed"))

    def canary_died(self, canary: int) -> None:
        self._say(t("node {node} is killed, to see whether it is noticed", node=canary))


def _narrate(director: Director) -> None:
    director.oracles.append(_Narrator(director.stage, director.scenario, director.report))
    world = director.stage.world

    def line() -> None:
        up, suspected, gone = survey(director.stage)
        note(
            t(
                "{now:7.1f} s  {phase:<8}  {up}/{all} up, seen suspect {suspect}, gone {gone}",
                now=world.now_s,
                phase=director.phase,
                up=up,
                all=director.stage.size,
                suspect=suspected,
                gone=gone,
            )
        )
        world.after(LINE_EVERY_S, line)

    world.at(0.0, line)


def _tell(played: Played, settings: Settings) -> None:
    """The stories of what failed, and the figures."""
    for outcome in (played.simulated, played.real):
        if outcome is not None and not outcome.ok:
            print_failure(outcome, settings)
    figures = sorted(played.real.figures.items())
    out("  ".join([played.path.stem, *(f"{name} {value:g}" for name, value in figures)]))


def _print_table(played: list[Played]) -> None:
    """A line a file: each figure, simulated / real."""
    widths = [max(len(name), 15) for name in COMPARED]
    files = max(len(each.path.stem) for each in played)
    names = "  ".join(f"{name:>{wide}}" for name, wide in zip(COMPARED, widths, strict=True))
    out(f"{t('simulated / real'):<{files}}  {names}")
    for each in played:
        cells = [
            f"{_cell(each.simulated, name)} / {_cell(each.real, name)}".rjust(wide)
            for name, wide in zip(COMPARED, widths, strict=True)
        ]
        out(f"{each.path.stem:<{files}}  {'  '.join(cells)}")


def _cell(outcome: Outcome | None, name: str) -> str:
    value = outcome.figures.get(name) if outcome is not None else None
    return "-" if value is None else f"{value:.4g}"


def _print_verdict(played: list[Played]) -> None:
    """The last line."""
    failed = [each for each in played if not each.ok]
    if not failed:
        out(t("ok") + (f": {len(played)}" if len(played) > 1 else ""))
        return
    said = [f"{each.path.stem} ({_first_finding(each)})" for each in failed]
    out(t("FAILED") + ": " + ", ".join(said))


def _first_finding(played: Played) -> str:
    if not played.real.ok:
        return played.real.findings[0].oracle
    assert played.simulated is not None, "something failed"
    return t("simulated") + ": " + played.simulated.findings[0].oracle


def _view(played: Played, carrier: str) -> dict[str, Any]:
    return {
        "file": str(played.path),
        "carrier": carrier,
        "ok": played.ok,
        "real": outcome_view(played.real),
        "simulated": None if played.simulated is None else outcome_view(played.simulated),
    }
