"""The promises about blobs hold on a sample of seeds, and each planted bug is seen to break one."""

from __future__ import annotations

import pytest

from sim.blobs.world import CHAPTERS, play_blobs
from sim.mutants.blobs import BLOBS
from sim.mutants.hunt import hunt
from sim.mutants.plant import Mutant

SEEDS_MAX = 12


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_is_promised_of_blobs_holds(chapter: str, seed: int) -> None:
    played = play_blobs(seed, (chapter,))
    assert played.ok, played.text


@pytest.mark.parametrize("mutant", BLOBS, ids=lambda each: each.name)
def test_every_planted_bug_of_blobs_is_found(mutant: Mutant) -> None:
    hunted = hunt(mutant, SEEDS_MAX)
    assert hunted.killed, hunted
    assert hunted.oracle in mutant.oracles, hunted
