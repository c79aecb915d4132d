"""When each blob was last used: an order, not a time.

`get` is about this process; `earlier` is the order in which processes before it have used a blob,
as `dump` wrote it down: the beginnings of ids, oldest use first. Losing it costs nothing but a
worse choice of what goes first.

Bounded: beyond BLOB_USES_MAX the older half counts as unused; BLOB_USES_KEPT are written down.
Thread-safe. Not here: what follows from it (`mesh.cas.evict`).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from mesh.limits import BLOB_USES_KEPT, BLOB_USES_MAX
from mesh.types import Digest

_PREFIX_BYTES = 8


class Uses:
    """A counter that goes up with every use."""

    def __init__(self, kept: bytes = b"") -> None:
        self._ticks = count(1)
        starts = range(0, len(kept) - len(kept) % _PREFIX_BYTES, _PREFIX_BYTES)
        order = (kept[start : start + _PREFIX_BYTES] for start in starts[-BLOB_USES_KEPT:])
        self._earlier = {prefix: number for number, prefix in enumerate(order, 1)}
        self._uses: dict[Digest, int] = {}
        self._floors: dict[int, None] = {}
        self._lock = threading.Lock()

    def touch(self, digest: Digest) -> None:
        self._uses[digest] = next(self._ticks)
        if len(self._uses) > BLOB_USES_MAX:
            self._forget_half()

    def get(self, digest: Digest) -> int:
        """0 when it was not used."""
        return self._uses.get(digest, 0)

    def earlier(self, digest: Digest) -> int:
        """When it was last used before this process began; 0 when that is not known."""
        return self._earlier.get(digest[:_PREFIX_BYTES], 0)

    def dump(self) -> bytes:
        """For the next process."""
        used = sorted(self._uses.copy().items(), key=lambda each: each[1])
        now = dict.fromkeys(digest[:_PREFIX_BYTES] for digest, _ in used)
        order = [prefix for prefix in self._earlier if prefix not in now]
        return b"".join([*order, *now][-BLOB_USES_KEPT:])

    @contextmanager
    def from_now_on(self) -> Iterator[None]:
        """While the context lasts, `floor` is no later than now."""
        tick = next(self._ticks)
        self._floors[tick] = None
        try:
            yield
        finally:
            del self._floors[tick]

    @property
    def floor(self) -> float:
        """What was used after this may be in use."""
        return min(list(self._floors), default=math.inf)

    def _forget_half(self) -> None:
        with self._lock:
            if len(self._uses) > BLOB_USES_MAX:
                newest = sorted(self._uses.items(), key=lambda each: each[1])[BLOB_USES_MAX // 2 :]
                self._uses = dict(newest)
