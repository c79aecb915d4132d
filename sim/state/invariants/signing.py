"""Who signs what. Deliberately not here: what the views make of it (`views`)."""

from __future__ import annotations

from mesh.log.model import FeedId
from sim.oracles.model import Report
from sim.scenario.model import Scenario
from sim.stage.base import Stage
from sim.state.invariants.common import StateOracle

INNOCENT = frozenset({"silence", "nothing"})
"""Reasons that a bad network explains."""


class NeverTwice(StateOracle):
    """2: no honest process signs a place that was signed before, whatever its disk has lost."""

    name = "signed-twice"

    def sampled(self) -> None:
        for node, feed, seq in self.state.watch.twice[:1]:
            self.fail(f"node {node} signed event {seq} of {feed} with two headers", node)


class HonestUnforked(StateOracle):
    """4: a feed whose key nobody else has used is never found forked."""

    name = "honest-forked"

    def sampled(self) -> None:
        stolen = self.state.watch.equivocators
        for node, replica in self.running():
            for feed in replica.log.forks:
                if feed not in stolen:
                    self.fail(f"node {node.index} holds {feed} for forked; it is not", node.index)
                    return


class HonestUnblamed(StateOracle):
    """Nobody who keeps the rules is blamed for anything but silence."""

    name = "honest-blamed"

    def sampled(self) -> None:
        watch = self.state.watch
        for by, who, reason in watch.blames:
            stolen = self.state.node_id(who) in self.stolen()
            if who not in watch.liars and not stolen and reason not in INNOCENT:
                self.fail(f"node {by} blames node {who}: {reason}", by, who)
                return


class ForksKnown(StateOracle):
    """3: once two histories of a feed are in one place, everybody has the proof."""

    name = "fork-unknown"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._known: set[FeedId] = set()

    def settled(self, core: tuple[int, ...]) -> None:
        members = self.members(core)
        for _, replica in members:
            self._known |= replica.log.forks.keys()
        for index, life, feed in self.state.watch.shown:
            if self.state.rosters.cuts_of(feed.node):
                continue  # what is beyond a cut is not looked at
            self._known |= {
                feed for node, _ in members if (node.index, node.lives) == (index, life)
            }
        for feed in sorted(self._known):
            for node, replica in members:
                if feed not in replica.log.forks:
                    self.fail(f"node {node.index} does not know that {feed} is forked", node.index)
                    return

    def figures(self) -> dict[str, float]:
        return {"forks": float(len(self._known))}
