"""Lines on their way to one client: bounded, and honest about what was dropped.

Rules: `emit(event)` never blocks and never grows beyond the limits. When a client reads too slowly,
everything buffered is dropped and replaced by one `resync` event, and what follows it is a fresh
snapshot made at the moment of sending. A producer that must not lose anything (live output of a
command) awaits `room()` first, which slows it down to the client's pace.

Deliberately not here: the socket. `next_chunk` gives the bytes that the server writes.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import trio

from mesh.limits import CONTROL_BUFFER_BYTES_MAX, EVENTS_BUFFERED_MAX

CHUNK_BYTES = 64 * 1024
"""Lines are joined up to about this size, to save system calls on batches of small events."""


def encode_line(value: Mapping[str, Any]) -> bytes:
    """One JSON line. ASCII, so that lone surrogates (bytes that are not UTF-8) survive."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


class Outbox:
    """What a handler gets as `emit`: call it with an event."""

    def __init__(self, lines_max: int = EVENTS_BUFFERED_MAX) -> None:
        self._lines: deque[bytes] = deque()
        self._size_bytes = 0
        self._lines_max = lines_max
        self._lost = 0
        self._final: bytes | None = None
        self._changed = trio.Event()
        self.broken = False
        self.snapshot: Callable[[], list[dict[str, Any]]] | None = None
        """Set by handlers of long streams: the events that bring a fresh client up to date."""

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Queue one event. Raises TypeError or ValueError when it is not JSON."""
        assert self._final is None, "an event after the end of the operation"
        line = encode_line({"event": event})
        if self.broken:
            return
        self._lines.append(line)
        self._size_bytes += len(line)
        if len(self._lines) > self._lines_max or self._size_bytes > CONTROL_BUFFER_BYTES_MAX:
            self._lost += len(self._lines)
            self._clear()
        self._wake()

    def finish(self, line: Mapping[str, Any]) -> None:
        """Queue the last line. Raises TypeError or ValueError when it is not JSON."""
        self._final = encode_line(line)
        self._wake()

    def break_off(self) -> None:
        """The client is gone: keep nothing more for it."""
        self.broken = True
        self._clear()
        self._wake()

    async def room(self) -> None:
        """Return once less than half of the room is used (or the client is gone)."""
        while not self.broken and (
            len(self._lines) * 2 > self._lines_max
            or self._size_bytes * 2 > CONTROL_BUFFER_BYTES_MAX
        ):
            await self._changed.wait()

    async def next_chunk(self) -> bytes:
        """Wait for bytes to send; b"" once the final line has been taken."""
        while True:
            chunk = self._take()
            if chunk:
                return chunk
            if self.broken:
                return b""
            if self._final is not None:
                final, self._final = self._final, b""
                return final
            await self._changed.wait()

    def _take(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        if self._lost:
            parts += self._resync()
        while self._lines and size < CHUNK_BYTES:
            line = self._lines.popleft()
            self._size_bytes -= len(line)
            size += len(line)
            parts.append(line)
        if parts:
            self._wake()
        return b"".join(parts)

    def _resync(self) -> list[bytes]:
        events: list[dict[str, Any]] = [{"event": "resync", "lost": self._lost}]
        self._lost = 0
        if self.snapshot is not None:
            events += self.snapshot()
        return [encode_line({"event": event}) for event in events]

    def _clear(self) -> None:
        self._lines.clear()
        self._size_bytes = 0

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
