"""Checkpoints that are known, and what they cover.

Rules
- What a checkpoint covers is replaced by its state while the checkpoint counts and its state is
  here. A checkpoint that is covered itself stands with all that it covers: its state is not needed,
  since the later one has what was in it, and nothing that it covered counts again.
- So with each state that comes more is covered and never less, in whichever order they come, also
  when two name each other, or one names less than the one it covers, as one with somebody's key
  may write it. Less is covered only when a checkpoint ceases to count.
- A state is wanted while its checkpoint counts and is not covered. The newest comes first: when
  that is loaded, the older ones are not needed.
- Places are compared, not heads: an owner that names heads its feeds never had harms its own rows
  only, and does so at every replica alike.

Not here: the states themselves (`checkpoint`), and dropping bodies (`mesh.log.retention`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from mesh.identity.records import FeedPoint
from mesh.log.model import FeedId
from mesh.state.strands import Strand, Strands
from mesh.types import Digest, NodeId

Place = tuple[int, int]
"""Number of a strand, and a place in it."""


@attrs.define
class Covering:
    """One checkpoint."""

    strand: Strand
    seq: int
    covers: tuple[FeedPoint, ...]
    state: Digest
    is_loaded: bool = False

    @property
    def counts(self) -> bool:
        """Whether its writer's word goes that far; it may be covered itself."""
        return self.seq < self.strand.high

    def feeds(self) -> Iterator[tuple[FeedId, int]]:
        """How far it covers which feed."""
        node = self.strand.feed.node
        return ((FeedId(node, each.epoch, each.lane), each.count) for each in self.covers)

    def is_below(self, lows: Mapping[FeedId, int]) -> bool:
        """Whether it is covered itself."""
        return self.seq < lows.get(self.strand.feed, 0)

    @property
    def reach(self) -> int:
        """How many events it covers, to know newer ones by."""
        return sum(point.count for point in self.covers)


class Coverings:
    """See the module's head."""

    def __init__(self, strands: Strands) -> None:
        self._strands = strands
        self._by_node: dict[NodeId, dict[Place, Covering]] = {}
        self._dropped: dict[NodeId, dict[FeedId, int]] = {}
        """Up to where covered rows are not kept any more."""

    def add(self, covering: Covering) -> None:
        place = (covering.strand.index, covering.seq)
        self._by_node.setdefault(covering.strand.feed.node, {})[place] = covering

    def refuse(self, covering: Covering) -> None:
        """Its state is nothing anybody can read: it covers nothing. It may have been forgotten
        while that was looked at."""
        place = (covering.strand.index, covering.seq)
        self._by_node.get(covering.strand.feed.node, {}).pop(place, None)

    def waiting_for(self, state: Digest) -> list[Covering]:
        """Checkpoints with this state, which has not been loaded."""
        return [
            each
            for coverings in self._by_node.values()
            for each in coverings.values()
            if each.state == state and not each.is_loaded
        ]

    def is_wanted_of(self, node: NodeId) -> bool:
        """Whether a state of this node's is to be fetched."""
        return bool(self._wanted_of(node))

    def wanted(self) -> list[Digest]:
        """States to be fetched, those that cover most first."""
        wanted = [each for node in self._by_node for each in self._wanted_of(node)]
        wanted.sort(key=lambda each: (-each.reach, each.state))
        return list(dict.fromkeys(each.state for each in wanted))

    def _wanted_of(self, node: NodeId) -> list[Covering]:
        lacking = [
            each
            for each in self._by_node.get(node, {}).values()
            if not each.is_loaded and each.counts
        ]
        if not lacking:
            return lacking
        lows = self.lows(node)
        return [each for each in lacking if not each.is_below(lows)]

    def lows(self, node: NodeId) -> dict[FeedId, int]:
        """Up to where each feed of a node is replaced by states."""
        lows: dict[FeedId, int] = {}
        rest = [each for each in self._by_node.get(node, {}).values() if each.counts]
        while rest:
            later = []
            for each in rest:
                if not each.is_loaded and not each.is_below(lows):
                    later.append(each)
                    continue
                for feed, count in each.feeds():
                    lows[feed] = max(count, lows.get(feed, 0))
            if len(later) == len(rest):
                break
            rest = later
        return lows

    # -- rows that are not kept --------------------------------------------------------------------
    def rows_dropped(self) -> None:
        """All that is covered now was thrown away."""
        for node in self._by_node:
            dropped = self._dropped.setdefault(node, {})
            for feed, low in self.lows(node).items():
                dropped[feed] = max(low, dropped.get(feed, 0))

    def needs_again(self, node: NodeId) -> bool:
        """Whether rows are missing that count again, because no checkpoint covers them now."""
        lows = self.lows(node)
        return any(lows.get(feed, 0) < low for feed, low in self._dropped.get(node, {}).items())

    def forget(self, node: NodeId) -> None:
        self._by_node.pop(node, None)
        self._dropped.pop(node, None)
