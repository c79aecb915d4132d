"""Which part of each strand counts. What can be taken back is decided here, and only here.

For each strand of a node:

- **Who.** Somebody who was never a member, or may not write on this lane, is not heard: high = 0.
- **Cuts.** Of what the writer's removals cut, only the history that leads to the heads they keep
  counts; of several, what all keep. That settles forks too: one head has one history.
- **Forks.** Without a cut, a feed that was signed twice counts below the lowest such place; and an
  equivocator's results of actions do not count at all, on whichever lane it forked.
- **Checkpoints.** What a checkpoint of the same lane covers counts no more; its state does. That is
  so once the state is here, while the checkpoint itself counts.

All of it is a function of the sets of headers, proofs, openings, checkpoints and of the standing,
so it does not matter in which order they became known.

Not here: rows. Whoever keeps some asks its strand whether they count.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import attrs

from mesh.identity.roles import Role
from mesh.identity.standing import Cut, Standing, Verdict
from mesh.log.model import FeedId, Lane
from mesh.state.coverings import Coverings
from mesh.state.strands import ENDLESS, Strand, Strands
from mesh.types import NodeId

LOWEST_ROLE = {
    Lane.CTL: Role.VIEWER,
    Lane.AC: Role.BUILDER,
    Lane.EXEC: Role.BUILDER,
    Lane.DEP: Role.BUILDER,
    Lane.LEAF: Role.BUILDER,
}
"""Who is heard on a lane. A policy needs an admin besides (`claims`)."""


@attrs.frozen
class Moved:
    """A strand whose window is another now."""

    strand: Strand
    low: int
    high: int
    """As they were."""

    def affects(self, seq: int) -> bool:
        """Whether an event there counted and does not now, or the other way round."""
        return (self.low <= seq < self.high) != self.strand.counts(seq)

    def affected(self, first: int, end: int) -> Iterator[range]:
        """The places from `first` below `end` that this is so for."""
        strand = self.strand
        inner = {self.low, self.high, strand.low, strand.high}
        borders = sorted({first, end, *(each for each in inner if first < each < end)})
        for start, stop in pairwise(borders):
            if self.affects(start):
                yield range(start, stop)


class Windows:
    """Keeps the windows of all strands right. Methods return the strands that have moved."""

    def __init__(self, strands: Strands, standing: Standing) -> None:
        self._strands = strands
        self.standing = standing
        self._forks: dict[FeedId, int] = {}
        self._openings: dict[tuple[NodeId, bytes], set[bytes]] = {}
        self.coverings = Coverings(strands)
        self._lost: dict[FeedId, int] = {}
        self._cut_high: dict[int, int] = {}
        """Of strands that a removal cuts, where."""
        self.cut_changes = 0
        """Grows whenever something is cut elsewhere than before, also where no window moves."""

    # -- what becomes known ------------------------------------------------------------------------
    def opened(self, node: NodeId, epoch: bytes, admission: bytes) -> bool:
        """An epoch says under which admission it is written. True when that is news."""
        claims = self._openings.setdefault((node, epoch), set())
        if admission in claims:
            return False
        claims.add(admission)
        return True

    def forked(self, feed: FeedId, seq: int) -> bool:
        if self._forks.get(feed, ENDLESS) <= seq:
            return False
        self._forks[feed] = seq
        return True

    def lost(self, feed: FeedId, below: int) -> None:
        """Bodies up to there are gone without a checkpoint; nobody can read them again."""
        self._lost[feed] = max(below, self._lost.get(feed, 0))

    def forget(self, node: NodeId) -> list[Moved]:
        """Before a node is folded anew. Proofs stay: they are a set of their own."""
        for key in [key for key in self._openings if key[0] == node]:
            del self._openings[key]
        before = {strand: (strand.low, strand.high) for strand in self._strands.of_node(node)}
        for strand in self._strands.forget(node):
            self.cut_changes += self._cut_high.pop(strand.index, None) is not None
        self.coverings.forget(node)
        return [Moved(strand, *window) for strand, window in before.items()]

    # -- what is asked -----------------------------------------------------------------------------
    def is_cut(self, node: NodeId) -> bool:
        """Whether a removal limits the node: then every new frame can complete an ancestry."""
        return bool(self.standing.cuts.get(node))

    def is_withdrawn(self, strand: Strand, seq: int) -> bool:
        """Whether a removal is why an event does not count. Not what a checkpoint covers: whoever
        comes later never sees that, so nothing may depend on whether it was ever here."""
        return strand.low <= seq and seq >= self._cut_high.get(strand.index, ENDLESS)

    def is_strand_cut(self, strand: Strand) -> bool:
        """Whether a removal cuts a strand, if only in that it names its end."""
        return strand.index in self._cut_high

    @property
    def has_cuts(self) -> bool:
        """Whether any strand is cut."""
        return bool(self._cut_high)

    def cuts_of(self, node: NodeId, epoch: bytes) -> tuple[Cut, ...]:
        """The removals that an epoch is judged by."""
        return self._verdict(FeedId(node, epoch, Lane.CTL)).cuts

    def cut_strands(self) -> list[Strand]:
        """Strands that a removal cuts, those that it keeps whole included."""
        return [self._strands[index] for index in sorted(self._cut_high)]

    def living_epochs(self, node: NodeId) -> set[bytes]:
        """Epochs of which some feed has events that no checkpoint covers: how they were opened
        still matters."""
        strands = self._strands.of_node(node)
        return {strand.feed.epoch for strand in strands if strand.end > strand.low}

    def is_disputed(self, node: NodeId) -> bool:
        """Whether the node has signed two histories, and no removal settles which one counts."""
        return any(feed.node == node and not self._verdict(feed).cuts for feed in self._forks)

    def may_write_policy(self, strand: Strand) -> bool:
        return self._verdict(strand.feed).role is Role.ADMIN

    # -- windows -----------------------------------------------------------------------------------
    def adjust(self, node: NodeId) -> list[Moved]:
        """Bring all windows of one writer up to date."""
        strands = list(self._strands.of_node(node))
        before = [(strand.low, strand.high) for strand in strands]
        disputed = self.is_disputed(node)
        for strand in strands:
            strand.high = self._high(strand, disputed=disputed)
        lows = self.coverings.lows(node)
        for strand in strands:
            strand.low = max(lows.get(strand.feed, 0), self._lost.get(strand.feed, 0))
        return [
            Moved(strand, low, high)
            for strand, (low, high) in zip(strands, before, strict=True)
            if (strand.low, strand.high) != (low, high)
        ]

    def _verdict(self, feed: FeedId) -> Verdict:
        claims = self._openings.get((feed.node, feed.epoch), ())
        twice = self._forks.get(FeedId(feed.node, feed.epoch, Lane.CTL)) == 0
        admission = None
        if len(claims) == 1 and not twice:
            (admission,) = claims
        return self.standing.judge(feed.node, admission)

    def _high(self, strand: Strand, *, disputed: bool) -> int:
        feed = strand.feed
        verdict = self._verdict(feed)
        was_cut = self._cut_high.pop(strand.index, None)
        if verdict.cuts:
            limit = min(self._kept(strand, cut) for cut in verdict.cuts)
            self._cut_high[strand.index] = limit
        elif disputed and feed.lane == Lane.AC:
            limit = 0
        else:
            limit = self._forks.get(feed, ENDLESS)
        self.cut_changes += was_cut != self._cut_high.get(strand.index)
        heard = verdict.role is not None and verdict.role >= LOWEST_ROLE[Lane(feed.lane)]
        return limit if heard else 0

    def _kept(self, strand: Strand, cut: Cut) -> int:
        """How much of a strand one removal keeps."""
        feed = strand.feed
        for point in cut:
            if (point.epoch, point.lane) == (feed.epoch, feed.lane):
                ancestry = self._strands.ancestry(feed, point.count, point.head)
                return ancestry.get(strand.index, 0)
        return 0
