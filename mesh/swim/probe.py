"""Whom to probe next, the probes under way, and the pings whose round trip is timed.

Rules: members are probed in shuffled rounds, so that everyone is probed once within 2N-1 intervals
(SWIM section 4.3); a probe is direct from `sent_s` to `direct_until_s`, then also through others,
and failed at `ends_s`. Several may be under way: a member that says it is late is waited for
without holding up the next. Deliberately not here: sending, and what failing means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import attrs

from mesh.limits import SWIM_PINGS_MAX, SWIM_PROBES_MAX
from mesh.swim.choice import Rng, shuffled
from mesh.swim.messages import PING_NUMBER_MAX
from mesh.types import NodeId

assert SWIM_PINGS_MAX + SWIM_PROBES_MAX < PING_NUMBER_MAX, "numbers under way are different ones"


class Candidates(Protocol):
    """Asked for one member at every probe, and for all of them once a round."""

    def __contains__(self, node: object, /) -> bool: ...

    def __iter__(self) -> Iterator[NodeId]: ...


class ProbeOrder:
    """Shuffled round-robin; newcomers enter the present round at a random place."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._round: list[NodeId] = []

    def add(self, node: NodeId) -> None:
        if node not in self._round:
            self._round.insert(int(self._rng() * (len(self._round) + 1)), node)

    def next(self, candidates: Candidates) -> NodeId | None:
        """The next of `candidates`; None only when there are none."""
        while self._round:
            node = self._round.pop()
            if node in candidates:
                return node
        self._round = shuffled(list(candidates), self._rng)
        return self._round.pop() if self._round else None


@attrs.define
class Probe:
    """One probe that is being judged."""

    node: NodeId
    number: int
    sent_s: float
    direct_until_s: float
    ends_s: float
    indirect: bool = False

    def next_s(self) -> float:
        return self.ends_s if self.indirect else self.direct_until_s

    def forgive(self, late_s: float) -> None:
        self.direct_until_s += late_s
        self.ends_s += late_s


_NOBODY = (None, 0.0)


class Pings:
    """Numbers of our pings and when they left; old ones are forgotten, the newest kept."""

    def __init__(self) -> None:
        self._sent: dict[int, tuple[NodeId, float]] = {}
        self._number = 0

    def open(self, node: NodeId, now_s: float) -> int:
        """Number a new ping. Numbers go round, as the wire has room for so many."""
        self._number = (self._number + 1) % (PING_NUMBER_MAX + 1)
        self._sent.pop(self._number, None)  # of the last time round: the order is that of sending
        self._sent[self._number] = (node, now_s)
        if len(self._sent) > SWIM_PINGS_MAX:
            del self._sent[next(iter(self._sent))]
        return self._number

    def close(self, number: int, node: NodeId, arrived_s: float) -> float | None:
        """Seconds since that ping left, or None when `node` was not pinged with that number."""
        pinged, sent_s = self._sent.get(number, _NOBODY)
        if pinged != node:
            return None
        del self._sent[number]
        return arrived_s - sent_s if arrived_s > sent_s else 0.0
