"""What is wrong with a disk at the moment, and asking whether an operation suffers from it.

Faults of one kind may overlap. Deliberately not here: the one-time ones (`disk`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from fnmatch import fnmatchcase

import attrs

from sim.undo import Fault

Draw = Callable[[], float]


@attrs.frozen(eq=False)
class Trouble:
    """One fault at work."""

    kind: str
    chance: float = 1.0
    names: str = "*"
    """A pattern of file names, as in the shell; `*` crosses folders."""
    amount: float = 0.0
    """Seconds or bytes, as the kind has it."""


class Troubles:
    """All that are at work on one disk."""

    def __init__(self, random: Draw) -> None:
        self._random = random
        self._all: list[Trouble] = []

    def add(self, trouble: Trouble) -> Fault:
        self._all.append(trouble)
        return Fault(lambda: self._end(trouble))

    def _end(self, trouble: Trouble) -> None:
        if trouble in self._all:  # a new disk has none of the old one's troubles
            self._all.remove(trouble)

    def clear(self) -> None:
        self._all.clear()

    def strikes(self, kind: str, name: str) -> bool:
        """Whether an operation on `name` suffers from that kind now."""
        return any(
            each.chance >= 1.0 or self._random() < each.chance
            for each in self._all
            if each.kind == kind and fnmatchcase(name, each.names)
        )

    def check(self, kind: str, name: str, number: int) -> None:
        """Raise the OSError `number` if it does."""
        if self._all and self.strikes(kind, name):
            raise OSError(number, os.strerror(number), name)

    def total(self, kind: str) -> float:
        """The amounts of that kind together."""
        return sum(each.amount for each in self._all if each.kind == kind)

    def least(self, kind: str) -> float | None:
        """The smallest amount of that kind; None when there is none."""
        return min((each.amount for each in self._all if each.kind == kind), default=None)

    def check_change(self, name: str) -> None:
        """Raise when nothing may be changed."""
        self.check("read-only", name, errno.EROFS)
