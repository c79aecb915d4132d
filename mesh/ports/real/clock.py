"""`Clock` on the machine's clocks.

`monotonic` is CLOCK_MONOTONIC, which stands still while the machine sleeps: a node that wakes up
sees its own lateness, not everybody's silence. Not here: time zones and formats.
"""

from __future__ import annotations

import time

import trio


class RealClock:
    """See `mesh.ports.Clock`."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep_until(self, deadline_s: float) -> None:
        await trio.sleep(max(0.0, deadline_s - time.monotonic()))
