"""Small blobs in memory: least recently used goes first, bounded in bytes. Thread-safe."""

from __future__ import annotations

import threading
from collections import OrderedDict

from mesh.limits import BLOB_MEMORY_BYTES_MAX, SMALL_BLOB_BYTES_MAX
from mesh.types import Digest


class BlobMemory:
    """Digest -> content, for contents up to SMALL_BLOB_BYTES_MAX; larger ones are not kept."""

    def __init__(self, limit_bytes: int = BLOB_MEMORY_BYTES_MAX) -> None:
        self._limit_bytes = limit_bytes
        self._held: OrderedDict[Digest, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.size_bytes = 0

    def get(self, digest: Digest) -> bytes | None:
        with self._lock:
            data = self._held.get(digest)
            if data is not None:
                self._held.move_to_end(digest)
            return data

    def put(self, digest: Digest, data: bytes) -> None:
        if len(data) > SMALL_BLOB_BYTES_MAX:
            return
        with self._lock:
            if digest in self._held:
                return
            self._held[digest] = data
            self.size_bytes += len(data)
            while self.size_bytes > self._limit_bytes:
                _, dropped = self._held.popitem(last=False)
                self.size_bytes -= len(dropped)

    def drop(self, digest: Digest) -> None:
        with self._lock:
            data = self._held.pop(digest, None)
            if data is not None:
                self.size_bytes -= len(data)
