"""Lifeguard's local health: how far we trust our own judgement (LHA-Probe).

The score rises when our probes fail although helpers are well, when we must refute that we are dead
and when our timers fire late; it falls with each ack. Everything that judges others is stretched by
`scale`. Deliberately not here: measured load of the machine; a later issue may feed it in.
"""

from __future__ import annotations


class Health:
    """A counter between 0 (well) and `worst`."""

    def __init__(self, worst: int) -> None:
        self._worst = worst
        self.score = 0

    def adjust(self, delta: int) -> None:
        """Add evidence: positive is bad."""
        self.score = max(0, min(self._worst, self.score + delta))

    @property
    def scale(self) -> int:
        """What probe intervals and timeouts are multiplied with, >= 1."""
        return 1 + self.score
