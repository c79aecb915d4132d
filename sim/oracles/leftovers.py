"""Leftovers: when a process has ended, nothing of it runs on.

A node that stops waits for all its tasks: whatever outlives it would hold ports and files, or write
into a home that the next start has taken over. Looked at a little after each end, whatever the way;
stages without tasks have nothing to show. Deliberately not here: what is left on disk, which is
there to stay.
"""

from __future__ import annotations

from sim.oracles.model import Oracle

GRACE_S = 2.0
"""A closing stream may wait a second for the other side."""


class NothingLeft(Oracle):
    """No task of a process outlives it."""

    name = "left-over"

    def ended(self, node: int, how: str) -> None:
        self.stage.world.after(GRACE_S, lambda: self._look(node, how))

    def _look(self, node: int, how: str) -> None:
        left = self.stage.left_over()
        if left:
            text = f"{GRACE_S:g} s after node {node} ended ({how}) {len(left)} tasks are left"
            self.fail(text, node, detail="\n".join(left))
