"""`Disk` on a real directory: small durable files below one root.

Rules: a name is a relative path without `..`; `write` is seen whole or not at all, also after a
power cut (write aside, fsync, rename, fsync of the folder); a full disk is StoreFull and leaves
what was there. Appends go through a few kept-open descriptors, because results are appended often.
Not here: locking between processes (the node's home is locked by its control socket).
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mesh.errors import StoreFull

_APPEND_FDS_MAX = 16
_ASIDE = ".aside"


@contextlib.contextmanager
def full_disk_as_error(path: Path) -> Iterator[None]:
    """Turn ENOSPC and EDQUOT inside the block into StoreFull."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(path=os.fspath(path)) from None
        raise


class RealDisk:
    """See `mesh.ports.Disk` for the methods and the module's head for the promises."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root = root.resolve()
        self._appending: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def path(self, name: str) -> Path:
        """Where `name` is. Raises ValueError for a name that is not a plain relative path."""
        pure = PurePosixPath(name)
        if not name or "\0" in name or pure.is_absolute() or ".." in pure.parts:
            raise ValueError(f"not a relative path below the root: {name!r}")
        return self.root / pure

    def read(self, name: str) -> bytes | None:
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes, *, private: bool = False) -> None:
        target = self.path(name)
        self._folder(target)
        aside = target.with_name(target.name + _ASIDE)
        self._forget(name)  # an append through the old descriptor would go to the replaced file
        with full_disk_as_error(target):
            try:
                _write_synced(aside, data, 0o600 if private else 0o644)
                aside.replace(target)
            except BaseException:
                aside.unlink(missing_ok=True)
                raise
            _sync_folder(target.parent)

    def append(self, name: str, data: bytes) -> None:
        with self._lock, full_disk_as_error(self.path(name)):
            fd = self._append_fd(name)
            written = 0
            try:
                while written < len(data):
                    written += os.write(fd, data[written:] if written else data)
            except OSError:
                # A half-written record would hide the ones after it.
                os.ftruncate(fd, os.fstat(fd).st_size - written)
                raise

    def sync(self, name: str) -> None:
        with self._lock, full_disk_as_error(self.path(name)):
            os.fdatasync(self._append_fd(name))

    def truncate(self, name: str, size_bytes: int) -> None:
        os.truncate(self.path(name), size_bytes)

    def remove(self, name: str) -> None:
        self._forget(name)
        self.path(name).unlink(missing_ok=True)

    def names(self, folder: str) -> list[str]:
        where = self.path(folder) if folder not in ("", ".") else self.root
        try:
            names = [entry.name for entry in where.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in names if not name.endswith(_ASIDE))

    def close(self) -> None:
        """Close the descriptors kept for appending."""
        with self._lock:
            while self._appending:
                os.close(self._appending.popitem()[1])

    def _append_fd(self, name: str) -> int:
        fd = self._appending.get(name)
        if fd is not None:
            self._appending.move_to_end(name)
            return fd
        target = self.path(name)
        self._folder(target)
        fd = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._appending[name] = fd
        if len(self._appending) > _APPEND_FDS_MAX:
            os.close(self._appending.popitem(last=False)[1])
        return fd

    def _folder(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _forget(self, name: str) -> None:
        with self._lock:
            fd = self._appending.pop(name, None)
            if fd is not None:
                os.close(fd)


def _write_synced(path: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, mode)
    try:
        os.fchmod(fd, mode)  # a left-over of a crash keeps its old mode; the umask may hide bits
        _write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
