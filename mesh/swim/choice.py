"""Random choices from a source of floats in [0, 1), so that a seed decides everything; and times.

Fisher-Yates, written out because `random.shuffle` would bring its own generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
NEVER_S = float("inf")
"""The time of what is not pending: later than any other."""
Rng = Callable[[], float]
"""Returns a float in [0, 1)."""


def sample(items: Sequence[T], count: int, rng: Rng) -> list[T]:
    """Up to `count` different items in random order."""
    pool = list(items)
    count = min(count, len(pool))
    for index in range(count):
        other = index + int(rng() * (len(pool) - index))
        pool[index], pool[other] = pool[other], pool[index]
    return pool[:count]


def shuffled(items: Sequence[T], rng: Rng) -> list[T]:
    """All items in random order."""
    return sample(items, len(items), rng)


def sooner(due_s: float, other_s: float) -> float:
    """The earlier of two times, at a third of what `min` costs."""
    return other_s if other_s < due_s else due_s
