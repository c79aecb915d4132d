"""How much is said and held. Deliberately not here: what is said (`mesh.log.sync.messages`)."""

from __future__ import annotations

from mesh.limits import LOG_ORPHANS_MAX
from mesh.log.model import Lane
from mesh.log.records import Kind
from sim.oracles.model import Report
from sim.scenario.model import Scenario
from sim.stage.base import Stage
from sim.state.invariants.common import StateOracle, is_lacking
from sim.state.node import ROOM

QUIET_S = 5.0
"""At the end of the settling, by when all are equal."""
EQUAL_BYTES_MAX = 64
FEED_BYTES = 13
SECTION_BYTES = 48
"""What a list costs besides its feeds, for each writer in it."""
UNWRITTEN_SLACK_BYTES = 1_000 * len(Lane)
"""What is taken into the last room: while there still was some, events may have been written on
every lane that are sealed, a frame each, when it is gone. And proofs of forks are always taken."""


class QuietWhenEqual(StateOracle):
    """19: equal replicas say so in at most 64 bytes, and nothing else."""

    name = "chatty"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._before: dict[tuple[int, str], int] | None = None

    def sampled(self) -> None:
        left_s = self.scenario.phases.canary_at_s - self.stage.world.now_s
        if self._before is None and left_s <= QUIET_S:
            self._before = dict(self.state.watch.said)

    def settled(self, core: tuple[int, ...]) -> None:
        if self._before is None or self.scenario.options.loss:
            return
        if any(is_lacking(replica.log) for _, replica in self.members(core)):
            return
        watch = self.state.watch
        members = {node.index for node, _ in self.members(core)}
        for (node, kind), count in watch.said.items():
            more = count - self._before.get((node, kind), 0)
            if kind != "StateDigest" and more and node in members:
                self.fail(f"all is equal, and node {node} still says {more} {kind}", node)
                return
        mean = watch.bytes["StateDigest"] / max(1, watch.messages["StateDigest"])
        if 2 * mean > EQUAL_BYTES_MAX:
            self.fail(f"two digests take {2 * mean} bytes")


class SmallLists(StateOracle):
    """19: lists are 13 bytes for a feed, and a little for a writer; and they are not sent often."""

    name = "long-lists"

    def sampled(self) -> None:
        watch = self.state.watch
        lists = watch.messages["Versions"]
        feeds = max((len(r.log.heads) for _, r in self.running()), default=0)
        most = lists * (FEED_BYTES * feeds + SECTION_BYTES * self.scenario.nodes)
        if watch.bytes["Versions"] > most:
            self.fail(f"{lists} lists of at most {feeds} feeds: {watch.bytes['Versions']} bytes")


class ClearsUp(StateOracle):
    """7: what a checkpoint covers can go at once; no absent member is waited for."""

    name = "hoards"

    def sampled(self) -> None:
        if self.state.watch.overdue:
            self.fail(f"{self.state.watch.overdue} bodies stay that a checkpoint covers")


class BoundedUnwritten(StateOracle):
    """What waits for a disk that takes nothing is bounded, and in the end nothing waits."""

    name = "unwritten"

    def sampled(self) -> None:
        for node in self.state.nodes:
            waiting = node.store._pending if node.store is not None else []
            size_bytes = sum(each.cost_bytes for each in waiting if each.kind != Kind.DROPPED)
            if size_bytes > ROOM.bytes_max + UNWRITTEN_SLACK_BYTES:
                self.fail(f"{size_bytes} bytes wait for the disk of node {node.index}", node.index)
                return

    def settled(self, core: tuple[int, ...]) -> None:
        for node, replica in self.members(core):
            if not replica.has_room:
                self.fail(f"node {node.index} has no room, and its disk is well", node.index)


class BoundedOrphans(StateOracle):
    """18: what waits for its parent is bounded, whoever floods."""

    name = "unbounded"

    def sampled(self) -> None:
        for node, replica in self.running():
            if len(replica.log._orphans) > LOG_ORPHANS_MAX:  # an oracle's look inside
                self.fail(
                    f"node {node.index} holds {len(replica.log._orphans)} orphans", node.index
                )
