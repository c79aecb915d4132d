"""1, 24: when all is well for a while, all replicas are the same. Deliberately not here: what is
right (`views`)."""

from __future__ import annotations

from mesh.log.model import Lane
from mesh.state.views import State
from sim.state.invariants.common import StateOracle, is_lacking


class EqualLogs(StateOracle):
    """1: the same feeds up to the same heads, the same forks."""

    name = "logs-differ"

    def settled(self, core: tuple[int, ...]) -> None:
        members = self.members(core)
        for node, replica in members[1:]:
            first, log = members[0][1].log, replica.log
            if dict(log.heads) != dict(first.heads):
                feeds = {f for f in {*log.heads, *first.heads} if log.head(f) != first.head(f)}
                feeds = feeds or {*log.heads} ^ {*first.heads}
                feed = min(feeds)
                text = f"{feed}: {log.head(feed).count} events, not {first.head(feed).count}"
                self.fail(f"node {node.index} has of {text}", members[0][0].index, node.index)
                return
            if log.digest() != first.digest():
                self.fail("equal heads, other digests", members[0][0].index, node.index)
                return


class EqualViews(StateOracle):
    """1: the same views, wherever the same bodies are."""

    name = "views-differ"

    def settled(self, core: tuple[int, ...]) -> None:
        members = self.members(core)
        if any(is_lacking(replica.log) for _, replica in members):
            return
        for node, replica in members[1:]:
            if replica.state.digest() != members[0][1].state.digest():
                text = f"nodes {members[0][0].index} and {node.index} see different things"
                self.fail(text, members[0][0].index, node.index)
                return


class FoldOfAll(StateOracle):
    """What was folded bit by bit is what the whole log folds to at once."""

    name = "fold-differs"

    def settled(self, core: tuple[int, ...]) -> None:
        for node, replica in self.members(core):
            if is_lacking(replica.log):
                continue
            again = State(node.node_id, replica.standing)
            again.apply(replica.log.frames(), replica.log.forks.values())
            while wanted := again.wanted():
                again.load(wanted[0], self.state.blobs[wanted[0]])
            if again.digest() != replica.state.digest():
                self.fail(f"node {node.index}: folded anew, its log says other things", node.index)
                return


class EqualCovers(StateOracle):
    """9: the log lets bodies go exactly as far as the views have something in their place; but for
    results of an equivocator, of which none count until a removal settles which do."""

    name = "covers-differ"

    def settled(self, core: tuple[int, ...]) -> None:
        for node, replica in self.members(core):
            log, standing_in = replica.log, replica.state.covered()
            if is_lacking(log) or replica.state.wanted():
                continue
            for writer in log.nodes():
                disputed = replica.state.is_disputed(writer)
                for feed in log.feeds_of(writer):
                    if disputed and feed.lane == Lane.AC:
                        continue
                    if log.covered(feed) != standing_in.get(feed, 0):
                        text = (
                            f"{standing_in.get(feed, 0)} events of {feed}, not {log.covered(feed)}"
                        )
                        self.fail(f"node {node.index}: states stand for {text}", node.index)
                        return
