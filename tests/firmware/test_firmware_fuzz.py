"""A short look at what `python -m sim.leaves.fuzz` does for hours."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sim.leaves.corpus import write_corpus
from sim.leaves.fuzz import SANITIZED, build, play


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("fuzz") / "corpus"
    assert write_corpus(made) > 400
    return made


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the sanitizers come with gcc")
def test_mutated_frames_and_programs_break_nothing(tmp_path: Path, corpus: Path) -> None:
    harness = build(tmp_path, SANITIZED)
    counted = play(harness, seed=2026, inputs=6000, seconds=60, corpus=corpus)

    assert counted["inputs"] == 6000
    assert counted["accepted_programs"] > 200
    assert counted["rule_runs"] > 200
    assert counted["scenes"] > 90
    assert counted["deploys"] > 200
    assert counted["fallbacks"] > 100
    assert counted["refreshes"] > 0
    assert counted["answers"] > 1000


def test_the_corpus_is_the_same_every_time(tmp_path: Path, corpus: Path) -> None:
    write_corpus(tmp_path / "again")

    assert (tmp_path / "again").read_bytes() == corpus.read_bytes()
