"""Delta debugging: a smallest part of a list that still fails.

The ddmin algorithm of Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input",
IEEE TSE 28(2), 2002: try parts, then complements, with ever finer cuts. The result is 1-minimal: no
single item can be left out. Deliberately not here: what failing means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def ddmin(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """`fails(items)` must hold. The empty list is tried first: some bugs need no help."""
    kept = list(items)
    if not kept or fails([]):
        return []
    parts = 2
    while len(kept) >= 2:
        smaller = _smaller(kept, parts, fails)
        if smaller is not None:
            kept, parts = smaller[0], smaller[1]
        elif parts >= len(kept):
            break
        else:
            parts = min(len(kept), parts * 2)
    return kept


def _smaller(
    items: list[T], parts: int, fails: Callable[[Sequence[T]], bool]
) -> tuple[list[T], int] | None:
    """A part or a complement that fails, and into how many parts to cut that."""
    edges = [len(items) * k // parts for k in range(parts + 1)]
    slices = [(edges[k], edges[k + 1]) for k in range(parts)]
    for begin, end in slices:
        if parts > 1 and end - begin < len(items) and fails(items[begin:end]):
            return items[begin:end], 2
    if parts == 2:
        return None  # complements of halves are halves
    for begin, end in slices:
        rest = items[:begin] + items[end:]
        if rest and fails(rest):
            return rest, max(parts - 1, 2)
    return None
