"""Reading files of the node's disk: hashing on the way, and what to make of a disk that fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mesh.errors import StoreBroken
from mesh.limits import MIB
from mesh.ports import Disk
from mesh.ports.disk import DiskFile
from mesh.wire.blobid import BlobHash

logger = logging.getLogger(__name__)
_READ_BYTES = MIB
_READ_BYTES_MIN = 4096


def pour(
    file: DiskFile, size_bytes: int, write: Callable[[bytes], object] | None = None
) -> BlobHash:
    """Read from here to the end, handing every piece to `write`; what that says of it all.

    `size_bytes` is what to expect: asking for much more than there is costs a large buffer.
    """
    state = BlobHash()
    while chunk := file.read(
        max(_READ_BYTES_MIN, min(_READ_BYTES, size_bytes - state.size_bytes + 1))
    ):
        state.update(chunk)
        if write is not None:
            write(chunk)
    return state


def read_all(file: DiskFile, size_bytes: int) -> bytes:
    """The next `size_bytes`, fewer when the file ends before. Whoever asked checks the digest."""
    parts = []
    wanted = size_bytes
    while wanted > 0 and (chunk := file.read(wanted)):
        parts.append(chunk)
        wanted -= len(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_cache(disk: Disk, name: str) -> bytes | None:
    """A file that makes a start warm; one that cannot be read is as good as none."""
    try:
        return disk.read(name)
    except OSError as error:
        logger.warning("%s cannot be read: %s", name, error)
        return None


@contextmanager
def broken_disk_as_error() -> Iterator[None]:
    """What the node's own disk cannot do inside the block is StoreBroken."""
    try:
        yield
    except OSError as error:
        raise StoreBroken(why=error) from None
