"""The real clock and entropy keep the promises of their ports."""

from __future__ import annotations

import time

from mesh.ports.real.clock import RealClock
from mesh.ports.real.entropy import RealEntropy


async def test_sleep_until_returns_at_the_deadline_and_not_before() -> None:
    clock = RealClock()
    deadline_s = clock.monotonic() + 0.02
    await clock.sleep_until(deadline_s)
    assert clock.monotonic() >= deadline_s


async def test_a_deadline_in_the_past_returns_at_once() -> None:
    clock = RealClock()
    before_s = clock.monotonic()
    await clock.sleep_until(before_s - 1000)
    assert clock.monotonic() - before_s < 10


def test_wall_is_the_systems_time() -> None:
    assert abs(RealClock().wall() - time.time()) < 5


def test_entropy_does_not_repeat_and_stays_in_range() -> None:
    entropy = RealEntropy()
    assert len({entropy.token(16) for _ in range(100)}) == 100
    assert all(0.0 <= entropy.random() < 1.0 for _ in range(100))
