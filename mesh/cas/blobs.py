"""The blob store: content-addressed plain files, `ab/cdef...` below one folder, one per blob.

Rules
- A blob becomes visible by one rename of a complete file; half-written ones live in `tmp`, which is
  emptied at the start.
- No fsync: this is a cache. What a crash tore is found by its digest: the first use of a blob in a
  process hashes it, later uses compare its file's state. A damaged blob is moved to `bad` and
  counts as missing.
- Blob files are read-only and are copied out, never hard-linked: an action could write through a
  link.
- A project file may *back* a blob (`add_source`): it is hashed again when it is used, and copied
  in only when somebody needs a file of the store. InputChanged when it is no longer that content.
- Small blobs are also kept in memory.

The store's own files are behind the `Disk` port; sources, and where things are copied out to, are
real files of this machine. Thread-safe. Deliberately not here: fetching from peers, who may have
what, pinning.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from mesh.cas.filehash import is_racy
from mesh.cas.files import pour, read_all
from mesh.cas.memory import BlobMemory
from mesh.cas.shelf import Shelf
from mesh.cas.sources import Sources
from mesh.cas.writer import BlobWriter
from mesh.errors import InputChanged, StoreBroken
from mesh.limits import BLOB_BYTES_MAX, SMALL_BLOB_BYTES_MAX
from mesh.ports import Disk
from mesh.ports.disk import DiskFile, NotPlainFile
from mesh.ports.real.disk import full_disk_as_error
from mesh.ports.real.diskfile import RealDiskFile
from mesh.ports.real.files import open_plain, write_all
from mesh.types import Digest, digest_of

BLOBS_FOLDER = "store/blobs"


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

    def __init__(self, disk: Disk, folder: str = BLOBS_FOLDER) -> None:
        self._shelf = Shelf(disk, folder)
        self._memory = BlobMemory()
        self._sources = Sources()
        self._imported = 0

    # -- asking ----------------------------------------------------------------------------------
    def has(self, digest: Digest) -> bool:
        """Whether the blob can be used now, as far as a glance tells."""
        if self._memory.get(digest) is not None or self._shelf.has(digest):
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
        info = self._shelf.info(digest)
        if info is not None:
            return info.size_bytes
        source = self._sources.get(digest)
        if source is not None:
            with contextlib.suppress(OSError):
                return os.stat(source).st_size
        raise BlobMissing(digest)

    def name(self, digest: Digest) -> str:
        """The name on the disk of the blob's file, which need not exist."""
        return self._shelf.name(digest)

    def stats(self) -> StoreStats:
        """Counts everything: walks the whole store, so for people, not for hot paths."""
        sizes = [info.size_bytes for _, info in self._shelf.files()]
        return StoreStats(
            blobs=len(sizes),
            size_bytes=sum(sizes),
            sources=len(self._sources),
            memory_bytes=self._memory.size_bytes,
            damaged=self._shelf.damaged,
            imported=self._imported,
        )

    @property
    def size_bytes(self) -> int:
        """Of the blobs on the disk. Known after one call of `count`, cheap from then on."""
        return self._shelf.size_bytes

    def count(self) -> int:
        """Walk the store once; its size in bytes."""
        return self._shelf.count()

    # -- putting ---------------------------------------------------------------------------------
    def put(self, data: bytes) -> Digest:
        """Store `data`. Raises StoreFull, StoreBroken."""
        digest = digest_of(data)
        try:
            if not self._shelf.has(digest):
                with self._shelf.aside() as aside:
                    aside.file.write(data)
                    self._shelf.adopt(aside, digest)
        except OSError as error:
            raise StoreBroken(why=error) from None
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
        name = os.fspath(path)
        taken = self._shelf.take(name) if move else None
        if taken is not None:
            return taken
        with RealDiskFile(open_plain(name), name) as source, self._shelf.aside() as aside:
            digest, size = pour(source, source.info().size_bytes, aside.file.write)
            self._shelf.adopt(aside, digest)
        if move:
            os.unlink(name)
        return digest, size

    def writer(self, digest: Digest, size_bytes: int) -> BlobWriter:
        """Receive a blob piece by piece: see BlobWriter. Raises WireError when it is too large."""
        return BlobWriter(self._shelf, digest, size_bytes)

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
        for source in self._places(digest):
            found = self._read_checked(source, digest, max_bytes)
            if found is not None:
                self._memory.put(digest, found)
                return found
        raise BlobMissing(digest)

    def open(self, digest: Digest) -> DiskFile:
        """Open a verified file of the store for reading; imports a source first."""
        if not self._shelf.has(digest):
            data = self._memory.get(digest)
            if data is not None:
                self.put(data)
            else:
                self._import(digest)
        self._check_file(digest)
        try:
            return self._shelf.open(digest)
        except OSError:  # trimmed meanwhile, or it cannot be read
            raise BlobMissing(digest) from None

    def copy_to(self, digest: Digest, fd: int) -> None:
        """Write the content to the real file `fd`, verified; on an error `fd` holds rubbish.

        Raises BlobMissing, InputChanged, StoreFull.
        """
        data = self._memory.get(digest)
        with full_disk_as_error("the file system of an output or a work tree"):
            if data is not None:
                write_all(fd, data)
                return
            start = os.lseek(fd, 0, os.SEEK_CUR)
            for source in self._places(digest):
                try:
                    if self._copy_checked(source, digest, fd):
                        return
                except OSError as error:
                    if source is not None or error.errno != errno.EIO:
                        raise  # else the disk cannot read it: as good as missing
                os.lseek(fd, start, os.SEEK_SET)
                os.ftruncate(fd, start)
        raise BlobMissing(digest)

    def copy_out(self, digest: Digest, dest: Path | str, *, executable: bool = False) -> None:
        """Make the new real file `dest` (0644 or 0755 whatever the umask) with the content.

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
    def _places(self, digest: Digest) -> Iterator[str | None]:
        """Where the content may be: None is the store's own file, then a project file's path."""
        if self._shelf.has(digest):
            yield None
        source = self._sources.get(digest)
        if source is not None:
            yield source

    def _import(self, digest: Digest) -> None:
        source = self._sources.get(digest)
        if source is None:
            raise BlobMissing(digest)
        with self._sources.open(digest, source) as file, self._shelf.aside() as aside:
            found, _ = pour(file, file.info().size_bytes, aside.file.write)
            if found != digest:
                raise InputChanged(path=source)
            self._shelf.adopt(aside, digest)
        self._imported += 1

    def _open_any(self, source: str | None, digest: Digest) -> DiskFile | None:
        if source is not None:
            return self._sources.open(digest, source)
        try:
            return self._shelf.open(digest)
        except NotPlainFile:
            self._reject(None, digest)
            return None
        except OSError:
            return None  # trimmed meanwhile, or it cannot be read: as good as missing

    def _read_checked(self, source: str | None, digest: Digest, max_bytes: int) -> bytes | None:
        file = self._open_any(source, digest)
        if file is None:
            return None
        with file:
            size = file.info().size_bytes
            if size > max_bytes:
                raise ValueError(f"blob {digest.hex()} has {size} bytes, over {max_bytes}")
            try:
                data = read_all(file, size)
            except OSError:
                if source is None:
                    return None  # the disk cannot read it: as good as missing
                raise
        if digest_of(data) == digest:
            return data
        self._reject(source, digest)
        return None

    def _copy_checked(self, source: str | None, digest: Digest, target: int) -> bool:
        """Copy and make sure; False (and quarantined) when the file was not that blob."""
        file = self._open_any(source, digest)
        if file is None:
            return False
        with file:
            before = file.info()
            if before.size_bytes <= SMALL_BLOB_BYTES_MAX:
                data = read_all(file, before.size_bytes)
                return self._copy_small(data, source, digest, target)
            if self._shelf.is_checked(digest, before.state):
                file.copy_to(target)
                found = digest
            else:
                found, _ = pour(file, before.size_bytes, lambda chunk: write_all(target, chunk))
            after = file.info()
        if found == digest and before.state == after.state:
            if source is None or not is_racy(before.state):
                self._shelf.note_checked(digest, before.state)
            return True
        self._reject(source, digest)
        return False

    def _copy_small(self, data: bytes, source: str | None, digest: Digest, target: int) -> bool:
        if digest_of(data) != digest:
            self._reject(source, digest)
            return False
        self._memory.put(digest, data)
        write_all(target, data)
        return True

    def _check_file(self, digest: Digest) -> None:
        file = self._open_any(None, digest)
        if file is None:
            raise BlobMissing(digest)
        with file:
            before = file.info()
            if self._shelf.is_checked(digest, before.state):
                return
            try:
                found, _ = pour(file, before.size_bytes)
            except OSError:
                raise BlobMissing(digest) from None
        if found != digest:
            self._reject(None, digest)
            raise BlobMissing(digest)
        self._shelf.note_checked(digest, before.state)

    def _reject(self, source: str | None, digest: Digest) -> None:
        """The file is not that blob: a changed source is the user's, a damaged blob ours."""
        if source is not None:
            self._sources.forget(digest)
            raise InputChanged(path=source)
        self._shelf.quarantine(digest)
        self._memory.drop(digest)


def _bounded(data: bytes, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise ValueError(f"blob has {len(data)} bytes, over {max_bytes}")
    return data
