"""Hunting: seeds are played against a planted bug until an oracle that should speaks up.

A bug is killed by a finding of one of the oracles that it names. Another finding, an exception
included, may be a consequence, or luck: it is kept to be shown, and the hunt goes on.
Each bug is planted in a process of its own (forked, so that start-up costs nothing). Deliberately
not here: the bugs (`catalogue`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context

import attrs

from sim.blobs.world import play_blobs
from sim.explore.explore import begin_worker
from sim.mutants.plant import DoesNotApply, Mutant, planted
from sim.scenario.play import play
from sim.scenario.profiles import Wish, draw

CPU_MAX_S = 60.0
BLOB_STORIES = "blobs"
"""Not a world of scenarios: `sim.blobs.world`; the profiles are its chapters."""


@attrs.frozen
class Hunted:
    """How a hunt ended."""

    name: str
    killed: bool
    """An oracle that the bug names has found it."""
    oracle: str = ""
    text: str = ""
    profile: str = ""
    seed: int = -1
    runs: int = 0
    cpu_s: float = 0.0
    other: str = ""
    """The first oracle that spoke up without being named: not a kill."""
    other_text: str = ""
    problem: str = ""
    """Why it could not be planted."""

    @property
    def verdict(self) -> str:
        """`killed`, `found by another oracle`, `alive`, or `does not apply`."""
        if self.problem:
            return "does not apply"
        if self.killed:
            return "killed"
        return "found by another oracle" if self.other else "alive"


def hunt(mutant: Mutant, seeds: int, cpu_max_s: float = CPU_MAX_S) -> Hunted:
    """Play until an oracle that it names finds it, or seeds or time have run out."""
    hunted = Hunted(mutant.name, False)
    begun_s = time.process_time()
    try:
        with planted(mutant):
            for seed, profile in product(range(seeds), mutant.profiles):
                if time.process_time() - begun_s > cpu_max_s:
                    break
                hunted = attrs.evolve(hunted, runs=hunted.runs + 1)
                oracle, text = _play(mutant, seed, profile) or ("", "")
                if oracle in mutant.oracles:
                    hunted = attrs.evolve(hunted, killed=True, oracle=oracle, text=text)
                    hunted = attrs.evolve(hunted, profile=profile, seed=seed)
                    break
                if oracle and not hunted.other:
                    hunted = attrs.evolve(hunted, other=oracle, other_text=text)
    except DoesNotApply as error:
        return Hunted(mutant.name, False, problem=str(error))
    return attrs.evolve(hunted, cpu_s=time.process_time() - begun_s)


def _play(mutant: Mutant, seed: int, profile: str) -> tuple[str, str] | None:
    """Who noticed, and what; None: nobody."""
    if mutant.world == BLOB_STORIES:
        played = play_blobs(seed, (profile,))
        return None if played.ok else (played.oracle, played.text)
    outcome = play(draw(Wish(seed, profile, mutant.nodes, mutant.world)))
    return None if outcome.ok else (outcome.findings[0].oracle, outcome.findings[0].text)


def hunt_all(
    mutants: Sequence[Mutant], seeds: int, jobs: int, on_hunted: Callable[[Hunted], None]
) -> list[Hunted]:
    """All of them, some at a time; in the order of the catalogue."""
    found: dict[str, Hunted] = {}
    with ProcessPoolExecutor(jobs, get_context("fork"), initializer=begin_worker) as pool:
        waiting = [pool.submit(hunt, mutant, seeds) for mutant in mutants]
        for future in as_completed(waiting):
            hunted = future.result()
            found[hunted.name] = hunted
            on_hunted(hunted)
    return [found[mutant.name] for mutant in mutants]
