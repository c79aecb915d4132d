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
from collections.abc import Callable, Container, Iterable
from hashlib import sha256

import attrs

from mesh.limits import TREE_ENTRIES_MAX
from mesh.ports.real.files import file_time_ns

_RACY_NS = 50_000_000


@attrs.frozen
class _Folder:
    mtime_ns: int
    count: int
    digest: bytes
    """Of the names in it, folders' names included."""
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
            if not self._below(top, state.update):
                return None
        return state.digest()

    def _below(self, top: str, update: Callable[[bytes], None]) -> bool:
        """Feed the digest with everything below `top`; False when there is too much."""
        count = 0
        pending = [top]
        seen: set[tuple[int, int]] = set()
        while pending:
            path = pending.pop()
            # Relative to `top`, so that the same project elsewhere has the same digest.
            update(os.fsencode(path[len(top) :]) + b"\0")
            try:
                stat = os.stat(path)  # noqa: PTH116
                folder = self._folder(path, stat.st_mtime_ns)
            except OSError:
                update(b"\1")
                continue
            if (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            update(folder.digest)
            count += folder.count
            if count > TREE_ENTRIES_MAX:
                return False
            pending += [f"{path}/{name}" for name in folder.folders]
        return True

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
        joined = "\0".join([*sorted(names), "/", *sorted(folders)])
        digest = sha256(os.fsencode(joined)).digest()
        found = _Folder(mtime_ns, len(names) + 1, digest, tuple(sorted(folders)))
        if file_time_ns() - mtime_ns >= _RACY_NS:
            self._known[path] = found
        return found
