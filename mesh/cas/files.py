"""Hashing on the way: the one loop by which the stores read files. No policy here."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from mesh.limits import MIB
from mesh.ports.disk import DiskFile
from mesh.types import Digest

_READ_BYTES = MIB
_READ_BYTES_MIN = 4096


def pour(
    file: DiskFile, size_bytes: int, write: Callable[[bytes], object] | None = None
) -> tuple[Digest, int]:
    """Read from here to the end, handing every piece to `write`; (digest, size_bytes) of it all.

    `size_bytes` is what to expect: asking for much more than there is costs a large buffer.
    """
    state, total = sha256(), 0
    while chunk := file.read(max(_READ_BYTES_MIN, min(_READ_BYTES, size_bytes - total + 1))):
        state.update(chunk)
        total += len(chunk)
        if write is not None:
            write(chunk)
    return Digest(state.digest()), total


def read_all(file: DiskFile, size_bytes: int) -> bytes:
    """The next `size_bytes`, fewer when the file ends before. Whoever asked checks the digest."""
    parts = []
    wanted = size_bytes
    while wanted > 0 and (chunk := file.read(wanted)):
        parts.append(chunk)
        wanted -= len(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)
