"""Writing a file whole or not at all: aside, then put in its place.

    write_whole(path, data)           one call
    with Aside(path) as file: ...     piece by piece; in its place when nothing was raised

Folders that are missing are made. What is not a plain file (a device, a pipe) is written directly,
and so is a file in a folder where nothing can be made. Raises OSError, and leaves what was there
before. Deliberately not here: what a person is told then
(`sim.app.outputs`); syncing, because a run can be played again.
"""

from __future__ import annotations

import contextlib
import os
from errno import EISDIR
from hashlib import blake2b
from pathlib import Path
from typing import IO

ASIDE = ".vitte-{process}-{name}.part"
OURS = ("/dev/fd/", "/dev/std", "/proc/")
"""Names of descriptors that are open already."""


def write_whole(path: Path, data: bytes | str) -> None:
    """Text is written as UTF-8."""
    with Aside(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


class Aside:
    """A file that takes its place when all of it is written."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._target = path if is_special(path) else real(path)
        self._beside = self._target
        if not is_special(path):
            name = blake2b(os.fsencode(self._target.name), digest_size=4).hexdigest()
            self._beside = self._target.with_name(ASIDE.format(process=os.getpid(), name=name))
        if self._target.is_dir():
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
        self.file: IO[bytes] = self._open()

    def _open(self) -> IO[bytes]:
        try:
            return self._beside.open("wb")
        except PermissionError:
            if not self._target.exists():
                raise
        self._beside = self._target
        return self._target.open("wb")

    def __enter__(self) -> IO[bytes]:
        return self.file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.place()
        else:
            self.drop()

    def place(self) -> None:
        """Close it and put it in its place."""
        try:
            self.file.close()
            if self._beside != self._target:
                self._beside.replace(self._target)
        except OSError:
            self.drop()
            raise

    def drop(self) -> None:
        """Forget it: what was there before stays."""
        with contextlib.suppress(OSError):  # what is left in its buffer finds no room
            self.file.close()
        if self._beside != self._target:
            self._beside.unlink(missing_ok=True)


def real(path: Path) -> Path:
    """Where links lead; a link in a circle leads nowhere, and opening it says so."""
    return Path(os.path.realpath(path))


def is_special(path: Path) -> bool:
    """A device, a pipe or a socket, or one of our own descriptors."""
    if str(path.absolute()).startswith(OURS):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()
