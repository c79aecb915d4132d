"""A digest of the *names* below some folders, kept up to date at the price of a stat per folder.

A compiler looks for a header in one folder after the other, so a new file can shadow one that was
read before, without any file that was read having changed. A cached scan is therefore valid only
while the names in the include folders are the same.

Rules
- Names that start with a dot are left out (editors and build tools keep their files there), and so
  is `leave_out`: what the plan's own steps make comes and goes.
- A folder is listed again when its mtime has changed, or when it was listed so soon after a change
  that the next one may bear the same time stamp.
- Linked folders are followed, each real folder once.

Thread-safe: a race lists a folder twice and nothing worse.
"""

from __future__ import annotations

import os
import time
from collections.abc import Container, Iterable
from hashlib import sha256

import attrs

from mesh.limits import TREE_ENTRIES_MAX

_RACY_NS = 50_000_000


@attrs.frozen
class _Folder:
    mtime_ns: int
    names: tuple[str, ...]
    folders: tuple[str, ...]


class Listings:
    """Remembers folders between calls. `leave_out` holds absolute paths of this machine."""

    def __init__(self, leave_out: Container[str] = frozenset()) -> None:
        self._leave_out = leave_out
        self._known: dict[str, _Folder] = {}

    def digest(self, folders: Iterable[str]) -> bytes | None:
        """SHA-256 of all names below the folders, relative to them; folders that do not exist
        count as such. None when there are too many to be worth it."""
        state = sha256()
        for top in folders:
            state.update(b"\2")
            names = self._below(top)
            if names is None:
                return None
            for name in names:
                state.update(os.fsencode(name) + b"\0")
        return state.digest()

    def _below(self, top: str) -> list[str] | None:
        found: list[str] = []
        pending = [(top, "")]
        seen: set[tuple[int, int]] = set()
        while pending:
            path, prefix = pending.pop()
            try:
                stat = os.stat(path)  # noqa: PTH116
                folder = self._folder(path, stat.st_mtime_ns)
            except OSError:
                found.append(prefix + "?")
                continue
            if (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            found += [prefix + name for name in folder.names]
            pending += [(f"{path}/{name}", f"{prefix}{name}/") for name in folder.folders]
            if len(found) > TREE_ENTRIES_MAX:
                return None
        return found

    def _folder(self, path: str, mtime_ns: int) -> _Folder:
        known = self._known.get(path)
        if known is not None and known.mtime_ns == mtime_ns:
            return known
        names: list[str] = []
        folders: list[str] = []
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.path in self._leave_out:
                    continue
                (folders if entry.is_dir() else names).append(entry.name)
        found = _Folder(mtime_ns, tuple(sorted(names)), tuple(sorted(folders)))
        if time.time_ns() - mtime_ns >= _RACY_NS:
            self._known[path] = found
        return found
