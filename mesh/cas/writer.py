"""Receiving one blob from its first byte to its last: hashed on the way, visible only when it is
the right one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import ExitStack

from mesh.cas.files import broken_disk_as_error
from mesh.cas.shelf import Aside, Shelf
from mesh.limits import BLOB_BYTES_MAX, SMALL_BLOB_BYTES_MAX
from mesh.types import Digest
from mesh.wire.blobid import BlobHash
from mesh.wire.errors import WireError


class BlobReceiver:
    """`with store.receiver(digest, size) as receiver: receiver.write(...); receiver.finish()`.

    Leaving without `finish` stores nothing. `write` and `finish` raise WireError ("oversized",
    "truncated", "wrong-digest") for what a peer did wrong, and StoreFull or StoreBroken.
    """

    def __init__(
        self,
        shelf: Shelf,
        digest: Digest,
        size_bytes: int,
        put_small: Callable[[Digest, bytes], None],
    ) -> None:
        if size_bytes > BLOB_BYTES_MAX:
            raise WireError("oversized", f"{size_bytes} bytes announced")
        self._shelf = shelf
        self._put_small = put_small
        self._stack = ExitStack()
        self._digest = digest
        self._size_bytes = size_bytes
        self._state = BlobHash()
        self._small: list[bytes] = []
        self._aside: Aside | None = None
        if size_bytes > SMALL_BLOB_BYTES_MAX:
            with broken_disk_as_error():
                self._aside = self._stack.enter_context(shelf.aside())

    @property
    def written_bytes(self) -> int:
        return self._state.size_bytes

    def write(self, data: bytes) -> None:
        if self.written_bytes + len(data) > self._size_bytes:
            raise WireError("oversized", f"more than {self._size_bytes} bytes")
        self._state.update(data)
        if self._aside is None:
            self._small.append(data)
        else:
            with broken_disk_as_error():
                self._aside.file.write(data)

    def finish(self) -> None:
        """Verify and make the blob visible."""
        if self.written_bytes != self._size_bytes:
            raise WireError("truncated", f"{self.written_bytes} of {self._size_bytes} bytes")
        if self._state.blob_id() != self._digest:
            raise WireError("wrong-digest", self._digest.hex())
        with broken_disk_as_error():
            if self._aside is None:
                self._put_small(self._digest, b"".join(self._small))
            else:
                self._aside.adopt(self._shelf, self._digest)

    def close(self) -> None:
        """Forget what was not finished."""
        with contextlib.suppress(OSError):  # what stays in `tmp` goes at the next start
            self._stack.close()

    def __enter__(self) -> BlobReceiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
