"""What came of giving something to a log.

Not here: the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs

from mesh.log.forks import ForkProof
from mesh.log.frame import Frame
from mesh.log.model import FeedId


@attrs.frozen
class Added:
    """All that changed."""

    frames: tuple[Frame, ...] = ()
    """Newly readable: their bodies are here and they count. Each feed's in order."""
    forks: tuple[ForkProof, ...] = ()
    """Newly proven, or at a lower place than known before."""
    refused: Mapping[str, int] = attrs.field(factory=dict)
    """Why something was not taken: short stable words for counters."""
    stored: tuple[Frame, ...] = ()
    """New to the log, with or without their bodies; what the store was given."""
    withdrawn: tuple[FeedId, ...] = ()
    """Feeds that became shorter: frames given out before, beyond the head now, do not count."""

    @property
    def is_nothing(self) -> bool:
        """Whether the log is as it was."""
        return not (self.stored or self.frames or self.forks or self.withdrawn)


class Changes:
    """Collects an `Added`."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.forks: list[ForkProof] = []
        self.refused: Counter[str] = Counter()
        self.stored: list[Frame] = []
        self.withdrawn: dict[FeedId, None] = {}

    def done(self) -> Added:
        return Added(
            tuple(self.frames),
            tuple(self.forks),
            dict(self.refused),
            tuple(self.stored),
            tuple(self.withdrawn),
        )
