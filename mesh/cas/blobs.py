"""The blob store: content under its blob id (`mesh.wire.blobid`), small ones in packs and large
ones as files, all of it a cache that may lose anything and give back nothing wrong.

Rules
- A blob becomes visible by one append of its record, or by one rename of a complete file.
- No fsync but where it is asked for (`sync`), as before others are told of a blob: what a crash
  tore is found by its id. Small blobs are hashed whenever they are read; a file is hashed at its
  first use in a process, later uses compare its state. Chunks are hashed one by one
  (`read_chunk`). A damaged blob is put into `bad`, counts as missing, and `on_damaged` is called.
- Blob files are read-only and are copied out (the kernel shares the blocks where the file system
  can), never hard-linked: an action could write through a link.
- A project file may *back* a blob (`add_source`): it is hashed again when it is used, and never
  copied in as long as it is there. InputChanged when it is no longer that content.
- Small blobs are also kept in memory.
- What is leased or pinned (`keep`) is never removed to make room (`trim`).

The store's own files are behind the `Disk` port; sources, and where things are copied out to, are
real files of this machine. Thread-safe. Deliberately not here: fetching from peers, who may have
what, when to make room.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import attrs

from mesh.cas.chunks import ChunkWriter
from mesh.cas.evict import Evictor, LastCopy, Trimmed
from mesh.cas.files import pour, read_all, read_cache
from mesh.cas.keep import Keep
from mesh.cas.packs import Packs
from mesh.cas.reads import BlobMissing, Reads
from mesh.cas.serving import ChunkReader
from mesh.cas.shelf import Shelf
from mesh.cas.uses import Uses
from mesh.cas.writer import BlobReceiver
from mesh.errors import InputChanged, StoreBroken
from mesh.limits import BLOB_BYTES_MAX, PACKED_BLOBS_MAX, SMALL_BLOB_BYTES_MAX
from mesh.ports import Disk
from mesh.ports.disk import DiskFile
from mesh.ports.real.diskfile import RealDiskFile
from mesh.ports.real.files import open_plain
from mesh.types import Digest
from mesh.wire.blobid import Manifest, blob_id

__all__ = ["BlobMissing", "BlobStore", "Entry", "StoreStats"]
logger = logging.getLogger(__name__)
BLOBS_FOLDER = "store/cas"
OLD_FOLDER = "store/blobs"
"""Where blobs were when their ids were plain hashes; emptied when it is found."""


@attrs.frozen
class StoreStats:
    """What `BlobStore.stats` counts; `damaged` and `imported` since the start."""

    blobs: int
    size_bytes: int
    """Of their contents."""
    packed: int
    """Blobs that are in packs."""
    packs: int
    disk_bytes: int
    """With the packs' heads and holes."""
    sources: int
    memory_bytes: int
    pins: int
    leases: int
    damaged: int
    imported: int


@attrs.frozen
class Entry:
    """One blob of the disk, for lists."""

    digest: Digest
    size_bytes: int
    packed: bool
    used: int
    """By the counter of uses of this process; 0 when it was not."""


