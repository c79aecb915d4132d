"""What the nodes of a simulated mesh write: everything a real one would, some of it contrary.

Results of actions are a function of the action, so honest builders agree, unless the action is one
of the few whose outputs depend on who builds it. Registers count up, and are taken back now and
then; the value says which write it was, so that a view that goes back in time is seen. In the end,
after everything is healed, each node writes its last words.
Deliberately not here: when nodes die (`sim.faults`), what must hold (`invariants`).
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from mesh.state.events import (
    ActionResult,
    Deployment,
    DotRef,
    Event,
    Execution,
    Executions,
    Intent,
    Register,
    RunEvent,
    RunState,
)
from mesh.types import Digest, RunId

if TYPE_CHECKING:
    from sim.state.node import StateNode
    from sim.state.stage import StateStage

EVERY_S = 2.0
"""Mean time between two events of a node."""
BURST_MAX = 8
ACTIONS = 40
STOLEN_ACTION = ACTIONS + 1
"""Nobody honest does it: what is believed of it, a stolen key has said."""
UNSTABLE = 3
"""Actions of which every builder has other outputs."""
KEYS = 4
LAST_WORDS = "last words"
SCRUB_AFTER_S = 2.0
LAST_WORDS_AFTER_S = 12.0
"""After the heal: by then what a node had lost has come back to it."""
PROGRAMS = 3


def digest(*parts: object) -> Digest:
    return Digest(sha256(repr(parts).encode()).digest())


class Workload:
    """See the module's head."""

    def __init__(self, stage: StateStage) -> None:
        self._stage = stage
        self._rng = stage.world.rng("workload").random
        self.written = 0
        self.last_words: dict[int, bytes] = {}
        self.values: dict[tuple[int, str], list[bytes | None]] = {}
        """Of each register, what its owner wrote, in order."""

    def begin(self) -> None:
        for node in self._stage.nodes:
            self._again(node)
        self._stage.world.at(self._stage.scenario.phases.heal_s + SCRUB_AFTER_S, self._scrub)
        self._stage.world.at(
            self._stage.scenario.phases.heal_s + LAST_WORDS_AFTER_S, self._say_last_words
        )

    def _again(self, node: StateNode) -> None:
        delay_s = EVERY_S * 2 * self._rng()
        self._stage.world.after(delay_s, lambda: self._turn(node))

    def _turn(self, node: StateNode) -> None:
        if self._stage.world.now_s >= self._stage.scenario.phases.heal_s:
            return
        if node.replica is not None and not node.frozen:
            count = 1 + int(self._rng() ** 4 * BURST_MAX)
            for _ in range(count):
                self._write(node, self._draw(node))
        self._again(node)

    def _write(self, node: StateNode, event: Event) -> None:
        assert node.replica is not None
        self.written += 1
        node.act(node.replica.write(event, node.now_s))

    def _draw(self, node: StateNode) -> Event:
        kind = self._rng()
        if kind < 0.5:
            return self._result(node)
        if kind < 0.75:
            return self._register(node)
        if kind < 0.85:
            return self._deployment(node)
        run = RunId(digest("run", self.written)[:8])
        if kind < 0.95:
            action = digest("action", self._below(ACTIONS))
            shards = (Execution(0, 0, action, 0, 5), Execution(1, 0, action, 1, 5))
            return Executions(run, node.node_id, shards)
        return RunEvent(run, int(RunState.SUCCEEDED), "build", 3, 1, None)

    def _below(self, count: int) -> int:
        return int(self._rng() * count)

    def _result(self, node: StateNode) -> ActionResult:
        number = self._below(ACTIONS)
        whose = node.index if number < UNSTABLE else -1
        outputs = digest("outputs", number, whose)
        return ActionResult(digest("action", number), outputs, digest("record", number), 0, 7)

    def _register(self, node: StateNode) -> Register:
        number = self._below(KEYS)
        key = f"key {number}" if number else LAST_WORDS
        count = len(self.values.get((node.index, key), ()))
        value = None if self._rng() < 0.25 else b"%d" % count
        assert node.replica is not None
        if node.replica.has_room:
            self.values.setdefault((node.index, key), []).append(value)
        return Register(key, value)

    def _deployment(self, node: StateNode) -> Deployment:
        assert node.replica is not None
        program = f"program {self._below(PROGRAMS)}"
        known = node.replica.state.deployed(program)
        dots = [dot for dot, _ in known.standing] if known is not None else []
        supersedes = tuple(DotRef.of(dot) for dot in sorted(dots)[:4])
        artifact = digest("artifact", self.written)
        return Deployment(program, artifact, int(Intent.DEPLOY), ("all",), b"", supersedes)

    def _scrub(self) -> None:
        for node in self._stage.nodes:
            if node.replica is not None:
                node.act(node.replica.scrub(node.now_s))

    def _say_last_words(self) -> None:
        for node in self._stage.nodes:
            if node.is_up and not node.frozen and not self._stage.rosters.is_removed(node.index):
                words = b"%d of life %d" % (node.index, node.lives)
                self.last_words[node.index] = words
                self.values.setdefault((node.index, LAST_WORDS), []).append(words)
                self._write(node, Register(LAST_WORDS, words))
