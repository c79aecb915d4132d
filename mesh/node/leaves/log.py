"""A leaf's events for one reader: what is here, oldest first, then what comes.

    LogReader(history, last=1000).read() -> lines that were not given before

Each event is given once. A gap is told where it is, once; events that another gateway brings later
into a gap are given when they come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mesh.leaf.history import History, Span, Start
from mesh.node.leaves.views import gap_event, log_event

Range = tuple[int, int]
"""Numbers from the first to below the second."""


class LogReader:
    """See the module's head."""

    def __init__(self, history: History, last: int) -> None:
        self._history = history
        self._skip = max(0, history.count - max(0, last))
        self._given: dict[bytes, list[Range]] = {}
        self._gaps: set[tuple[bytes, int]] = set()
        """Gaps that were told: the start, and the number of the first event after it."""

    def read(self) -> Iterator[Mapping[str, Any]]:
        """What was not given yet."""
        for start in self._history.starts():
            boot = start.boot_nonce
            given = self._given.get(boot, [])
            reached = start.forgotten
            for span in start.spans:
                if span.first > reached and (boot, span.first) not in self._gaps:
                    self._gaps.add((boot, span.first))
                    yield dict(gap_event(start, span.first - reached))
                yield from self._span(start, span, given)
                reached = span.end
            self._given[boot] = list(start.ranges())

    def _span(self, start: Start, span: Span, given: list[Range]) -> Iterator[Mapping[str, Any]]:
        at = span.first
        known = [each for each in given if each[0] < span.end and span.first < each[1]]
        for low, high in [*known, (span.end, span.end)]:
            for number in range(at, low):
                if self._skip:
                    self._skip -= 1
                else:
                    yield dict(log_event(start, number, span.events[number - span.first]))
            at = max(at, high)
