"""One node's share of the replicated state: its log, its own feeds, sync and views, as one core.

Rules
- A process start is an epoch of its own; whatever the disk says, an old one is never written again.
- The first event of an epoch names what the disk has of our older ones. What we wrote and the disk
  has lost comes back from others: then we say so (`Absorb`), and what we write from there on is
  later than it.
- Somebody else writes in our epoch: a copy of this very process. We go on in a new one and say so.
- What the disk does not take waits in memory, up to a bound. Then what others say is not taken, and
  comes again; what we would say ourselves is refused and counted (`unlogged`).
- What others send is in the views before the effects are handed over.

Not here: streams, tasks and the moments of `commit` (the driver), and who is a member
(`mesh.identity`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import attrs

from mesh.identity.records import FeedPoint
from mesh.identity.standing import Cut, Standing
from mesh.limits import EVENT_FEEDS_MAX, LOG_FEED_ROTATE_FRAMES, STATE_SLICE_ROWS
from mesh.log.added import Added
from mesh.log.checkpoint import covers_in
from mesh.log.frame import Frame, Sign
from mesh.log.hearing import Hearing, kept_by
from mesh.log.log import Log, LogConfig
from mesh.log.model import EMPTY, EPOCH_BYTES, FeedId, Head, Lane
from mesh.log.store import FrameStore
from mesh.log.sync import Blame, Effect, Learned, Send, Sync, SyncConfig
from mesh.log.sync.messages import Message
from mesh.log.writer import FeedWriter, WriterConfig
from mesh.state.changes import Changes
from mesh.state.events import Absorb, Checkpoint, Event, Open, encode_event, lane_of
from mesh.state.runs import RunKey
from mesh.state.views import Draft, KeptState, State
from mesh.types import Digest, MeshId, NodeId, digest_of

Act = Send | Blame


@attrs.frozen
class ReplicaConfig:
    """Whose share it is."""

    mesh: MeshId
    me: NodeId
    sign: Sign
    """`NodeKey.sign`."""
    admission: bytes
    """`ref_of` the record that admits us: under it we write."""
    wall_ms: Callable[[], int]
    """For people; decides nothing."""
    token: Callable[[int], bytes]
    """So many random bytes that nobody can guess."""
    draw: Callable[[], float]
    """A float in [0, 1)."""
    standing: Standing
    """Who was ever rightly admitted, and what removals have cut (`Roster.standing`)."""
    host: str = ""
    sync: SyncConfig | None = None
    slice_rows: int = STATE_SLICE_ROWS
    """Rows that one verb looks at; `handle_timer` goes on with the rest."""


@attrs.frozen
class CheckpointDraft:
    """What a checkpoint will cover, and its state, not yet encoded."""

    covers: tuple[FeedPoint, ...]
    state: Draft


class Replica:
    """See the module's head. Everything on disk is loaded when it is made."""

    def __init__(self, config: ReplicaConfig, store: FrameStore, now_s: float) -> None:
        self.config = config
        self.standing = config.standing
        self.log = Log(LogConfig(config.mesh, config.me, self._may_write), store)
        self.state = State(config.me, config.standing)
        """It folds at once what the disk has: this may be done in a thread."""
        self.counters: Counter[str] = Counter()
        self.on_sealed: list[Callable[[Frame], None]] = []
        """Called with every frame of our own."""
        self.on_changes: list[Callable[[Changes], None]] = []
        """Called with everything that became different in the views."""
        self.unlogged = 0
        """Events of our own that were refused for want of room."""
        for added in self.log.load():
            self._fold(added)
        self._cut_removed()
        self._hear(self.standing.cuts)
        self.state.slice_rows = config.slice_rows
        self._admission = config.admission
        self._is_over = False
        """Whether the admission under which our epoch was opened has ended, and another begun."""
        self._vital: dict[tuple[Lane, bool], Frame] = {}
        """Of our own frames of this epoch: the one that begins it, and the last checkpoint of each
        lane. By lane, and whether it is a checkpoint."""
        self._named: dict[FeedId, Head] = {}
        """Own heads of other epochs, as far as we have said that we know them."""
        writing = WriterConfig(
            config.mesh, config.me, config.sign, seen=self.log.digest, wall_ms=config.wall_ms
        )
        opening = self._opening()
        self.writer = FeedWriter(writing, self.new_epoch(), encode_event(opening), now_s)
        sync = config.sync or SyncConfig(config.me)
        self.sync = Sync(sync, self.log, config.draw)

    # -- verbs -----------------------------------------------------------------------------------
    def write(self, event: Event, now_s: float, lane: Lane | None = None) -> list[Act]:
        """Say something. It is sealed, and told, within LOG_FRAME_DELAY_S. While there is no room
        (`has_room`) it is not said, and counted."""
        if not self.has_room:
            self.unlogged += 1
            return []
        return self._say(event, now_s, lane)

    @property
    def has_room(self) -> bool:
        """Whether the log takes events of our own now."""
        return self.log.store.has_room(for_own=True)

    def _say(self, event: Event, now_s: float, lane: Lane | None = None) -> list[Act]:
        where = lane_of(event)
        chosen = where if where is not None else lane
        assert chosen is not None, "an event of any lane needs one"
        acts = self._go_on(now_s) if self._is_over else []
        return acts + self._publish(self.writer.append(chosen, encode_event(event), now_s), now_s)

    def flush(self, now_s: float) -> list[Act]:
        """Seal what waits, and tell it."""
        return self._publish(self.writer.flush(), now_s)

    def receive(self, peer: NodeId, message: Message, now_s: float) -> list[Act]:
        return self._take(self.sync.receive(peer, message, now_s), now_s)

    def heard_digest(self, peer: NodeId, digest: bytes, now_s: float) -> list[Act]:
        return self._take(self.sync.heard_digest(peer, digest, now_s), now_s)

    def peer_up(self, peer: NodeId, now_s: float) -> list[Act]:
        return self._take(self.sync.peer_up(peer, now_s), now_s)

    def peer_down(self, peer: NodeId, now_s: float) -> list[Act]:
        return self._take(self.sync.peer_down(peer, now_s), now_s)

    def stand(self, standing: Standing) -> None:
        """The roster has changed."""
        removed = self.standing.cuts.keys() | standing.cuts.keys()
        self.standing = standing
        self._changed(self.state.stand(standing))
        self._cut_removed()
        if self._hear(removed):
            self.sync.look_for_gaps()
        self._renew()

    def checkpoint(
        self, lane: Lane, now_s: float, keep_run: Callable[[RunKey], bool] = lambda _run: True
    ) -> tuple[KeptState | None, list[Act]]:
        """Say in one blob what all we have written on a lane comes to; None when that is nothing.
        The blob must be stored before the effects are performed."""
        draft, acts = self.draft_checkpoint(lane, now_s, keep_run)
        if draft is None:
            return None, acts
        kept = draft.state.finish()
        return kept, acts + self.write_checkpoint(draft, kept, now_s)

    def draft_checkpoint(
        self, lane: Lane, now_s: float, keep_run: Callable[[RunKey], bool] = lambda _run: True
    ) -> tuple[CheckpointDraft | None, list[Act]]:
        """The first half of it: `finish` what it returns wherever there is time for that, store the
        blob, and give both to `write_checkpoint`. None also while the views are behind, and when
        something we wrote on the lane was dropped here: others may have it, and would lose it."""
        acts = self._publish(self.writer.flush(), now_s)
        covers = self.log.points_to_cover(self.config.me, lane)
        if not covers or not self.has_room or self.state.is_behind or self._has_lost_own(lane):
            return None, acts
        return CheckpointDraft(covers, self.state.checkpoint(lane, keep_run=keep_run)), acts

    def lacks_own(self, lane: Lane) -> bool:
        """Whether something we wrote on a lane is not here and may come back from others: a
        checkpoint would leave it out."""
        own = (feed for feed in self.log.feeds_of(self.config.me) if feed.lane == lane)
        return self.state.lacks_own() or any(self.log.wanted(feed, 1) for feed in own)

    def _has_lost_own(self, lane: Lane) -> bool:
        own = self.log.feeds_of(self.config.me)
        return any(self.log.lost(feed) for feed in own if feed.lane == lane)

    def write_checkpoint(self, draft: CheckpointDraft, kept: KeptState, now_s: float) -> list[Act]:
        """The second half. What was written meanwhile is not covered; should our feeds have become
        shorter, nothing is said."""
        me = self.config.me
        for each in draft.covers:
            feed = FeedId(me, each.epoch, each.lane)
            cover, head = self.log.cover(feed), Head(each.count, each.head)
            if not self.log.knows(feed, head) and (cover is None or cover.head != head):
                return []
        event = Checkpoint(draft.covers, digest_of(kept.data), len(kept.data), kept.rows)
        return self.write(event, now_s, kept.lane)

    def load_state(self, digest: Digest, data: bytes) -> None:
        """The blob of a checkpoint that `state.wanted` named; it has been checked."""
        self._changed(self.state.load(digest, data))

    def lost(self, feed: FeedId, below: int) -> None:
        """Bodies up to there were dropped, and no checkpoint stands for them."""
        self._changed(self.state.lost(feed, below))

    def scrub(self, now_s: float) -> list[Act]:
        """Read every body that is kept; what the disk has spoiled is wanted again from others."""
        for _ in self.log.frames():
            pass
        return self.look_for_gaps(now_s)

    def look_for_gaps(self, now_s: float) -> list[Act]:
        """Bodies that the disk has spoiled are wanted again from others. How our epoch was opened,
        and what we have said in short, we know while it lasts: were that lost on all disks, nobody
        who comes could judge the one, or would have what the other stands for."""
        for frame in self._vital.values():
            if any(each.seq == frame.signed.seq for each in self.log.wanted(frame.feed)):
                self._learned(self.log.add_frame(frame, verified=True))
        self.sync.look_for_gaps()
        return self._take(self.sync.handle_timer(now_s), now_s)

    def handle_timer(self, now_s: float) -> list[Act]:
        acts = self._publish(self.writer.handle_timer(now_s), now_s)
        if self.sync.next_timer_s <= now_s:
            acts += self._take(self.sync.handle_timer(now_s), now_s)
        if self.state.is_behind:
            self._changed(self.state.go_on())
        return acts

    @property
    def next_timer_s(self) -> float:
        """When `handle_timer` is due; long ago while the views have something left to do."""
        if self.state.is_behind:
            return -float("inf")
        writer_s = self.writer.next_timer_s
        return min(self.sync.next_timer_s, writer_s if writer_s is not None else float("inf"))

    # -- our own feeds ---------------------------------------------------------------------------
    def new_epoch(self) -> bytes:
        """A name that nobody has written under, also not we before a disk was restored."""
        return self.config.token(EPOCH_BYTES)

    def _opening(self) -> Open:
        known = self._own_heads()
        self._named.update(known)
        return Open(self._admission, _points(known), self.config.host)

    def _own_heads(self) -> dict[FeedId, Head]:
        return {
            feed: self.log.head(feed)
            for feed in self.log.feeds_of(self.config.me)
            if self.log.head(feed) != EMPTY
        }

    def _look_after_own(self, now_s: float) -> list[Act]:
        """What has arrived may be our own."""
        acts: list[Act] = []
        if not self.writer.is_ours(self.log.heads):
            self.counters["clone"] += 1
            acts += self._go_on(now_s)
        unknown = self.writer.unknown_own(self.log.heads, self._named)
        if unknown:
            self.counters["absorbed"] += 1
            self._named.update(unknown)
            acts += self._say(Absorb(_points(unknown)), now_s)
        return acts

    def renew_long(self, now_s: float) -> list[Act]:
        """Go on in a new epoch well before a feed of this one is as long as anybody takes."""
        longest = max(self.log.frame_count(self.writer.feed(lane)) for lane in Lane)
        return self._go_on(now_s) if longest >= LOG_FEED_ROTATE_FRAMES else []

    def _go_on(self, now_s: float) -> list[Act]:
        """In a new epoch."""
        self._is_over = False
        opening = encode_event(self._opening())
        return self._publish(self.writer.rotate(self.new_epoch(), opening, now_s), now_s)

    def _renew(self) -> None:
        """Who was removed and admitted anew before it heard of either: what it writes from here on
        is said under the admission that is in force. The epoch begins with the next event."""
        lives = self.standing.lives.get(self.config.me, ())
        in_force = [life for life in lives if not life.cuts]
        if in_force and all(life.ref != self._admission for life in in_force):
            best = max(in_force, key=lambda life: (life.role, life.ref))
            self._admission, self._is_over = best.ref, True

    def _publish(self, frames: Iterable[Frame], now_s: float) -> list[Act]:
        frames = list(frames)
        if not frames:
            return []
        for frame in frames:
            self._remember(frame)
            added = self.log.add_frame(frame, verified=True)
            for tell in self.on_sealed:
                tell(frame)
            self._learned(added)
        return self._take(self.sync.published(frames, now_s), now_s)

    def _remember(self, frame: Frame) -> None:
        lane, covers = Lane(frame.feed.lane), bool(covers_in(frame))
        if covers or (lane == Lane.CTL and frame.signed.seq == 0):
            self._vital[lane, covers] = frame

    # -- what others say -------------------------------------------------------------------------
    def _take(self, effects: Iterable[Effect], now_s: float) -> list[Act]:
        acts: list[Act] = []
        learned = False
        for effect in effects:
            if isinstance(effect, Learned):
                learned = True
                self._learned(effect.added)
            else:
                acts.append(effect)
        if learned:
            acts += self._look_after_own(now_s)
        return acts

    def _learned(self, added: Added) -> None:
        self._fold(added)
        if self._hear(_judged_anew(added) & self.standing.cuts.keys()):
            self.sync.look_for_gaps()

    def _fold(self, added: Added) -> None:
        if added.frames or added.forks or added.withdrawn:
            self._changed(self.state.apply(added.frames, added.forks, added.withdrawn))

    def _changed(self, changes: Changes) -> None:
        for node in changes.again:
            self._changed(self.state.refold(node, self.log.frames_again(node)))
        if changes:
            for tell in self.on_changes:
                tell(changes)

    # -- who may write ---------------------------------------------------------------------------
    def _hear(self, nodes: Iterable[NodeId]) -> bool:
        """Tell the log how far the word of these counts. Whether that is news."""
        news = [node for node in sorted(nodes) if self.log.hear(node, self._hearing(node))]
        return bool(news)

    def _hearing(self, node: NodeId) -> Hearing | None:
        cuts = self.standing.cuts.get(node)
        if cuts is None:
            return None
        epochs = dict.fromkeys(feed.epoch for feed in self.log.feeds_of(node))
        named = {epoch: kept_by(self.state.cuts_of(node, epoch)) for epoch in epochs}
        return Hearing(kept_by(cuts), named)

    def _may_write(self, node: NodeId) -> bool:
        return node in self.standing.lives

    def _cut_removed(self) -> None:
        """Of those who are gone for good the log keeps only what their removals keep, and nothing
        of those whose admission has turned out to be none. Who is in again is as everybody."""
        lives, cuts = self.standing.lives, self.standing.cuts
        for node in self.log.nodes():
            if node not in lives and node not in cuts:
                self._fold(self.log.cut(node, {}))
        for node, each in cuts.items():
            if all(life.cuts for life in lives.get(node, ())):
                self._fold(self.log.cut(node, _kept(each)))
        for node in sorted(self.log.cut_nodes):
            if any(not life.cuts for life in lives.get(node, ())):
                self.log.uncut(node)


