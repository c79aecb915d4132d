"""The events of leaves on this node's disk, and what changes in them.

    keep(leaf, segment) -> new parts, once they are on disk
    history(leaf), change(leaf)

One file of framed `LeafEvents` per leaf, appended and synced before anybody hears of them; what a
crash has torn at its end is cut off at the next start. Whose events may be kept is the caller's
business; that they continue the chain of those we have is checked here.
"""

from __future__ import annotations

from collections import defaultdict

import trio

from mesh.leaf.history import Contradicts, History, Segment
from mesh.limits import LEAF_EVENTS_MESSAGE_MAX, LEAF_LOG_BYTES_MAX
from mesh.node.counters import Counters
from mesh.node.leaves.convert import events_message, segment_of
from mesh.ports import Env
from mesh.types import NodeId
from mesh.wire.errors import WireError
from mesh.wire.frame import HEADER_BYTES, FrameReader, frame
from mesh.wire.leaf_messages import LeafEvents
from mesh.wire.schema import decode_message, encode_message

FOLDER = "leaf/events"


class LeafStore:
    """See the module's head. `counters`: what files and peers said that cannot be."""

    def __init__(self, env: Env, counters: Counters) -> None:
        self._env = env
        self._counters = counters
        self._histories: dict[NodeId, History] = {}
        self._sizes: dict[NodeId, int] = {}
        self._locks: defaultdict[NodeId, trio.Lock] = defaultdict(trio.Lock)
        self._changed: defaultdict[NodeId, trio.Event] = defaultdict(trio.Event)

    def history(self, leaf: NodeId) -> History:
        """What we have, read from disk at the first call. A disk that fails: nothing."""
        if leaf not in self._histories:
            self._histories[leaf] = self._load(leaf)
        return self._histories[leaf]

    async def load(self, leaf: NodeId) -> None:
        """Read it without holding up the event loop: checking a long chain takes its time."""
        async with self._locks[leaf]:
            if leaf not in self._histories:
                read = await self._env.exec.run_sync(self._load, leaf)
                self._histories.setdefault(leaf, read)

    def change(self, leaf: NodeId) -> trio.Event:
        """Set when the next new event has been kept. Take it before reading."""
        return self._changed[leaf]

    async def keep(self, leaf: NodeId, segment: Segment) -> tuple[Segment, ...]:
        """Merge and write down; the new parts. Raises Contradicts, StoreFull, OSError: then nothing
        has changed."""
        history = self.history(leaf)
        async with self._locks[leaf]:
            new = history.news(segment)
            if not new:
                return ()
            data = b"".join(_record(leaf, part) for part in new)
            await self._env.exec.run_sync(self._append, leaf, data)
            for part in new:
                history.add(part)
            self._sizes[leaf] += len(data)
            if self._sizes[leaf] > LEAF_LOG_BYTES_MAX:
                await self._rewrite(leaf, history)
        self._changed.pop(leaf, trio.Event()).set()
        return new

    # -- the file --------------------------------------------------------------------------------
    def _append(self, leaf: NodeId, data: bytes) -> None:
        self._env.disk.append(_name(leaf), data)
        self._env.disk.sync(_name(leaf))

    async def _rewrite(self, leaf: NodeId, history: History) -> None:
        segments = (*history.marks(), *history.segments(LEAF_EVENTS_MESSAGE_MAX))
        data = b"".join(_record(leaf, each) for each in segments)
        await self._env.exec.run_sync(self._env.disk.write, _name(leaf), data)
        self._sizes[leaf] = len(data)

    def _load(self, leaf: NodeId) -> History:
        history = History()
        self._sizes[leaf] = 0
        try:
            data = self._env.disk.read(_name(leaf)) or b""
            self._sizes[leaf] = good_bytes = self._replay(history, data)
            if good_bytes < len(data):
                self._counters.add("leaf.events-torn")
                self._env.disk.truncate(_name(leaf), good_bytes)
        except OSError:
            self._counters.add("leaf.events-unreadable")
        return history

    @staticmethod
    def _replay(history: History, data: bytes) -> int:
        """Take in what a file holds; how many bytes of it make sense."""
        good_bytes = 0
        try:
            for payload in FrameReader().feed(data):
                record = decode_message(payload)
                if not isinstance(record, LeafEvents):
                    break
                if record.events:
                    history.add(segment_of(record))
                else:
                    history.recall(segment_of(record))
                good_bytes += HEADER_BYTES + len(payload)
        except (WireError, Contradicts):
            pass  # torn: what follows is from before a crash that was never told to anybody
        return good_bytes


def _name(leaf: NodeId) -> str:
    return f"{FOLDER}/{leaf.hex()}.log"


def _record(leaf: NodeId, segment: Segment) -> bytes:
    return frame(encode_message(events_message(leaf, segment)))
