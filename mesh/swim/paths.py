"""Which directions carry our datagrams: one-way links, and ourselves mute or deaf.

    out      it does not hear us: it is heard without being asked, but answers no ping of ours
    none     no datagram gets through: others, or its stream, say that it lives
    mute     (ourselves) we keep hearing others, and none of several answers our pings
    deaf     (ourselves) several are pinged and nobody at all is heard any more

Rules: judged by the time of arrival; an answer clears its path and our own trouble at once. A node
that is mute accuses nobody: what it cannot hear back is its own fault. Who is deaf cannot know
whether it is cut off altogether, and says what it sees. Who is cut off hears what was under way
just then, and is mute for `heard_for_s` after it at the most. Bounded by the roster.
Deliberately not here: what is done about it; only a person can mend a firewall.
"""

from __future__ import annotations

from collections.abc import Container

import attrs

from mesh.swim.effects import NO_TROUBLE, PathTrouble
from mesh.types import NodeId

UNANSWERED_MIN = 3
"""Pings without answer before a path is named: two may be lost."""
SUBJECTS_MIN = 2
"""Members that must be silent before we blame ourselves."""
OWN_UNANSWERED_MIN = 4
"""Pings since the last answer of anybody, the one just sent included."""
OWN_TROUBLE_S = 2.5
"""How long nobody has answered before we blame ourselves: less than it takes others to miss us."""
PROOF_S = 30.0
"""How long a sign of life by another way keeps a path named, when no new one comes."""


@attrs.define
class _Path:
    first_s: float
    """When the first ping left that is still unanswered."""
    unanswered: int = 0
    heard_s: float = float("-inf")
    proof_s: float = float("-inf")
    """When others, or its stream, last said that it lives."""


class Paths:
    """What we know of the ways between us and each member."""

    def __init__(self, heard_for_s: float) -> None:
        """`heard_for_s`: how long one datagram shows that others are heard. Others who have given
        us up try us again so often."""
        self._heard_for_s = heard_for_s
        self._silent: dict[NodeId, _Path] = {}
        self._heard_s = float("-inf")
        """When anything was last heard of anybody."""
        self._answered_s = float("-inf")
        self._pinged_s = float("-inf")

    @property
    def in_doubt(self) -> bool:
        """Nobody has answered since our newest ping: either that one, or we."""
        return self._pinged_s > self._answered_s

    def pinged(self, node: NodeId, now_s: float) -> None:
        self._pinged_s = now_s
        path = self._silent.setdefault(node, _Path(now_s))
        path.unanswered += 1

    def answered(self, node: NodeId, arrived_s: float) -> None:
        """A ping of ours came back: all is well there."""
        self._silent.pop(node, None)
        if arrived_s > self._answered_s:  # noqa: PLR1730 - a third of what `max` costs
            self._answered_s = arrived_s

    def heard(self, node: NodeId, arrived_s: float) -> None:
        """Any datagram of it."""
        if arrived_s > self._heard_s:  # noqa: PLR1730 - a third of what `max` costs
            self._heard_s = arrived_s
        path = self._silent.get(node) if self._silent else None
        if path is not None:
            path.heard_s = max(path.heard_s, arrived_s)

    def vouched(self, node: NodeId, now_s: float) -> None:
        """It lives, as its stream or a helper says."""
        path = self._silent.get(node)
        if path is not None:
            path.proof_s = now_s

    def forget(self, node: NodeId) -> None:
        self._silent.pop(node, None)

    def keep_only(self, ids: Container[NodeId]) -> None:
        self._silent = {node: path for node, path in self._silent.items() if node in ids}

    def trouble(self, node: NodeId, now_s: float) -> PathTrouble:
        """What is wrong with the way to one member."""
        path = self._silent.get(node)
        if path is None or path.unanswered < UNANSWERED_MIN:
            return NO_TROUBLE
        if path.heard_s > path.first_s:
            return PathTrouble.OUT
        recent = now_s - path.proof_s < PROOF_S and path.proof_s > path.first_s
        return PathTrouble.SILENT if recent else NO_TROUBLE

    def own_trouble(self, now_s: float) -> PathTrouble:
        """What is wrong with ourselves."""
        return NO_TROUBLE if len(self._silent) < SUBJECTS_MIN else self._ours(now_s)

    def _ours(self, now_s: float) -> PathTrouble:
        silent = [path for path in self._silent.values() if path.first_s > self._answered_s]
        if len(silent) < SUBJECTS_MIN or sum(p.unanswered for p in silent) < OWN_UNANSWERED_MIN:
            return NO_TROUBLE
        first_s = min(path.first_s for path in silent)
        if now_s - first_s < OWN_TROUBLE_S:
            return NO_TROUBLE
        heard = self._heard_s > max(first_s, now_s - self._heard_for_s)
        return PathTrouble.MUTE if heard else PathTrouble.DEAF
