"""`mesh.ports.Disk` for one life of a process, over a simulated disk.

Errors are those of the real port: StoreFull when there is no room, OSError with the number that the
system would give for damage, FileNotFoundError and its kin. A detached port (the process has ended)
answers everything with EIO and changes nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mesh.ports.disk import AlreadyLocked, FileInfo, NotPlainFile
from mesh.ports.real.files import open_plain, write_all
from sim.disk.tree import Inode, normal

if TYPE_CHECKING:
    from sim.disk.disk import SimDisk

PRIVATE_MODE, PUBLIC_MODE, BLOB_MODE = 0o600, 0o644, 0o444
_ASIDE = ".aside"


class DiskPort:
    """See the module's head, and `mesh.ports.disk.Disk` for the methods."""

    def __init__(self, disk: SimDisk, stall: Callable[[float], None]) -> None:
        self.disk = disk
        self._stall = stall
        self.attached = True

    def detach(self) -> None:
        """The process has ended; its locks are free."""
        self.attached = False
        for name in [name for name, holder in self.disk.locks.items() if holder is self]:
            del self.disk.locks[name]

    def path(self, name: str) -> Path:
        return self.disk.root / normal(name)

    # -- small files, whole ----------------------------------------------------------------------
    def read(self, name: str) -> bytes | None:
        name = self._begin("read", name)
        inode = self.disk.seen.get(name)
        if inode is None:
            if self.disk.seen.is_folder(name):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
            return None
        self.before_read(name, inode)
        return bytes(inode.data)

    def write(self, name: str, data: bytes, *, private: bool = False) -> None:
        name = self._begin("write", name)
        self.before_change(name)
        self.disk.need_room(len(data), name)
        inode = self.disk.new_inode(PRIVATE_MODE if private else PUBLIC_MODE)
        self.disk.troubles.check("fail-syncs", name, errno.EIO)
        self.put(name, inode, 0, data)
        self.disk.put_name(name, inode)
        self._sync(name, inode)

    # -- logs ------------------------------------------------------------------------------------
    def append(self, name: str, data: bytes) -> None:
        name = self._begin("append", name)
        self.before_change(name)
        self.disk.need_room(len(data), name)
        inode = self._for_append(name)
        self.put(name, inode, len(inode.data), data)

    def sync(self, name: str) -> None:
        name = self._begin("sync", name)
        inode = self._for_append(name)
        try:
            self.disk.troubles.check("fail-syncs", name, errno.EIO)
        except OSError:
            self.disk.journal.forget(inode)
            raise
        self._sync(name, inode)

    def persist(self, name: str) -> None:
        name = self._begin("persist", name)
        inode = self._must(name)
        try:
            self.disk.troubles.check("fail-syncs", name, errno.EIO)
        except OSError:
            self.disk.journal.forget(inode)
            raise
        self._take_time("slow-syncs")
        if not self.disk.troubles.strikes("lose-syncs", name):
            self.disk.journal.sync(inode, name)

    def truncate(self, name: str, size_bytes: int) -> None:
        name = self._begin("truncate", name)
        self.disk.troubles.check_change(name)
        inode = self._must(name)
        self.disk.need_room(size_bytes - len(inode.data), name)
        self.disk.resize(name, inode, size_bytes)

    # -- large files -----------------------------------------------------------------------------
    def open(self, name: str) -> SimDiskFile:
        name = self._begin("open", name)
        if self.disk.seen.is_folder(name):
            raise NotPlainFile(errno.EINVAL, "not a regular file", name)
        return SimDiskFile(self, name, self._must(name))

    def create(self, name: str) -> SimDiskFile:
        name = self._begin("create", name)
        self.before_change(name)
        if self.exists(name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        self.disk.need_room(0, name)
        inode = self.disk.new_inode(BLOB_MODE)
        self.disk.put_name(name, inode)
        return SimDiskFile(self, name, inode)

    def reopen(self, name: str) -> SimDiskFile:
        return self.open(name)

    def take(self, path: str, name: str) -> SimDiskFile | None:
        """Never: real files are on another disk than this one."""
        self._begin("take", name)
        os.close(open_plain(path))
        return None

    def rename(self, old: str, new: str) -> None:
        old, new = self._begin("rename", old), normal(new)
        self.disk.troubles.check_change(new)
        self._must(old)
        self._not_below_a_file(new)
        if self.disk.seen.is_folder(new):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), new)
        if old != new:
            self.disk.rename(old, new)

    # -- names -----------------------------------------------------------------------------------
    def exists(self, name: str) -> bool:
        name = self._begin("exists", name)
        return self.disk.seen.get(name) is not None or self.disk.seen.is_folder(name)

    def info(self, name: str) -> FileInfo | None:
        inode = self.disk.seen.get(self._begin("info", name))
        return info_of(inode) if inode is not None else None

    def names(self, folder: str) -> list[str]:
        folder = "" if folder in ("", ".") else normal(folder)
        self._begin("names", folder or ".")
        return [name for name in self.disk.seen.inside(folder) if not name.endswith(_ASIDE)]

    def files(self, folder: str) -> list[tuple[str, FileInfo]]:
        prefix = "" if folder in ("", ".") else normal(folder) + "/"
        found = [(name, self.disk.seen.get(prefix + name)) for name in self.names(folder)]
        return [(name, info_of(inode)) for name, inode in found if inode is not None]

    def remove(self, name: str) -> None:
        name = self._begin("remove", name)
        if self.disk.seen.is_folder(name):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        if self.disk.seen.get(name) is not None:
            self.disk.troubles.check_change(name)
            self.disk.remove(name)

    def remove_tree(self, folder: str) -> None:
        folder = self._begin("remove-tree", folder)
        if not self.disk.troubles.strikes("read-only", folder):
            for name in self.disk.seen.below(folder):
                self.disk.remove(name)

    # -- the directory as a whole ----------------------------------------------------------------
    @contextmanager
    def lock(self, name: str, note: bytes) -> Iterator[None]:
        name = self._begin("lock", name)
        self.disk.troubles.check_change(name)
        inode = self._for_append(name)
        if name in self.disk.locks:
            raise AlreadyLocked(name)
        self.disk.resize(name, inode, 0)
        self.put(name, inode, 0, note)
        self.disk.locks[name] = self
        try:
            yield
            if self.attached:
                self.disk.resize(name, inode, 0)
        finally:
            if self.disk.locks.get(name) is self:
                del self.disk.locks[name]

    # -- inside, and for open files --------------------------------------------------------------
    def _begin(self, operation: str, name: str) -> str:
        """Every operation starts here; returns the name in its normal form."""
        name = normal(name)
        for watcher in self.disk.watchers:
            watcher(operation, name)
        self.check_attached(name)
        return name

    def check_attached(self, name: str) -> None:
        if not self.attached:
            raise OSError(errno.EIO, "the process has ended", name)

    def before_read(self, name: str, inode: Inode) -> None:
        self.disk.troubles.check("fail-reads", name, errno.EIO)
        self._take_time("slow-reads")
        inode.used_s = self.disk.world.now_s

    def before_change(self, name: str) -> None:
        self.disk.troubles.check_change(name)
        self.disk.troubles.check("fail-writes", name, errno.EIO)
        if self.disk.seen.is_folder(name):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        self._not_below_a_file(name)

    def put(self, name: str, inode: Inode, offset: int, data: bytes) -> None:
        world = self.disk.world
        if self.disk.config.tells_of_host(name):
            world.note("disk", self.disk.name, name, len(data))
        else:
            world.trace.packet(world.now_ns, "disk", self.disk.name + ":" + name, data)
        self.disk.put_bytes(name, inode, offset, bytes(data))

    def _sync(self, name: str, inode: Inode) -> None:
        self._take_time("slow-syncs")
        if not self.disk.troubles.strikes("lose-syncs", name):
            self.disk.journal.sync(inode)

    def _take_time(self, kind: str) -> None:
        duration_s = self.disk.troubles.total(kind)
        if duration_s > 0.0:
            self._stall(duration_s)

    def _for_append(self, name: str) -> Inode:
        inode = self.disk.seen.get(name)
        if inode is None:
            self.before_change(name)
            inode = self.disk.new_inode(PUBLIC_MODE)
            self.disk.put_name(name, inode)
        return inode

    def _must(self, name: str) -> Inode:
        inode = self.disk.seen.get(name)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return inode

    def _not_below_a_file(self, name: str) -> None:
        folder = name.rpartition("/")[0]
        while folder:
            if self.disk.seen.get(folder) is not None:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
            folder = folder.rpartition("/")[0]


