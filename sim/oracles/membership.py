"""Safety of membership: what no node may ever believe, whatever the network does.

Deliberately not here: how soon they must believe the right thing (`liveness`).
"""

from __future__ import annotations

from mesh.swim.effects import State
from sim.oracles.model import Oracle, Report
from sim.scenario.bounds import CONFIGS, detection_s
from sim.scenario.model import Fault, Scenario
from sim.stage.base import Change, Stage

Version = tuple[int, int]
GOODBYE_S = 10.0
"""Probe intervals within which a goodbye reaches everybody."""
HELPED_NODES = 8
"""With so many nodes and at most three cut directions every two have common friends."""
GRIEF_S = 20.0
"""After a disturbance a verdict may come so much later than detection takes: old news travels."""


class KnownMembers(Oracle):
    """Nobody sees a member that is not on the roster."""

    name = "unknown-member"

    def changed(self, change: Change) -> None:
        if change.subject < 0:
            who = bytes(change.view.node_id).hex()[:12]
            self.fail(f"node {change.observer} believes in {who}, who is nobody", change.observer)


class Truthful(Oracle):
    """Nobody knows a later epoch or incarnation of a node than the node itself ever had."""

    name = "invented-version"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._reached: dict[int, Version] = {}

    def changed(self, change: Change) -> None:
        seen = (change.view.epoch, change.view.incarnation)
        own = self.stage.own_view(change.subject) if change.subject >= 0 else None
        if own is not None:
            now = (own.epoch, own.incarnation)
            self._reached[change.subject] = max(now, self._reached.get(change.subject, now))
        reached = self._reached.get(change.subject)
        if reached is not None and seen > reached and own is not None:
            self.fail(
                f"node {change.observer} knows version {seen} of node {change.subject}, which has"
                f" only come to {reached}",
                change.observer,
                change.subject,
            )


class Growing(Oracle):
    """What a node knows of another only grows: restart, refutation, then how bad it is."""

    name = "went-back"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._seen: dict[tuple[int, int], tuple[Version, State]] = {}

    def started(self, node: int) -> None:
        for pair in [pair for pair in self._seen if pair[0] == node]:
            del self._seen[pair]

    def changed(self, change: Change) -> None:
        pair = (change.observer, change.subject)
        version = (change.view.epoch, change.view.incarnation)
        before = self._seen.get(pair)
        self._seen[pair] = (version, change.view.state)
        if before is None:
            return
        names = f"node {change.observer} about node {change.subject}"
        if version < before[0]:
            self.fail(f"{names}: from version {before[0]} back to {version}", *pair)
        elif version == before[0] and _revived(before[1], change.view.state):
            old, new = before[1].name.lower(), change.view.state.name.lower()
            self.fail(f"{names}: {old} became {new} without a word from it", *pair)


def _revived(old: State, new: State) -> bool:
    final = (State.DEAD, State.LEFT)
    return (old in final and new not in final) or (old == State.LEFT and new == State.DEAD)


def _gone(state: State | None) -> bool:
    return state is not None and state not in (State.ALIVE, State.SUSPECT)


class NoFalseDeath(Oracle):
    """Nobody is declared dead who has been up and undisturbed for longer than detection takes."""

    name = "false-death"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._disturbed: dict[int, float] = {}
        self._everybody = float("-inf")
        self._running: list[Fault] = []
        config = CONFIGS[scenario.options.swim]
        self._memory_s = detection_s(scenario.nodes, config) + GRIEF_S

    def fault_began(self, fault: Fault) -> None:
        if self._excuses(fault):
            self._running.append(fault)
            self._mark(fault)

    def fault_ended(self, fault: Fault) -> None:
        if fault in self._running:
            self._mark(fault)
            self._running.remove(fault)

    def ended(self, node: int, how: str) -> None:  # noqa: ARG002 - whatever the way
        self._disturbed[node] = self.stage.world.now_s

    def started(self, node: int) -> None:
        self._disturbed[node] = self.stage.world.now_s

    def _excuses(self, fault: Fault) -> bool:
        """A direction that is cut kills nobody, while enough others are left to help."""
        pairs_only = all(each.kind == "one_way" for each in self.scenario.faults)
        return not (fault.kind == "one_way" and pairs_only and self.scenario.nodes >= HELPED_NODES)

    def _mark(self, fault: Fault) -> None:
        for node in _hit(fault):
            self._disturbed[node] = self.stage.world.now_s
        if not fault.target:
            self._everybody = self.stage.world.now_s

    def changed(self, change: Change) -> None:
        died = _gone(change.view.state) and not _gone(change.previous)
        if not died or change.subject < 0 or not self._was_well(change.subject):
            return
        if not self._was_well(change.observer):
            return
        self.fail(
            f"node {change.observer} calls node {change.subject}"
            f" {change.view.state.name.lower()}, which has been up and undisturbed all the time",
            change.observer,
            change.subject,
        )

    def _was_well(self, node: int) -> bool:
        if not self.stage.is_up(node) or self.stage.is_frozen(node):
            return False
        if any(node in _hit(fault) or not fault.target for fault in self._running):
            return False
        last_s = max(self._everybody, self._disturbed.get(node, float("-inf")))
        return self.stage.world.now_s - last_s > self._memory_s


def _hit(fault: Fault) -> tuple[int, ...]:
    """Who is excused for dying: not the victim of a liar."""
    return fault.target[:1] if fault.kind == "liar" else fault.target


class GoodbyeHeard(Oracle):
    """Who leaves in good order is known to have left, by everybody who can hear it."""

    name = "goodbye-unheard"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._troubles = 0
        self._left: dict[int, tuple[float, int]] = {}

    def fault_began(self, fault: Fault) -> None:
        self._troubles += fault.kind != "leave"

    def ended(self, node: int, how: str) -> None:
        if how == "leave" and not self._troubles:
            self._left[node] = (self.stage.world.now_s, self.stage.life(node))

    def sampled(self) -> None:
        due_s = self.stage.world.now_s - GOODBYE_S * self.stage.swim.probe_interval_s
        for node in [node for node, (at_s, _) in self._left.items() if at_s <= due_s]:
            _, life = self._left.pop(node)
            if self.stage.life(node) == life and not self._troubles:
                self._ask_everybody(node)

    def _ask_everybody(self, node: int) -> None:
        for observer in range(self.stage.size):
            view = self.stage.view(observer, node) if observer != node else None
            if view is not None and view.state != State.LEFT:
                word = view.state.name.lower()
                text = f"node {node} has said goodbye, but node {observer} calls it {word}"
                self.fail(text, node, observer)


class NoDeathInCalm(Oracle):
    """In a run without any fault nobody dies (the canary excepted)."""

    name = "death-in-calm"
    simulated_only = "a busy machine makes real suspicions; refuting them is the protocol at work"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._gone: set[int] = set()

    def ended(self, node: int, how: str) -> None:  # noqa: ARG002
        self._gone.add(node)

    def changed(self, change: Change) -> None:
        if self.scenario.faults or self.scenario.options.loss or change.subject in self._gone:
            return
        if change.view.state != State.ALIVE:
            word = change.view.state.name.lower()
            self.fail(
                f"nothing is wrong, but node {change.observer} calls node {change.subject} {word}",
                change.observer,
                change.subject,
            )
