"""`DiskFile` on a file descriptor."""

from __future__ import annotations

import errno
import os
from typing import Self

from mesh.errors import StoreFull
from mesh.ports.disk import FileInfo
from mesh.ports.real.files import copy_fd

FULL = (errno.ENOSPC, errno.EDQUOT)


def info_of(stat: os.stat_result) -> FileInfo:
    """ctime is part of the state because mtime can be set back and ctime cannot."""
    size, changed_ns = stat.st_size, stat.st_mtime_ns
    state = (stat.st_dev, stat.st_ino, size, changed_ns, stat.st_ctime_ns)
    return FileInfo(size, max(stat.st_atime, stat.st_mtime), state)


class RealDiskFile:
    """See `mesh.ports.disk.DiskFile`."""

    __slots__ = ("_fd", "_path")

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path

    def info(self) -> FileInfo:
        return info_of(os.fstat(self._fd))

    def read(self, max_bytes: int) -> bytes:
        return os.read(self._fd, max_bytes)

    def read_at(self, offset: int, max_bytes: int) -> bytes:
        data = os.pread(self._fd, max_bytes, offset)
        while data and len(data) < max_bytes:
            more = os.pread(self._fd, max_bytes - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def read_into(self, offset: int, buffer: memoryview) -> int:
        size = 0
        while size < len(buffer):
            count = os.preadv(self._fd, [buffer[size:]], offset + size)
            if not count:
                break
            size += count
        return size

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            if error.errno in FULL:
                raise StoreFull(path=self._path) from None
            raise

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._fd, view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            if error.errno in FULL:
                raise StoreFull(path=self._path) from None
            raise

    def copy_to(self, fd: int) -> None:
        copy_fd(self._fd, fd)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