class SimDiskFile:
    """See `mesh.ports.disk.DiskFile`. It stays usable when its name is gone."""

    def __init__(self, port: DiskPort, name: str, inode: Inode) -> None:
        self._port = port
        self._name = name
        self._inode = inode
        self._position = 0
        self._open = True

    def info(self) -> FileInfo:
        self._check()
        return info_of(self._inode)

    def read(self, max_bytes: int) -> bytes:
        self._check()
        self._port.before_read(self._name, self._inode)
        data = bytes(self._inode.data[self._position : self._position + max_bytes])
        self._position += len(data)
        return data

    def read_at(self, offset: int, max_bytes: int) -> bytes:
        self._check()
        self._port.before_read(self._name, self._inode)
        return bytes(self._inode.data[offset : offset + max_bytes])

    def read_into(self, offset: int, buffer: memoryview) -> int:
        data = self.read_at(offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: bytes) -> None:
        self.write_at(self._position, data)
        self._position += len(data)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        self._check()
        disk = self._port.disk
        disk.troubles.check_change(self._name)
        disk.troubles.check("fail-writes", self._name, errno.EIO)
        grown = max(0, offset + len(data) - len(self._inode.data))
        disk.need_room(grown, self._name)
        self._port.put(self._name, self._inode, offset, bytes(data))

    def copy_to(self, fd: int) -> None:
        write_all(fd, self.read(max(1, len(self._inode.data))))

    def close(self) -> None:
        self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self) -> None:
        if not self._open:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), self._name)
        self._port.check_attached(self._name)


def info_of(inode: Inode) -> FileInfo:
    size_bytes = len(inode.data)
    return FileInfo(size_bytes, inode.used_s, (inode.number, size_bytes, inode.version))
