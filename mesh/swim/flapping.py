"""Members that come and go: damped, so that the rest of the node is not told each time.

RFC 2439 (route flap damping) for members: each time one is lost counts 1, the sum halves every
`flap_half_life_s`. Above SUPPRESS its return is not reported; below REUSE it is, if it is still
there. The sum is capped, so that nobody is held back for longer than two half-lives and a bit.

Rules: only losing a member counts (dead or unreachable), not leaving and not starting anew; what is
not reported as back is not reported as lost again either; loads and addresses of a suppressed
member are not reported. Bounded by the roster.
Deliberately not here: membership itself, which goes on as ever (`Swim.view` shows the truth).
"""

from __future__ import annotations

from collections.abc import Container
from math import log2

import attrs

from mesh.swim.effects import MemberChanged, State
from mesh.types import NodeId

SUPPRESS = 2.0
REUSE = 1.0
PENALTY_MAX = 4.5


@attrs.define
class _Flaps:
    penalty: float
    at_s: float
    held: MemberChanged | None = None
    """The newest change that was not reported; set while the member is suppressed."""


class Damper:
    """Decides which changes are reported."""

    def __init__(self, half_life_s: float) -> None:
        self._half_life_s = half_life_s
        self.flaps: dict[NodeId, _Flaps] = {}
        """To be looked at only: empty nearly always."""

    def unstable(self, node: NodeId) -> bool:
        """Whether its return is being held back."""
        flaps = self.flaps.get(node)
        return flaps is not None and flaps.held is not None

    def pass_on(self, change: MemberChanged, now_s: float) -> bool:
        """Whether to report `change`; what is held back is remembered."""
        node = change.view.node_id
        if _is_loss(change):
            self._count(node, now_s)
        flaps = self.flaps.get(node)
        if flaps is None:
            return True
        if change.view.state == State.LEFT:
            del self.flaps[node]
            return True
        if flaps.held is None and _is_return(change) and self._sum(flaps, now_s) > SUPPRESS:
            flaps.held = change
            return False
        if flaps.held is None:
            return True
        flaps.held = attrs.evolve(change, previous_state=flaps.held.previous_state)
        return False

    def next_s(self) -> float | None:
        """When a suppressed member may be reported again."""
        if not self.flaps:
            return None
        times = [self._reuse_s(flaps) for flaps in self.flaps.values() if flaps.held is not None]
        return min(times, default=None)

    def take_due(self, now_s: float) -> list[MemberChanged]:
        """Changes that were held back and are reported now: of members that are there."""
        if not self.flaps:
            return []
        due = [f for f in self.flaps.values() if f.held is not None and self._reuse_s(f) <= now_s]
        changes: list[MemberChanged] = []
        for flaps in due:
            assert flaps.held is not None
            if flaps.held.view.reachable:
                changes.append(flaps.held)
            flaps.held = None
        return changes

    def keep_only(self, ids: Container[NodeId]) -> None:
        """Forget whoever is no member any more."""
        self.flaps = {node: flaps for node, flaps in self.flaps.items() if node in ids}

    def _count(self, node: NodeId, now_s: float) -> None:
        flaps = self.flaps.setdefault(node, _Flaps(0.0, now_s))
        flaps.penalty = min(PENALTY_MAX, self._sum(flaps, now_s) + 1.0)
        flaps.at_s = now_s

    def _sum(self, flaps: _Flaps, now_s: float) -> float:
        return float(flaps.penalty * 0.5 ** ((now_s - flaps.at_s) / self._half_life_s))

    def _reuse_s(self, flaps: _Flaps) -> float:
        return flaps.at_s + self._half_life_s * max(0.0, log2(flaps.penalty / REUSE))


def _is_loss(change: MemberChanged) -> bool:
    lost = change.view.state in (State.UNREACHABLE, State.DEAD)
    return lost and change.previous_state in (State.ALIVE, State.SUSPECT)


def _is_return(change: MemberChanged) -> bool:
    return change.view.reachable and change.previous_state in (State.UNREACHABLE, State.DEAD)
