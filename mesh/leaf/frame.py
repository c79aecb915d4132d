"""Frames of the serial link: COBS, one header byte, CRC-32C; and a reader that survives garbage.

    encode(Frame(Kind.REQUEST, epoch, body)) -> bytes on the wire, with the zero at the end
    FrameReader().feed(bytes) -> frames

The specification is firmware/link.cddl and docs/leaf-link.md; `firmware/core/frame.c` is the other
side. COBS: Cheshire and Baker, "Consistent Overhead Byte Stuffing" (1999). CRC-32C: the Castagnoli
polynomial (RFC 3720, appendix B.4). Deliberately not here: what bodies mean (`messages`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import IntEnum

import attrs

VERSION = 1
BODY_BYTES_MAX = 240
CRC_BYTES = 4
FRAME_BYTES_MAX = 1 + BODY_BYTES_MAX + CRC_BYTES
WIRE_BYTES_MAX = FRAME_BYTES_MAX + 1
"""Before the zero: COBS adds one byte to up to 254."""
EPOCH_MAX = 15
_CASTAGNOLI = 0x82F63B78


class Kind(IntEnum):
    HELLO = 0
    REQUEST = 1
    ANSWER = 2
    EVENTS = 3


@attrs.frozen
class Frame:
    kind: Kind
    epoch: int
    """Of the session; 0 in a hello."""
    body: bytes


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_CASTAGNOLI if byte & 1 else 0)  # noqa: PLW2901
        table.append(byte)
    return tuple(table)


_CRC = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C, as iSCSI computes it."""
    crc = 0xFFFF_FFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFF_FFFF


def encode(frame: Frame) -> bytes:
    """The frame as it goes on the wire."""
    assert len(frame.body) <= BODY_BYTES_MAX, "messages are cut before they come here"
    assert 0 <= frame.epoch <= EPOCH_MAX
    plain = bytes((VERSION << 6 | frame.kind << 4 | frame.epoch,)) + frame.body
    return stuff(plain + crc32c(plain).to_bytes(CRC_BYTES, "little")) + b"\0"


def stuff(data: bytes) -> bytes:
    """COBS for at most 254 bytes."""
    assert len(data) <= 254
    return b"".join(bytes((len(run) + 1,)) + run for run in data.split(b"\0"))


def unstuff(data: bytes) -> bytes | None:
    """The inverse of `stuff`; None for what it never makes."""
    runs = []
    at = 0
    while at < len(data):
        end = at + data[at]
        if data[at] == 0 or end > len(data):
            return None
        runs.append(data[at + 1 : end])
        at = end
    return b"\0".join(runs) if runs else None


class FrameReader:
    """Finds frames in a stream of bytes. Whatever comes, it never raises and never grows."""

    def __init__(self) -> None:
        self._part = bytearray()
        self._overlong = False
        self.counters: Counter[str] = Counter()
        """What was dropped: reason -> count."""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take what arrived; gives the frames that are complete now."""
        *complete, rest = data.split(b"\0")
        for piece in complete:
            self._extend(piece)
            frame = self._end()
            if frame is not None:
                yield frame
        self._extend(rest)

    def _extend(self, piece: bytes) -> None:
        room = WIRE_BYTES_MAX - len(self._part)
        self._overlong |= len(piece) > room
        self._part += piece[:room]

    def _end(self) -> Frame | None:
        part, overlong = bytes(self._part), self._overlong
        self._part.clear()
        self._overlong = False
        if not part:
            return None  # two zeros in a row: a sender that clears the line first
        decoded = "overlong" if overlong else _decode(part)
        if isinstance(decoded, str):
            self.counters[decoded] += 1
            return None
        return decoded


def _decode(part: bytes) -> Frame | str:
    """The frame, or why it is none."""
    plain = unstuff(part)
    if plain is None:
        return "stuffing"
    if len(plain) < 1 + CRC_BYTES:
        return "short"
    body, crc = plain[1:-CRC_BYTES], plain[-CRC_BYTES:]
    if crc32c(plain[:-CRC_BYTES]).to_bytes(CRC_BYTES, "little") != crc:
        return "checksum"
    if plain[0] >> 6 != VERSION:
        return "version"
    return Frame(Kind(plain[0] >> 4 & 3), plain[0] & 15, body)


assert FRAME_BYTES_MAX <= 254
