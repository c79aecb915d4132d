"""The files of the blob store: `root/ab/cdef...` for blobs, `root/tmp` for what is being written,
`root/bad` for what turned out damaged.

Rules: a blob appears by one rename of a complete file, mode 0444; nothing is fsynced, because what
a crash tears is found by its digest: `is_checked` is false until this process has hashed the file
in its present state. Not here: memory, project files, decisions.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from mesh.cas.filehash import Signature, signature
from mesh.cas.files import copy_hashing
from mesh.errors import InputChanged
from mesh.limits import FILE_HASHES_MAX
from mesh.ports.real.disk import full_disk_as_error
from mesh.types import Digest

_TMP, _BAD = "tmp", "bad"


class Shelf:
    """See the module's head. Thread-safe."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = os.fspath(root)
        self._checked: OrderedDict[Digest, Signature] = OrderedDict()
        self._lock = threading.Lock()
        self._serial = itertools.count()
        self.damaged = 0
        """Blobs moved to `bad` since the start."""
        shutil.rmtree(root / _TMP, ignore_errors=True)
        for name in (_TMP, _BAD):
            (root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._device = root.stat().st_dev

    def file(self, digest: Digest) -> str:
        """Where the blob is, or would be."""
        name = digest.hex()
        return f"{self._root}/{name[:2]}/{name[2:]}"

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        """All blobs, as (path, stat)."""
        for byte in range(256):
            with (
                contextlib.suppress(FileNotFoundError),
                os.scandir(f"{self._root}/{byte:02x}") as entries,
            ):
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        yield entry.path, entry.stat(follow_symlinks=False)

    @contextlib.contextmanager
    def aside(self) -> Iterator[tuple[str, int]]:
        """A new file in `tmp`, as (path, fd); gone at the end unless `adopt` renamed it.

        A full disk inside the block is StoreFull.
        """
        path = self._new_name()
        with full_disk_as_error(self.root):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
            try:
                yield path, fd
            finally:
                os.close(fd)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    def adopt(self, path: str, fd: int, digest: Digest) -> None:
        """Make the complete file at `path`, open as `fd`, the blob `digest`."""
        target = self.file(digest)
        try:
            os.rename(path, target)
        except FileNotFoundError:  # the first blob in its folder
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            os.rename(path, target)
        self.note_checked(digest, signature(os.fstat(fd)))

    def can_take(self, stat: os.stat_result) -> bool:
        """Whether a file can be moved in: same device, and no other name to change it through."""
        return stat.st_nlink == 1 and stat.st_dev == self._device

    def take(self, path: str, fd: int) -> tuple[Digest, int]:
        """Move the file at `path`, open as `fd`, in; (digest, size_bytes). Raises InputChanged."""
        aside = self._new_name()
        os.rename(path, aside)
        try:
            os.fchmod(fd, 0o444)
            digest, size = _hash_still(path, fd)
            self.adopt(aside, fd, digest)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside)
            raise
        return digest, size

    def is_checked(self, digest: Digest, sig: Signature) -> bool:
        """Whether a file with this signature was found to be that blob."""
        return self._checked.get(digest) == sig

    def note_checked(self, digest: Digest, sig: Signature) -> None:
        with self._lock:
            self._checked[digest] = sig
            if len(self._checked) > FILE_HASHES_MAX:
                self._checked.popitem(last=False)

    def quarantine(self, digest: Digest) -> None:
        """Move a damaged blob out of the way; it is missing from now on."""
        with self._lock:
            self._checked.pop(digest, None)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.file(digest), f"{self._root}/{_BAD}/{digest.hex()}")
            self.damaged += 1

    def trim(self, keep_bytes: int) -> int:
        """Remove the least recently used blobs until at most `keep_bytes` stay; bytes freed."""
        files = sorted(self.files(), key=lambda item: max(item[1].st_atime, item[1].st_mtime))
        total, freed = sum(stat.st_size for _, stat in files), 0
        for path, stat in files:
            if total - freed <= keep_bytes:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
                freed += stat.st_size
        return freed

    def _new_name(self) -> str:
        return f"{self._root}/{_TMP}/{next(self._serial)}"


def _hash_still(path: str, fd: int) -> tuple[Digest, int]:
    before = os.fstat(fd)
    digest, size = copy_hashing(fd, None)
    after = os.fstat(fd)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise InputChanged(path=path)
    return digest, size
