"""Compression of programs on their way to a leaf: LZSS with the output as its window.

docs/leaf-link.md has the format; `firmware/core/lzss.c` expands it with no memory of its own.
Greedy with a look one byte ahead; programs are at most two kilobytes, so a plain search will do.
Storer and Szymanski, "Data compression via textual substitution" (JACM 1982).
"""

from __future__ import annotations

OFFSET_MAX = 4096
LENGTH_MIN, LENGTH_MAX = 3, 18
_GROUP = 8


class BadStream(ValueError):
    """Compressed bytes that make no sense."""


def compress(data: bytes) -> bytes:
    """The compressed form; may be longer than the input by an eighth."""
    out = bytearray()
    items: list[bytes] = []
    flags = at = 0
    while at < len(data):
        offset, length = _longest(data, at)
        if length >= LENGTH_MIN and _longest(data, at + 1)[1] <= length:
            back = offset - 1
            flags |= 1 << len(items)
            items.append(bytes((back & 0xFF, back >> 8 << 4 | length - LENGTH_MIN)))
            at += length
        else:
            items.append(data[at : at + 1])
            at += 1
        if len(items) == _GROUP or at == len(data):
            out += bytes((flags,)) + b"".join(items)
            items, flags = [], 0
    return bytes(out)


def _longest(data: bytes, at: int) -> tuple[int, int]:
    """(offset back, length) of the longest earlier text that goes on like `data[at:]`."""
    best_offset = best_length = 0
    for length in range(LENGTH_MIN, min(LENGTH_MAX, len(data) - at) + 1):
        found = data.rfind(data[at : at + length], max(0, at - OFFSET_MAX), at + length - 1)
        if found < 0:
            break
        best_offset, best_length = at - found, length
    return best_offset, best_length


def expand(data: bytes, size_bytes: int) -> bytes:
    """The original, which must have exactly that size. Raises BadStream."""
    out = bytearray()
    at = flags = left = 0
    while at < len(data):
        if left == 0:
            flags, left = data[at], _GROUP
            at += 1
            continue
        if flags & 1:
            if at + 1 >= len(data):
                raise BadStream("it ends inside a copy")
            offset = (data[at] | data[at + 1] >> 4 << 8) + 1
            length = (data[at + 1] & 15) + LENGTH_MIN
            if offset > len(out):
                raise BadStream("it copies from before the start")
            for _ in range(length):
                out.append(out[-offset])
            at += 2
        else:
            out.append(data[at])
            at += 1
        if len(out) > size_bytes:
            raise BadStream("it is longer than announced")
        flags, left = flags >> 1, left - 1
    if len(out) != size_bytes:
        raise BadStream("it is shorter than announced")
    return bytes(out)
