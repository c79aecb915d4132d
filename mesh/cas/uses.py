"""When each blob was last used by this process: an order, not a time.

Bounded: beyond BLOB_USES_MAX the older half counts as unused. Thread-safe. Not here: what follows
from it (`mesh.cas.evict`).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from mesh.limits import BLOB_USES_MAX
from mesh.types import Digest


class Uses:
    """A counter that goes up with every use."""

    def __init__(self) -> None:
        self._ticks = count(1)
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