class BlobStore:
    """See the module's head. Every method that needs a blob raises BlobMissing without it."""

    def __init__(self, disk: Disk, folder: str = BLOBS_FOLDER) -> None:
        self._disk, self._uses_name = disk, f"{folder}/uses"
        self._uses = Uses(read_cache(disk, self._uses_name) or b"")
        self._shelf = Shelf(disk, folder, self._uses)
        self._packs = Packs(disk, f"{folder}/packs")
        self._reads = reads = Reads(self._shelf, self._packs, self._uses)
        self._memory, self._sources, self._manifests = reads.memory, reads.sources, reads.manifests
        self._imported = 0
        self.keep = Keep(disk, f"{folder}/pins")
        """Leases and pins."""
        self.last_copy: LastCopy = lambda _digest: False
        """Asked before a blob is removed, in a worker thread; set by whoever knows the others'."""

    def when_damaged(self, call: Callable[[Digest], None]) -> None:
        """Call when a blob turned out damaged, perhaps in a worker thread."""
        self._reads.on_damaged = call

    # -- asking ----------------------------------------------------------------------------------
    def has(self, digest: Digest) -> bool:
        """Whether the blob can be used now, as far as a glance tells."""
        if (
            self._packs.has(digest)
            or self._memory.get(digest) is not None
            or self._shelf.has(digest)
        ):
            self._uses.touch(digest)
            return True
        source = self._sources.get(digest)
        return source is not None and os.path.isfile(source)

    def missing(self, digests: Iterable[Digest]) -> list[Digest]:
        """Those of `digests` that `has` denies, in order, without repeats."""
        return [digest for digest in dict.fromkeys(digests) if not self.has(digest)]

    def size(self, digest: Digest) -> int:
        """Size in bytes."""
        packed = self._packs.size(digest)
        if packed is not None:
            return packed
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

    def is_on_disk(self, digest: Digest) -> bool:
        """Whether it outlives this process, as far as a glance tells."""
        return self._packs.has(digest) or self._shelf.has(digest)

    def is_durable(self, digest: Digest) -> bool:
        """Whether it outlives a power cut, as far as this process knows; see `sync`."""
        if self._packs.has(digest):
            return self._packs.is_durable(digest)
        return self._shelf.has(digest) and self._shelf.is_durable(digest)

    def in_use(self) -> AbstractContextManager[None]:
        """While the context lasts nothing is removed that was asked for, put or read since it
        began: for a run or an action, which has no list of all it will need."""
        return self._uses.from_now_on()

    def name(self, digest: Digest) -> str:
        """The name on the disk of a large blob's file, which need not exist."""
        return self._shelf.name(digest)

    def entries(self) -> Iterator[Entry]:
        """All blobs of the disk: walks it, so for people, not for hot paths."""
        for item in self._packs.entries():
            yield Entry(item.blob, item.size_bytes, True, self._uses.get(item.blob))
        for digest, info in self._shelf.blobs():
            yield Entry(digest, info.size_bytes, False, self._uses.get(digest))

    def stats(self) -> StoreStats:
        """Counts everything: walks the whole store, so for people, not for hot paths."""
        sizes = [entry.size_bytes for entry in self.entries()]
        return StoreStats(
            blobs=len(sizes),
            size_bytes=sum(sizes),
            packed=len(self._packs),
            packs=self._packs.count,
            disk_bytes=self._shelf.count() + self._packs.size_bytes,
            sources=len(self._sources),
            memory_bytes=self._memory.size_bytes,
            pins=len(self.keep.pins),
            leases=self.keep.leases,
            damaged=self.damaged,
            imported=self._imported,
        )

    @property
    def size_bytes(self) -> int:
        """On the disk. Known after one call of `count`, cheap from then on."""
        return self._shelf.size_bytes + self._packs.size_bytes

    def is_over(self, limit_bytes: int) -> bool:
        """Whether there is something to `trim`."""
        return self.size_bytes > limit_bytes or len(self._packs) > PACKED_BLOBS_MAX

    def count(self) -> int:
        """Walk the store once; its size in bytes. Empties an old one."""
        disk = self._shelf.disk
        if disk.names(OLD_FOLDER):
            logger.info("%s is of an older version and is emptied", OLD_FOLDER)
            disk.remove_tree(OLD_FOLDER)
        self._shelf.count()
        return self.size_bytes

    # -- putting ---------------------------------------------------------------------------------
    def put(self, data: bytes) -> Digest:
        """Store `data`. Raises StoreFull, StoreBroken."""
        digest = blob_id(data)
        self._put(digest, data)
        return digest

    def put_all(self, contents: Sequence[bytes], *, durable: bool = False) -> list[Digest]:
        """Store many, the small ones with one write; with `durable` they survive a power cut.

        Raises StoreFull, StoreBroken; some may be stored then.
        """
        digests = [blob_id(data) for data in contents]
        small = []
        for digest, data in zip(digests, contents, strict=True):
            if len(data) <= SMALL_BLOB_BYTES_MAX:
                small.append((digest, data))
            else:
                self._put(digest, data)
        try:
            self._packs.put_all(small)
        except OSError as error:
            raise StoreBroken(why=error) from None
        if durable:
            self.sync()
        return digests

    def sync(self) -> None:
        """Have all blobs that were put survive a power cut. Raises StoreFull, StoreBroken."""
        try:
            self._packs.sync()
            self._shelf.sync()
        except OSError as error:
            raise StoreBroken(why=error) from None

    def hold(self, data: bytes) -> Digest:
        """Keep a small blob in memory only, for a while: whoever sent it has it still."""
        if len(data) > SMALL_BLOB_BYTES_MAX:
            return self.put(data)
        digest = blob_id(data)
        self._memory.put(digest, data)
        return digest

    def put_file(self, path: Path, *, move: bool = False) -> tuple[Digest, int]:
        """Store a regular file; (digest, size_bytes). Raises NotPlainFile, OSError, StoreFull.

        `move` takes the file away. A large one is moved when it is on the same file system and has
        no other name (through which it could still change); otherwise it is copied, then removed.
        """
        name = os.fspath(path)
        fd = open_plain(name)
        with RealDiskFile(fd, name) as source:
            data = os.read(fd, SMALL_BLOB_BYTES_MAX + 1)
            if len(data) <= SMALL_BLOB_BYTES_MAX and not os.read(fd, 1):
                digest, size = blob_id(data), len(data)
                self._keep_small(digest, data)
            else:
                os.lseek(fd, 0, os.SEEK_SET)
                taken = self._shelf.take(name) if move else None
                if taken is not None:
                    self._manifests.note(taken[0], taken[1].manifest())
                    return taken[0], taken[1].size_bytes
                digest, size = self._pour_in(source)
        if move:
            os.unlink(name)
        return digest, size

    def receiver(self, digest: Digest, size_bytes: int) -> BlobReceiver:
        """Receive a blob from begin to end: see BlobReceiver. Raises WireError when too large."""
        return BlobReceiver(self._shelf, digest, size_bytes, self._keep_small)

    def writer(self, digest: Digest, manifest: Manifest) -> ChunkWriter:
        """Receive a blob chunk by chunk: see ChunkWriter. Raises WireError when the manifest is
        that of another blob, StoreFull, StoreBroken."""
        writer = ChunkWriter(self._shelf, digest, manifest, self._keep_small)
        self._manifests.note(digest, manifest)  # its id says that it is the right one
        return writer

    def add_source(self, digest: Digest, path: Path) -> None:
        """Let the project file at `path` stand for the blob until somebody needs it."""
        oldest = self._sources.add(digest, os.fspath(path))
        if oldest is not None:
            with contextlib.suppress(BlobMissing, InputChanged):
                self.bring_in(oldest)
            self._sources.forget(oldest)

    def bring_in(self, digest: Digest) -> None:
        """Have the blob on the disk, and not only in memory or as a project file."""
        if self.is_on_disk(digest):
            return
        data = self._memory.get(digest)
        if data is not None:
            self._put(digest, data)
            return
        source = self._sources.get(digest)
        if source is None:
            raise BlobMissing(digest)
        with self._sources.open(digest, source) as file:
            found, _ = self._pour_in(file, digest)
            if found != digest:
                raise InputChanged(path=source)
        self._imported += 1

    # -- getting ---------------------------------------------------------------------------------
    def read(self, digest: Digest, max_bytes: int = BLOB_BYTES_MAX) -> bytes:
        """The content, always verified. Raises ValueError when it is larger than `max_bytes`,
        InputChanged when only a project file had it and that has changed."""
        return self._reads.read(digest, max_bytes)

    def manifest_of(self, digest: Digest) -> Manifest:
        """The digests of its chunks. Reads the whole blob when nobody has asked before: in a
        worker thread. Raises InputChanged."""
        return self._reads.manifest_of(digest)

    def read_chunk(self, digest: Digest, index: int) -> bytes:
        """One chunk, always verified; IndexError when there is none of that index. As blocking as
        `manifest_of` the first time. Raises InputChanged."""
        return self._reads.read_chunk(digest, index)

    def chunks(self, digest: Digest) -> ChunkReader:
        """Many chunks, without opening the file for each: see ChunkReader."""
        return ChunkReader(self._reads, digest)

    def copy_to(self, digest: Digest, fd: int) -> None:
        """Write the content to the real file `fd`, verified; on an error `fd` holds rubbish.

        Raises BlobMissing, InputChanged, StoreFull.
        """
        self._reads.copy_to(digest, fd)

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

    # -- keeping house ---------------------------------------------------------------------------
    def trim(self, keep_bytes: int) -> Trimmed:
        """Remove the least recently used blobs until at most `keep_bytes` stay, but for those that
        are kept. Raises StoreFull, OSError."""
        evictor = Evictor(self._shelf, self._packs, self.keep, self._uses)
        trimmed = evictor.trim(keep_bytes, self.last_copy)
        self._packs.save()
        return trimmed

    def save(self) -> None:
        """Write down what makes the next start warm. Raises StoreFull, OSError."""
        self._packs.save()
        self._disk.write(self._uses_name, self._uses.dump())

    def verify(self, digest: Digest) -> bool | None:
        """Read the blob from the disk and compare; False for a damaged one, which is quarantined,
        None for one that is not there. Raises OSError when the disk cannot read."""
        return self._reads.verify(digest)

    @property
    def trouble(self) -> str:
        """What the disk said when something was to be put last; empty when all was well."""
        return self._packs.trouble

    @property
    def damaged(self) -> int:
        """Blobs that turned out damaged since the start."""
        return self._shelf.damaged + self._packs.damaged

    # -- inside ----------------------------------------------------------------------------------
    def _put(self, digest: Digest, data: bytes) -> None:
        try:
            if len(data) <= SMALL_BLOB_BYTES_MAX:
                self._keep_small(digest, data)
            elif not self._shelf.has(digest):
                with self._shelf.aside() as aside:
                    aside.file.write(data)
                    aside.adopt(self._shelf, digest)
        except OSError as error:
            raise StoreBroken(why=error) from None

    def _keep_small(self, digest: Digest, data: bytes) -> None:
        self._packs.put(digest, data)
        self._memory.put(digest, data)
        self._uses.touch(digest)

    def _pour_in(self, source: DiskFile, expected: Digest | None = None) -> tuple[Digest, int]:
        """Copy a file in, but not under another id than `expected`."""
        size = source.info().size_bytes
        if size <= SMALL_BLOB_BYTES_MAX:
            data = read_all(source, size + 1)
            digest = blob_id(data)
            if len(data) <= SMALL_BLOB_BYTES_MAX:
                if expected in (None, digest):
                    self._keep_small(digest, data)
                return digest, len(data)
            raise InputChanged(path="a file that is being copied")
        with self._shelf.aside() as aside:
            state = pour(source, size, aside.file.write)
            digest = state.blob_id()
            if expected in (None, digest):
                aside.adopt(self._shelf, digest)
                self._manifests.note(digest, state.manifest())
            return digest, state.size_bytes
