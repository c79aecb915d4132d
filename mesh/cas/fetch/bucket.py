"""A token bucket: so many bytes a second, and so many at once.

Not here: waiting. The caller is told how long.
"""

from __future__ import annotations

import attrs


@attrs.define
class ByteBucket:
    """`wait_s = bucket.take(size, now_s)`: then the bytes may leave."""

    bytes_per_s: float
    burst_bytes: float
    """What may leave at once after a pause."""
    late_s: float = 0.0
    """Whoever comes back so soon after its bytes were due has not paused but overslept, and loses
    nothing."""
    _free_s: float = 0.0
    """When everything that was taken is paid for."""

    def take(self, size_bytes: int, now_s: float) -> float:
        """Take `size_bytes`, perhaps more than there is; seconds until they are due."""
        assert self.bytes_per_s > 0
        if now_s - self._free_s > self.late_s:
            self._free_s = max(self._free_s, now_s - self.burst_bytes / self.bytes_per_s)
        self._free_s += size_bytes / self.bytes_per_s
        return max(0.0, self._free_s - now_s)
