"""Receiving one blob piece by piece: hashed on the way, visible only when it is the right one."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack
from hashlib import sha256

from mesh.cas.files import broken_disk_as_error
from mesh.cas.shelf import Shelf
from mesh.limits import BLOB_BYTES_MAX
from mesh.types import Digest
from mesh.wire.errors import WireError


class BlobWriter:
    """`with store.writer(digest, size) as writer: writer.write(...); writer.finish()`.

    Leaving without `finish` stores nothing. `write` and `finish` raise WireError ("oversized",
    "truncated", "wrong-digest") for what a peer did wrong, and StoreFull or StoreBroken.
    """

    def __init__(self, shelf: Shelf, digest: Digest, size_bytes: int) -> None:
        if size_bytes > BLOB_BYTES_MAX:
            raise WireError("oversized", f"{size_bytes} bytes announced")
        self._shelf = shelf
        self._stack = ExitStack()
        with broken_disk_as_error():
            self._aside = self._stack.enter_context(shelf.aside())
        self._digest = digest
        self._size_bytes = size_bytes
        self._hash = sha256()
        self.written_bytes = 0

    def write(self, data: bytes) -> None:
        if self.written_bytes + len(data) > self._size_bytes:
            raise WireError("oversized", f"more than {self._size_bytes} bytes")
        self._hash.update(data)
        self.written_bytes += len(data)
        with broken_disk_as_error():
            self._aside.file.write(data)

    def finish(self) -> None:
        """Verify and make the blob visible."""
        if self.written_bytes != self._size_bytes:
            raise WireError("truncated", f"{self.written_bytes} of {self._size_bytes} bytes")
        if self._hash.digest() != self._digest:
            raise WireError("wrong-digest", self._digest.hex())
        with broken_disk_as_error():
            self._shelf.adopt(self._aside, self._digest)

    def close(self) -> None:
        """Forget what was not finished."""
        with contextlib.suppress(OSError):  # what stays in `tmp` goes at the next start
            self._stack.close()

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
