"""What invariants of replicas share: which nodes they are about, and their replicas.

Deliberately not here: anything that judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from mesh.log.log import Log
from mesh.node.state.replica import Replica
from mesh.types import NodeId
from sim.oracles.model import Oracle
from sim.state.node import StateNode
from sim.state.stage import StateStage

ENDS_A_PROCESS = frozenset({"crash", "bounce", "power_cut", "old_disk", "amnesia", "away"})
WRITES_FOR_ANOTHER = frozenset(
    {"equivocate", "rewrite", "two_faces", "remove", "feud", "readmit", "steal"}
)
SWAPS_A_DISK = frozenset({"old_disk", "amnesia"})
SPOILS_A_DISK = frozenset({*SWAPS_A_DISK, "disk_rot", "disk_tear"})


class StateOracle(Oracle):
    """An oracle of the world `state`."""

    @property
    def state(self) -> StateStage:
        return cast("StateStage", self.stage)

    def running(self) -> Iterator[tuple[StateNode, Replica]]:
        for node in self.state.nodes:
            if node.replica is not None:
                yield node, node.replica

    def members(self, core: Sequence[int]) -> list[tuple[StateNode, Replica]]:
        """Those of the core that run and are not removed."""
        rosters = self.state.rosters
        in_core = [(node, replica) for node, replica in self.running() if node.index in core]
        members = [
            (node, replica)
            for node, replica in in_core
            if not rosters.is_removed(node.index)
            and all(other.holds_for_member(node.node_id) for other, _ in in_core)
        ]
        alone = {node.index for node, _ in members} == self.state.apart
        return members[:1] if alone else members  # nobody is left through whom they could hear

    def hit_by(self, *kinds: str) -> set[int]:
        """Nodes that such faults are about, at any time of the run."""
        return {
            node for fault in self.scenario.faults if fault.kind in kinds for node in fault.target
        }

    def stolen(self) -> set[NodeId]:
        """Nodes whose keys somebody else has used."""
        watch = self.state.watch
        return {feed.node for feed in watch.equivocators | watch.thieves}


def is_lacking(log: Log) -> bool:
    """Whether bodies are gone that no checkpoint stands for: dropped here, or spoiled by all disks
    that had them. What was folded before it was spoiled is still in the views; what was dropped is
    not."""
    return any(log.lost(feed) or log.wanted(feed, 1) for feed in log.heads)
