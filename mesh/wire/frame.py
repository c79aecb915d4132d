"""Length-prefixed frames on a byte stream: 4 bytes big-endian length, then the payload.

Pure: feed received bytes in, take whole frames out. A length above the limit is refused before a
single byte of it is buffered.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.limits import FRAME_BYTES_MAX
from mesh.wire.errors import WireError

HEADER_BYTES = 4


def frame(payload: bytes) -> bytes:
    """Return `payload` with its length in front."""
    if len(payload) > FRAME_BYTES_MAX:
        raise WireError("oversized", f"{len(payload)} bytes")
    return len(payload).to_bytes(HEADER_BYTES, "big") + payload


class FrameReader:
    """Cuts a stream of bytes into frames; holds at most one incomplete frame."""

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        assert frame_bytes_max <= FRAME_BYTES_MAX
        self._buffer = bytearray()
        self._frame_bytes_max = frame_bytes_max

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield every frame that `data` completes. Raises WireError on an oversized length."""
        self._buffer += data
        buffer, start = self._buffer, 0
        while len(buffer) - start >= HEADER_BYTES:
            length = int.from_bytes(buffer[start : start + HEADER_BYTES], "big")
            if length > self._frame_bytes_max:
                raise WireError("oversized", f"{length} bytes announced")
            end = start + HEADER_BYTES + length
            if len(buffer) < end:
                break
            with memoryview(buffer) as view:  # one copy instead of two
                payload = bytes(view[start + HEADER_BYTES : end])
            yield payload
            start = end
        del buffer[:start]

    def push_back(self, data: bytes) -> None:
        """Put bytes in front that were read but belong to the frames to come."""
        self._buffer[:0] = data

    def take_pending(self) -> bytes:
        """Remove and return the incomplete frame's bytes."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    @property
    def pending_bytes(self) -> int:
        """Bytes of the incomplete frame held so far."""
        return len(self._buffer)
