"""What one replica holds of the log, and what can be asked of it.

Not here: how anything gets in or out (`log`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import attrs

from mesh.identity.records import FeedPoint
from mesh.limits import (
    LOG_COVERS_MAX,
    LOG_FEEDS_PER_NODE_MAX,
    LOG_HEADERS_BATCH_MAX,
    LOG_NODES_MAX,
)
from mesh.log.chain import DROPPED, HELD, LET_GO, WANTED, Chain, HasPlace
from mesh.log.checkpoint import Cover, Coverage
from mesh.log.forks import ForkProof
from mesh.log.frame import Frame, SignedHeader
from mesh.log.hearing import Hearing
from mesh.log.model import EMPTY, MESH_BYTES, Dot, FeedId, Head, Lane, VersionVector
from mesh.log.orphans import Orphans
from mesh.log.rollup import hash_feeds, hash_writers
from mesh.log.store import FrameStore, MemoryStore
from mesh.types import Digest, MeshId, NodeId


def _anybody(node: NodeId) -> bool:  # noqa: ARG001 - the shape of `may_write`
    return True


@attrs.frozen
class LogConfig:
    """Whose log this is."""

    mesh: MeshId
    me: NodeId
    may_write: Callable[[NodeId], bool] = _anybody
    """Whether a node was ever rightly admitted; frames of others are refused."""
    nodes_max: int = LOG_NODES_MAX
    feeds_per_node_max: int = LOG_FEEDS_PER_NODE_MAX


@attrs.frozen
class Counts:
    """How much there is."""

    feeds: int
    frames: int
    events: int
    """That ever were in these feeds, bodies that went included."""
    lost: int
    """Dropped here, and no checkpoint stands for them."""


class Holdings:
    """The part of `Log` that only looks."""

    def __init__(self, config: LogConfig, store: FrameStore | None = None) -> None:
        self.config = config
        self.store: FrameStore = store if store is not None else MemoryStore()
        self.forks: dict[FeedId, ForkProof] = {}
        """Of each feed that was signed twice, a proof of the lowest place known."""
        self.refused: Counter[str] = Counter()
        """Everything refused so far."""
        self._chains: dict[FeedId, Chain] = {}
        self._heads: dict[FeedId, Head] = {}
        self._feeds: dict[NodeId, set[FeedId]] = {}
        """Of each writer, the feeds that have a chain or a fork."""
        self._disputed: dict[FeedId, list[SignedHeader]] = {}
        self._cuts: dict[NodeId, Mapping[tuple[bytes, int], Head]] = {}
        self._hearings: dict[NodeId, Hearing] = {}
        """Of writers that were removed, and of whom something counts."""
        self._orphans = Orphans()
        self._coverage = Coverage(self._is_heard)
        self._node_digests: dict[NodeId, Digest] = {}
        self._digest: bytes | None = None
        self._mesh = config.mesh[:MESH_BYTES]

    # -- what is known ---------------------------------------------------------------------------
    @property
    def has_room(self) -> bool:
        """Whether frames of others are taken now; not while the disk takes nothing for long."""
        return self.store.has_room()

    @property
    def heads(self) -> VersionVector:
        """How far each feed has come that is not folded into a checkpoint; a live view."""
        return self._heads

    def head(self, feed: FeedId) -> Head:
        """How far this feed has come, folded or not."""
        chain = self._chains.get(feed)
        return chain.head if chain is not None else EMPTY

    def digest(self) -> bytes:
        """8 bytes over heads and forks: equal for equal logs."""
        if self._digest is None:
            self._digest = hash_writers((node, self.node_digest(node)) for node in self.nodes())
        return self._digest

    def nodes(self) -> list[NodeId]:
        """Everybody who has feeds in the version vector, or forks, sorted."""
        feeds = self._heads.keys() | self.forks.keys()
        return sorted({feed.node for feed in feeds})

    def node_digest(self, node: NodeId) -> Digest:
        """The same over one writer's feeds, 32 bytes."""
        known = self._node_digests.get(node)
        if known is None:
            feeds = self._feeds.get(node, ())
            heads = {feed: self._heads[feed] for feed in feeds if feed in self._heads}
            forks = {feed: self.forks[feed].seq for feed in feeds if feed in self.forks}
            known = self._node_digests[node] = hash_feeds(heads, forks)
        return known

    def feeds_of(self, node: NodeId) -> list[FeedId]:
        """All feeds of a writer, also folded ones, sorted."""
        return sorted(self._feeds.get(node, ()))

    def knows(self, feed: FeedId, head: Head) -> bool:
        """Whether `head` is, or was, this feed's head here."""
        chain = self._chains.get(feed)
        return chain.has_head(head) if chain is not None else head == EMPTY

    def is_part(self, held: HasPlace) -> bool:
        """Whether this header counts here."""
        chain = self._chains.get(held.feed)
        return chain is not None and chain.index_of(held) is not None

    def is_waiting(self, held: HasPlace) -> bool:
        """Whether its frame waits for one that it follows."""
        return bool(len(self._orphans)) and self._orphans.has_digest(held.feed, held.digest)

    def headers(
        self, feed: FeedId, from_seq: int, to_seq: int, at_most: int = LOG_HEADERS_BATCH_MAX
    ) -> tuple[SignedHeader, ...]:
        """Headers of the frames that have events in [from_seq, to_seq), oldest first."""
        chain = self._chains.get(feed)
        return tuple(chain.between(from_seq, to_seq, at_most)) if chain is not None else ()

    def frame(self, feed: FeedId, seq: int) -> Frame | None:
        """The frame that has event `seq`; without its body when that is not held."""
        chain = self._chains.get(feed)
        index = chain.find(seq) if chain is not None else None
        if chain is None or index is None:
            return None
        return self._frame(chain, index)

    def frames(self, node: NodeId | None = None) -> Iterator[Frame]:
        """Every frame, perhaps of one writer only, that counts and whose body is held, each feed's
        in order: what a view is made of anew."""
        for feed in sorted(self._chains if node is None else self._feeds.get(node, ())):
            if feed in self._chains:
                yield from self._held(self._chains[feed])

    def frames_again(self, node: NodeId) -> Iterator[Frame]:
        """Every frame of a writer that counts and whose body is held, lanes of few events first.
        The log may change between one and the next."""
        small = (Lane.CTL, Lane.DEP)
        for feed in sorted(self.feeds_of(node), key=lambda feed: (feed.lane not in small, feed)):
            frame = self.frame(feed, 0)
            while frame is not None:
                if frame.body is not None:
                    yield frame
                frame = self.frame(feed, frame.signed.end)

    def wanted(self, feed: FeedId, at_most: int = LOG_HEADERS_BATCH_MAX) -> list[SignedHeader]:
        """Headers whose bodies are neither here nor dropped nor covered, newest first: so that a
        checkpoint is found before what it covers is asked for. An opening is never covered. What
        was let go for a checkpoint that does not count any more is wanted again."""
        chain = self._chains.get(feed)
        found: list[SignedHeader] = []
        if chain is None:
            return found
        covered, at = self._coverage.covered(feed, chain), len(chain.marks)
        while len(found) < at_most and (at := chain.last_lacking(at)) >= 0:
            if chain.end(at) <= covered:
                break
            found.append(chain.headers[at])
        if 0 <= at < len(chain.marks) and len(found) < at_most and self.is_opening(feed, 0):
            found += chain.headers[:1] if chain.last_lacking(1) == 0 else ()
        return found

    def is_opening(self, feed: FeedId, seq: int) -> bool:
        """Whether a frame says under which admission its epoch is written, and the epoch goes on
        counting. A checkpoint in that epoch is judged by it, so none of them can stand for it."""
        return seq == 0 and feed.lane == Lane.CTL and feed in self._heads

    def disputed(self, feed: FeedId) -> tuple[SignedHeader, ...]:
        """Evidence: headers beyond the fork or the cut that this replica happened to have."""
        return tuple(self._disputed.get(feed, ()))

    def covered(self, feed: FeedId) -> int:
        """Events of the feed, from 0 on, that its owner's checkpoint stands for."""
        return self._coverage.covered(feed, self._chains.get(feed))

    def cover(self, feed: FeedId) -> Cover | None:
        """The owner's checkpoint that is in force for this feed."""
        return self._coverage.in_force(feed, self._chains.get(feed))

    def points_to_cover(self, node: NodeId, lane: int) -> tuple[FeedPoint, ...]:
        """What a checkpoint of `node` on `lane` names when it covers all that was written there, as
        far as is known here. Of more than LOG_COVERS_MAX epochs those that are still in the version
        vector come first."""
        heads: dict[FeedId, Head] = {}
        feeds = {feed for feed in self._feeds.get(node, ()) if feed.lane == lane}
        for feed in feeds.union(self._coverage.feeds(node, lane)):
            cover = self.cover(feed)
            heads[feed] = self.head(feed)
            if cover is not None and cover.head.count > heads[feed].count:
                heads[feed] = cover.head
        named = [feed for feed in heads if heads[feed] != EMPTY]
        named.sort(key=lambda feed: (feed not in self._heads, feed))
        return tuple(
            FeedPoint(feed.epoch, int(feed.lane), heads[feed].count, heads[feed].digest)
            for feed in sorted(named[:LOG_COVERS_MAX])
        )

    def lost(self, feed: FeedId) -> int:
        """Events that were dropped here and that no checkpoint stands for; those that may come
        back, since one stood for them once, included."""
        chain = self._chains.get(feed)
        if chain is None or not (DROPPED in chain.marks or LET_GO in chain.marks):
            return 0
        first = chain.find(self._coverage.covered(feed, chain))
        return sum(
            chain.end(index) - chain.start(index)
            for index in range(len(chain.marks) if first is None else first, len(chain.marks))
            if chain.marks[index] in (DROPPED, LET_GO)
        )

    def counts(self) -> Counts:
        """How much is here. Looks at every feed, and at all headers where bodies were dropped."""
        chains = self._chains.values()
        return Counts(
            feeds=len(chains),
            frames=sum(len(chain.marks) for chain in chains),
            events=self.event_count(),
            lost=sum(self.lost(feed) for feed in self._chains),
        )

    def frame_count(self, feed: FeedId) -> int:
        """Frames of one feed, bodies that went included."""
        chain = self._chains.get(feed)
        return len(chain.marks) if chain is not None else 0

    def event_count(self) -> int:
        """Events of all feeds, from their beginnings."""
        return sum(chain.head.count for chain in self._chains.values())

    # -- inside ----------------------------------------------------------------------------------
    def _is_heard(self, by: Dot) -> bool:
        """Whether the word of a checkpoint counts, as far as its writer's removals have a say."""
        hearing, chain = self._hearings.get(by.feed.node), self._chains.get(by.feed)
        if hearing is None or chain is None:
            return True
        end = hearing.end(by.feed, chain.has_head)
        return end is None or by.seq < end

    def _touch(self, feed: FeedId) -> None:
        """Its head, fork or coverage has changed."""
        chain = self._chains.get(feed)
        if chain is None or chain.head == EMPTY or self._coverage.is_folded(chain):
            self._heads.pop(feed, None)
        else:
            self._heads[feed] = chain.head
        self._node_digests.pop(feed.node, None)
        self._digest = None

    def _frame(self, chain: Chain, index: int) -> Frame:
        signed = chain.headers[index]
        body = self.store.body(signed.digest) if chain.marks[index] == HELD else None
        if body is None and chain.marks[index] == HELD:
            chain.marks[index] = WANTED  # the disk has spoiled it: others may still have it
        return Frame(signed, body)

    def _held(self, chain: Chain) -> Iterator[Frame]:
        for index, mark in enumerate(bytes(chain.marks)):
            if mark == HELD:
                frame = self._frame(chain, index)
                if frame.body is not None:
                    yield frame
