"""Answering what a peer asks, from what the log has now.

Rules
- An answer is bounded by what was asked and by our own limits, whichever is less; what it costs is
  taken from the peer's bucket before it is made.
- Feeds are named in our own words (`messages`). Names are clear among what is in the version
  vector; one that fits a folded feed, too, does not mean that. A name that fits several of the
  others, because we got another feed since, means the first: the asker sees from the header which
  one it is.

Not here: whether a peer is answered at all (`core`), its buckets (`session`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mesh.limits import SYNC_BODIES_BYTES, SYNC_PROOFS_MAX, SYNC_SECTION_FEEDS_MAX
from mesh.log.log import Log
from mesh.log.model import FeedId
from mesh.log.sync.messages import (
    AFTER,
    DIGEST8_BYTES,
    NOTHING,
    OTHER,
    Bodies,
    FeedName,
    Forks,
    Headers,
    RollUp,
    Section,
    SignedBytes,
    Versions,
    WantBodies,
    WantForks,
    WantHeaders,
)
from mesh.log.sync.vectors import mark_of, pack_roll_up, pack_section, tag_of
from mesh.types import NodeId

SECTION_BYTES = 48
"""What a section weighs besides its entries; an upper bound."""
VERSIONS_BYTES_MAX = 1 << 20
"""Sections of one message together; what is more comes in a second one."""


class Writers:
    """What the log has, by writer. Valid until the log changes."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.nodes = log.nodes()
        self._hashes: dict[NodeId, bytes] | None = None
        self._tags: dict[NodeId, list[tuple[bytes, FeedId]]] = {}

    def hashes(self) -> dict[NodeId, bytes]:
        """Eight bytes for each writer; equal for equal feeds."""
        if self._hashes is None:
            digest = self._log.node_digest
            self._hashes = {node: digest(node)[:DIGEST8_BYTES] for node in self.nodes}
        return self._hashes

    def named(self, prefix: bytes) -> list[NodeId]:
        """Writers whose id begins so."""
        return [node for node in self.nodes if node.startswith(prefix)]

    def feeds_named(self, name: FeedName) -> list[FeedId]:
        """Feeds, also folded ones and those of which only a fork is known, that go by the name;
        folded ones last."""
        return [
            feed
            for node in self.named(name.writer)
            for tag, feed in self._tagged(node)
            if tag.startswith(name.tag)
        ]

    def _tagged(self, node: NodeId) -> list[tuple[bytes, FeedId]]:
        if node not in self._tags:
            log = self._log
            feeds = sorted(log.feeds_of(node), key=lambda f: not (f in log.heads or f in log.forks))
            self._tags[node] = [(tag_of(feed), feed) for feed in feeds]
        return self._tags[node]

    # -- lists -----------------------------------------------------------------------------------
    def roll_up(self) -> RollUp:
        return pack_roll_up(self.hashes())

    def sections(self, nodes: Iterable[NodeId]) -> Iterator[Section]:
        """One for each of these writers, by a prefix of its id that is clear among all we have."""
        size = self.roll_up().prefix_bytes
        for node in nodes:
            feeds = self._log.feeds_of(node)
            heads = {feed: self._log.heads[feed] for feed in feeds if feed in self._log.heads}
            forks = {feed: self._log.forks[feed].seq for feed in feeds if feed in self._log.forks}
            first = dict(list(heads.items())[:SYNC_SECTION_FEEDS_MAX])
            yield pack_section(node[:size], first, forks)


def in_messages(sections: Iterable[Section], asked: tuple[bytes, ...] = ()) -> list[Versions]:
    """As few messages as carry these sections; `asked` goes with the first."""
    made: list[Versions] = []
    batch: list[Section] = []
    size = 0
    for section in sections:
        weight = SECTION_BYTES + len(section.entries) + len(section.forks)
        if batch and size + weight > VERSIONS_BYTES_MAX:
            made.append(Versions(tuple(batch), asked))
            batch, size, asked = [], 0, ()
        batch.append(section)
        size += weight
    if batch or asked:
        made.append(Versions(tuple(batch), asked))
    return made


# -- frames --------------------------------------------------------------------------------------
def answer_headers(log: Log, writers: Writers, want: WantHeaders) -> Headers:
    found = writers.feeds_named(want.feed)
    if not found:
        return Headers(want.request, NOTHING, ())
    feed = found[0]
    head = log.head(feed)
    if want.count and not _has_mark(log, feed, want.count, want.mark):
        return Headers(want.request, OTHER, ())
    if want.count >= head.count or not want.headers_max:
        return Headers(want.request, NOTHING, ())
    signed = log.headers(feed, want.count, head.count, want.headers_max)
    newest_first = tuple(SignedBytes(each.data, each.signature) for each in reversed(signed))
    bodies = _bodies(log, feed, [each.seq for each in signed], want.bodies_bytes_max)
    return Headers(want.request, AFTER, newest_first, bodies)


def _has_mark(log: Log, feed: FeedId, count: int, mark: bytes) -> bool:
    found = log.headers(feed, count - 1, count, 1)
    return bool(found) and found[0].end == count and mark_of(feed, found[0].head) == mark


def answer_bodies(log: Log, want: WantBodies) -> Bodies:
    feed = FeedId(NodeId(want.node), want.epoch, want.lane)
    if not _has_mark(log, feed, want.count, want.mark):
        return Bodies(want.request, (None,) * len(want.seqs))  # of another history than ours
    return Bodies(want.request, _bodies(log, feed, want.seqs, SYNC_BODIES_BYTES))


def _bodies(
    log: Log, feed: FeedId, seqs: Iterable[int], bytes_max: int
) -> tuple[bytes | None, ...]:
    """Bodies of the frames that begin there, until there are enough bytes."""
    bodies: list[bytes | None] = []
    size = 0
    for seq in seqs:
        if size >= bytes_max:
            break
        frame = log.frame(feed, seq)
        body = frame.body if frame is not None and frame.signed.seq == seq else None
        if body is not None and size and size + len(body) > bytes_max:
            break
        bodies.append(body)
        size += len(body) if body is not None else 0
    return tuple(bodies)


# -- forks ---------------------------------------------------------------------------------------
def answer_forks(log: Log, writers: Writers, want: WantForks) -> Forks:
    feeds = {feed for name in want.feeds for feed in writers.feeds_named(name)}
    proofs = [log.forks[feed].encode() for feed in sorted(feeds) if feed in log.forks]
    return Forks(tuple(proofs[:SYNC_PROOFS_MAX]))
