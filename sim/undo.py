"""Something that goes wrong until it is taken back.

Faults of one kind may overlap, so each is a thing of its own: taking one back leaves the others.
"""

from __future__ import annotations

from collections.abc import Callable


class Fault:
    """A fault at work. `undo` ends it, once; harmless when it has ended."""

    def __init__(self, undo: Callable[[], None]) -> None:
        self._undo: Callable[[], None] | None = undo

    @property
    def active(self) -> bool:
        return self._undo is not None

    def undo(self) -> None:
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()
