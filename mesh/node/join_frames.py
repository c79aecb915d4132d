"""Whole frames on a byte stream, for join conversations: at most one message is ever pending."""

from __future__ import annotations

from collections import deque

import trio

from mesh.limits import JOIN_MESSAGE_TIMEOUT_S
from mesh.ports import ByteStream, StreamBroken
from mesh.wire.errors import WireError
from mesh.wire.frame import FrameReader, frame


class Frames:
    """Sends and receives frames; `frame_bytes_max` bounds what the other side may send."""

    def __init__(self, stream: ByteStream, frame_bytes_max: int) -> None:
        self._stream = stream
        self._reader = FrameReader(frame_bytes_max)
        self._ready: deque[bytes] = deque()

    async def next(self) -> bytes | None:
        """The next frame; None when there is none any more, for whatever reason: the end, a lost
        connection, or a length beyond the bound."""
        while not self._ready:
            try:
                data = await self._stream.receive_some()
                self._ready.extend(self._reader.feed(data))
            except (StreamBroken, WireError):
                return None
            if not data:
                return None
        return self._ready.popleft()

    async def send(self, payload: bytes) -> None:
        """Send one frame. Raises StreamBroken, also when the other side does not read."""
        with trio.move_on_after(JOIN_MESSAGE_TIMEOUT_S) as stuck:
            await self._stream.send_all(frame(payload))
        if stuck.cancelled_caught:
            raise StreamBroken("the other side does not read")
