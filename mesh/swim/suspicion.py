"""Suspicions and when they become verdicts.

A suspicion starts with one accuser and a long timeout; each further independent accuser shortens it
along Lifeguard's formula (`SwimConfig.suspicion_timeout_s`). Time in which we did not run ourselves
does not count: `forgive` moves the deadlines. Deliberately not here: who may accuse (a later issue
signs accusations); what a verdict does is in `membership`.
"""

from __future__ import annotations

import attrs

from mesh.swim.config import SwimConfig
from mesh.types import NodeId


@attrs.define
class Suspicion:
    node: NodeId
    started_s: float
    members: int
    """Size of the mesh when it began: sets the shortest timeout and how many could confirm."""
    accusers: dict[bytes, None]
    deadline_s: float = 0.0


class Suspicions:
    """At most one suspicion per member."""

    def __init__(self, config: SwimConfig) -> None:
        self._config = config
        self._running: dict[NodeId, Suspicion] = {}

    def start(self, node: NodeId, accuser: bytes, members: int, now_s: float) -> None:
        """Begin, or begin anew for a higher incarnation."""
        suspicion = Suspicion(node, now_s, members, {accuser: None})
        suspicion.deadline_s = now_s + self._config.suspicion_timeout_s(members, 0)
        self._running[node] = suspicion

    def confirm(self, node: NodeId, accuser: bytes) -> bool:
        """Count an accuser; False when it is not new or no longer matters."""
        suspicion = self._running.get(node)
        if suspicion is None or accuser in suspicion.accusers:
            return False
        confirmed = len(suspicion.accusers)
        if confirmed > min(self._config.confirmations, suspicion.members - 2):
            return False
        before_s = self._config.suspicion_timeout_s(suspicion.members, confirmed - 1)
        after_s = self._config.suspicion_timeout_s(suspicion.members, confirmed)
        suspicion.accusers[accuser] = None
        suspicion.deadline_s -= before_s - after_s  # a difference, so that forgiven time stays
        return True

    def stop(self, node: NodeId) -> None:
        self._running.pop(node, None)

    def due(self, now_s: float) -> list[NodeId]:
        """Members whose suspicion has run out."""
        return [each.node for each in self._running.values() if each.deadline_s <= now_s]

    def next_s(self) -> float | None:
        return min((each.deadline_s for each in self._running.values()), default=None)

    def forgive(self, late_s: float) -> None:
        """We did not run for `late_s`: nobody's silence in that time proves anything."""
        for suspicion in self._running.values():
            suspicion.deadline_s += late_s
