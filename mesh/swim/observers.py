"""Who may judge a member: its observers, chosen by a hash that nobody can steer.

All roster members are ranked for a subject by the hash of (subject, its epoch, the candidate); the
first `observers` of those who are present are its judges. So everybody knows them, the subject
cannot choose them (its epoch is fixed before the roster's ids can be made to fit), and members that
somebody admits in numbers do not become judges of whom they like.

Rules, so that views that differ for a while agree in the end: who is gone is skipped, and the next
in rank takes its place; who has charged the subject keeps its place even if it is gone by now, so
that a verdict stays a verdict; a member that we know nothing of counts as present while we are new
(SWIM_SETTLE_S), because then it is we who know nothing. Weighted-rendezvous hashing without weights
(Thaler and Ravishankar, 1998); judges that are assigned: Rapid's observers (Suresh et al., ATC
2018).
Deliberately not here: what judges do (`cases`).
"""

from __future__ import annotations

from hashlib import blake2b

from mesh.limits import SWIM_RANKINGS_MAX, SWIM_SETTLE_S
from mesh.swim.config import SwimConfig
from mesh.swim.effects import State
from mesh.swim.messages import prefix_of
from mesh.swim.table import Member, Table
from mesh.types import NodeId


class Observers:
    """Rankings of the roster, one per subject and epoch, made when needed."""

    def __init__(self, config: SwimConfig, table: Table, own: NodeId) -> None:
        self._config = config
        self._table = table
        self._own = own
        self._rankings: dict[tuple[NodeId, int], tuple[NodeId, ...]] = {}
        self._started_s: float | None = None

    def roster_changed(self, now_s: float) -> None:
        """Rank anew. The first time, at our start, is also when settling begins."""
        self._rankings.clear()
        if self._started_s is None:
            self._started_s = now_s

    def of(self, subject: Member, now_s: float) -> list[NodeId]:
        """Its judges as we see it now, best rank first."""
        judges: list[NodeId] = []
        for node in self._ranking(subject):
            if len(judges) >= self._config.observers:
                break
            held = subject.charges.get(prefix_of(node))
            if (held is not None and held.charge.vote) or self._is_present(node, now_s):
                judges.append(node)
        return judges

    def quorum(self, subject: Member, now_s: float) -> int | None:
        """How many of them must vote for its death; None when no number would do, because fewer
        than two could ever agree (then it can only be unreachable)."""
        if not self._config.quorum:
            return 1
        present = 1 + self._table.reachable_count + (not subject.reachable)
        if not self._settled(now_s):
            present += self._table.unknown_count
        needed = min(self._config.quorum, present - 1)
        return needed if needed >= 2 else None

    def _ranking(self, subject: Member) -> tuple[NodeId, ...]:
        key = (subject.node_id, subject.record.epoch)
        ranking = self._rankings.get(key)
        if ranking is None:
            if len(self._rankings) >= SWIM_RANKINGS_MAX:
                del self._rankings[next(iter(self._rankings))]
            ranking = self._rankings[key] = self._rank(subject)
        return ranking

    def _rank(self, subject: Member) -> tuple[NodeId, ...]:
        about = subject.node_id + subject.record.epoch.to_bytes(8, "big")
        everybody = (node for node in self._table.everybody() if node != subject.node_id)
        return tuple(sorted(everybody, key=lambda node: blake2b(about + node).digest()))

    def _is_present(self, node: NodeId, now_s: float) -> bool:
        if node == self._own:
            return True
        member = self._table.get(node)
        if member is None:
            return not self._settled(now_s)
        return member.state <= State.SUSPECT

    def _settled(self, now_s: float) -> bool:
        return self._started_s is not None and now_s - self._started_s >= SWIM_SETTLE_S
