"""A bulk stream as the fetching side sees it, and the few that are kept per peer.

Rules: every wait for the other side is bounded. A peer that is silent for `bulk_stall_s`, or needs
more than `bulk_message_s` for one message (a chunk at most), has broken the stream: a frozen holder
costs seconds, one that drips bytes cannot make anybody wait for long.

Not here: what is asked and whether it is right (`mesh.node.blobs`), serving.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from typing import Any

import attrs
import trio

from mesh.node.config import LinkConfig
from mesh.ports import ByteStream, StreamBroken
from mesh.wire.blob_messages import PieceView, take_piece
from mesh.wire.inplace import FrameBuffer
from mesh.wire.schema import decode_message

CLOSE_S = 1.0


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Let the block take that long; StreamBroken beyond."""
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise StreamBroken("stalled") from None


@attrs.define
class Bulk:
    """An open bulk stream and what was read ahead on it."""

    stream: ByteStream
    config: LinkConfig
    frames: FrameBuffer = attrs.field(factory=FrameBuffer)
    ready: deque[Any] = attrs.field(factory=deque)

    async def send(self, data: bytes) -> None:
        """Raises StreamBroken."""
        with patience(self.config.bulk_message_s):
            await self.stream.send_all(data)

    async def next(self) -> Any:
        """The next message; a piece of a blob as a PieceView when it is large, to be said to be
        `done` with. Raises StreamBroken, WireError."""
        if not self.ready:
            await self._read()
        return self.ready.popleft()

    def done(self, piece: PieceView) -> None:
        """Its memory may be used again."""
        self.frames.give_back(piece.data)

    async def _read(self) -> None:
        config, stream, frames, ready = self.config, self.stream, self.frames, self.ready
        latest_s = trio.current_time() + config.bulk_message_s
        with trio.CancelScope() as scope:  # one for all: making them costs more than moving them
            while not ready:
                scope.deadline = min(latest_s, trio.current_time() + config.bulk_stall_s)
                count = await stream.receive_into(frames.space())
                if not count:
                    raise StreamBroken("closed")
                ready.extend(map(_decode, frames.filled(count)))
        if scope.cancelled_caught:
            raise StreamBroken("stalled")

    async def close(self) -> None:
        """Close without waiting for the other side for long. Shielded, never raises."""
        with (
            contextlib.suppress(Exception),
            trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S),
        ):
            await self.stream.aclose()


def _decode(payload: bytes | memoryview) -> Any:
    if isinstance(payload, bytes):
        return decode_message(payload)
    return take_piece(payload) or decode_message(bytes(payload))


class Pool:
    """At most a few bulk streams to one peer; idle ones are kept for the next fetch."""

    def __init__(self, limit: int) -> None:
        self.limit = trio.CapacityLimiter(limit)
        self.idle: list[Bulk] = []
        self.users: dict[trio.CancelScope, None] = {}
        """Fetches under way."""
        self.closed = False
        """The peer is gone: streams in use are not kept."""

    def close(self) -> None:
        """End every fetch and close every stream, without waiting for it."""
        self.closed = True
        for scope in list(self.users):
            scope.cancel()
        while self.idle:
            trio.lowlevel.spawn_system_task(self.idle.pop().close)
