"""How long each step took before, so that the next run starts with the longest.

Keyed by project and step name; a run's first executions teach the mean for what is still unknown.
Kept as an exponentially weighted mean, serialised as strict CBOR. Bounded.
"""

from __future__ import annotations

from mesh.types import digest_of
from mesh.wire import cbor
from mesh.wire.errors import WireError

HISTORY_MAX = 50_000
_NEW_SHARE = 0.5
"""Weight of the newest duration: builds change, yesterday's machine load should fade."""


class History:
    """Durations by step. Keys are hashed so that names of any length cost the same."""

    def __init__(self) -> None:
        self._ms: dict[bytes, int] = {}

    @staticmethod
    def _key(project: str, step: str) -> bytes:
        return digest_of(f"{project}\0{step}".encode("utf-8", "surrogateescape"))[:12]

    def weight_s(self, project: str, step: str) -> float:
        """Expected duration in seconds; 0.0 when never seen."""
        return self._ms.get(self._key(project, step), 0) / 1000

    def learn(self, project: str, step: str, duration_ms: int) -> None:
        key = self._key(project, step)
        known = self._ms.pop(key, None)  # re-inserted at the end: the oldest are dropped first
        blended = duration_ms if known is None else known + _NEW_SHARE * (duration_ms - known)
        self._ms[key] = max(1, round(blended))
        while len(self._ms) > HISTORY_MAX:
            del self._ms[next(iter(self._ms))]

    def dump(self) -> bytes:
        rows = list(self._ms.items())  # one step: `learn` may run in another thread
        return cbor.encode([[key, ms] for key, ms in rows])

    @classmethod
    def load(cls, data: bytes | None) -> History:
        """Rebuild from `dump`; a damaged file is an empty history, not an error."""
        history = cls()
        if data is None:
            return history
        try:
            rows = cbor.decode(data)
            assert isinstance(rows, list)
            history._ms = {bytes(key): int(ms) for key, ms in rows[-HISTORY_MAX:]}
        except (WireError, AssertionError, TypeError, ValueError):
            history._ms = {}
        return history
