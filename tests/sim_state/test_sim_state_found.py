"""Runs of replicas in which something was wrong once, and what one process alone cannot see."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim.scenario.files import load
from sim.scenario.play import play

FOUND = sorted((Path(__file__).parent / "found").glob("*.json"))
ROOT = Path(__file__).parents[2]
TELL_DIGEST = """
from sim.scenario.play import play
from sim.scenario.profiles import Wish, draw
{before}
print(play(draw(Wish(6, "state-keys", 4))).digest)
"""
WALKS_A_SET = """
from mesh.log.holdings import Holdings
in_order = Holdings.nodes
Holdings.nodes = lambda log: list(set(in_order(log)))
"""


@pytest.mark.parametrize("file", FOUND, ids=lambda file: file.stem)
def test_nothing_is_wrong_any_more(file: Path) -> None:
    outcome = play(load(file))
    assert outcome.ok, [finding.text for finding in outcome.findings]


def digests(before: str) -> set[str]:
    """Of the same run in processes that hash differently, and so walk sets in another order."""
    script = TELL_DIGEST.format(before=before)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    return {process.communicate(timeout=120)[0].strip() for process in running}


def test_a_run_is_the_same_in_every_process() -> None:
    assert len(digests("")) == 1


def test_a_set_that_is_walked_would_show() -> None:
    assert len(digests(WALKS_A_SET)) > 1
