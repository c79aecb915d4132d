"""Seconds, as cores and ports speak, and integer nanoseconds, as the world counts.

Integers add and compare exactly, also after a virtual year; floats are for the outside. A deadline
in seconds is rounded up: when the world says that it is reached, `now_s >= deadline_s` holds, or a
core would set the same timer again and again at the same instant.
"""

from __future__ import annotations

from math import ceil

NS_PER_S = 1_000_000_000


def to_ns(time_s: float) -> int:
    """The first nanosecond that is not before `time_s`, as `to_s` sees it."""
    time_ns: int = ceil(time_s * NS_PER_S)  # refuses what is not finite
    while time_ns / NS_PER_S < time_s:
        time_ns += 1
    return time_ns


def to_s(time_ns: int) -> float:
    return time_ns / NS_PER_S
