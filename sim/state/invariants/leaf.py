"""22: what the mesh makes of a leaf. Deliberately not here: the leaf (`sim.state.leaf`)."""

from __future__ import annotations

from mesh.log.model import Lane
from mesh.node.state.replica import Replica
from mesh.types import NodeId
from sim.state.invariants.common import (
    SPOILS_A_DISK,
    WRITES_FOR_ANOTHER,
    StateOracle,
    is_lacking,
)


class LeafOnce(StateOracle):
    """22: whatever gateways repeat, reorder and write down twice, every event of a leaf is shown
    under the number that the leaf gave it, once; nobody contradicts an honest leaf; and in the end
    every member shows all that gateways have let the leaf forget. Gateways are not judged by what
    they took if their disk was hit, their key used by somebody else, or their word withdrawn."""

    name = "leaf-events"

    def sampled(self) -> None:
        leaf = self.state.leaf
        if leaf.contradictions:
            self.fail("gateways contradict each other about an honest leaf")
        for node, replica in self.running():
            history = replica.state.leaves.history(leaf.leaf)
            if history.refused:
                self.fail(f"node {node.index} refuses what was said of an honest leaf")
            for piece in history.segments():
                if list(piece.events) != leaf.said[piece.boot_nonce][piece.first : piece.end]:
                    self.fail(f"node {node.index} shows what the leaf never said so", node.index)
                    return
            if history.count != len(_shown(replica, self.leaf)):
                self.fail(f"node {node.index} counts an event twice", node.index)

    def settled(self, core: tuple[int, ...]) -> None:
        members = self.members(core)
        if any(is_lacking(replica.log) for _, replica in members):
            return
        for node, replica in members:
            lacks = self._sure({each.index for each, _ in members}) - _shown(replica, self.leaf)
            if lacks:
                boot, number = min(lacks)
                start = int.from_bytes(boot, "big")
                self.fail(
                    f"node {node.index} lacks event {number} of start {start},"
                    f" and {len(lacks) - 1} more that the leaf was told to forget",
                    node.index,
                )
                return

    @property
    def leaf(self) -> NodeId:
        return self.state.leaf.leaf

    def _sure(self, members: set[int]) -> set[tuple[bytes, int]]:
        """What such gateways have taken as nothing has happened to."""
        hit = self.hit_by(*SPOILS_A_DISK, "twin", *WRITES_FOR_ANOTHER)
        state, stolen = self.state, self.stolen()
        return {
            name
            for index, taken in state.leaf.taken.items()
            if index in members - hit
            and state.node_id(index) not in stolen
            and not state.rosters.cuts_of(state.node_id(index))
            for name in taken
        }

    def figures(self) -> dict[str, float]:
        kept = [len(_shown(replica, self.leaf)) for _, replica in self.running()]
        feeds = {
            feed.node
            for _, replica in self.running()
            for feed in replica.log.heads
            if feed.lane == Lane.LEAF
        }
        return {"leaf_events": float(max(kept, default=0)), "leaf_gateways": float(len(feeds))}


def _shown(replica: Replica, leaf: NodeId) -> set[tuple[bytes, int]]:
    """By start and number."""
    history = replica.state.leaves.history(leaf)
    return {
        (piece.boot_nonce, number)
        for piece in history.segments()
        for number in range(piece.first, piece.end)
    }
