"""When rumours get packets of their own.

Rules: pending rumours are given to a few random members every gossip interval. When there is
nobody whom they could be told, as in a mesh of two when they are about the other one, they wait for
another rumour or another member, and no timer runs. Deliberately not here: which rumours come first
(`dissemination`), and what rides on pings (`packets`).
"""

from __future__ import annotations

from mesh.swim.choice import Rng, sample
from mesh.swim.config import SwimConfig
from mesh.swim.effects import SendDatagram
from mesh.swim.membership import Membership
from mesh.swim.messages import Gossip
from mesh.swim.packets import Packets
from mesh.wire.messages import Load

FAREWELLS_MAX = 32
"""Members told directly that we leave; in bigger meshes gossip tells the rest."""


class Spreader:
    """The gossip timer."""

    def __init__(self, config: SwimConfig, facts: Membership, packets: Packets, rng: Rng) -> None:
        self._config = config
        self._facts = facts
        self._packets = packets
        self._rng = rng
        self._last_s = 0.0
        self._in_vain: tuple[int, int] | None = None
        """How many rumours there had been, and how many members were reachable, when all of these
        were offered the rumours and none was told any."""

    def next_timer_s(self) -> float | None:
        """May lie in the past: a rumour that comes after a quiet time is told at once."""
        rumours, reachable = self._facts.rumours, self._facts.table.reachable_count
        if not rumours.queue or not reachable or self._in_vain == (rumours.added, reachable):
            return None
        return self._last_s + self._config.gossip_interval_s

    def run(self, now_s: float) -> list[SendDatagram]:
        due_s = self.next_timer_s()
        if due_s is None or now_s < due_s:
            return []
        self._last_s = now_s
        sends: list[SendDatagram] = []
        members = self._facts.table.reachable()
        for member in sample(members, self._config.gossip_fanout, self._rng):
            facts = self._packets.facts_for(member, riding=False)
            if facts:
                sends.append(self._packets.to_member(member, Gossip(facts)))
        if not sends and len(members) <= self._config.gossip_fanout:
            self._in_vain = self._facts.rumours.added, self._facts.table.reachable_count
        return sends

    def set_load(self, load: Load) -> None:
        own = self._facts.table.own.load
        if load is not own and load != own:
            self._facts.set_own_load(load)

    def farewell(self, now_s: float) -> list[SendDatagram]:
        """Tell everyone, or many, that we have left; the timer tells on."""
        self._last_s = now_s
        members = sample(self._facts.table.reachable(), FAREWELLS_MAX, self._rng)
        message = Gossip((self._facts.table.own.statement,))
        return [self._packets.to_member(member, message) for member in members]
