"""A short look at what `python -m sim.leaves.fuzz` does for hours."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sim.leaves.corpus import write_corpus
from sim.leaves.fuzz import SANITIZED, build, play


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the sanitizers come with gcc")
def test_mutated_frames_and_programs_break_nothing(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    assert write_corpus(corpus) > 400
    harness = build(tmp_path, SANITIZED)
    counted = play(harness, seed=2026, inputs=6000, seconds=60, corpus=corpus)

    assert counted["inputs"] == 6000
    assert counted["accepted_programs"] > 200
    assert counted["rule_runs"] > 200
    assert counted["deploys"] > 0
    assert counted["answers"] > 1000


def test_the_corpus_is_the_same_every_time(tmp_path: Path) -> None:
    write_corpus(tmp_path / "one")
    write_corpus(tmp_path / "two")

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
