"""Getting contents out of a store's places, with nothing believed: memory, packs, files, project
files, in that order.

Rules
- Small blobs are hashed whenever they are read from the disk; a file at its first use in this
  process, later uses compare its state; a chunk always.
- What the disk cannot read counts as missing, and comes back with the disk. What is damaged is put
  into `bad`, counts as missing, and `on_damaged` is called. A project file that has changed is
  forgotten: InputChanged.

Thread-safe. Not here: putting, removing (`mesh.cas.blobs`).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterator
from hashlib import sha256

from mesh.cas.filehash import is_racy
from mesh.cas.files import pour, read_all
from mesh.cas.manifests import Manifests
from mesh.cas.memory import BlobMemory
from mesh.cas.packs import Packs
from mesh.cas.shelf import Shelf
from mesh.cas.sources import Sources
from mesh.cas.uses import Uses
from mesh.errors import InputChanged, StoreFull
from mesh.limits import BLOB_CHUNK_BYTES, SMALL_BLOB_BYTES_MAX
from mesh.ports.disk import DiskFile, NotPlainFile
from mesh.ports.real.disk import full_disk_as_error
from mesh.ports.real.files import write_all
from mesh.types import Digest, short
from mesh.wire.blobid import Manifest, blob_id, manifest_of

logger = logging.getLogger(__name__)


class BlobMissing(LookupError):
    """This store does not hold the blob (any more); `digest` says which."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(digest.hex())
        self.digest = digest


