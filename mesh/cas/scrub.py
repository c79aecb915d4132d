"""Reading everything once in a while, so that a flipped bit is found before the blob is needed.

Rules
- A pass reads all blobs of the disk in some order, SCRUB_STEP_BYTES at a step, and begins
  SCRUB_PASS_EVERY_S after the one before, the first SCRUB_FIRST_S after the start.
- What is damaged is quarantined by `BlobStore.verify`, which tells whoever can fetch it again. What
  the disk cannot read is left alone: it may be the disk's bad moment, and reading says so anyway.

A step is blocking: in a worker thread, while nothing else is to be done. Not here: idleness.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from mesh.cas.blobs import BlobStore, Entry
from mesh.limits import SCRUB_FIRST_S, SCRUB_PASS_EVERY_S, SCRUB_STEP_BYTES
from mesh.types import Digest


@attrs.frozen
class Scrubbed:
    """What one step, or one whole pass, has found."""

    blobs: int
    size_bytes: int
    damaged: tuple[Digest, ...]
    unreadable: int


class Scrubber:
    """Goes through a store for ever. `now_s` is monotonic."""

    def __init__(self, store: BlobStore, now_s: float) -> None:
        self._store = store
        self._begin_s = now_s + SCRUB_FIRST_S
        self._todo: Iterator[Entry] | None = None
        self.passes = 0
        """Whole passes since the start."""

    def is_due(self, now_s: float) -> bool:
        """Whether `step` has something to do."""
        return self._todo is not None or now_s >= self._begin_s

    def step(self, now_s: float, max_bytes: int = SCRUB_STEP_BYTES) -> Scrubbed:
        """Read at least one blob, and no more once `max_bytes` were read."""
        if self._todo is None:
            self._todo = self._store.entries()
            self._begin_s = now_s + SCRUB_PASS_EVERY_S
        found = check(self._store, self._todo, max_bytes)
        if found.size_bytes < max_bytes:
            self._todo = None
            self.passes += 1
        return found


def check(store: BlobStore, entries: Iterator[Entry], max_bytes: int | None = None) -> Scrubbed:
    """Verify blobs until `max_bytes` were read, or there are no more."""
    blobs = size_bytes = unreadable = 0
    damaged: list[Digest] = []
    while max_bytes is None or size_bytes < max_bytes:
        entry = next(entries, None)
        if entry is None:
            break
        blobs += 1
        size_bytes += entry.size_bytes
        try:
            if store.verify(entry.digest) is False:
                damaged.append(entry.digest)
        except OSError:
            unreadable += 1
    return Scrubbed(blobs, size_bytes, tuple(damaged), unreadable)
