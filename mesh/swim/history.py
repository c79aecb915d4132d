"""What happened to each member, as seen here: for people who ask why.

A ring of SWIM_HISTORY_MAX entries per member, so bounded by the roster. Nothing is decided by it.
Deliberately not here: anything that is not about one member, and time of day (a driver converts).
"""

from __future__ import annotations

from collections import deque

import attrs

from mesh.limits import SWIM_HISTORY_MAX
from mesh.types import NodeId


@attrs.frozen
class Happening:
    """One line of a member's story."""

    at_s: float
    """Monotonic time."""
    what: str
    """A word: `alive`, `suspect`, `unreachable`, `dead`, `left`, `charged`, `voted`, `refuted`."""
    by: NodeId | None
    """Who charged, voted; None for what the member did itself or what we concluded."""
    epoch: int
    incarnation: int
    evidence: str = ""
    """`silent` or `refused`, of charges and votes."""


class History:
    """The stories of all members."""

    def __init__(self) -> None:
        self._stories: dict[NodeId, deque[Happening]] = {}

    def note(self, node: NodeId, happening: Happening) -> None:
        story = self._stories.get(node)
        if story is None:
            story = self._stories[node] = deque(maxlen=SWIM_HISTORY_MAX)
        story.append(happening)

    def of(self, node: NodeId) -> tuple[Happening, ...]:
        """Oldest first."""
        return tuple(self._stories.get(node, ()))

    def forget(self, node: NodeId) -> None:
        self._stories.pop(node, None)
