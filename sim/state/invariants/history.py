"""What is kept. Deliberately not here: whether it is the same everywhere (`equality`)."""

from __future__ import annotations

from mesh.log.audit import verify_frames
from mesh.log.frame import Frame
from mesh.log.log import Log
from mesh.log.model import FeedId, Head
from mesh.types import Digest
from sim.oracles.model import Report
from sim.scenario.model import Scenario
from sim.stage.base import Stage
from sim.state.identities import MESH
from sim.state.invariants.common import SWAPS_A_DISK, StateOracle


class NothingLost(StateOracle):
    """5: what a replica has when all is healed, all have soon; also a writer that lost it. Unless
    whoever had it turns out to be removed; or had it alone, and was shown another history: then
    it cannot know which of them a removal has left standing."""

    name = "event-lost"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._had: list[tuple[Frame, frozenset[int]]] = []

    def healed(self) -> None:
        members = self.members(range(self.state.size))
        for frame in self.state.watch.frames.values():
            feed, head = frame.feed, frame.signed.head
            having = {node.index for node, replica in members if replica.log.knows(feed, head)}
            self._had.append((frame, frozenset(having)))

    def settled(self, core: tuple[int, ...]) -> None:
        members = self.members(core)
        still, forged = {node.index for node, _ in members}, self.state.watch.equivocators
        for node, replica in members:
            for frame, having in self._had:
                able = still - {node.index} if frame.feed in forged else still
                if having & able and not self._has(replica.log, frame):
                    text = f"node {node.index} has not event {frame.signed.seq} of {frame.feed}"
                    self.fail(text + ", which somebody had", node.index)
                    return

    def _has(self, log: Log, frame: Frame) -> bool:
        feed, end = frame.feed, frame.signed.end
        for cut in self.state.rosters.cuts_of(feed.node):
            kept = [p.count for p in cut if (p.epoch, p.lane) == (feed.epoch, feed.lane)]
            if end > max(kept, default=0):
                return True  # out by a removal, which may have been lifted after all forgot it
        limit = log.limit(feed)
        if (limit is not None and end > limit) or end <= log.covered(feed):
            return True
        return log.knows(feed, Head(end, frame.signed.digest))


class NothingWanted(StateOracle):
    """A body that a replica wants and another one has is had soon."""

    name = "body-missing"

    def settled(self, core: tuple[int, ...]) -> None:
        members = self.members(core)
        for node, replica in members:
            for feed in sorted(replica.log.heads):
                for signed in replica.log.wanted(feed):
                    held = [other.log.frame(feed, signed.seq) for _, other in members]
                    if any(frame is not None and frame.body is not None for frame in held):
                        text = f"node {node.index} lacks the events {signed.seq}.. of {feed}"
                        self.fail(text, node.index)
                        return


class Whole(StateOracle):
    """8, 23: every log verifies offline from its beginnings, and what is gone is accounted for."""

    name = "audit"

    def settled(self, core: tuple[int, ...]) -> None:
        for node, replica in self.members(core):
            log = replica.log
            frames = []
            for writer in log.nodes():
                for feed in log.feeds_of(writer):
                    headers = log.headers(feed, 0, log.head(feed).count, 1 << 20)
                    found = (log.frame(feed, signed.seq) for signed in headers)
                    frames += [frame for frame in found if frame is not None]
            report = verify_frames(MESH, frames, every_signature=False)
            for each in report.feeds:
                if not each.is_whole:
                    self.fail(f"node {node.index}: {each.feed} breaks: {each.broken}", node.index)
                    return


class LostShown(StateOracle):
    """23: what went for want of room is told of: the log counts it as lost, as long as no
    checkpoint stands for it."""

    name = "silent-loss"

    def sampled(self) -> None:
        if self.state.watch.over_room:
            self.fail("more is held than there is room for")
        gone: dict[tuple[int, FeedId], int] = {}
        swapped = self.hit_by(*SWAPS_A_DISK)
        for node, replica in self.running():
            if node.index in swapped:
                continue  # this disk has not dropped it
            log = replica.log
            for index, feed, digest in sorted(self.state.watch.let_go):
                if index == node.index and self._is_gone(log, feed, digest):
                    gone[index, feed] = gone.get((index, feed), 0) + 1
            for (index, feed), frames in gone.items():
                if index == node.index and log.lost(feed) < frames:
                    text = f"node {index} has dropped {frames} frames of {feed}, and says less"
                    self.fail(text, index)
                    return

    def _is_gone(self, log: Log, feed: FeedId, digest: Digest) -> bool:
        """Whether the header is here, its body is not, and nothing stands for it. A log that had
        cut the feed off has forgotten what went, and wants it when the writer is in again."""
        wanted = log.wanted(feed) if self.state.rosters.cuts_of(feed.node) else ()
        if any(signed.digest == digest for signed in wanted):
            return False
        for signed in log.headers(feed, 0, log.head(feed).count, 1 << 20):
            if signed.digest == digest:
                frame = log.frame(feed, signed.seq)
                body_gone = frame is not None and frame.body is None
                return body_gone and signed.end > log.covered(feed)
        return False
