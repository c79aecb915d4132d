"""Oracles are silent about clean runs, and every planted bug that is tried here is found."""

from __future__ import annotations

import pytest

from sim.blobs.checks import NAMES
from sim.mutants.catalogue import MUTANTS
from sim.mutants.hunt import BLOB_STORIES, hunt
from sim.mutants.plant import DoesNotApply, Edit, Mutant, planted
from sim.oracles import oracles_of
from sim.scenario.play import play
from sim.scenario.profiles import Wish, draw

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
QUICK = (
    *("replays-accepted", "no-mac", "nonce-reused", "never-accuses", "no-notice"),
    *("votes-uncounted", "same-version-again", "changes-while-iterating", "leaving-unsaid"),
    *("signatures-unchecked", "lost-for-ever"),
)
"""A sample that is found within seconds; `vitte sim mutants` hunts all."""
CLEAN = ("everything", "calm", "mild", "hostile", "liars", "crashes", "partitions", "starved")


@pytest.mark.parametrize("seed", range(8))
def test_clean_runs_raise_no_alarm(seed: int) -> None:
    outcome = play(draw(Wish(seed + 100, CLEAN[seed % len(CLEAN)], 6)))
    assert outcome.ok, outcome.findings


@pytest.mark.parametrize("profile", ["everything", "builds", "disks"])
def test_clean_runs_of_whole_nodes_raise_no_alarm(profile: str) -> None:
    outcome = play(draw(Wish(100, profile, 4, "mesh")))
    assert outcome.ok, outcome.findings


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_planted_bug_still_fits_the_code(mutant: Mutant) -> None:
    with planted(mutant):
        pass


@pytest.mark.parametrize("name", QUICK)
def test_planted_bugs_are_found_by_the_oracles_that_should(name: str) -> None:
    mutant = BY_NAME[name]
    hunted = hunt(mutant, seeds=6)
    assert hunted.killed, hunted
    assert hunted.oracle in mutant.oracles


def test_planting_is_undone_and_an_edit_that_does_not_fit_is_refused() -> None:
    mutant = BY_NAME["never-buried"]
    from mesh.swim.suspicion import Suspicions

    before = Suspicions.due
    with planted(mutant):
        assert Suspicions.due is not before
    assert Suspicions.due is before
    wrong = Edit("mesh.swim.suspicion", "Suspicions.due", "what never stood there", "pass")
    with pytest.raises(DoesNotApply), planted(Mutant("x", "", (wrong,), ("calm",), ())):
        pass


def test_there_are_at_least_25_bugs_and_every_oracle_named_exists() -> None:
    assert len(MUTANTS) >= 25
    for mutant in MUTANTS:
        if mutant.world == BLOB_STORIES:
            names = set(NAMES)
        else:
            names = {oracle.name for oracle in oracles_of(mutant.world)} | {"uncaught"}
        assert set(mutant.oracles) <= names, mutant.name
        assert mutant.breaks
