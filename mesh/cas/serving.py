"""Chunks of one blob for whoever serves them: one after the other, from a file that stays open,
into memory of the caller's.

Rules: a chunk is compared with the manifest before it is given. What the open file does not give as
it must be (damaged, unreadable, or the content is elsewhere) is left to `Reads.read_chunk`, which
knows all places and says what is damaged.

Blocking. Not here: what is sent to whom (`mesh.node.blob_server`).
"""

from __future__ import annotations

import contextlib
from hashlib import sha256

from mesh.cas.reads import Reads
from mesh.limits import BLOB_CHUNK_BYTES
from mesh.ports.disk import DiskFile
from mesh.types import Digest


class ChunkReader:
    """`with store.chunks(digest) as chunks: size_bytes = chunks.read_into(index, buffer)`.

    Making one raises BlobMissing, InputChanged; it reads the whole blob when nobody has asked for
    its manifest before.
    """

    def __init__(self, reads: Reads, digest: Digest) -> None:
        self._reads = reads
        self._digest = digest
        self._manifest = reads.manifest_of(digest)
        self._file: DiskFile | None = reads.open_own(digest)

    def read_into(self, index: int, buffer: memoryview) -> int:
        """Put one chunk at the beginning of `buffer`, which has room for BLOB_CHUNK_BYTES; its
        size. Raises IndexError, BlobMissing, InputChanged."""
        if not 0 <= index < self._manifest.chunks:
            raise IndexError(index)
        part = buffer[: self._manifest.chunk_bytes(index)]
        if not self._read_own(index, part):
            part[:] = self._reads.read_chunk(self._digest, index)
        return len(part)

    def _read_own(self, index: int, part: memoryview) -> bool:
        if self._file is None:
            return False
        with contextlib.suppress(OSError):
            whole = self._file.read_into(index * BLOB_CHUNK_BYTES, part) == len(part)
            if whole and sha256(part).digest() == self._manifest.digest(index):
                self._reads.uses.touch(self._digest)
                return True
        return False

    def __enter__(self) -> ChunkReader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
