"""Replicas of the log that talk to each other without a network: messages go through the codec, in
order, and are counted."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from random import Random

from mesh.identity.keys import NodeKey
from mesh.log.forks import ForkProof
from mesh.log.frame import Frame, seal
from mesh.log.log import Log, LogConfig
from mesh.log.model import EMPTY, FeedId, Head
from mesh.log.sync import Blame, Effect, Learned, Send, Sync, SyncConfig
from mesh.types import MeshId, NodeId
from mesh.wire.schema import decode_message, encode_message

MESH = MeshId(bytes(range(32)))
Spoil = Callable[[NodeId, NodeId, object], object | None]
"""(from, to, message) -> what arrives; None: nothing."""


def key(number: int) -> NodeKey:
    return NodeKey(number.to_bytes(32, "big"))


def chain(
    writer: NodeKey,
    events: Sequence[Sequence[bytes]],
    *,
    epoch: int = 1,
    lane: int = 1,
    parent: Head = EMPTY,
) -> list[Frame]:
    """Frames of one feed, one after the other."""
    feed = FeedId(writer.node_id, epoch.to_bytes(8, "big"), lane)
    frames = []
    for each in events:
        frame = seal(writer.sign, MESH, feed, parent, each, wall_ms=0, seen=bytes(8))
        frames.append(frame)
        parent = frame.signed.head
    return frames


def events(name: str, frames: int, each: int = 1, size: int = 20) -> list[list[bytes]]:
    return [[f"{name} {n} {k}".encode().ljust(size) for k in range(each)] for n in range(frames)]


class Pair:
    """Any number of replicas, all linked; the name is for the common case."""

    def __init__(self, count: int = 2, seed: int = 0, **config: object) -> None:
        self.keys = [key(100 + n) for n in range(count)]
        self.ids = [each.node_id for each in self.keys]
        self.logs = [Log(LogConfig(MESH, node)) for node in self.ids]
        draw = Random(seed).random
        self.syncs = [
            Sync(SyncConfig(node, **config), log, draw)  # type: ignore[arg-type]
            for node, log in zip(self.ids, self.logs, strict=True)
        ]
        self.now_s = 0.0
        self.bytes: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.blamed: list[tuple[int, int, str]] = []
        self.learned: list[list[Frame]] = [[] for _ in self.ids]
        self.forks: list[list[ForkProof]] = [[] for _ in self.ids]
        self.spoil: Spoil = lambda source, to, message: message
        self._mail: deque[tuple[int, int, bytes]] = deque()

    def give(self, replica: int, frames: Sequence[Frame]) -> None:
        for frame in frames:
            assert not self.logs[replica].add_frame(frame).refused

    def connect(self) -> None:
        for one in range(len(self.ids)):
            for other in range(len(self.ids)):
                if one != other:
                    self.perform(one, self.syncs[one].peer_up(self.ids[other], self.now_s))
        self.deliver()

    def perform(self, replica: int, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._post(replica, effect)
            elif isinstance(effect, Learned):
                self.learned[replica] += effect.added.frames
                self.forks[replica] += effect.added.forks
            else:
                assert isinstance(effect, Blame)
                self.blamed.append((replica, self.ids.index(effect.peer), effect.reason))

    def _post(self, replica: int, effect: Send) -> None:
        kind = type(effect.message).__name__
        message = self.spoil(self.ids[replica], effect.to, effect.message)
        if message is None:
            return
        data = encode_message(message)
        self.bytes[kind] += len(data)
        self.sent[kind] += 1
        self._mail.append((replica, self.ids.index(effect.to), data))

    def deliver(self, at_most: int = 20_000) -> None:
        """Until nobody has anything to say."""
        for _ in range(at_most):
            if not self._mail:
                return
            source, to, data = self._mail.popleft()
            message = decode_message(data)
            self.perform(to, self.syncs[to].receive(self.ids[source], message, self.now_s))
        raise AssertionError("they go on and on")

    def run(self, seconds: float) -> None:
        """Let timers fire."""
        end_s = self.now_s + seconds
        while True:
            due = [(sync.next_timer_s, n) for n, sync in enumerate(self.syncs)]
            when_s, replica = min(due)
            if when_s > end_s:
                break
            self.now_s = max(self.now_s, when_s)
            self.perform(replica, self.syncs[replica].handle_timer(self.now_s))
            self.deliver()
        self.now_s = end_s

    @property
    def equal(self) -> bool:
        first = self.logs[0]
        return all(
            log.digest() == first.digest() and dict(log.heads) == dict(first.heads)
            for log in self.logs
        )

    def bodies(self, replica: int) -> int:
        """Frames whose events it has."""
        return sum(1 for _ in self.logs[replica].frames())
