"""The state of a cable: its queue, whether it is in a burst of losses, and what a clog holds back.

All pairs of hosts that share a cable share these. A queue is one number: when the last bit of what
waits will be through. Deliberately not here: what is carried.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from sim.net.link import Draw, GilbertElliott, Link

CLOG_HELD_MAX = 10_000
"""Datagrams that a clogged cable holds back; beyond, they are lost."""


class Cable:
    """One stretch that things pass one after the other."""

    def __init__(self) -> None:
        self._busy_until_s = 0.0
        self._bad = False
        self.clogs = 0
        self._held: deque[Callable[[], None]] = deque()

    def backlog_s(self, now_s: float) -> float:
        """How long something sent now waits before its first bit leaves."""
        return max(0.0, self._busy_until_s - now_s)

    def admit(self, link: Link, size_bytes: int, now_s: float) -> float | None:
        """Queue a datagram: seconds until its last bit has left; None when the queue is full."""
        speed = link.bandwidth_bytes_per_s
        if speed is None:
            return 0.0
        if self.backlog_s(now_s) * speed + size_bytes > link.queue_bytes:
            return None
        return self.occupy(link, size_bytes, now_s)

    def occupy(self, link: Link, size_bytes: int, now_s: float) -> float:
        """Queue what will not be dropped, because its sender waits for room itself (TCP)."""
        speed = link.bandwidth_bytes_per_s
        if speed is None:
            return 0.0
        self._busy_until_s = max(self._busy_until_s, now_s) + size_bytes / speed
        return self._busy_until_s - now_s

    def lost_in_burst(self, burst: GilbertElliott, random: Draw) -> bool:
        """Whether the next datagram is lost."""
        change = burst.to_good if self._bad else burst.to_bad
        if random() < change:
            self._bad = not self._bad
        loss = burst.loss_bad if self._bad else burst.loss_good
        return loss > 0.0 and random() < loss

    def hold(self, release: Callable[[], None]) -> bool:
        """Keep something until the clog is gone; False when there is no room for it."""
        if len(self._held) >= CLOG_HELD_MAX:
            return False
        self._held.append(release)
        return True

    def unclog(self) -> None:
        """One clog less; the last one lets everything go, in order."""
        self.clogs -= 1
        held: list[Callable[[], None]] = []
        if self.clogs == 0:
            held, self._held = list(self._held), deque()
        for release in held:
            release()
