"""Records of segment files: what is written, and finding it again in a damaged file.

    record = magic 2, kind 1, head length 2, body length 4, crc32 of (all that ‖ head) 4,
             crc32 of body 4, head, body                                   (big-endian)

Rules
- Head and body have a sum each: a flipped bit in a body costs that body, which others have, and not
  the chain of headers.
- After a record that is not whole, reading goes on at the next place that begins like one and whose
  head has its sum right. What was skipped is reported with its place.
- At the end of the newest file, what is not whole was being written when the power went; it was
  promised to nobody and is cut off.

Not here: files (`segments`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from zlib import crc32

import attrs

_START = struct.Struct(">2sBHI")
_SUMS = struct.Struct(">II")
_MAGIC = b"\xf5L"
_HEAD_AT = _START.size + _SUMS.size


class Kind(IntEnum):
    """What a record holds."""

    FRAME = 1
    """Head: header ‖ signature. Body: the frame's, or nothing when it had not come yet."""
    DROPPED = 2
    """The same, and the body went under the rules of retention."""
    BODY = 3
    """Head: digest of a header written earlier. Body: its."""
    FORK = 4
    """Head: a fork proof."""
    UPTIME = 5
    """Head: milliseconds this store has been in use, 8 bytes: from it the age of what follows."""


@attrs.frozen
class Record:
    """One that was found."""

    kind: int
    head: bytes
    body: bytes | None
    """None: it is damaged."""
    body_at: int
    body_bytes: int
    body_sum: int


@attrs.frozen
class Damage:
    """A place that cannot be read."""

    name: str
    """The file."""
    offset: int
    size_bytes: int
    what: str
    """`head`: some records are gone. `body`: one frame's events are, its header is not."""


@attrs.frozen
class Scan:
    """A whole file, read."""

    records: tuple[Record, ...]
    damage: tuple[Damage, ...]
    end: int
    """Where the last whole record ends."""


def encode_record(kind: Kind, head: bytes, body: bytes = b"", body_sum: int | None = None) -> bytes:
    """`body_sum`: crc32 of the body, where that is known already."""
    start = _START.pack(_MAGIC, kind, len(head), len(body))
    sums = _SUMS.pack(crc32(head, crc32(start)), crc32(body) if body_sum is None else body_sum)
    return b"".join((start, sums, head, body))


def body_offset(head: bytes) -> int:
    """From the beginning of a record to its body."""
    return _HEAD_AT + len(head)


def scan(name: str, data: bytes, *, is_newest: bool) -> Scan:
    """Everything whole in a file."""
    records: list[Record] = []
    damage: list[Damage] = []
    whole_end = at = 0
    for offset, record in _records(data):
        end = record.body_at + record.body_bytes
        if offset > at:
            damage.append(Damage(name, at, offset - at, "head"))
        if record.body is None:
            damage.append(Damage(name, record.body_at, record.body_bytes, "body"))
        else:
            whole_end = end
        records.append(record)
        at = min(end, len(data))
    if at < len(data):
        damage.append(Damage(name, at, len(data) - at, "head"))
    if is_newest:  # torn, not damaged
        damage = [each for each in damage if each.offset < whole_end]
        records = [each for each in records if each.body_at <= whole_end]
    return Scan(tuple(records), tuple(damage), whole_end)


def _records(data: bytes) -> Iterator[tuple[int, Record]]:
    at = 0
    while (at := data.find(_MAGIC, at)) >= 0:
        record = _record_at(data, at)
        if record is None:
            at += 1
            continue
        yield at, record
        at = record.body_at + (record.body_bytes if record.body is not None else 0)


def _record_at(data: bytes, at: int) -> Record | None:
    head_at = at + _HEAD_AT
    if head_at > len(data):
        return None
    _, kind, head_bytes, body_bytes = _START.unpack_from(data, at)
    head_sum, body_sum = _SUMS.unpack_from(data, at + _START.size)
    body_at = head_at + head_bytes
    if body_at > len(data):
        return None
    head = data[head_at:body_at]
    if crc32(head, crc32(data[at : at + _START.size])) != head_sum:
        return None
    body: bytes | None = data[body_at : body_at + body_bytes]
    if body is not None and (len(body) < body_bytes or crc32(body) != body_sum):
        body = None
    return Record(kind, head, body, body_at, body_bytes, body_sum)
