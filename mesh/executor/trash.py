"""Removing whole directories that an action made, however deep, however protected.

Flat instead of recursive: a subdirectory is first moved up into the trash folder, so neither
Python's stack nor PATH_MAX limits the depth that can be removed. Only used when no process of the
action is left, so nothing races with it.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path


class Trash:
    """A folder on the same file system as what is thrown into it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = os.fspath(folder)
        self._serial = itertools.count()
        self._todo = [entry.path for entry in os.scandir(folder)]
        self.empty()

    def throw(self, path: str) -> None:
        """Move the directory `path` away; it is gone after `empty`."""
        target = f"{self._folder}/{next(self._serial)}"
        while os.path.lexists(target):  # left by an earlier process
            target = f"{self._folder}/{next(self._serial)}"
        try:
            os.rename(path, target)
        except PermissionError:
            # Moving a directory writes its "..", and its parent may be protected too.
            os.chmod(path, 0o700)
            os.chmod(os.path.dirname(path), 0o700)
            os.rename(path, target)
        self._todo.append(target)

    def empty(self) -> None:
        """Remove everything that was thrown in."""
        while self._todo:
            folder = self._todo.pop()
            if os.path.islink(folder) or not os.path.isdir(folder):
                os.unlink(folder)
                continue
            os.chmod(folder, 0o700)
            with os.scandir(folder) as entries:
                names = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
            for path, is_folder in names:
                if is_folder:
                    self.throw(path)
                else:
                    os.unlink(path)
            os.rmdir(folder)
