"""A node that gets too little of its machine: stopped for a random time, awake, stopped again.

`awake_s` is how long it runs in between. In the simulator none is needed: what is due happens while
it is let go. A real process needs real time for it.
"""

from __future__ import annotations

import attrs

from sim.stage.base import Stage


@attrs.frozen
class Hunger:
    """How a node starves; seconds."""

    low_s: float
    high_s: float
    awake_s: float = 0.0


class Starving:
    """See the module's head. It goes on until `stop`."""

    def __init__(self, stage: Stage, node: int, hunger: Hunger) -> None:
        self._stage = stage
        self._node = node
        self._hunger = hunger
        self._rng = stage.world.rng(f"starved node {node} at {stage.world.now_s}")
        self._stopped_by_us = False
        self._over = False
        self._stop_for_a_while()

    def stop(self) -> None:
        self._over = True
        self._let_go()

    def _stop_for_a_while(self) -> None:
        if self._over:
            return
        if self._stage.is_up(self._node) and not self._stage.is_frozen(self._node):
            self._stage.freeze(self._node)
            self._stopped_by_us = True
        span_s = max(0.0, self._hunger.high_s - self._hunger.low_s)
        late_s = self._hunger.low_s + self._rng.random() * span_s
        self._stage.world.after(max(0.001, late_s), self._run_a_little)

    def _run_a_little(self) -> None:
        if self._over:
            return
        self._let_go()
        if self._hunger.awake_s:
            self._stage.world.after(self._hunger.awake_s, self._stop_for_a_while)
        else:
            self._stop_for_a_while()

    def _let_go(self) -> None:
        if self._stopped_by_us and self._stage.is_frozen(self._node):
            self._stage.thaw(self._node)
        self._stopped_by_us = False
