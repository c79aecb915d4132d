"""Project files that stand for blobs until somebody needs them. Bounded; thread-safe.

A source is only a claim: whoever opens one hashes what it reads. These are the user's own files,
not the node's disk.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict

from mesh.errors import InputChanged
from mesh.limits import BLOB_SOURCES_MAX
from mesh.ports.disk import DiskFile, NotPlainFile
from mesh.ports.real.diskfile import RealDiskFile
from mesh.ports.real.files import open_plain
from mesh.types import Digest


class Sources:
    """Digest -> path of the file that had this content when it was added."""

    def __init__(self) -> None:
        self._paths: OrderedDict[Digest, str] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._paths)

    def add(self, digest: Digest, path: str) -> Digest | None:
        """Add; returns the oldest one's digest when there are too many: import and forget it."""
        with self._lock:
            self._paths[digest] = path
            self._paths.move_to_end(digest)
            return next(iter(self._paths)) if len(self._paths) > BLOB_SOURCES_MAX else None

    def get(self, digest: Digest) -> str | None:
        return self._paths.get(digest)

    def forget(self, digest: Digest) -> None:
        with self._lock:
            self._paths.pop(digest, None)

    def open(self, digest: Digest, path: str) -> DiskFile:
        """Open for reading, links followed. Raises InputChanged when it is no plain file now."""
        try:
            return RealDiskFile(open_plain(os.path.realpath(path)), path)
        except (FileNotFoundError, NotADirectoryError, NotPlainFile):
            self.forget(digest)
            raise InputChanged(path=path) from None
