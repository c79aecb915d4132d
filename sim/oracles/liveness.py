"""Liveness: what must have happened a bounded time after everything is healed.

The bounds are the lengths of the scenario's phases (`sim.scenario.bounds` says where they come
from). Each oracle also measures how long it really took. Deliberately not here: what must never
happen.
"""

from __future__ import annotations

from mesh.swim.effects import State
from sim.oracles.model import Oracle, Report
from sim.scenario.model import Scenario
from sim.stage.base import Stage

QUORUM_NODES = 6
"""With so many nodes enough judges are left for a verdict when one is gone."""


def see_each_other(stage: Stage, core: tuple[int, ...]) -> tuple[int, int] | None:
    """The first pair of which one does not see the other alive, or None."""
    for observer in core:
        for subject in core:
            if observer == subject:
                continue
            view = stage.view(observer, subject)
            if view is None or view.state != State.ALIVE:
                return observer, subject
    return None


def state_word(stage: Stage, observer: int, subject: int) -> str:
    view = stage.view(observer, subject)
    return "not at all" if view is None else view.state.name.lower()


class Joined(Oracle):
    """After the warm-up everybody sees everybody."""

    name = "joined"

    def warmed_up(self) -> None:
        everybody = tuple(range(self.stage.size))
        pair = see_each_other(self.stage, everybody)
        if pair is not None:
            word = state_word(self.stage, *pair)
            self.fail(f"after the warm-up node {pair[0]} sees node {pair[1]} {word}", *pair)


class Reunited(Oracle):
    """After the heal all who are up see each other alive."""

    name = "reunited"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._healed_s: float | None = None
        self._took_s: float | None = None

    def healed(self) -> None:
        self._healed_s = self.stage.world.now_s

    def sampled(self) -> None:
        if self._healed_s is None or self._took_s is not None:
            return
        if see_each_other(self.stage, tuple(range(self.stage.size))) is None:
            self._took_s = self.stage.world.now_s - self._healed_s

    def settled(self, core: tuple[int, ...]) -> None:
        pair = see_each_other(self.stage, core)
        if pair is not None:
            word = state_word(self.stage, *pair)
            after_s = self.scenario.phases.settle_s
            self.fail(
                f"{after_s:g} s after the heal node {pair[0]} sees node {pair[1]} {word}", *pair
            )

    def figures(self) -> dict[str, float]:
        return {} if self._took_s is None else {"reunited_s": round(self._took_s, 3)}


class EqualTables(Oracle):
    """After the heal all tables are equal."""

    name = "tables-differ"

    def settled(self, core: tuple[int, ...]) -> None:
        if len(core) < self.stage.size:
            return
        hashes = {node: self.stage.table_hash(node) for node in core}
        first = hashes[core[0]]
        others = [node for node in core if hashes[node] != first]
        if others:
            text = f"the tables of nodes {core[0]} and {others[0]} still differ"
            self.fail(text, core[0], others[0])


class CanaryFound(Oracle):
    """Healthy nodes that are killed are known to be gone everywhere, in time."""

    name = "crash-unnoticed"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._canaries: list[int] = []
        self._died_s = 0.0
        self._took_s: float | None = None

    def canary_died(self, canary: int) -> None:
        self._canaries.append(canary)
        self._died_s = self.stage.world.now_s

    def _believers(self, canary: int, observers: tuple[int, ...]) -> list[int]:
        def believes(node: int) -> bool:
            view = self.stage.view(node, canary)
            return view is not None and view.reachable

        return [node for node in observers if node != canary and believes(node)]

    def sampled(self) -> None:
        if not self._canaries or self._took_s is not None:
            return
        everybody = tuple(node for node in range(self.stage.size) if self.stage.is_up(node))
        if not any(self._believers(canary, everybody) for canary in self._canaries):
            self._took_s = self.stage.world.now_s - self._died_s

    def canary_judged(self, canary: int, left: tuple[int, ...]) -> None:
        believers = self._believers(canary, left)
        after_s = self.scenario.phases.canary_s
        others = self.stage.size - 1
        if not believers and len(left) == others and self.stage.size >= QUORUM_NODES:
            self._expect_verdict(canary, left)
        if believers:
            text = (
                f"{after_s:g} s after node {canary} was killed, node {believers[0]} believes in it"
            )
            self.fail(text, canary, believers[0])

    def _expect_verdict(self, canary: int, left: tuple[int, ...]) -> None:
        """With a quorum of judges it is not only unreachable for each, but dead for all. Those who
        vanish together are not asked for: their judges must be missed before they are replaced."""
        for node in left:
            view = self.stage.view(node, canary)
            if view is not None and view.state < State.DEAD:
                word = view.state.name.lower()
                text = f"nobody has buried node {canary}: for node {node} it is only {word}"
                self.fail(text, canary, node)
                return

    def figures(self) -> dict[str, float]:
        return {} if self._took_s is None else {"crash_known_s": round(self._took_s, 3)}
