"""The blob store: content-addressed plain files, `root/ab/cdef...`, one per blob.

Rules
- A blob becomes visible by one rename of a complete file; half-written ones live in `root/tmp`,
  which is emptied at the start.
- No fsync: this is a cache. What a crash tore is found by its digest: the first use of a blob in a
  process hashes it, later uses compare its stat signature. A damaged blob is moved to `root/bad`
  and counts as missing.
- Blob files are mode 0444 and are copied out, never hard-linked: an action could write through a
  link.
- A project file may *back* a blob (`add_source`): it is hashed again when it is used, and copied
  in only when somebody needs a file of the store. InputChanged when it is no longer that content.
- Small blobs are also kept in memory.

Thread-safe. Deliberately not here: fetching from peers, who may have what, pinning.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import attrs

from mesh.cas.filehash import is_racy, signature
from mesh.cas.files import NotPlainFile, copy_fd, copy_hashing, open_plain, write_all
from mesh.cas.memory import BlobMemory
from mesh.cas.shelf import Shelf
from mesh.cas.sources import Sources
from mesh.cas.writer import BlobWriter
from mesh.errors import InputChanged
from mesh.limits import BLOB_BYTES_MAX, SMALL_BLOB_BYTES_MAX
from mesh.ports.real.disk import full_disk_as_error
from mesh.types import Digest, digest_of


class BlobMissing(LookupError):
    """This store does not hold the blob (any more); `digest` says which."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(digest.hex())
        self.digest = digest


@attrs.frozen
class StoreStats:
    """What `BlobStore.stats` counts; `damaged` and `imported` since the start."""

    blobs: int
    size_bytes: int
    sources: int
    memory_bytes: int
    damaged: int
    imported: int


