"""How long to wait for whom: from measured round trips and from what members say of themselves.

    probe timeout   how long a ping may go unanswered before others are asked: the member's own
                    round trips, mean + 4 deviations (RFC 6298) and its recent worst, within the
                    profile's floor and ceiling; nothing measured: what others near us take
    patience        how long it must be silent for us, and for others whom we ask, before we accuse
                    it: one number for everybody, plus twice what the member says it runs late, plus
                    what we run late ourselves

Rules: round trips are judged by the time of arrival, so that our own lateness is not blamed on
others. What a member says of its own lateness can only lengthen the wait for itself, up to
`patience_factor_max`: a liar delays its own funeral and nobody else's. Bounded by the roster.
Deliberately not here: what silence leads to (`vigil`, `membership`), our own lateness (`health`).
"""

from __future__ import annotations

from collections.abc import Container

import attrs

from mesh.swim.config import SwimConfig
from mesh.swim.table import Member
from mesh.types import NodeId

PEAK_HALF_LIFE_S = 60.0
"""The worst round trip counts half after this time: bursts of load come back."""
USUAL_MIN = 3
"""Fewer measured members say nothing about the others."""
DEVIATIONS = 4.0
"""Of RFC 6298: the 99th percentile of most round trip distributions lies below."""


@attrs.define
class RoundTrips:
    """What has been measured of one member."""

    mean_s: float
    deviation_s: float
    peak_s: float
    peak_at_s: float

    def add(self, sample_s: float, now_s: float) -> None:
        """Jacobson and Karels: gains 1/8 and 1/4 (RFC 6298, section 2)."""
        self.deviation_s += (abs(sample_s - self.mean_s) - self.deviation_s) / 4
        self.mean_s += (sample_s - self.mean_s) / 8
        if sample_s >= self.worst_s(now_s):
            self.peak_s, self.peak_at_s = sample_s, now_s

    def worst_s(self, now_s: float) -> float:
        return float(self.peak_s * 0.5 ** ((now_s - self.peak_at_s) / PEAK_HALF_LIFE_S))

    def expected_s(self, now_s: float) -> float:
        """A round trip that hardly any exceeds."""
        usual_s, worst_s = self.mean_s + DEVIATIONS * self.deviation_s, self.worst_s(now_s)
        return usual_s if usual_s > worst_s else worst_s


class Timing:
    """The waits of one node."""

    def __init__(self, config: SwimConfig) -> None:
        self._config = config
        self._measured: dict[NodeId, RoundTrips] = {}

    def measured(self, node: NodeId, sample_s: float, now_s: float) -> float:
        """A ping of ours came back, however late. Returns the mean round trip."""
        known = self._measured.get(node)
        if known is None:
            known = self._measured[node] = RoundTrips(sample_s, sample_s / 2, sample_s, now_s)
        else:
            known.add(sample_s, now_s)
        return known.mean_s

    def keep_only(self, ids: Container[NodeId]) -> None:
        """Forget whoever is no member any more."""
        self._measured = {node: each for node, each in self._measured.items() if node in ids}

    def probe_timeout_s(self, member: Member, own_late_s: float, now_s: float) -> float:
        """How long to wait for its ack before others are asked."""
        config = self._config
        if not config.adaptive_timeouts:
            return config.probe_timeout_s
        known = self._measured.get(member.node_id)
        expected_s = self._usual_s(now_s) if known is None else known.expected_s(now_s)
        late_s = told_late_s(member) + own_late_s
        wait_s = max(config.probe_timeout_min_s, 1.5 * expected_s)
        extra_s = min(late_s, self._extra_max_s()) if late_s else 0.0
        return min(wait_s, config.probe_timeout_s) + extra_s

    def patience_s(self, member: Member, own_late_s: float) -> float:
        """How long it must stay silent before we accuse it."""
        config = self._config
        if not config.adaptive_timeouts:
            return config.patience_s
        return config.patience_s + min(2 * told_late_s(member) + own_late_s, self._extra_max_s())

    def _usual_s(self, now_s: float) -> float:
        """What nine of ten members take: for one that was never measured."""
        if len(self._measured) < USUAL_MIN:
            return self._config.probe_timeout_s
        each_s = sorted(known.expected_s(now_s) for known in self._measured.values())
        return each_s[len(each_s) * 9 // 10]

    def _extra_max_s(self) -> float:
        return self._config.patience_s * (self._config.patience_factor_max - 1)


def told_late_s(member: Member) -> float:
    """How late a member says that it reads its mail."""
    return member.load.late_ms / 1000
