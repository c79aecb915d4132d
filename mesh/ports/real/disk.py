"""`Disk` on a real directory.

Rules: see `mesh.ports.disk`. `write` is seen whole or not at all, also after a power cut (write
aside, fsync, rename, fsync of the folder); a full disk leaves what was there. Appends go through a
few kept-open descriptors, because results are appended often. Names are checked by a glance, and
strictly only when the glance is not enough: blobs are named often.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mesh.errors import StoreFull
from mesh.ports.disk import AlreadyLocked, FileInfo
from mesh.ports.real.diskfile import FULL, RealDiskFile, info_of
from mesh.ports.real.files import open_plain, write_all

_APPEND_FDS_MAX = 16
_ASIDE = ".aside"
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class full_disk_as_error:  # noqa: N801 - used like a function, in front of every small file
    """Turn ENOSPC and EDQUOT inside the block into StoreFull."""

    __slots__ = ("_path",)

    def __init__(self, path: Path | str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, OSError) and error.errno in FULL:
            raise StoreFull(path=os.fspath(self._path)) from None


class RealDisk:
    """See `mesh.ports.disk.Disk` for the methods and its module's head for the promises."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root = root.resolve()
        self._root = os.fspath(self.root)
        self._device = self.root.stat().st_dev
        self._appending: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def path(self, name: str) -> Path:
        pure = PurePosixPath(name)
        if not name or "\0" in name or pure.is_absolute() or ".." in pure.parts:
            raise ValueError(f"not a relative path below the root: {name!r}")
        return self.root / pure

    # -- small files, whole ----------------------------------------------------------------------
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

    # -- logs --------------------------------------------------------------------------------------
    def append(self, name: str, data: bytes) -> None:
        with self._lock, full_disk_as_error(name):
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
        # Not under the lock while it is being synced: others append meanwhile.
        with self._lock, full_disk_as_error(name):
            fd = os.dup(self._append_fd(name))
        try:
            with full_disk_as_error(name):
                os.fdatasync(fd)
        finally:
            os.close(fd)

    def persist(self, name: str) -> None:
        where = self._at(name)
        fd = open_plain(where)
        try:
            with full_disk_as_error(where):
                os.fsync(fd)
        finally:
            os.close(fd)
        folder = Path(where).parent
        _sync_folder(folder)
        if folder != self.root:  # which may be as new as the file
            _sync_folder(folder.parent)

    def truncate(self, name: str, size_bytes: int) -> None:
        os.truncate(self.path(name), size_bytes)

    # -- large files -------------------------------------------------------------------------------
    def open(self, name: str) -> RealDiskFile:
        where = self._at(name)
        return RealDiskFile(open_plain(where), where)

    def create(self, name: str) -> RealDiskFile:
        where = self._at(name)
        try:
            try:
                fd = os.open(where, _NEW, 0o444)
            except FileNotFoundError:
                self._folder(Path(where))
                fd = os.open(where, _NEW, 0o444)
        except OSError as error:
            if error.errno in FULL:
                raise StoreFull(path=where) from None
            raise
        return RealDiskFile(fd, where)

    def reopen(self, name: str) -> RealDiskFile:
        where = self._at(name)
        os.close(open_plain(where))
        os.chmod(where, 0o600)  # noqa: PTH101 - as `create` made it, nobody may write it
        return RealDiskFile(os.open(where, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC), where)

    def take(self, path: str, name: str) -> RealDiskFile | None:
        fd, where = open_plain(path), self._at(name)
        try:
            found = os.fstat(fd)
            if found.st_nlink == 1 and found.st_dev == self._device and self._moved(path, where):
                os.fchmod(fd, 0o444)
                file, fd = RealDiskFile(fd, where), -1
                return file
            return None
        finally:
            if fd >= 0:
                os.close(fd)

    def rename(self, old: str, new: str) -> None:
        if self._appending:
            self._forget(old)
            self._forget(new)
        source, target = self._at(old), self._at(new)
        try:
            os.rename(source, target)  # noqa: PTH104 - as everything blobs go through, without pathlib
        except FileNotFoundError:  # the first in its folder, or no such file at all
            self._folder(Path(target))
            os.rename(source, target)  # noqa: PTH104

    # -- names -------------------------------------------------------------------------------------
    def exists(self, name: str) -> bool:
        return os.path.lexists(self._at(name))

    def info(self, name: str) -> FileInfo | None:
        try:
            found = os.lstat(self._at(name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return info_of(found) if stat.S_ISREG(found.st_mode) else None

    def names(self, folder: str) -> list[str]:
        return sorted(entry.name for entry in self._entries(folder))

    def files(self, folder: str) -> list[tuple[str, FileInfo]]:
        found = []
        for entry in self._entries(folder):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                if entry.is_file(follow_symlinks=False):
                    found.append((entry.name, info_of(entry.stat(follow_symlinks=False))))
        return sorted(found, key=lambda each: each[0])

    def remove(self, name: str) -> None:
        self._forget(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(name))  # noqa: PTH108

    def remove_tree(self, folder: str) -> None:
        shutil.rmtree(self._at(folder), ignore_errors=True)

    # -- the directory as a whole ------------------------------------------------------------------
    @contextlib.contextmanager
    def lock(self, name: str, note: bytes) -> Iterator[None]:
        """By `flock`, which the kernel frees with the process, however it ends."""
        self.root.chmod(0o700)
        fd = os.open(self.path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyLocked(name) from None
            os.ftruncate(fd, 0)
            os.write(fd, note)
            yield
            os.ftruncate(fd, 0)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close the descriptors kept for appending."""
        with self._lock:
            while self._appending:
                os.close(self._appending.popitem()[1])

    # -- inside ----------------------------------------------------------------------------------
    def _at(self, name: str) -> str:
        if ".." in name or name[:1] in ("", "/") or "\0" in name:
            return os.fspath(self.path(name))  # which knows what is really wrong, if anything
        return f"{self._root}/{name}"

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        where = self._at(folder) if folder not in ("", ".") else self._root
        try:
            with os.scandir(where) as entries:
                return [entry for entry in entries if not entry.name.endswith(_ASIDE)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _moved(self, path: str, where: str) -> bool:
        try:
            try:
                os.rename(path, where)  # noqa: PTH104
            except FileNotFoundError:
                self._folder(Path(where))
                os.rename(path, where)  # noqa: PTH104
        except OSError as error:
            if error.errno == errno.EXDEV:  # a part of the directory is a mount of its own
                return False
            raise
        return True

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
        with full_disk_as_error(target):
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
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