class Reads:
    """See the module's head. Every method but `small` and `verify` raises BlobMissing."""

    def __init__(self, shelf: Shelf, packs: Packs, uses: Uses) -> None:
        self.shelf = shelf
        self.packs = packs
        self.uses = uses
        self.memory = BlobMemory()
        self.sources = Sources()
        self.manifests = Manifests(packs)
        self.on_damaged: Callable[[Digest], None] = _say

    def read(self, digest: Digest, max_bytes: int) -> bytes:
        """The content, always verified. Raises ValueError when it is larger than `max_bytes`,
        InputChanged when only a project file had it and that has changed."""
        data = self.small(digest)
        if data is not None:
            return _bounded(data, max_bytes)
        for source in self._places(digest):
            found = self._read_checked(source, digest, max_bytes)
            if found is not None:
                self.memory.put(digest, found)
                return found
        raise BlobMissing(digest)

    def manifest_of(self, digest: Digest) -> Manifest:
        """The digests of its chunks. Reads the whole blob when nobody has asked before: in a
        worker thread. Raises InputChanged."""
        manifest = self.manifests.get(digest)
        if manifest is not None:
            return manifest
        data = self.small(digest)
        if data is not None:
            return manifest_of(data)
        for source in self._places(digest):
            manifest = self._hash_checked(source, digest)
            if manifest is not None:
                self.manifests.note(digest, manifest)
                self.manifests.keep(manifest)
                return manifest
        raise BlobMissing(digest)

    def read_chunk(self, digest: Digest, index: int) -> bytes:
        """One chunk, always verified; IndexError when there is none of that index. Raises
        InputChanged."""
        manifest = self.manifest_of(digest)
        if not 0 <= index < manifest.chunks:
            raise IndexError(index)
        data = self.small(digest)
        if data is not None:
            return data
        for source in self._places(digest):
            file = self._open_any(source, digest)
            if file is None:
                continue
            with file:
                try:
                    data = file.read_at(index * BLOB_CHUNK_BYTES, manifest.chunk_bytes(index))
                except OSError:
                    continue  # as good as missing
            if sha256(data).digest() == manifest.digest(index):
                self.uses.touch(digest)
                return data
            self._reject(source, digest)
        raise BlobMissing(digest)

    def open_own(self, digest: Digest) -> DiskFile | None:
        """The store's own file, unchecked; None when there is none, or none that can be read."""
        return self._open_any(None, digest) if self.shelf.has(digest) else None

    def copy_to(self, digest: Digest, fd: int) -> None:
        """Write the content to the real file `fd`, verified; on an error `fd` holds rubbish.

        Raises BlobMissing, InputChanged, StoreFull.
        """
        data = self.small(digest)
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

    def verify(self, digest: Digest) -> bool | None:
        """Read the blob from the disk and compare; False for a damaged one, which is quarantined,
        None for one that is not there. Raises OSError when the disk cannot read."""
        data = self.packs.get(digest)
        if data is not None:
            if blob_id(data) == digest:
                return True
            self._reject_packed(digest, data)
            return False
        try:
            file = self.shelf.open(digest)
        except FileNotFoundError:
            return None
        except NotPlainFile:
            self._reject(None, digest)
            return False
        with file:
            before = file.info()
            found = pour(file, before.size_bytes)
        if found.blob_id() == digest:
            self.shelf.note_checked(digest, before.state)
            return True
        self._reject(None, digest)
        return False

    def small(self, digest: Digest) -> bytes | None:
        """From memory or a pack, verified; None when it is in neither."""
        data = self.memory.get(digest)
        if data is None:
            try:
                data = self.packs.get(digest)
            except OSError:
                return None  # the disk cannot read it: as good as missing
            if data is None:
                return None
            if blob_id(data) != digest:
                self._reject_packed(digest, data)
                return None
            self.memory.put(digest, data)
        self.uses.touch(digest)
        return data

    def _places(self, digest: Digest) -> Iterator[str | None]:
        """Where the content may be: None is the store's own file, then a project file's path."""
        if self.shelf.has(digest):
            yield None
        source = self.sources.get(digest)
        if source is not None:
            yield source

    def _open_any(self, source: str | None, digest: Digest) -> DiskFile | None:
        if source is not None:
            return self.sources.open(digest, source)
        try:
            return self.shelf.open(digest)
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
        if blob_id(data) == digest:
            self.uses.touch(digest)
            return data
        self._reject(source, digest)
        return None

    def _hash_checked(self, source: str | None, digest: Digest) -> Manifest | None:
        """Hash the whole file; its manifest when it is that blob."""
        file = self._open_any(source, digest)
        if file is None:
            return None
        with file:
            before = file.info()
            try:
                state = pour(file, before.size_bytes)
            except OSError:
                return None
        if state.blob_id() == digest:
            if source is None:
                self.shelf.note_checked(digest, before.state)
            return state.manifest()
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
            if self.shelf.is_checked(digest, before.state):
                file.copy_to(target)
                found = digest
            else:
                state = pour(file, before.size_bytes, lambda chunk: write_all(target, chunk))
                found = state.blob_id()
            after = file.info()
        if found == digest and before.state == after.state:
            if source is None or not is_racy(before.state):
                self.shelf.note_checked(digest, before.state)
            self.uses.touch(digest)
            return True
        self._reject(source, digest)
        return False

    def _copy_small(self, data: bytes, source: str | None, digest: Digest, target: int) -> bool:
        if blob_id(data) != digest:
            self._reject(source, digest)
            return False
        self.memory.put(digest, data)
        write_all(target, data)
        return True

    def _reject(self, source: str | None, digest: Digest) -> None:
        """The file is not that blob: a changed source is the user's, a damaged blob ours."""
        if source is not None:
            self.sources.forget(digest)
            raise InputChanged(path=source)
        with contextlib.suppress(OSError, StoreFull):  # a read-only disk: it stays, and is bad
            self.shelf.quarantine(digest)
        self.memory.drop(digest)
        self.on_damaged(digest)

    def _reject_packed(self, digest: Digest, data: bytes) -> None:
        self.packs.drop([digest])
        self.memory.drop(digest)
        self.shelf.quarantine_bytes(digest, data)
        self.on_damaged(digest)


def _say(digest: Digest) -> None:
    logger.warning("blob %s was damaged on the disk", short(digest))


def _bounded(data: bytes, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise ValueError(f"blob has {len(data)} bytes, over {max_bytes}")
    return data
