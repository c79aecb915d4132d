"""Events of leaves on this gateway's disk, in order, until the mesh's log has them.

    put(leaf, segment)      on disk when it returns: only then may the leaf forget them
    segments(leaf)          what waits, oldest first
    drop(leaf, count)       the first so many segments are durable elsewhere

One file of framed `LeafEvents` for each leaf, appended and synced. What a crash has torn at its end
was promised to nobody and is cut off at the next start. That something is dropped is not written
down each time: what comes back at the next start is in the log already, and told once.

Bounded: a leaf whose events wait for too long keeps the next ones itself. Deliberately not here:
the log (`entering`), and what is known of a leaf altogether (`mesh.state.leaves`).
"""

from __future__ import annotations

from collections import defaultdict

import attrs
import trio

from mesh.errors import StoreFull
from mesh.leaf.segment import Segment
from mesh.limits import LEAF_WAITING_BYTES_MAX, LEAF_WAITING_DROP_BYTES
from mesh.log.model import Lane
from mesh.node.counters import Counters
from mesh.ports import Env
from mesh.state.events import LeafEvents, decode_event, encode_event
from mesh.state.leaves import segment_in, written
from mesh.types import NodeId
from mesh.wire.errors import WireError
from mesh.wire.frame import HEADER_BYTES, FrameReader, frame

FOLDER = "leaf/waiting"
_SUFFIX = ".log"


@attrs.define
class _Queue:
    """Of one leaf."""

    segments: list[Segment] = attrs.Factory(list)
    size_bytes: int = 0
    """Of the file; more than what waits, until it is written anew."""


class WaitingEvents:
    """See the module's head. `counters`: what files said that cannot be."""

    def __init__(self, env: Env, counters: Counters) -> None:
        self._env = env
        self._counters = counters
        self._queues: dict[NodeId, _Queue] = {}
        self._locks: defaultdict[NodeId, trio.Lock] = defaultdict(trio.Lock)

    async def load(self) -> None:
        """Read what an earlier process left, without holding up the event loop."""
        for leaf in self._left():
            async with self._locks[leaf]:
                if leaf not in self._queues:
                    self._queues[leaf] = await self._env.exec.run_sync(self._load, leaf)

    def leaves(self) -> list[NodeId]:
        """Of which something waits."""
        return sorted(leaf for leaf, queue in self._queues.items() if queue.segments)

    def segments(self, leaf: NodeId) -> tuple[Segment, ...]:
        queue = self._queues.get(leaf)
        return tuple(queue.segments) if queue is not None else ()

    def last(self, leaf: NodeId, boot_nonce: bytes) -> Segment | None:
        """The newest that waits of that start."""
        newest_first = reversed(self.segments(leaf))
        return next((each for each in newest_first if each.boot_nonce == boot_nonce), None)

    async def put(self, leaf: NodeId, segment: Segment) -> None:
        """Write down. Raises StoreFull, OSError: then nothing has changed."""
        queue = self._queues.setdefault(leaf, _Queue())
        data = frame(encode_event(written(leaf, segment)))
        async with self._locks[leaf]:
            if queue.size_bytes + len(data) > LEAF_WAITING_BYTES_MAX:
                raise StoreFull(path=_name(leaf))
            await self._env.exec.run_sync(self._append, leaf, data)
            queue.segments.append(segment)
            queue.size_bytes += len(data)

    async def drop(self, leaf: NodeId, count: int) -> None:
        """Forget the oldest. Raises StoreFull, OSError: then they come back at the next start."""
        queue = self._queues[leaf]
        async with self._locks[leaf]:
            del queue.segments[:count]
            if queue.size_bytes < LEAF_WAITING_DROP_BYTES:
                return
            left = [frame(encode_event(written(leaf, each))) for each in queue.segments]
            data = b"".join(left)
            await self._env.exec.run_sync(self._replace, leaf, data)
            queue.size_bytes = len(data)

    # -- the file --------------------------------------------------------------------------------
    def _append(self, leaf: NodeId, data: bytes) -> None:
        self._env.disk.append(_name(leaf), data)
        self._env.disk.sync(_name(leaf))

    def _replace(self, leaf: NodeId, data: bytes) -> None:
        if data:
            self._env.disk.write(_name(leaf), data)
        else:
            self._env.disk.truncate(_name(leaf), 0)

    def _left(self) -> list[NodeId]:
        try:
            names = self._env.disk.names(FOLDER)
            return [NodeId(bytes.fromhex(each.removesuffix(_SUFFIX))) for each in sorted(names)]
        except (OSError, ValueError):
            self._counters.add("leaf.events-unreadable")
            return []

    def _load(self, leaf: NodeId) -> _Queue:
        queue = _Queue()
        try:
            data = self._env.disk.read(_name(leaf)) or b""
            queue = _replayed(leaf, data)
            if queue.size_bytes < len(data):
                self._counters.add("leaf.events-torn")
                self._env.disk.truncate(_name(leaf), queue.size_bytes)
        except OSError:
            self._counters.add("leaf.events-unreadable")
        return queue


def _replayed(leaf: NodeId, data: bytes) -> _Queue:
    """What a file holds, as far as it makes sense."""
    queue = _Queue()
    try:
        for payload in FrameReader().feed(data):
            record = decode_event(payload, Lane.LEAF)
            if not isinstance(record, LeafEvents) or record.leaf != leaf:
                break
            queue.segments.append(segment_in(record))
            queue.size_bytes += HEADER_BYTES + len(payload)
    except WireError:
        pass  # torn: what follows is from before a crash that was never told to anybody
    return queue


def _name(leaf: NodeId) -> str:
    return f"{FOLDER}/{leaf.hex()}{_SUFFIX}"