def _judged_anew(added: Added) -> set[NodeId]:
    """Whose epochs may be under another admission now, as far as anybody can tell."""
    openings = (frame.feed for frame in added.frames if frame.signed.seq == 0)
    feeds = [*(feed for feed in openings if feed.lane == Lane.CTL), *added.withdrawn]
    return {feed.node for feed in (*feeds, *(proof.feed for proof in added.forks))}


def _kept(cuts: Iterable[Cut]) -> dict[tuple[bytes, int], Head]:
    """The heads that all of these cuts keep."""
    kept: dict[tuple[bytes, int], Head] | None = None
    for cut in cuts:
        heads = {(point.epoch, point.lane): Head(point.count, point.head) for point in cut}
        if kept is not None:
            heads = {
                feed: min(head, heads[feed], key=lambda head: (head.count, head.digest))
                for feed, head in kept.items()
                if feed in heads
            }
        kept = heads
    return kept or {}


def _points(heads: Mapping[FeedId, Head]) -> tuple[FeedPoint, ...]:
    """As events name them; the newest when there are more than fit."""
    points = [
        FeedPoint(feed.epoch, feed.lane, head.count, head.digest)
        for feed, head in sorted(heads.items())
    ]
    return tuple(points[:EVENT_FEEDS_MAX])
