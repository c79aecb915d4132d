"""How many chunks one holder is asked for at a time: additive increase, multiplicative decrease.

A holder's chunks queue up where its way to us is narrowest. While a chunk comes QUEUE_S later than
the quickest one did, at most, more are asked for: twice as many per window at first, then one more
per window. Once one takes longer the window is halved, once per window. So the way is kept full, a
slow holder has little to lose, and what a stalled one holds up is one window.

After TCP's AIMD (Chiu and Jain 1989) with delay as the signal (LEDBAT, RFC 6817): a stream hides
its losses. Sans-IO.
"""

from __future__ import annotations

import math

import attrs

from mesh.limits import FETCH_WINDOW_CHUNKS_MAX

FIRST_CHUNKS = 2.0
QUEUE_S = 0.25
"""What may wait on the way. Far above a local network's own delays, far below anybody's
patience."""


@attrs.define
class Window:
    """The window of one holder, in chunks."""

    _size: float = FIRST_CHUNKS
    _quickest_s: float = math.inf
    _begins: bool = True
    """Until the first cut it grows by doubling."""
    _cut_s: float = -math.inf

    @property
    def chunks(self) -> int:
        return int(self._size)

    @property
    def quickest_s(self) -> float:
        """From request to chunk, at best; infinite before the first."""
        return self._quickest_s

    def arrived(self, asked_s: float, now_s: float) -> None:
        """A chunk that was asked for at `asked_s` is here."""
        took_s = now_s - asked_s
        self._quickest_s = min(self._quickest_s, took_s)
        if took_s > self._quickest_s + QUEUE_S:
            if asked_s > self._cut_s:  # what was asked before the cut says nothing new
                self._begins = False
                self._cut_s = now_s
                self._size = max(1.0, self._size / 2)
            return
        self._size += 1.0 if self._begins else 1.0 / self._size
        self._size = min(self._size, float(FETCH_WINDOW_CHUNKS_MAX))
