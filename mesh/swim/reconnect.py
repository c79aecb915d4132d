"""Attempts to reach the dead and the not yet met, so that partitions heal and joining persists.

Rules: all of them together cost at most one attempt per `reconnect_interval_s`; each backs off
exponentially to `reconnect_backoff_max_s` (longer in meshes of more than SHARED_BY, whose members
share the work) and is never given up; when one comes back all others are
tried at once again, because a network that heals for one has mostly healed for all. Members that
left are not tried. Deliberately not here: sending, and what an answer means.
"""

from __future__ import annotations

import attrs

from mesh.swim.choice import Rng
from mesh.swim.config import SwimConfig
from mesh.types import NodeId

SHARED_BY = 16


@attrs.define
class _Attempt:
    wait_s: float
    next_s: float


class Reconnector:
    """The unreachable, and when each is tried next."""

    def __init__(self, config: SwimConfig, rng: Rng) -> None:
        self._config = config
        self._rng = rng
        self.attempts: dict[NodeId, _Attempt] = {}
        """To be looked at only: empty nearly always."""
        self._gate_s = 0.0

    def watch(self, node: NodeId, now_s: float) -> None:
        """Try `node` from about one interval on."""
        wait_s = self._config.reconnect_interval_s
        self.attempts.setdefault(node, _Attempt(wait_s, now_s + self._jittered(wait_s)))

    def lost(self, node: NodeId, now_s: float) -> None:
        """It is dead or unreachable."""
        if self._config.reconnect:
            self.watch(node, now_s)

    def forget(self, node: NodeId) -> bool:
        """Stop trying; whether it was being tried."""
        return self.attempts.pop(node, None) is not None

    def hurry(self, now_s: float) -> None:
        """Start all backoffs anew."""
        for attempt in self.attempts.values():
            attempt.wait_s = self._config.reconnect_interval_s
            attempt.next_s = min(attempt.next_s, now_s + self._jittered(attempt.wait_s))

    def next_s(self) -> float | None:
        if not self.attempts:
            return None
        return max(self._gate_s, min(attempt.next_s for attempt in self.attempts.values()))

    def take_due(self, now_s: float, members: int) -> NodeId | None:
        """The one to try now, if any; the next call will not be due before an interval passed.
        `members` of us try the same ones."""
        due_s = self.next_s()
        if due_s is None or due_s > now_s:
            return None
        node = min(self.attempts, key=lambda each: self.attempts[each].next_s)
        attempt = self.attempts[node]
        longest_s = self._config.reconnect_backoff_max_s * max(1.0, members / SHARED_BY)
        attempt.wait_s = min(attempt.wait_s * 2, longest_s)
        attempt.next_s = now_s + self._jittered(attempt.wait_s)
        self._gate_s = now_s + self._config.reconnect_interval_s
        return node

    def _jittered(self, wait_s: float) -> float:
        return wait_s * (0.5 + 0.5 * self._rng())
