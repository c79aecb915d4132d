"""Suspicions and when they run out.

A suspicion starts with one accuser and a long timeout; each further independent accuser shortens it
(`SwimConfig.subject_suspicion_s`, Lifeguard's formula by default). Hard evidence of two accusers
leaves only the time that a refutation needs (`SwimConfig.refutation_window_s`). Time in which we
did not run ourselves does not count: `forgive` moves the deadlines. Deliberately not here: who may
accuse, and what happens when one runs out (`cases`).
"""

from __future__ import annotations

import attrs

from mesh.swim.config import SwimConfig
from mesh.swim.effects import MemberView
from mesh.swim.evidence import Evidence
from mesh.types import NodeId

HARD_ACCUSERS = 2
"""Observers that must have been refused: one alone may sit behind a firewall that says no."""


@attrs.define
class Suspicion:
    node: NodeId
    members: int
    """Size of the mesh when it began: sets the shortest timeout and how many could confirm."""
    accusers: dict[bytes, Evidence]
    started_s: float
    latest_s: float
    """When the newest accuser came."""
    deadline_s: float = 0.0

    @property
    def hard(self) -> int:
        return sum(evidence is Evidence.REFUSED for evidence in self.accusers.values())


class Suspicions:
    """At most one suspicion per member."""

    def __init__(self, config: SwimConfig) -> None:
        self._config = config
        self.running: dict[NodeId, Suspicion] = {}
        """To be looked at only: empty nearly always."""

    def get(self, node: NodeId) -> Suspicion | None:
        return self.running.get(node)

    def start(
        self, view: MemberView, accuser: bytes, evidence: Evidence, members: int, now_s: float
    ) -> None:
        """Begin, or begin anew for a higher incarnation."""
        suspicion = Suspicion(view.node_id, members, {accuser: evidence}, now_s, now_s)
        suspicion.deadline_s = now_s + self._config.subject_suspicion_s(view, members, 0)
        self.running[view.node_id] = suspicion
        self._hasten(suspicion, now_s)

    def confirm(self, view: MemberView, accuser: bytes, evidence: Evidence, now_s: float) -> bool:
        """Count an accuser, or its harder evidence; False when that changes nothing."""
        suspicion = self.running.get(view.node_id)
        if suspicion is None or suspicion.accusers.get(accuser, -1) >= evidence:
            return False
        is_new = accuser not in suspicion.accusers
        confirmed = len(suspicion.accusers)
        suspicion.accusers[accuser] = evidence
        useful = min(self._config.confirmations, suspicion.members - 2)
        if is_new and confirmed <= useful:
            members = suspicion.members
            before_s = self._config.subject_suspicion_s(view, members, confirmed - 1)
            after_s = self._config.subject_suspicion_s(view, members, confirmed)
            suspicion.latest_s = now_s
            suspicion.deadline_s -= before_s - after_s  # a difference, so forgiven time stays
        self._hasten(suspicion, now_s)
        return True

    def _hasten(self, suspicion: Suspicion, now_s: float) -> None:
        """Hard evidence comes at once, without the long watch that comes before silence is held
        against anybody: so the time to refute is never shorter than the window, either."""
        if not self._config.hard_evidence or not suspicion.hard:
            return
        window_s = self._config.refutation_window_s(suspicion.members)
        if suspicion.hard >= min(HARD_ACCUSERS, max(1, suspicion.members - 1)):
            suspicion.deadline_s = min(suspicion.deadline_s, now_s + window_s)
        suspicion.deadline_s = max(suspicion.deadline_s, suspicion.started_s + window_s)

    def extend(self, node: NodeId, until_s: float, now_s: float) -> None:
        """It was heard since it was accused: give it time to refute, from now on."""
        suspicion = self.running[node]
        suspicion.latest_s = now_s
        suspicion.deadline_s = max(suspicion.deadline_s, until_s)

    def stop(self, node: NodeId) -> None:
        self.running.pop(node, None)

    def due(self, now_s: float) -> list[NodeId]:
        """Members whose suspicion has run out."""
        if not self.running:
            return []
        return [each.node for each in self.running.values() if each.deadline_s <= now_s]

    def next_s(self) -> float | None:
        if not self.running:
            return None
        return min(each.deadline_s for each in self.running.values())

    def forgive(self, late_s: float) -> None:
        """We did not run for `late_s`: nobody's silence in that time proves anything."""
        for suspicion in self.running.values():
            suspicion.deadline_s += late_s
