"""Scenarios in which the simulator once found something wrong: they stay as they were found."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.scenario.files import load
from sim.scenario.play import play

FOUND = sorted((Path(__file__).parent / "found").glob("*.json"))


@pytest.mark.parametrize("file", FOUND, ids=lambda file: file.stem)
def test_nothing_is_wrong_any_more(file: Path) -> None:
    outcome = play(load(file))
    assert outcome.ok, [finding.text for finding in outcome.findings]
