"""Files outside the project, looked at once per run.

A build of a hundred sources asks for the same system headers a hundred times. The machine's own
headers and compilers are taken to stay as they are while one run lasts; a change is seen by the
next run, and a peer that has other ones refuses the work in any case. Thread-safe: the worst that
two threads can do is look twice.
"""

from __future__ import annotations

import os
from pathlib import Path

from mesh.planners.toolchain import Hasher
from mesh.types import Digest

Look = tuple[Digest, int]
"""Digest and mtime in ns."""


class OutsideFiles:
    """The memory of one run."""

    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher
        self._looks: dict[str, Look] = {}

    def look(self, path: str) -> Look:
        """Raises OSError when it is not there, InputChanged."""
        found = self._looks.get(path)
        if found is None:
            digest = self._hasher.digest(Path(path))
            found = (digest, os.stat(path).st_mtime_ns)  # noqa: PTH116
            self._looks[path] = found
        return found
