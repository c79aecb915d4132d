"""A few verbs on file descriptors: open plain files only, write all, copy in the kernel.

No policy here: who may be read and where things go is the callers'.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from mesh.limits import MIB
from mesh.ports.disk import NotPlainFile

_COPY_BYTES = 16 * MIB
_READ_BYTES = MIB
_NO_COPY_RANGE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)


def open_plain(path: str, dir_fd: int | None = None) -> int:
    """Open a regular file for reading, following no final link and waiting for no pipe.

    Raises NotPlainFile, FileNotFoundError and other OSErrors.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotPlainFile(error.errno, "not a regular file", path) from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotPlainFile(errno.EINVAL, "not a regular file", path)
    return fd


def write_all(fd: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def copy_fd(source: int, target: int) -> int:
    """Copy from the current positions to the end in the kernel; returns the number of bytes."""
    total = 0
    while True:
        try:
            copied = os.copy_file_range(source, target, _COPY_BYTES)
        except OSError as error:
            if error.errno not in _NO_COPY_RANGE:
                raise
            return total + _copy_plainly(source, target)
        if copied == 0:
            # Some file systems (procfs, old overlayfs) say 0 where there is more to read.
            return total + _copy_plainly(source, target)
        total += copied


def file_time_ns() -> int:
    """Now, by the clock that stamps this machine's files; only to be compared with their times."""
    return time.time_ns()


def _copy_plainly(source: int, target: int) -> int:
    total = 0
    while chunk := os.read(source, _READ_BYTES):
        write_all(target, chunk)
        total += len(chunk)
    return total
