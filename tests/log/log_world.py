"""Writers with keys, for the tests of the log: small histories, honest and not."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.identity.keys import NodeKey
from mesh.log.frame import Frame, SignedHeader, open_header, seal
from mesh.log.log import Log, LogConfig
from mesh.log.model import EMPTY, Digest, FeedId, Head, Lane
from mesh.log.store import FrameStore
from mesh.types import MeshId, NodeId

MESH = MeshId(bytes(range(32)))
SEEN = bytes(8)
WALL_MS = 1_790_000_000_000
KEYS = tuple(NodeKey(bytes([number]) * 32) for number in range(1, 6))


def feed_of(key: NodeKey, epoch: int = 0, lane: Lane = Lane.AC) -> FeedId:
    return FeedId(key.node_id, epoch.to_bytes(8, "big"), int(lane))


def sealed(
    key: NodeKey, feed: FeedId, parent: Head, events: Sequence[bytes], mesh: MeshId = MESH
) -> Frame:
    return seal(key.sign, mesh, feed, parent, events, wall_ms=WALL_MS, seen=SEEN)


def history(key: NodeKey, feed: FeedId, counts: Sequence[int], mark: bytes = b"") -> list[Frame]:
    """Frames of so many events each, one after the other."""
    return continued(key, feed, EMPTY, counts, mark)


def continued(
    key: NodeKey, feed: FeedId, head: Head, counts: Sequence[int], mark: bytes = b""
) -> list[Frame]:
    frames = []
    for count in counts:
        events = [b"event %d of %b%b" % (head.count + n, feed.epoch, mark) for n in range(count)]
        frames.append(sealed(key, feed, head, events))
        head = frames[-1].signed.head
    return frames


def spoiled(signed: SignedHeader) -> SignedHeader:
    """The same header under a signature that is none."""
    return open_header(signed.data, bytes(64))


def new_log(store: FrameStore | None = None, me: NodeId = KEYS[0].node_id) -> Log:
    return Log(LogConfig(MESH, me), store)


def log_of(frames: Sequence[Frame]) -> Log:
    log = new_log()
    for frame in frames:
        log.add_frame(frame)
    return log


def snapshot(log: Log) -> tuple[object, ...]:
    """Everything by which two logs may differ from outside."""
    forks = {feed: proof.seq for feed, proof in log.forks.items()}
    return dict(log.heads), forks, log.digest(), [(f.signed.digest, f.body) for f in log.frames()]


def digest(fill: int) -> Digest:
    return Digest(bytes([fill]) * 32)
