"""Frames received in place: small ones as `mesh.wire.frame` gives them, large ones in memory of
their own, into which the stream itself has put the bytes.

    count = await stream.receive_into(frames.space())
    for payload in frames.filled(count): ...

Through `FrameReader` each byte of a chunk is copied three times more, which costs as much as
decrypting it. Here a frame that is longer than SCRATCH_BYTES gets its memory when its length is
known; what has come with it (less than SCRATCH_BYTES) is moved there, and the rest needs no copy.

Rules: a length above the limit is refused before memory is taken for it; one incomplete frame is
held at most. A large payload is the caller's until `give_back`, after which its memory is used
again: fresh memory costs a page fault for every 4 KiB.

Sans-IO. Not here: what is in a frame (`mesh.wire.blob_messages.take_piece`).
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.limits import BLOB_CHUNK_BYTES, FRAME_BYTES_MAX, KIB
from mesh.wire.errors import WireError
from mesh.wire.frame import HEADER_BYTES

SCRATCH_BYTES = 32 * KIB
"""For small frames, many at a time, and the beginnings of large ones."""
LARGE_BYTES = BLOB_CHUNK_BYTES + KIB
"""What is used again: a chunk and the message around it."""
SPARE_MAX = 4
assert SCRATCH_BYTES < LARGE_BYTES < FRAME_BYTES_MAX


class FrameBuffer:
    """See the module's head."""

    def __init__(self) -> None:
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._held = 0
        """Bytes of frames that are not complete."""
        self._large: memoryview | None = None
        """The payload that has memory of its own and is not complete."""
        self._got = 0
        """Bytes of it that are here."""
        self._spare: list[bytearray] = []

    def space(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        if self._large is not None:
            return self._large[self._got :]
        return self._scratch[self._held :]

    def filled(self, count: int) -> Iterator[bytes | memoryview]:
        """So many bytes were put there: the payloads that are complete now, small ones as bytes.
        Raises WireError on an oversized length."""
        if self._large is None:
            self._held += count
            yield from self._cut()
            return
        self._got += count
        assert self._got <= len(self._large)
        if self._got == len(self._large):
            payload, self._large = self._large, None
            yield payload

    def give_back(self, payload: memoryview) -> None:
        """A large payload, or a part of it, is needed no more; nobody may look at it afterwards."""
        memory = payload.obj
        assert isinstance(memory, bytearray)
        if len(memory) == LARGE_BYTES and len(self._spare) < SPARE_MAX:
            self._spare.append(memory)

    def _cut(self) -> Iterator[bytes]:
        scratch, start, held = self._scratch, 0, self._held
        while held - start >= HEADER_BYTES:
            length = int.from_bytes(scratch[start : start + HEADER_BYTES], "big")
            if length > FRAME_BYTES_MAX:
                raise WireError("oversized", f"{length} bytes announced")
            end = start + HEADER_BYTES + length
            if end > held:
                if length > SCRATCH_BYTES - HEADER_BYTES:
                    self._begin_large(length, scratch[start + HEADER_BYTES : held])
                    start = held
                break
            yield bytes(scratch[start + HEADER_BYTES : end])
            start = end
        self._held = held - start
        if start and self._held:
            scratch[: self._held] = scratch[start:held]

    def _begin_large(self, length: int, beginning: memoryview) -> None:
        if length > LARGE_BYTES:
            memory = bytearray(length)
        else:
            memory = self._spare.pop() if self._spare else bytearray(LARGE_BYTES)
        self._large = memoryview(memory)[:length]
        self._got = len(beginning)
        self._large[: self._got] = beginning
