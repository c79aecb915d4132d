"""Receiving one blob by its chunks, in any order, from as many holders as there are; a crash costs
the chunk that was being written.

    part/<id>        the file, with holes where chunks are missing
    part/<id>.have   the journal: for each chunk that is in the file, its index and a checksum

Rules
- A chunk is compared with the manifest before it is written, and written before the journal says
  so. Whoever goes on after a crash reads what the journal claims and compares it again: the disk
  may have kept the claim and lost the chunk.
- The blob appears by one rename when the last chunk is there.
- Without `finish` the partial file stays for the next one, as long as there is room; a blob that
  somebody is already receiving is received aside and without resume.

Thread-safe. Not here: who has which chunk, and what to ask for next (`mesh.cas.fetch`).
"""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Callable
from hashlib import sha256
from zlib import crc32

from mesh.cas.files import broken_disk_as_error
from mesh.cas.shelf import Shelf
from mesh.errors import StoreFull
from mesh.limits import PARTIAL_BLOBS_MAX, SMALL_BLOB_BYTES_MAX
from mesh.ports.disk import DiskFile, NotPlainFile
from mesh.types import Digest
from mesh.wire.blobid import Manifest, blob_id
from mesh.wire.errors import WireError

_ENTRY = struct.Struct(">II")
_JOURNAL = ".have"


class ChunkWriter:
    """`with store.writer(digest, manifest) as writer: writer.put_chunk(...); writer.finish()`.

    Opening one for a blob of which there is a part reads that part: in a worker thread. `put_small`
    keeps blobs that are too small for a file.
    """

    def __init__(
        self,
        shelf: Shelf,
        digest: Digest,
        manifest: Manifest,
        put_small: Callable[[Digest, bytes], None],
    ) -> None:
        if manifest.blob_id() != digest:
            raise WireError("manifest", "of another blob")
        self._shelf = shelf
        self._digest = digest
        self._manifest = manifest
        self._put_small = put_small
        self._lock = threading.Lock()
        self._missing = dict.fromkeys(range(manifest.chunks))
        self._small: bytes | None = None
        self._file: DiskFile | None = None
        self._name = shelf.part_name(digest)
        self._resumes = False
        self.resumed_chunks = 0
        """Chunks that an earlier fetch has left."""
        if manifest.size_bytes > SMALL_BLOB_BYTES_MAX:
            with broken_disk_as_error():
                self._open()

    def missing_chunks(self) -> list[int]:
        """Indices that are still to come, in order."""
        return list(self._missing)

    def put_chunk(self, index: int, data: bytes | memoryview) -> bool:
        """Whether it was needed: several holders may have been asked for the last ones.

        Raises WireError ("chunk-index", "chunk-size", "wrong-digest") for what the peer did wrong,
        StoreFull, StoreBroken.
        """
        if not 0 <= index < self._manifest.chunks:
            raise WireError("chunk-index", str(index))
        if len(data) != self._manifest.chunk_bytes(index):
            raise WireError("chunk-size", f"{len(data)} bytes")
        if sha256(data).digest() != self._manifest.digest(index):
            raise WireError("wrong-digest", self._digest.hex())
        with self._lock:
            if index not in self._missing:
                return False
            if self._file is None:
                self._small = bytes(data)
            else:
                with broken_disk_as_error():
                    self._write(self._file, index, data)
            del self._missing[index]
        return True

    def read_chunk(self, index: int) -> bytes | None:
        """One chunk that is here already, compared again; None when it is not."""
        with self._lock:
            if self._file is None or index in self._missing or index >= self._manifest.chunks:
                return None
            at, size = index * self._manifest.chunk_bytes(0), self._manifest.chunk_bytes(index)
            try:
                data = self._file.read_at(at, size)
            except OSError:
                return None
        return data if sha256(data).digest() == self._manifest.digest(index) else None

    def finish(self) -> None:
        """Make the blob visible. Raises WireError ("truncated") when chunks are missing."""
        if self._missing:
            raise WireError("truncated", f"{len(self._missing)} chunks are missing")
        if self._small is not None:
            if blob_id(self._small) != self._digest:
                raise WireError("wrong-digest", self._digest.hex())
            with broken_disk_as_error():
                self._put_small(self._digest, self._small)
            return
        assert self._file is not None
        with broken_disk_as_error():
            self._shelf.adopt(self._name, self._file, self._digest)
            self._close_file()
            self._shelf.disk.remove(self._name + _JOURNAL)

    def close(self) -> None:
        """Stop; what is there stays for the next one."""
        empty = len(self._missing) == self._manifest.chunks
        if self._file is not None:
            self._close_file()
            if empty or not self._resumes:
                with contextlib.suppress(OSError, StoreFull):
                    self._shelf.disk.remove(self._name)
                    self._shelf.disk.remove(self._name + _JOURNAL)

    def __enter__(self) -> ChunkWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- inside ----------------------------------------------------------------------------------
    def _write(self, file: DiskFile, index: int, data: bytes | memoryview) -> None:
        file.write_at(index * self._manifest.chunk_bytes(0), data)
        if self._resumes:
            claim = index.to_bytes(4, "big")
            self._shelf.disk.append(self._name + _JOURNAL, claim + crc32(claim).to_bytes(4, "big"))

    def _open(self) -> None:
        if not self._shelf.claim_part(self._name):  # somebody else is at it
            aside = self._shelf.aside()
            self._name, self._file = aside.name, aside.file
            return
        self._resumes = True
        try:
            self._shelf.drop_partial(keep=PARTIAL_BLOBS_MAX)
            self._file = self._go_on() or self._begin()
        except BaseException:
            self._shelf.release_part(self._name)
            raise

    def _begin(self) -> DiskFile:
        self._shelf.disk.remove(self._name + _JOURNAL)
        return self._shelf.disk.create(self._name)

    def _go_on(self) -> DiskFile | None:
        disk = self._shelf.disk
        try:
            file = disk.reopen(self._name)
        except (FileNotFoundError, NotPlainFile):
            return None
        try:
            claims = disk.read(self._name + _JOURNAL) or b""
            whole = len(claims) - len(claims) % _ENTRY.size
            if whole < len(claims):  # torn: what follows would be misread
                disk.truncate(self._name + _JOURNAL, whole)
            for index, checksum in _ENTRY.iter_unpack(claims[:whole]):
                if crc32(index.to_bytes(4, "big")) == checksum and index in self._missing:
                    self._look_at(file, index)
        except BaseException:
            file.close()
            raise
        self.resumed_chunks = self._manifest.chunks - len(self._missing)
        return file

    def _look_at(self, file: DiskFile, index: int) -> None:
        size = self._manifest.chunk_bytes(index)
        try:
            data = file.read_at(index * self._manifest.chunk_bytes(0), size)
        except OSError:
            return  # the disk cannot read it: to be fetched again
        if sha256(data).digest() == self._manifest.digest(index):
            del self._missing[index]

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
            if self._resumes:
                self._shelf.release_part(self._name)
