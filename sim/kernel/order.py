"""In which order runnable tasks take their steps: seeded, so that a race has a name.

    fifo     the oldest first: the calm order for reading a trace
    random   a fair shuffle of each turn
    pct      every task has a drawn rank and keeps it for a while, so that one task may always lose
             against another; ranks are drawn anew at drawn turns (after Burckhardt et al., "A
             Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010; trio
             runs every runnable task once a turn, so ranks order a turn and cannot starve a task)

A `Gate` may take tasks out of a turn: machines that are frozen or slow. Since every step of every
task goes through here, a loop that never lets time pass is noticed here too.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from sim.kernel.trio_internals import age_of

ORDERS = ("fifo", "random", "pct")
TURNS_AT_ONCE_MAX = 50_000
"""Turns of trio's loop without any time passing; a run that needs more has a loop in it."""
RANKS_TURNS_MEAN = 500
"""Mean number of turns for which the ranks of `pct` last."""
_MIX = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1

Gate = Callable[[list[Any]], None]
"""Removes from a batch, in place, the tasks that may not run now."""


class SeededOrder:
    """One way through all the ways in which the tasks of a run may interleave."""

    def __init__(self, rng: Random, kind: str, on_livelock: Callable[[list[Any]], None]) -> None:
        assert kind in ORDERS, kind
        self._draw = rng.random
        self._kind = kind
        self._on_livelock = on_livelock
        self._turns_at_once = 0
        self._first_age: int | None = None
        self._salt = 0
        self._ranks_last = 0
        self.gate: Gate | None = None

    def time_moved(self) -> None:
        self._turns_at_once = 0

    # -- what trio calls -------------------------------------------------------------------------
    def shuffle(self, batch: list[Any]) -> None:
        """Arrange the turn's tasks; the last one runs first."""
        self._turns_at_once += 1
        if self._turns_at_once > TURNS_AT_ONCE_MAX:
            self._turns_at_once = 0
            self._on_livelock(batch)
        if self.gate is not None:
            self.gate(batch)
        if self._first_age is None and batch:
            self._first_age = age_of(batch[0])
        if len(batch) < 2:
            return
        if self._kind == "fifo":
            batch.reverse()
        elif self._kind == "random":
            self._mix_up(batch)
        else:
            self._by_rank(batch)

    def random(self) -> float:
        return self._draw()

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self._draw()

    # -- orders ----------------------------------------------------------------------------------
    def _mix_up(self, batch: list[Any]) -> None:
        """Fisher and Yates; `Random.shuffle` does not promise the same on every Python."""
        for last in range(len(batch) - 1, 0, -1):
            other = int(self._draw() * (last + 1))
            batch[last], batch[other] = batch[other], batch[last]

    def _by_rank(self, batch: list[Any]) -> None:
        self._ranks_last -= 1
        if self._ranks_last < 0:
            self._salt = int(self._draw() * _MASK)
            self._ranks_last = int(self._draw() * 2 * RANKS_TURNS_MEAN)
        first_age = self._first_age or 0
        batch.sort(key=lambda task: _rank(age_of(task) - first_age, self._salt))


def _rank(age: int, salt: int) -> int:
    """A drawn number per task, without a table of tasks (splitmix64)."""
    mixed = (age * _MIX + salt) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)
