"""A leaf's events for one reader: what is here, oldest first, then what comes.

    LogReader(history, last=1000).read(history) -> lines that were not given before

Each event is given once. A hole is told where it is, once; events that another gateway brings later
into a hole are given when they come. The history may be another object each time: it is a view of
what counts now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mesh.leaf.history import History, Start
from mesh.leaf.segment import Segment
from mesh.node.leaves.views import gap_event, log_event

Range = tuple[int, int]
"""Numbers from the first to below the second."""


class LogReader:
    """See the module's head."""

    def __init__(self, history: History, last: int) -> None:
        self._skip = max(0, history.count - max(0, last))
        self._given: dict[bytes, list[Range]] = {}
        self._gaps: set[tuple[bytes, int]] = set()
        """Holes that were told: the start, and the number of the first event after it."""

    def read(self, history: History) -> Iterator[Mapping[str, Any]]:
        """What was not given yet."""
        for start in history.starts():
            boot = start.boot_nonce
            given = self._given.get(boot, [])
            gaps = {gap.end: gap for gap in start.gaps()}
            for piece in start.pieces:
                gap = gaps.get(piece.first)
                for each in (gaps.get(gap.first), gap) if gap is not None else ():
                    if each is not None and (boot, each.end) not in self._gaps:
                        self._gaps.add((boot, each.end))
                        yield dict(gap_event(start, each, piece.head))
                yield from self._piece(start, piece, given)
            self._given[boot] = _both(given, start.ranges())

    def _piece(
        self, start: Start, piece: Segment, given: list[Range]
    ) -> Iterator[Mapping[str, Any]]:
        at = piece.first
        known = [each for each in given if each[0] < piece.end and piece.first < each[1]]
        for low, high in [*known, (piece.end, piece.end)]:
            for number in range(at, low):
                if self._skip:
                    self._skip -= 1
                else:
                    yield dict(log_event(start, number, piece.event(number)))
            at = max(at, high)


def _both(given: list[Range], ranges: tuple[Range, ...]) -> list[Range]:
    """What was given stays given, also when it is not there any more."""
    found: list[Range] = []
    for low, high in sorted((*given, *ranges)):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return found
