"""Heartbeats around a ring: every member is pinged and missed by somebody once per interval.

    own beat      each interval one small datagram to our successor on the ring of ids; no answer
    its refusal   the successor's process is gone: hard evidence, at most one interval late
    a miss        our predecessor's beat is overdue: we doubt it, which is a ping

Probes go round at random, so the first one that meets a dead member comes after an exponential
time: one in fifty waits four intervals. A ring bounds that by one interval, from both sides, for
less than half of what a ping and its ack cost; probes stay random for what a ring cannot do
(spreading, round trips, broken paths), and are made rarer by as much. Chen, Toueg and Aguilera
(2002) expect heartbeats the same way.

Rules: a beat says when the next one comes at the latest, so no two nodes need the same profile; a
miss proves nothing and only asks; each beat is missed at most once, so who does not beat any more,
or beats somebody else, costs one ping. What is late (told, or our own) lengthens the wait. Bounded
by the roster. Deliberately not here: sending, and what a doubt leads to (`prober`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container

import attrs

from mesh.swim.choice import NEVER_S, Rng
from mesh.swim.config import SwimConfig
from mesh.swim.table import Member, Table
from mesh.types import NodeId

GRACE_S = 0.2
"""A beat may be so late without being missed: what a busy machine takes to schedule a timer."""


@attrs.define
class _Expected:
    due_s: float
    missed_s: float


class Beats:
    """Our own beats, and the ones that we expect."""

    def __init__(self, config: SwimConfig, table: Table, rng: Rng) -> None:
        self._config = config
        self._table = table
        self._rng = rng
        self._next_s = NEVER_S
        self._expected: dict[NodeId, _Expected] = {}
        self._missed_s = NEVER_S
        """The earliest of those that are expected."""
        self.due_s = NEVER_S
        """When there is something to do, NEVER_S for never; to be looked at only."""
        self._next_node: NodeId | None = None
        self._next_of: tuple[bytes, int] | None = None

    # -- our own ---------------------------------------------------------------------------------
    def begin(self, now_s: float) -> None:
        """There is somebody to beat for; at a random phase, so that nodes do not beat in step."""
        if self._config.beats and self._next_s == NEVER_S:
            self._next_s = now_s + self._rng() * self._config.beat_interval_s
            self._look()

    def stop(self) -> None:
        self._next_s = NEVER_S
        self._expected.clear()
        self._look()

    def take_due(self, now_s: float) -> Member | None:
        """Whom to send a beat now, if it is time and anybody is there."""
        if now_s < self._next_s:
            return None
        node = self._successor()
        self._next_s = NEVER_S if node is None else now_s + self._config.beat_interval_s
        self._look()
        return None if node is None else self._table.get(node)

    def _successor(self) -> NodeId | None:
        state = (self._table.hash, self._table.reachable_count)
        if state != self._next_of:
            ring = sorted(self._table.reachable_ids)
            place = bisect_right(ring, self._table.own.node_id)
            self._next_node = ring[place % len(ring)] if ring else None
            self._next_of = state
        return self._next_node

    # -- others' ---------------------------------------------------------------------------------
    def heard(self, node: NodeId, within_s: float, late_s: float, arrived_s: float) -> bool:
        """A beat that arrived at `arrived_s` promised another `within_s` later; `late_s` is what
        it or we may be late. Returns whether `due_s` is another now."""
        due_s = arrived_s + within_s
        known = self._expected.get(node)
        if known is None:
            self._expected[node] = _Expected(due_s, due_s + GRACE_S + late_s)
        else:
            known.due_s, known.missed_s = due_s, due_s + GRACE_S + late_s
        before_s = self.due_s
        self._look()
        return self.due_s != before_s

    def take_missed(self, now_s: float) -> list[NodeId]:
        """Members whose beat did not come, nor anything else since it was due. Each beat once."""
        if now_s < self._missed_s:
            return []
        missed: list[NodeId] = []
        for node in [n for n, each in self._expected.items() if each.missed_s <= now_s]:
            due_s = self._expected.pop(node).due_s
            member = self._table.get(node)
            if member is not None and member.reachable and member.heard_s < due_s:
                missed.append(node)
        self._look()
        return missed

    def forgive(self, late_s: float) -> None:
        """We did not run for `late_s`."""
        for each in self._expected.values():
            each.missed_s += late_s
        self._look()

    def keep_only(self, ids: Container[NodeId]) -> None:
        self._expected = {node: each for node, each in self._expected.items() if node in ids}
        self._look()

    # -- when ------------------------------------------------------------------------------------
    def _look(self) -> None:
        """Something is due at another time."""
        missed_s, own_s = NEVER_S, self._next_s
        for each in self._expected.values():
            if each.missed_s < missed_s:  # noqa: PLR1730 - a third of what `min` costs
                missed_s = each.missed_s
        self._missed_s = missed_s
        self.due_s = own_s if own_s < missed_s else missed_s
