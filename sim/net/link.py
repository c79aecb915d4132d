"""What a link does to what it carries: plain numbers and distributions, no state.

All chances are per datagram, in [0, 1]. Streams feel latency, loss, corruption (as loss: TCP's
checksum catches it) and bandwidth; what remains is for datagrams. Deliberately not here: the state
of a link, its queue and bursts (`cable`), and which link two hosts have (`roads`).
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, exp, log, pi, sqrt
from typing import Protocol

import attrs

Draw = Callable[[], float]
"""A float in [0, 1), as `random.Random.random`."""


class Latency(Protocol):
    """How long something is under way."""

    def draw(self, random: Draw) -> float:
        """Seconds, not negative."""
        ...


@attrs.frozen
class Constant:
    delay_s: float

    def draw(self, random: Draw) -> float:  # noqa: ARG002
        return self.delay_s


@attrs.frozen
class Uniform:
    low_s: float
    high_s: float

    def draw(self, random: Draw) -> float:
        return self.low_s + (self.high_s - self.low_s) * random()


@attrs.frozen
class Lognormal:
    """Long tails, as of a wireless network."""

    median_s: float
    sigma: float = 0.5

    def draw(self, random: Draw) -> float:
        # Box-Muller: only `random()` gives the same values on every version of Python.
        normal = sqrt(-2.0 * log(1.0 - random())) * cos(2.0 * pi * random())
        return self.median_s * exp(self.sigma * normal)


@attrs.frozen
class Spikes:
    """A base, an exponential on top of it, and now and then a stall."""

    base_s: float
    mean_extra_s: float
    spike_chance: float = 0.0
    spike_s: float = 0.0

    def draw(self, random: Draw) -> float:
        extra_s = -self.mean_extra_s * log(1.0 - random())
        spiked = self.spike_chance > 0.0 and random() < self.spike_chance
        return self.base_s + extra_s + (self.spike_s if spiked else 0.0)


@attrs.frozen
class GilbertElliott:
    """Loss in bursts: two states, changed per datagram (Gilbert 1960, Elliott 1963)."""

    to_bad: float
    to_good: float
    """1 / to_good is the mean length of a burst, in datagrams."""
    loss_bad: float = 1.0
    loss_good: float = 0.0


@attrs.frozen
class Link:
    """How things fare in one direction between two hosts."""

    latency_s: float = 0.002
    jitter_s: float = 0.001
    """Uniform, on top of the latency; larger than the spacing of datagrams it reorders them."""
    latency: Latency | None = None
    """Instead of the two above."""
    loss: float = 0.0
    burst: GilbertElliott | None = None
    """Besides `loss`."""
    duplication: float = 0.0
    reordering: float = 0.0
    """Chance of being held back by up to `reorder_s`."""
    reorder_s: float = 0.05
    corruption: float = 0.0
    """Chance that one to eight bits flip, and the checksum does not notice."""
    truncation: float = 0.0
    """Chance that the end is missing."""
    mtu_bytes: int | None = None
    """Larger packets vanish (a black hole of path MTU discovery); IP and UDP headers count."""
    bandwidth_bytes_per_s: float | None = None
    queue_bytes: int = 256 * 1024
    """What may wait for the bandwidth; datagrams beyond are dropped at the tail."""
    plain: bool = attrs.field(init=False)
    """Latency, loss and duplication only: the quick way."""

    @plain.default
    def _is_plain(self) -> bool:
        rough = (self.reordering, self.corruption, self.truncation)
        return not (any(rough) or self.burst or self.mtu_bytes or self.bandwidth_bytes_per_s)

    @property
    def quick(self) -> bool:
        """Every datagram arrives, once, as it was sent: nothing is drawn but its time."""
        return self.plain and not self.loss and not self.duplication

    @property
    def stateful(self) -> bool:
        return self.burst is not None or self.bandwidth_bytes_per_s is not None

    def delay_s(self, random: Draw) -> float:
        """One draw of the time under way."""
        if self.latency is not None:
            return self.latency.draw(random)
        return self.latency_s + random() * self.jitter_s

    @property
    def typical_s(self) -> float:
        """About the median of `delay_s`, for what must not draw."""
        return self.latency.draw(_middle) if self.latency is not None else self.latency_s


def _middle() -> float:
    return 0.5
