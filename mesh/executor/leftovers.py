"""What an action leaves behind in files, and how the launcher gets rid of it.

Runs inside the sandbox as part of the launcher: standard library only, Python 3.9. Processes are
the launcher's own affair: none of the action's is running any more when `clean` is called.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable

_SYSV = ("/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg")


class Leftovers:
    """The scratch directories and, in a namespace of its own, System V objects. `keep` are mounts
    that may lie in scratch directories."""

    def __init__(self, scratch: list[str], keep: list[str], *, sysv: bool) -> None:
        self.scratch = [Scratch(path, keep) for path in scratch]
        present = [path for path in _SYSV if sysv and os.path.exists(path)]
        fds = [os.open(path, os.O_RDONLY) for path in present]
        self.sysv = [(fd, _head(fd)) for fd in fds]  # as they look without any object

    def clean(self) -> bool:
        """Empty the scratch directories; False when a trace stays."""
        try:
            for scratch in self.scratch:
                scratch.clean()
        except OSError:
            return False  # a name too long, a device busy
        return all(_head(fd) == empty for fd, empty in self.sysv)

    def used_bytes(self) -> int:
        return sum(_used_bytes(scratch.path) for scratch in self.scratch)


class Scratch:
    """A directory that is emptied. Where its size tells that there is nothing in it (tmpfs: any
    entry adds to it), one look replaces listing it."""

    def __init__(self, path: str, keep: list[str]) -> None:
        self.path = path
        self.keep = [mount for mount in keep if mount.startswith(path + "/")]
        self.empty_bytes = -1 if self.keep else self._size_when_empty()

    def clean(self) -> None:
        if os.stat(self.path).st_size != self.empty_bytes:
            _empty(self.path, self.keep)

    def _size_when_empty(self) -> int:
        """Found out by trying; -1 where size tells nothing, or the directory cannot be emptied."""
        probe = self.path + "/.probe"
        try:
            _empty(self.path, [])
            before = os.stat(self.path).st_size
            os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            during = os.stat(self.path).st_size
            os.unlink(probe)
            return before if before < during and before == os.stat(self.path).st_size else -1
        except OSError:
            return -1


def _used_bytes(path: str) -> int:
    with contextlib.suppress(OSError):
        info = os.statvfs(path)
        return (info.f_blocks - info.f_bfree) * info.f_frsize
    return 0


def _head(fd: int) -> bytes:
    return os.pread(fd, 4096, 0)


def _empty(path: str, keep: list[str]) -> None:
    """Remove everything in `path` except mounts and the way to them, without following links."""
    todo, folders = [path], []
    while todo:
        folder = todo.pop()
        folders.append(folder)
        try:
            names = os.listdir(folder)
        except PermissionError:
            os.chmod(folder, 0o700)
            names = os.listdir(folder)
        for name in names:
            each = folder + "/" + name
            if each in keep:
                continue
            if stat.S_ISDIR(os.lstat(each).st_mode):
                todo.append(each)
            else:
                _remove(os.unlink, each)
    for folder in reversed(folders[1:]):
        if not any(mount.startswith(folder + "/") for mount in keep):
            _remove(os.rmdir, folder)


def _remove(remove: Callable[[str], None], path: str) -> None:
    try:
        remove(path)
    except PermissionError:
        os.chmod(os.path.dirname(path), 0o700)
        remove(path)
