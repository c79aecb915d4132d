"""What happened, folded into one digest: two runs are the same exactly when their digests are.

`note` is for words and numbers whose `repr` is the same in every process: no objects with an
address in it, no sets. `packet` is the quick way for bytes. Listeners see every entry, for
timelines and for finding where two runs part; they must not change the world. Deliberately not
here: keeping entries, which would cost a long run its memory.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

Listener = Callable[[int, tuple[object, ...]], None]
"""(time in nanoseconds, what was noted)."""
DIGEST_BYTES = 16
BATCH = 512
"""Pieces that are hashed at once: a hash takes many bytes as quickly as few."""


class Trace:
    """A rolling hash over everything noted."""

    def __init__(self, seed: int) -> None:
        self._hash = blake2b(str(seed).encode(), digest_size=DIGEST_BYTES)
        self._batch: list[bytes] = []
        self.count = 0
        self.listeners: list[Listener] = []

    def note(self, now_ns: int, what: tuple[object, ...]) -> None:
        self.count += 1
        self._batch.append(repr((now_ns, what)).encode())
        if len(self._batch) >= BATCH:
            self._hash_batch()
        for listener in self.listeners:
            listener(now_ns, what)

    def packet(self, now_ns: int, kind: str, route: str, data: bytes) -> None:
        """Like note((kind, route, data)), several times as fast."""
        self.count += 1
        batch = self._batch
        batch += f"{now_ns} {len(data)} {kind} {route} ".encode(), data
        if len(batch) >= BATCH:
            self._hash_batch()
        for listener in self.listeners:
            listener(now_ns, (kind, route, data))

    def _hash_batch(self) -> None:
        self._hash.update(b"".join(self._batch))
        self._batch.clear()

    def digest(self) -> str:
        self._hash_batch()
        return self._hash.hexdigest()
