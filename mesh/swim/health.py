"""Our own health: how late we are.

Measured: how long datagrams waited for us after they had arrived, how late our timers fire, and the
machine's CPU pressure. The recent worst of them is told to everybody with our load, so that they
wait for us, and lengthens our own waits. A machine that stood still for longer than LATE_MAX_S was
stopped or asleep, and is not slow: its next minutes are like those of others, and who would wait
for it as long again would notice its death that much later.
Deliberately not here: where the measurements come from (`core`, the driver), and guesses from
missed answers as in Lifeguard's LHA-Probe, which beside these saved nobody.
"""

from __future__ import annotations

LATE_HALF_LIFE_S = 20.0
"""The worst lateness counts half after this time: starvation comes in spells."""
LATE_MIN_S = 0.001
"""Less is not worth remembering: every event loop is so late."""
LATE_MAX_S = 5.0
LATE_LEVELS_MS = (0, 250, 500, 1000, 2000, 4000, 8000)
"""What is told to others: coarse, so that it changes rarely. Each is twice the one before."""
PRESSURE_LATE_S = 0.25
"""Lateness to expect of a machine whose runnable tasks wait all the time (some avg10 = 100 %)."""


class Health:
    """A lateness that fades."""

    def __init__(self) -> None:
        self._late_s = 0.0
        self._late_at_s = 0.0
        self._pressure_s = 0.0

    def was_late(self, late_s: float, now_s: float) -> None:
        """A datagram waited, or a timer fired, so late."""
        if late_s < LATE_MIN_S:
            return
        late_s = min(late_s, LATE_MAX_S)
        if late_s >= self._faded_s(now_s):
            self._late_s, self._late_at_s = late_s, now_s

    def set_pressure(self, share: float) -> None:
        """The share of time (0 to 1) in which some task of this machine waited for a CPU."""
        self._pressure_s = PRESSURE_LATE_S * max(0.0, min(1.0, share)) ** 2

    def late_s(self, now_s: float) -> float:
        """How late we must expect to be."""
        if not self._late_s:
            return self._pressure_s
        return max(self._faded_s(now_s), self._pressure_s)

    def late_level_ms(self, now_s: float) -> int:
        """The same for others, rounded up to a level; below a quarter of the first one, nothing."""
        if not self._late_s and not self._pressure_s:
            return 0
        late_ms = self.late_s(now_s) * 1000
        if late_ms < LATE_LEVELS_MS[1] / 4:
            return 0
        return _level(late_ms)

    def _faded_s(self, now_s: float) -> float:
        if not self._late_s:
            return 0.0
        age_s = max(0.0, now_s - self._late_at_s)
        return float(self._late_s * 0.5 ** (age_s / LATE_HALF_LIFE_S))


def _level(late_ms: float) -> int:
    return next((level for level in LATE_LEVELS_MS if level >= late_ms), LATE_LEVELS_MS[-1])
