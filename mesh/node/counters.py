"""Named counts of what was dropped, refused or done twice: loss is visible. Bounded."""

from __future__ import annotations

COUNTERS_MAX = 1024


class Counters:
    """A bag of counts; names are stable dotted words."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, name: str, by: int = 1) -> None:
        if name in self._counts or len(self._counts) < COUNTERS_MAX:
            self._counts[name] = self._counts.get(name, 0) + by

    def snapshot(self) -> dict[str, int]:
        return dict(sorted(self._counts.items()))
