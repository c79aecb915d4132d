"""What an owner's checkpoint covers: events whose bodies may go, and epochs that need no mention.

Rules
- A checkpoint is an event of kind 2, alone in its frame, on the lane it is about. It names heads of
  its writer's own feeds of that lane: what they hold is in the state it names, or was let go.
- Only the owner's word counts, and only about its own feeds. Of several checkpoints the one that
  covers most is in force; one that names a head the feed never had covers nothing, and neither does
  one that a removal of its writer has cut off (`hearing`).
- A feed that is covered to its end is **folded**: it is not in the version vector any more. Its
  headers are kept by those who have them; nobody has to fetch them.
- A checkpoint names all epochs of its lane anew, also folded ones: the one before it may be
  dropped, and a replica that comes back with an old epoch must find it covered still.
- So nobody is waited for: a member that never comes back stops no clearing up.

Not here: the state itself and the class of the event (`mesh.state`), the dropping (`retention`).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mesh.identity.records import FeedPoint
from mesh.limits import (
    LOG_COVERS_MAX,
    LOG_COVERS_PER_FEED_MAX,
    LOG_EPOCHS_BEFORE_CHECKPOINT,
)
from mesh.log.chain import Chain
from mesh.log.frame import Frame
from mesh.log.model import Dot, FeedId, Head, VersionVector
from mesh.types import DIGEST_BYTES, Digest, NodeId
from mesh.wire import schema
from mesh.wire.errors import WireError
from mesh.wire.schema import array, c_struct, fixed, struct, uint

KIND_CHECKPOINT = 2
_FIRST = bytes((0x80 | 5, KIND_CHECKPOINT))


@struct
class CheckpointEvent:
    """A checkpoint as far as the log is concerned."""

    kind: int = uint(KIND_CHECKPOINT)
    covers: tuple[FeedPoint, ...] = array(c_struct(FeedPoint), LOG_COVERS_MAX)
    state: bytes = fixed(DIGEST_BYTES)
    """Name of the blob that holds it."""
    state_bytes: int = uint()
    rows: int = uint()


def is_checkpoint(event: bytes) -> bool:
    """Whether the event says that it is one; cheap, for the writer."""
    return event.startswith(_FIRST)


def read_checkpoint(event: bytes) -> CheckpointEvent:
    """Decode and check. Raises WireError."""
    read = schema.decode_struct(CheckpointEvent, event)
    if read.kind != KIND_CHECKPOINT:
        raise WireError("kind", str(read.kind))
    feeds = [(point.epoch, point.lane) for point in read.covers]
    if sorted(set(feeds)) != feeds or not all(point.count for point in read.covers):
        raise WireError("points", "feeds out of order, twice, or empty")
    if not read.covers or len({lane for _, lane in feeds}) != 1:
        raise WireError("covers", "nothing, or several lanes")
    return read


@attrs.frozen(order=True)
class Cover:
    """One feed up to one head, by the owner's word."""

    head: Head = attrs.field(order=lambda head: (head.count, head.digest))
    by: Dot
    """The checkpoint that says so."""
    state: Digest
    """Name of the blob that stands for it."""


def covers_in(frame: Frame) -> dict[FeedId, Cover]:
    """What the frame says is covered; empty for nearly all frames."""
    header, feed = frame.signed.header, frame.feed
    if header.count != 1 or frame.body is None or not is_checkpoint(frame.events[0]):
        return {}
    try:
        read = read_checkpoint(frame.events[0])
    except WireError:
        return {}  # the views count it against its writer
    by = Dot(feed, frame.signed.seq)
    return {
        FeedId(feed.node, point.epoch, point.lane): Cover(
            Head(point.count, point.head), by, Digest(read.state)
        )
        for point in read.covers
        if point.lane == feed.lane
    }


def _every(_by: Dot) -> bool:
    return True


class Coverage:
    """All covers that are known, the largest of each feed; of those that count, if there are such.
    `counts`: whether the word of a checkpoint does."""

    def __init__(self, counts: Callable[[Dot], bool] = _every) -> None:
        self._counts = counts
        self._covers: dict[FeedId, list[Cover]] = {}
        self._cropped: dict[FeedId, None] = {}
        """Feeds of which there were more than are remembered."""

    def add(self, feed: FeedId, cover: Cover) -> None:
        covers = self._covers.setdefault(feed, [])
        if cover not in covers:
            covers.append(cover)
            covers.sort(key=lambda each: (self._counts(each.by), each), reverse=True)
            if len(covers) > LOG_COVERS_PER_FEED_MAX:
                covers.pop()
                self._cropped[feed] = None

    def forget_cropped(self, node: NodeId) -> bool:
        """All about feeds of a writer of which there were more covers than are remembered; whether
        there was any such feed. To be learned again when others of them count than before."""
        cropped = [feed for feed in self._cropped if feed.node == node]
        for feed in cropped:
            del self._cropped[feed]
            del self._covers[feed]
        return bool(cropped)

    def forget(self, source: FeedId, from_seq: int) -> tuple[list[FeedId], bool]:
        """What checkpoints in `source` from that event on say. Returns the feeds that were covered
        by them, and whether some of these had covers that are not remembered any more."""
        touched, incomplete = [], False
        for feed, covers in list(self._covers.items()):
            kept = [c for c in covers if c.by.feed != source or c.by.seq < from_seq]
            if len(kept) < len(covers):
                touched.append(feed)
                self._covers[feed] = kept
                incomplete |= feed in self._cropped
                self._cropped.pop(feed, None)
        return touched, incomplete

    def in_force(self, feed: FeedId, chain: Chain | None) -> Cover | None:
        """The largest that counts and fits the feed's history, as far as we have it."""
        for cover in self._covers.get(feed, ()):
            if not self._counts(cover.by):
                continue
            if chain is None or chain.head.count < cover.head.count or chain.has_head(cover.head):
                return cover
        return None

    def covered(self, feed: FeedId, chain: Chain | None) -> int:
        """Events of the feed, from 0 on, whose bodies nobody needs."""
        cover = self.in_force(feed, chain)
        return cover.head.count if cover is not None else 0

    def feeds(self, node: NodeId, lane: int) -> list[FeedId]:
        """Feeds of a writer that are covered, if only in part."""
        return [feed for feed in self.feeds_of(node) if feed.lane == lane]

    def feeds_of(self, node: NodeId) -> list[FeedId]:
        """The same on all lanes; also by checkpoints that do not count."""
        return [feed for feed, covers in self._covers.items() if covers and feed.node == node]

    def is_folded(self, chain: Chain) -> bool:
        covers = self._covers.get(chain.feed)
        return covers is not None and self.covered(chain.feed, chain) >= chain.head.count


def is_due(heads: VersionVector, node: NodeId) -> bool:
    """Whether the node has so many epochs that it should write its checkpoints."""
    epochs = {feed.epoch for feed in heads if feed.node == node}
    return len(epochs) > LOG_EPOCHS_BEFORE_CHECKPOINT
