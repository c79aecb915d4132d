"""Receiving one blob piece by piece: hashed on the way, visible only when it is the right one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from hashlib import sha256
from types import TracebackType

from mesh.cas.files import write_all
from mesh.limits import BLOB_BYTES_MAX
from mesh.types import Digest
from mesh.wire.errors import WireError


class BlobWriter:
    """`with store.writer(digest, size) as writer: writer.write(...); writer.finish()`.

    Leaving without `finish` stores nothing. `write` and `finish` raise WireError ("oversized",
    "truncated", "wrong-digest") for what a peer did wrong, and StoreFull.
    """

    def __init__(
        self,
        aside: AbstractContextManager[tuple[str, int]],
        adopt: Callable[[str, int, Digest], None],
        digest: Digest,
        size_bytes: int,
    ) -> None:
        if size_bytes > BLOB_BYTES_MAX:
            raise WireError("oversized", f"{size_bytes} bytes announced")
        self._stack = ExitStack()
        self._path, self._fd = self._stack.enter_context(aside)
        self._adopt = adopt
        self._digest = digest
        self._size_bytes = size_bytes
        self._hash = sha256()
        self.written_bytes = 0

    def write(self, data: bytes) -> None:
        if self.written_bytes + len(data) > self._size_bytes:
            raise WireError("oversized", f"more than {self._size_bytes} bytes")
        self._hash.update(data)
        self.written_bytes += len(data)
        try:
            write_all(self._fd, data)
        except OSError as error:
            self._fail(error)

    def finish(self) -> None:
        """Verify and make the blob visible."""
        if self.written_bytes != self._size_bytes:
            raise WireError("truncated", f"{self.written_bytes} of {self._size_bytes} bytes")
        if self._hash.digest() != self._digest:
            raise WireError("wrong-digest", self._digest.hex())
        self._adopt(self._path, self._fd, self._digest)

    def close(self) -> None:
        """Forget what was not finished."""
        self._stack.close()

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _fail(self, error: OSError) -> None:
        """Let the aside file's own context say what the error means (a full disk: StoreFull)."""
        self._stack.__exit__(type(error), error, error.__traceback__)
        raise error
