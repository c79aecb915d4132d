"""Files outside the project, looked at once per run.

A build of a hundred sources asks for the same system headers a hundred times. The machine's own
headers and compilers are taken to stay as they are while one run lasts; a change is seen by the
next run, and a peer that has other ones refuses the work in any case. Thread-safe: the worst that
two threads can do is look twice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from mesh.planners.toolchain import Hasher
from mesh.types import Digest

Look = tuple[Digest, int]
"""Digest and mtime in ns."""
_SETS_MAX = 64
"""Most sources of a project include the same system headers."""


class OutsideFiles:
    """The memory of one run."""

    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher
        self._looks: dict[str, Look] = {}
        self._sets: dict[tuple[str, ...], tuple[Mapping[str, Digest], int]] = {}

    def look(self, path: str) -> Look:
        """Raises OSError when it is not there, InputChanged."""
        found = self._looks.get(path)
        if found is None:
            digest = self._hasher.digest(path)
            found = (digest, os.stat(path).st_mtime_ns)  # noqa: PTH116
            self._looks[path] = found
        return found

    def look_at_all(self, paths: tuple[str, ...]) -> tuple[Mapping[str, Digest], int]:
        """Digest by path, and the latest mtime in ns (0 for no paths). Raises as `look`."""
        found = self._sets.get(paths)
        if found is None:
            looks = {path: self.look(path) for path in paths}
            newest_ns = max((mtime_ns for _, mtime_ns in looks.values()), default=0)
            found = ({path: digest for path, (digest, _) in looks.items()}, newest_ns)
            if len(self._sets) >= _SETS_MAX:
                self._sets.clear()
            self._sets[paths] = found
        return found
