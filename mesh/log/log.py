"""All frames that one replica has: which count, which are missing, what two logs compare.

Rules
- Same frames, same log: heads, forks and digest do not depend on the order of arrival, on
  repetitions, nor on gaps that are filled later.
- A header counts when its signature, or the digest in a header that counts, vouches for it, and
  when it follows what is there without a gap. Its body may come later, or never.
- Two headers on one parent are a fork. The writer's feed ends there, for everybody who has the
  proof; some of what was beyond is kept as evidence and counts nowhere. The writer's other feeds
  and all other writers are untouched.
- An owner may plant a header with a spoiled signature below one that is sound. That is noticed when
  it has a rival; then the sound one is taken, and of two spoiled ones the lower digest.
- While the store has no room for more, frames of others are refused ("full"), forks are not. They
  come again.
- A writer that was removed is cut: only ancestors of the heads that its removal names count. When
  it is in again its frames are taken as before, but not each of its checkpoints (`hear`).
- Nothing a peer says raises; it is counted in `Added.refused`.

Not here: the bytes (`frame`), the disk (`segments`), asking others (`mesh.log.sync`), and what
events mean (`mesh.state`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise

from mesh.limits import LOG_DISPUTED_FRAMES_MAX, LOG_HEADERS_BATCH_MAX
from mesh.log.added import Added, Changes
from mesh.log.chain import DROPPED, HELD, LET_GO, WANTED, Chain, HasPlace
from mesh.log.checkpoint import covers_in
from mesh.log.forks import ForkProof, fork_of
from mesh.log.frame import Frame, SignedHeader
from mesh.log.hearing import Hearing
from mesh.log.holdings import Holdings, LogConfig
from mesh.log.model import EMPTY, FeedId, Head
from mesh.log.store import Stored
from mesh.types import Digest, NodeId
from mesh.wire.errors import WireError

__all__ = ["Added", "Log", "LogConfig"]


class Log(Holdings):
    """See the module's head. Not thread-safe: the event loop owns it."""

    # -- what is added ---------------------------------------------------------------------------
    def add_frame(self, frame: Frame, *, verified: bool = False) -> Added:
        """Take one frame. `verified`: it is our own, or from our own disk, and was checked."""
        changes = Changes()
        self._try(changes, lambda: self._add(frame, changes, verified=verified, own_disk=False))
        return self._done(changes)

    def add_headers(self, newest_first: Sequence[SignedHeader]) -> Added:
        """Take headers of one feed, each the child of the next: the first is checked by its
        signature, the others by the digests. The last must follow something that is here."""
        changes = Changes()
        self._try(changes, lambda: self._add_headers(newest_first, changes))
        return self._done(changes)

    def add_body(self, feed: FeedId, seq: int, body: bytes) -> Added:
        """Take the body of the frame that starts at `seq`."""
        changes = Changes()
        chain = self._chains.get(feed)
        index = chain.find(seq) if chain is not None else None
        if chain is None or index is None or chain.start(index) != seq:
            changes.refused["unknown"] += 1
        else:
            self._try(changes, lambda: self._fill(chain, index, body, changes))
        return self._done(changes)

    def add_fork(self, proof: ForkProof) -> Added:
        """Take somebody's proof."""
        changes = Changes()
        self._try(changes, lambda: self._add_fork(proof, changes))
        return self._done(changes)

    def load(self) -> Iterator[Added]:
        """Take everything that the store has kept, piece by piece, in any order and with holes:
        what follows a hole waits until somebody brings what is missing."""
        for stored in self.store.load():
            changes = Changes()
            if stored.fork is not None:
                self._try(changes, partial(self._add_fork, stored.fork, changes))
            elif stored.frame is not None:
                self._try(changes, partial(self._restore, stored, changes))
            yield self._done(changes)
        for chain in self._chains.values():
            chain.mark_let_go(self._coverage.covered(chain.feed, chain))

    def _restore(self, stored: Stored, changes: Changes) -> None:
        frame = stored.frame
        assert frame is not None
        chain = self._chains.get(frame.feed)
        index = chain.index_of(frame.signed) if chain is not None else None
        mark = DROPPED if stored.is_dropped else None
        if chain is not None and index is not None and mark is not None:
            chain.marks[index] = mark
        else:
            self._add(frame, changes, verified=True, own_disk=True, mark=mark)

    # -- what is taken away ----------------------------------------------------------------------
    def drop(self, headers: Iterable[HasPlace], *, for_room: bool = False) -> int:
        """Let bodies go; returns how many events were in them that no checkpoint stands for.
        `for_room`: they are not wanted again, whatever becomes of checkpoints."""
        gone, lost = [], 0
        for signed in headers:
            chain = self._chains.get(signed.feed)
            index = chain.index_of(signed) if chain is not None else None
            if chain is None or index is None or chain.marks[index] != HELD:
                continue
            gone.append(chain.headers[index])
            is_covered = gone[-1].end <= self._coverage.covered(signed.feed, chain)
            chain.marks[index] = LET_GO if is_covered and not for_room else DROPPED
            lost += 0 if is_covered else gone[-1].header.count
        self.store.drop(gone)
        return lost

    def stop_waiting(self, held: HasPlace) -> None:
        """Forget the frames of a feed that wait for one they follow, from this place on."""
        self._orphans.drop(held.feed, held.seq)

    def cut(self, node: NodeId, heads: Mapping[tuple[bytes, int], Head]) -> Added:
        """The writer is removed: of each (epoch, lane) only ancestors of that head count, and of
        feeds that are not named nothing does."""
        changes = Changes()
        self._cuts[node] = dict(heads)
        for feed in self.feeds_of(node):
            chain = self._chains.get(feed)
            if chain is not None:
                self._cut_chain(chain, changes)
        return self._done(changes)

    def uncut(self, node: NodeId) -> None:
        """The writer is in again: its log grows as before, and what was cut is asked for anew."""
        self._cuts.pop(node, None)

    def hear(self, node: NodeId, hearing: Hearing | None) -> bool:
        """How far the word of a writer counts that was removed; None: as everybody's. What only
        checkpoints beyond that have covered is in the version vector again, and wanted. False: that
        is as it was."""
        if hearing == self._hearings.get(node):
            return False
        if hearing is None:
            del self._hearings[node]
        else:
            self._hearings[node] = hearing
        self._weigh(node)
        return True

    @property
    def cut_nodes(self) -> frozenset[NodeId]:
        """Writers that are cut."""
        return frozenset(self._cuts)

    def limit(self, feed: FeedId) -> int | None:
        """Events of the feed that can count at the most: up to its fork, or its cut."""
        proof, cut = self.forks.get(feed), self._cut_of(feed)
        ends = [*([proof.seq] if proof else []), *([cut.count] if cut else [])]
        return min(ends, default=None)

    # -- inside: adding ----------------------------------------------------------------------------
    def _try(self, changes: Changes, act: Callable[[], None]) -> None:
        try:
            act()
        except WireError as error:
            changes.refused[error.reason] += 1

    def _done(self, changes: Changes) -> Added:
        self.refused.update(changes.refused)
        return changes.done()

    def _add(
        self,
        frame: Frame,
        changes: Changes,
        *,
        verified: bool,
        own_disk: bool,
        mark: int | None = None,
    ) -> None:
        signed = frame.signed
        self._check_writer(signed)
        chain = self._chains.get(signed.feed)
        index = chain.index_of(signed) if chain is not None else None
        if chain is not None and index is not None:
            if frame.body is not None and chain.marks[index] != HELD:
                self._fill(chain, index, frame.body, changes, verified=verified)
            return
        rival = self._rival_of(signed)
        if rival is not None:
            if not self._wins(signed, rival, changes):
                return
        elif not own_disk and self._orphans.has(frame):
            return
        if not verified:
            self._check_room()
            signed.verify()
            if frame.body is not None:
                frame.check_body()
        if signed.header.prev == self.head(signed.feed).digest:
            self._append(frame, changes, mark)
        elif not self._orphans.add(frame, bounded=not own_disk):
            raise WireError("orphans")

    def _check_writer(self, signed: SignedHeader) -> None:
        if signed.header.mesh != self._mesh:
            raise WireError("mesh")
        if not self.config.may_write(signed.feed.node):
            raise WireError("stranger")

    def _check_room(self) -> None:
        if not self.has_room:
            raise WireError("full")

    def _rival_of(self, signed: SignedHeader) -> SignedHeader | None:
        """Another header on the same parent. Raises WireError when this one cannot count, whatever
        it follows."""
        feed = signed.feed
        cut, proof, chain = self._cut_of(feed), self.forks.get(feed), self._chains.get(feed)
        if cut is not None and (
            signed.end > cut.count or (signed.end == cut.count and signed.digest != cut.digest)
        ):
            raise WireError("cut")
        if proof is not None and signed.seq >= proof.seq:
            raise WireError("forked")
        rival = chain.rival_of(signed) if chain is not None else None
        if rival is not None or proof is None or signed.end <= proof.seq:
            return rival
        # It reaches beyond the fork, so it is evidence at most: perhaps of an earlier fork.
        signed.verify()
        for other in self._disputed.get(feed, ()):
            same_parent = other.seq == signed.seq and other.header.prev == signed.header.prev
            if same_parent and other.digest != signed.digest and _is_sound(other):
                return other
        self._keep_evidence(feed, [signed])
        raise WireError("forked")

    def _append(self, frame: Frame, changes: Changes, mark: int | None) -> None:
        """The frame, and the orphans that waited for it."""
        feed = frame.feed
        chain = self._chains.get(feed) or self._new_chain(feed)
        if chain.is_full:
            raise WireError("limit")
        self._put(chain, frame, changes, mark)
        waiting = self._orphans.take(feed, frame.signed.digest) if len(self._orphans) else []
        while waiting:
            child = waiting.pop(0)
            try:
                rival = self._rival_of(child.signed)
                if rival is not None and not self._wins(child.signed, rival, changes):
                    continue
            except WireError as error:
                changes.refused[error.reason] += 1
                continue
            if child.signed.header.prev == chain.head.digest and not chain.is_full:
                self._put(chain, child, changes, None)
                waiting += self._orphans.take(feed, child.signed.digest)

    def _put(self, chain: Chain, frame: Frame, changes: Changes, mark: int | None) -> None:
        held = HELD if frame.body is not None else WANTED
        chain.append(frame.signed, held if mark is None else mark)
        self.store.put(frame)
        changes.stored.append(frame)
        if frame.body is not None:
            self._readable(frame, changes)
        self._touch(chain.feed)
        hearing = self._hearings.get(chain.feed.node)
        if hearing is not None and hearing.turns_on(chain.feed, chain.head):
            self._weigh(chain.feed.node)

    def _fill(
        self,
        chain: Chain,
        index: int,
        body: bytes,
        changes: Changes,
        *,
        verified: bool = False,
    ) -> None:
        if chain.marks[index] == HELD:
            return
        frame = Frame(chain.headers[index], body)
        if not verified:
            self._check_room()
            frame.check_body()
        chain.marks[index] = HELD
        self.store.put(frame)
        self._readable(frame, changes)

    def _readable(self, frame: Frame, changes: Changes) -> None:
        changes.frames.append(frame)
        self._learn_covers(frame)

    def _learn_covers(self, frame: Frame) -> None:
        for feed, cover in covers_in(frame).items():
            self._coverage.add(feed, cover)
            self._touch(feed)

    def _add_headers(self, newest_first: Sequence[SignedHeader], changes: Changes) -> None:
        if not newest_first or len(newest_first) > LOG_HEADERS_BATCH_MAX:
            raise WireError("batch")
        for child, parent in pairwise(newest_first):
            if child.header.prev != parent.digest or child.feed != parent.feed:
                raise WireError("chain")
            if child.seq != parent.end or child.header.mesh != parent.header.mesh:
                raise WireError("chain")
        newest, oldest = newest_first[0], newest_first[-1]
        self._check_writer(newest)
        chain = self._chains.get(newest.feed)
        if chain is not None and chain.index_of(newest) is not None:
            return
        newest.verify()
        if not self.knows(newest.feed, Head(oldest.seq, Digest(oldest.header.prev))):
            raise WireError("gap")
        for signed in reversed(newest_first):
            self._check_room()
            self._add(Frame(signed, None), changes, verified=True, own_disk=False)

    # -- inside: forks and cuts --------------------------------------------------------------------
    def _wins(self, theirs: SignedHeader, ours: SignedHeader, changes: Changes) -> bool:
        """Two headers on one parent. Whether `theirs` is to be taken instead of `ours`; when both
        are signed the feed ends here. Raises WireError when only ours is."""
        if not _is_sound(ours):
            if not _is_sound(theirs) and ours.digest < theirs.digest:
                raise WireError("signature")
            self._shorten(self._chains[ours.feed], ours.seq, changes)
            return True
        theirs.verify()
        self._end_at(fork_of(ours, theirs), changes)
        self._keep_evidence(theirs.feed, [theirs])
        return False

    def _add_fork(self, proof: ForkProof, changes: Changes) -> None:
        self._check_writer(proof.a)
        known = self.forks.get(proof.feed)
        if known is not None and known.seq <= proof.seq:
            return
        proof.check()
        self._make_room(proof.feed)
        self._end_at(proof, changes)

    def _end_at(self, proof: ForkProof, changes: Changes) -> None:
        feed = proof.feed
        self.forks[feed] = proof
        self._feeds.setdefault(feed.node, set()).add(feed)
        self.store.put_fork(proof)
        changes.forks.append(proof)
        self._orphans.drop(feed, proof.seq)
        chain = self._chains.get(feed)
        if chain is not None:
            self._shorten(chain, proof.seq, changes)
        self._touch(feed)

    def _cut_chain(self, chain: Chain, changes: Changes) -> None:
        cut = self._cut_of(chain.feed)
        if cut is None:
            return
        leads_there = chain.head.count < cut.count or chain.has_head(cut)
        self._orphans.drop(chain.feed, cut.count)
        self._shorten(chain, cut.count if leads_there else 0, changes)

    def _cut_of(self, feed: FeedId) -> Head | None:
        cuts = self._cuts.get(feed.node)
        return cuts.get((feed.epoch, feed.lane), EMPTY) if cuts is not None else None

    def _shorten(self, chain: Chain, count: int, changes: Changes) -> None:
        gone = chain.truncate(count)
        if not gone:
            return
        changes.withdrawn[chain.feed] = None
        changes.frames[:] = [f for f in changes.frames if not _is_beyond(f, chain)]
        self._keep_evidence(chain.feed, gone)
        self._recover_coverage(chain)
        self._touch(chain.feed)

    def _keep_evidence(self, feed: FeedId, headers: Sequence[SignedHeader]) -> None:
        kept = {signed.digest: signed for signed in (*self._disputed.get(feed, ()), *headers)}
        lowest = sorted(kept.values(), key=lambda signed: (signed.seq, signed.digest))
        self._disputed[feed] = lowest[:LOG_DISPUTED_FRAMES_MAX]

    def _recover_coverage(self, shortened: Chain) -> None:
        """What checkpoints cover, after some of their frames have ceased to count."""
        feed, count = shortened.feed, shortened.head.count
        touched, incomplete = self._coverage.forget(feed, count)
        if incomplete:
            self._relearn_covers(feed.node)
        for each in touched:
            self._touch(each)
        if feed.node in self._hearings:
            self._weigh(feed.node)

    def _weigh(self, node: NodeId) -> None:
        """Other checkpoints of a writer may count now than before."""
        touched = self._coverage.feeds_of(node)
        if self._coverage.forget_cropped(node):
            self._relearn_covers(node)
        for feed in touched:
            self._touch(feed)

    def _relearn_covers(self, node: NodeId) -> None:
        for feed in self.feeds_of(node):
            chain = self._chains.get(feed)
            for index in range(len(chain.headers) if chain is not None else 0):
                assert chain is not None
                if chain.end(index) - chain.start(index) == 1:  # a checkpoint is alone
                    self._learn_covers(self._frame(chain, index))

    # -- inside: small things ----------------------------------------------------------------------
    def _new_chain(self, feed: FeedId) -> Chain:
        self._make_room(feed)
        chain = self._chains[feed] = Chain(feed)
        self._feeds.setdefault(feed.node, set()).add(feed)
        return chain

    def _make_room(self, feed: FeedId) -> None:
        """Raises WireError("limit") when there may be no further feed."""
        feeds = self._feeds.get(feed.node)
        if feeds is None and len(self._feeds) >= self.config.nodes_max:
            raise WireError("limit")
        if feeds is not None and feed not in feeds:
            open_feeds = sum(1 for each in feeds if each in self._heads or each in self.forks)
            if open_feeds >= self.config.feeds_per_node_max:
                raise WireError("limit")


def _is_sound(signed: SignedHeader) -> bool:
    try:
        signed.verify()
    except WireError:
        return False
    return True


def _is_beyond(frame: Frame, chain: Chain) -> bool:
    return frame.feed == chain.feed and frame.signed.end > chain.head.count
