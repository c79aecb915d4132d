"""Records on their way to the disk: what waits, and what is written together.

Not here: when that is, and what becomes of a batch that fails (`segments`).
"""

from __future__ import annotations

import attrs

from mesh.limits import (
    LOG_UNWRITTEN_BYTES_MAX,
    LOG_UNWRITTEN_LINE_BYTES,
    LOG_UNWRITTEN_OTHERS_BYTES_MAX,
)
from mesh.log.records import Kind, body_offset, encode_record
from mesh.ports import Disk
from mesh.types import Digest


@attrs.frozen
class Line:
    """One record on its way to the disk."""

    kind: Kind
    head: bytes
    body: bytes = b""
    body_sum: int = 0
    digest: Digest | None = None
    """Of the header whose body is in it."""

    @property
    def size_bytes(self) -> int:
        return body_offset(self.head) + len(self.body)

    @property
    def cost_bytes(self) -> int:
        """Memory, while it waits."""
        return self.size_bytes + LOG_UNWRITTEN_LINE_BYTES

    def encode(self) -> bytes:
        return encode_record(self.kind, self.head, self.body, self.body_sum)


@attrs.frozen
class Batch:
    """Records that are written together. `write` may be called in a thread."""

    number: int
    name: str
    lines: tuple[Line, ...]

    def write(self, disk: Disk) -> None:
        """Append and sync. Raises StoreFull, OSError."""
        disk.append(self.name, b"".join([line.encode() for line in self.lines]))
        disk.sync(self.name)


@attrs.frozen
class Room:
    """How much may wait for the disk."""

    bytes_max: int = LOG_UNWRITTEN_BYTES_MAX
    others_bytes_max: int = LOG_UNWRITTEN_OTHERS_BYTES_MAX
