"""The files of `sim/scenarios`, played in the simulator. (`long/` takes minutes.)

In the second world `tests/chaos` plays one of them and `vitte chaos` all.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import sim.scenario
from sim.oracles import oracles_of
from sim.oracles.model import Oracle
from sim.scenario.files import load
from sim.scenario.model import Fault
from sim.scenario.play import PlayConfig, play

FILES = sorted((Path(sim.scenario.__file__).parent.parent / "scenarios").glob("*.json"))


class Witness(Oracle):
    """Remembers what was done."""

    name = "witness"
    began: list[Fault]
    over: list[Fault]
    canaries: list[int]

    def fault_began(self, fault: Fault) -> None:
        self.began.append(fault)

    def fault_ended(self, fault: Fault) -> None:
        self.over.append(fault)

    def canary_died(self, canary: int) -> None:
        self.canaries.append(canary)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_is_played_to_its_end_and_nothing_is_found_wrong(file: Path) -> None:
    """All faults happen and end, all builds succeed, and the mesh knows of the canary's death."""
    scenario = load(file)
    assert scenario.profile == file.stem
    witness = type("Witness", (Witness,), {"began": [], "over": [], "canaries": []})
    outcome = play(scenario, PlayConfig(oracles=(*oracles_of(scenario.world), witness)))
    assert outcome.ok, [finding.text for finding in outcome.findings]
    assert outcome.virtual_s >= scenario.phases.end_s
    assert tuple(witness.began) == tuple(sorted(scenario.faults, key=lambda fault: fault.at_s))
    assert sorted(witness.over, key=repr) == sorted(scenario.faults, key=repr)
    assert outcome.figures.get("runs", 0) == scenario.workload.runs
    assert outcome.figures.get("runs_ok", 0) == scenario.workload.runs
    assert witness.canaries
    assert 0 < outcome.figures["crash_known_s"] < scenario.phases.canary_s


def test_there_are_files() -> None:
    assert len(FILES) >= 12
