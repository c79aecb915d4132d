"""22: what gateways make of a leaf. Deliberately not here: the leaf (`sim.state.leaf`)."""

from __future__ import annotations

from mesh.leaf.history import History
from mesh.leaf.messages import Event
from sim.state.invariants.common import StateOracle


class LeafOnce(StateOracle):
    """22: whatever gateways repeat, reorder and tell each other, every event of a leaf is kept
    under the number that the leaf gave it, once, and gateways that have told each other all they
    know are equal."""

    name = "leaf-events"

    def sampled(self) -> None:
        leaf = self.state.leaf
        if leaf.contradictions:
            self.fail("gateways contradict each other about an honest leaf")
        for index, history in leaf.histories.items():
            for boot, number, event in _events(history):
                said = leaf.said[boot]
                if number >= len(said) or said[number] != event:
                    self.fail(f"node {index} keeps as event {number} what the leaf never said so")
                    return

    def settled(self, core: tuple[int, ...]) -> None:
        leaf, members = self.state.leaf, [node.index for node, _ in self.members(core)]
        for index in members[1:]:
            if list(_events(leaf.histories[index])) != list(_events(leaf.histories[members[0]])):
                self.fail(f"nodes {members[0]} and {index} keep other events of the leaf", index)
                return

    def figures(self) -> dict[str, float]:
        kept = max(history.count for history in self.state.leaf.histories.values())
        return {"leaf_events": float(kept)}


def _events(history: History) -> list[tuple[bytes, int, Event]]:
    """By start and number."""
    found = []
    for start in sorted(history.starts(), key=lambda each: each.boot_nonce):
        for span in start.spans:
            for number, event in enumerate(span.events, span.first):
                found.append((start.boot_nonce, number, event))
    return found