class BlobStore:
    """See the module's head. Every method that needs a blob raises BlobMissing without it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._shelf = Shelf(root)
        self._memory = BlobMemory()
        self._sources = Sources()
        self._imported = 0

    # -- asking ----------------------------------------------------------------------------------
    def has(self, digest: Digest) -> bool:
        """Whether the blob can be used now, as far as a glance tells."""
        if self._memory.get(digest) is not None or os.path.lexists(self._shelf.file(digest)):
            return True
        source = self._sources.get(digest)
        return source is not None and os.path.isfile(source)

    def missing(self, digests: Iterable[Digest]) -> list[Digest]:
        """Those of `digests` that `has` denies, in order, without repeats."""
        return [digest for digest in dict.fromkeys(digests) if not self.has(digest)]

    def size(self, digest: Digest) -> int:
        """Size in bytes."""
        data = self._memory.get(digest)
        if data is not None:
            return len(data)
        for path in self._places(digest):
            with contextlib.suppress(OSError):
                return os.stat(path).st_size
        raise BlobMissing(digest)

    def stats(self) -> StoreStats:
        """Counts everything: walks the whole store, so for people, not for hot paths."""
        sizes = [stat.st_size for _, stat in self._shelf.files()]
        return StoreStats(
            blobs=len(sizes),
            size_bytes=sum(sizes),
            sources=len(self._sources),
            memory_bytes=self._memory.size_bytes,
            damaged=self._shelf.damaged,
            imported=self._imported,
        )

    # -- putting ---------------------------------------------------------------------------------
    def put(self, data: bytes) -> Digest:
        """Store `data`. Raises StoreFull."""
        digest = digest_of(data)
        if not os.path.lexists(self._shelf.file(digest)):
            with self._shelf.aside() as (path, fd):
                write_all(fd, data)
                self._shelf.adopt(path, fd, digest)
        self._memory.put(digest, data)
        return digest

    def hold(self, data: bytes) -> Digest:
        """Keep a small blob in memory only, for a while: whoever sent it has it still."""
        if len(data) > SMALL_BLOB_BYTES_MAX:
            return self.put(data)
        digest = digest_of(data)
        self._memory.put(digest, data)
        return digest

    def put_file(self, path: Path, *, move: bool = False) -> tuple[Digest, int]:
        """Store a regular file; (digest, size_bytes). Raises NotPlainFile, OSError, StoreFull.

        `move` takes the file away when it is on the same file system and has no other name (through
        which it could still change); otherwise it is copied, and with `move` then removed.
        """
        source = open_plain(os.fspath(path))
        try:
            stat = os.fstat(source)
            if move and self._shelf.can_take(stat):
                return self._shelf.take(os.fspath(path), source)
            with self._shelf.aside() as (aside, fd):
                digest, size = copy_hashing(source, fd)
                self._shelf.adopt(aside, fd, digest)
            if move:
                os.unlink(path)
            return digest, size
        finally:
            os.close(source)

    def writer(self, digest: Digest, size_bytes: int) -> BlobWriter:
        """Receive a blob piece by piece: see BlobWriter. Raises WireError when it is too large."""
        return BlobWriter(self._shelf.aside(), self._shelf.adopt, digest, size_bytes)

    def add_source(self, digest: Digest, path: Path) -> None:
        """Let the project file at `path` stand for the blob until somebody needs it."""
        oldest = self._sources.add(digest, os.fspath(path))
        if oldest is not None:
            with contextlib.suppress(BlobMissing, InputChanged):
                self._import(oldest)
            self._sources.forget(oldest)

    # -- getting ---------------------------------------------------------------------------------
    def read(self, digest: Digest, max_bytes: int = BLOB_BYTES_MAX) -> bytes:
        """The content, always verified. Raises ValueError when it is larger than `max_bytes`,
        InputChanged when only a project file had it and that has changed."""
        data = self._memory.get(digest)
        if data is not None:
            return _bounded(data, max_bytes)
        for path in self._places(digest):
            found = self._read_checked(path, digest, max_bytes)
            if found is not None:
                self._memory.put(digest, found)
                return found
        raise BlobMissing(digest)

    def path(self, digest: Digest) -> Path:
        """A file of the store with the content; imports a source first. Do not write to it."""
        path = self._shelf.file(digest)
        if not os.path.lexists(path):
            data = self._memory.get(digest)
            if data is not None:
                self.put(data)
            else:
                self._import(digest)
        self._check_file(path, digest)
        return Path(path)

    def open(self, digest: Digest) -> BinaryIO:
        """Open a verified file of the store for reading."""
        return open(self.path(digest), "rb", buffering=0)

    def copy_to(self, digest: Digest, fd: int) -> None:
        """Write the content to `fd`, verified; on an error `fd` holds rubbish.

        Raises BlobMissing, InputChanged, StoreFull.
        """
        data = self._memory.get(digest)
        with full_disk_as_error(self.root):
            if data is not None:
                write_all(fd, data)
                return
            start = os.lseek(fd, 0, os.SEEK_CUR)
            for path in self._places(digest):
                if self._copy_checked(path, digest, fd):
                    return
                os.lseek(fd, start, os.SEEK_SET)
                os.ftruncate(fd, start)
        raise BlobMissing(digest)

    def copy_out(self, digest: Digest, dest: Path | str, *, executable: bool = False) -> None:
        """Make the new file `dest` (0644 or 0755 whatever the umask) with the content.

        Raises FileExistsError when there is something already, and what `copy_to` raises; nothing
        is left at `dest` then.
        """
        mode = 0o755 if executable else 0o644
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(dest, flags, mode)
        try:
            self.copy_to(digest, fd)
            os.fchmod(fd, mode)
        except BaseException:
            os.unlink(dest)
            raise
        finally:
            os.close(fd)

    def trim(self, keep_bytes: int) -> int:
        """Remove the least recently used blobs until at most `keep_bytes` stay; bytes freed."""
        return self._shelf.trim(keep_bytes)

    # -- inside ----------------------------------------------------------------------------------
    def _places(self, digest: Digest) -> Iterator[str]:
        """Where the content may be: the store's file, then a project file."""
        path = self._shelf.file(digest)
        if os.path.lexists(path):
            yield path
        source = self._sources.get(digest)
        if source is not None:
            yield source

    def _import(self, digest: Digest) -> None:
        source = self._sources.get(digest)
        if source is None:
            raise BlobMissing(digest)
        fd = self._sources.open(digest, source)
        try:
            with self._shelf.aside() as (aside, target):
                found, _ = copy_hashing(fd, target)
                if found != digest:
                    raise InputChanged(path=source)
                self._shelf.adopt(aside, target, digest)
        finally:
            os.close(fd)
        self._imported += 1

    def _open_any(self, path: str, digest: Digest) -> int | None:
        if path != self._shelf.file(digest):
            return self._sources.open(digest, path)
        try:
            return open_plain(path)
        except FileNotFoundError:
            return None  # trimmed meanwhile
        except NotPlainFile:
            self._reject(path, digest)
            return None

    def _read_checked(self, path: str, digest: Digest, max_bytes: int) -> bytes | None:
        fd = self._open_any(path, digest)
        if fd is None:
            return None
        with open(fd, "rb", buffering=0) as file:
            size = os.fstat(fd).st_size
            if size > max_bytes:
                raise ValueError(f"blob {digest.hex()} has {size} bytes, over {max_bytes}")
            data = file.readall()
        if digest_of(data) == digest:
            return data
        self._reject(path, digest)
        return None

    def _copy_checked(self, path: str, digest: Digest, target: int) -> bool:
        """Copy and make sure; False (and quarantined) when the file was not that blob."""
        fd = self._open_any(path, digest)
        if fd is None:
            return False
        try:
            before = signature(os.fstat(fd))
            if before[2] <= SMALL_BLOB_BYTES_MAX:
                return self._copy_small(fd, path, digest, target)
            if self._shelf.is_checked(digest, before):
                copy_fd(fd, target)
                found = digest
            else:
                found, _ = copy_hashing(fd, target)
            after = signature(os.fstat(fd))
        finally:
            os.close(fd)
        if found == digest and before == after:
            if path == self._shelf.file(digest) or not is_racy(before):
                self._shelf.note_checked(digest, before)
            return True
        self._reject(path, digest)
        return False

    def _copy_small(self, fd: int, path: str, digest: Digest, target: int) -> bool:
        data = os.read(fd, SMALL_BLOB_BYTES_MAX + 1)
        if digest_of(data) != digest:
            self._reject(path, digest)
            return False
        self._memory.put(digest, data)
        write_all(target, data)
        return True

    def _check_file(self, path: str, digest: Digest) -> None:
        fd = self._open_any(path, digest)
        if fd is None:
            raise BlobMissing(digest)
        try:
            before = signature(os.fstat(fd))
            if self._shelf.is_checked(digest, before):
                return
            found, _ = copy_hashing(fd, None)
        finally:
            os.close(fd)
        if found != digest:
            self._reject(path, digest)
            raise BlobMissing(digest)
        self._shelf.note_checked(digest, before)

    def _reject(self, path: str, digest: Digest) -> None:
        """The file is not that blob: a changed source is the user's, a damaged blob ours."""
        if path != self._shelf.file(digest):
            self._sources.forget(digest)
            raise InputChanged(path=path)
        self._shelf.quarantine(digest)
        self._memory.drop(digest)


def _bounded(data: bytes, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise ValueError(f"blob has {len(data)} bytes, over {max_bytes}")
    return data
