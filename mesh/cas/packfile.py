"""The bytes of a pack, a file of many small blobs one after another, and of its index.

    pack    records
    record  crc32 of the rest of the head | crc32 of the payload | length | kind | blob id | payload
    index   magic | covered bytes | rows | sha256 of all that
    row     blob id | kind | offset of the payload | length

Rules
- A head that is not right, or a payload that is not all there, ends the pack: a crash has torn it
  there. A payload that is not right is skipped; it is overwritten when it is the last.
- The index says what the first `covered` bytes of the pack hold that is still wanted; what follows
  is read from the pack itself. An index that is damaged or missing costs reading the pack.
- A checksum that fits says that the disk has what was written, and no more: whoever reads a blob
  compares its id.

Deliberately not here: files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from hashlib import sha256
from zlib import crc32

import attrs

from mesh.types import DIGEST_BYTES, Digest

BLOB, MANIFEST = 0, 1
"""Kinds of records. A manifest's payload is one page of it; the id is that of its blob."""

_CRC = struct.Struct(">I")
_HEAD = struct.Struct(f">IIB{DIGEST_BYTES}s")
HEAD_BYTES = _CRC.size + _HEAD.size
_MAGIC = b"vitte-pack 1\n"
_COVERED = struct.Struct(">Q")
_ROW = struct.Struct(f">{DIGEST_BYTES}sBII")


@attrs.frozen
class Row:
    """Where a payload is in its pack."""

    blob: Digest
    kind: int
    offset: int
    size_bytes: int


@attrs.frozen
class Scan:
    """What a piece of a pack holds: the rows, where the last good record ends, and how many whole
    records were damaged."""

    rows: tuple[Row, ...]
    end: int
    damaged: int


def record(kind: int, blob: Digest, payload: bytes) -> bytes:
    """One record, to be appended."""
    head = _HEAD.pack(crc32(payload), len(payload), kind, blob)
    return b"".join((_CRC.pack(crc32(head)), head, payload))


def scan(data: bytes, start: int) -> Scan:
    """Read the records in `data`, which is what the pack holds from offset `start` on."""
    rows: list[Row] = []
    position = end = 0
    damaged = 0
    while (head := _head(data, position)) is not None:
        checksum, size, kind, blob = head
        payload = position + HEAD_BYTES
        position = payload + size
        if position <= len(data) and crc32(data[payload:position]) == checksum:
            rows.append(Row(Digest(blob), kind, start + payload, size))
            end = position
        elif position <= len(data):
            damaged += 1
    return Scan(tuple(rows), start + end, damaged)


def _head(data: bytes, position: int) -> tuple[int, int, int, bytes] | None:
    start = position + _CRC.size
    head = data[start : position + HEAD_BYTES]
    if len(head) < _HEAD.size or _CRC.unpack_from(data, position)[0] != crc32(head):
        return None
    checksum, size, kind, blob = _HEAD.unpack(head)
    return checksum, size, kind, blob


def encode_index(covered_bytes: int, rows: Iterable[Row]) -> bytes:
    packed = [_ROW.pack(row.blob, row.kind, row.offset, row.size_bytes) for row in rows]
    body = b"".join((_MAGIC, _COVERED.pack(covered_bytes), *packed))
    return body + sha256(body).digest()


def decode_index(data: bytes) -> tuple[int, Iterator[Row]] | None:
    """(covered bytes, rows); None for anything that `encode_index` has not made."""
    body, checksum = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    if not body.startswith(_MAGIC) or sha256(body).digest() != checksum:
        return None
    start = len(_MAGIC) + _COVERED.size
    (covered_bytes,) = _COVERED.unpack_from(body, len(_MAGIC))
    packed = _ROW.iter_unpack(body[start:])
    return covered_bytes, (Row(Digest(blob), kind, at, size) for blob, kind, at, size in packed)
