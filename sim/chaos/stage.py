"""The stage of this world: real processes behind the verbs of `sim.stage.base.Stage`.

Faults, director and oracles are the simulator's and do not know the difference. Verbs act at once
and return; what nodes believe is what they last said (`watch`), forgotten when it is too old to
mean anything. Deliberately not here: making and removing the machines (`play`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import Any

import attrs

from mesh.swim.effects import MemberView, State
from mesh.types import Address, NodeId
from sim.chaos.clock import LiveWorld
from sim.chaos.network import ChaosNetwork
from sim.chaos.node import ChaosNode
from sim.chaos.watch import STATES, Complaint, Look, Watcher, ask_why
from sim.kernel.findings import Finding
from sim.scenario.bounds import CONFIGS
from sim.scenario.model import Scenario
from sim.stage.base import CannotDo, Change, Listener, Stage
from sim.stage.starving import Hunger, Starving

BELIEF_AGE_MAX_S = 6.0
"""What a node said longer ago is not what it believes."""
AWAKE_S = 0.08
"""A starved process runs so long between its stops."""
LIVES_LOOK_S = 0.2


@attrs.define
class Belief:
    """What one life of a node last said."""

    life: int
    at_s: float
    states: dict[str, str]
    views: dict[int, MemberView]


class ChaosStage(Stage):
    """See the module's head."""

    world: LiveWorld

    def __init__(
        self, scenario: Scenario, world: LiveWorld, network: ChaosNetwork, nodes: list[ChaosNode]
    ) -> None:
        self.world = world
        self.network = network
        self.nodes = nodes
        self.size = scenario.nodes
        self.swim = CONFIGS[scenario.options.swim]
        self.listeners: list[Listener] = []
        self._beliefs: dict[int, Belief] = {}
        self._index = {bytes(self.node_id(n)).hex(): n for n in range(self.size)}
        self._watchers = [Watcher(node, self._looked, self._complained) for node in nodes]

    # -- running ---------------------------------------------------------------------------------
    def run(self, until_s: float, stop: Callable[[], bool]) -> None:
        for watcher in self._watchers:
            watcher.start()
        self.world.at(LIVES_LOOK_S, self._look_after_lives)
        try:
            self.world.run_live(until_s, stop)
        finally:
            for watcher in self._watchers:
                watcher.stop()

    def close(self) -> None:
        """After the last process has ended: what the logs still say."""
        for watcher in self._watchers:
            watcher.join()
        self.world.take_rest()

    def start_all(self) -> None:
        """They run already, and nobody has been told."""
        for node in range(self.size):
            self.tell_start(node)

    def _look_after_lives(self) -> None:
        """A process that ended by itself is a finding."""
        for node in self.nodes:
            status = node.status
            if status is not None:
                node.ending = True
                last = node.log.read_text(errors="replace").splitlines()[-1:]
                text = f"Ended: the process ended by itself with status {status}: {' '.join(last)}"
                self._found(node.index, text, "")
                self.tell_end(node.index, "crash")
        self.world.after(LIVES_LOOK_S, self._look_after_lives)

    # -- what the watchers found (their threads) -------------------------------------------------
    def _looked(self, look: Look) -> None:
        self.world.post(lambda: self._believe(look))

    def _complained(self, complaint: Complaint) -> None:
        self.world.post(lambda: self._found(complaint.node, complaint.what, complaint.detail))

    def _found(self, node: int, what: str, detail: str) -> None:
        self.world.findings.append(Finding(self.world.now_s, f"machine{node}", what, detail))

    def _believe(self, look: Look) -> None:
        node = self.nodes[look.observer]
        if look.life != node.lives or not node.running:
            return
        belief = self._beliefs.get(look.observer)
        if belief is None or belief.life != look.life:
            belief = self._beliefs[look.observer] = Belief(look.life, 0.0, {}, {})
        belief.at_s, belief.states = time.monotonic(), dict(look.states)
        for view in look.views:
            self._see(look.observer, belief, view)

    def _see(self, observer: int, belief: Belief, view: MemberView) -> None:
        subject = self._index.get(bytes(view.node_id).hex(), -1)
        before = belief.views.get(subject)
        belief.views[subject] = view
        version = (view.epoch, view.incarnation, view.state)
        if before is None or (before.epoch, before.incarnation, before.state) != version:
            previous = before.state if before is not None else None
            self.tell_change(Change(self.world.now_s, observer, subject, previous, view))

    # -- where nodes are -------------------------------------------------------------------------
    def address(self, node: int) -> Address:
        return self.nodes[node].plan.address

    # -- lives -----------------------------------------------------------------------------------
    def is_up(self, node: int) -> bool:
        return self.nodes[node].running

    def is_frozen(self, node: int) -> bool:
        return self.nodes[node].frozen

    def life(self, node: int) -> int:
        return self.nodes[node].lives

    def start(self, node: int) -> None:
        self.network.power(self.place(node), on=True)
        self.nodes[node].start()
        self.tell_start(node)

    def crash(self, node: int) -> None:
        self.nodes[node].kill()
        self.tell_end(node, "crash")

    def power_cut(self, node: int) -> None:
        self.network.power(self.place(node), on=False)
        self.nodes[node].cut_power()
        self.tell_end(node, "power_cut")

    def host_down(self, node: int) -> None:
        self.network.power(self.place(node), on=False)
        self.nodes[node].kill()
        self.tell_end(node, "host_down")

    def freeze(self, node: int) -> None:
        self.nodes[node].freeze()

    def thaw(self, node: int) -> None:
        self.nodes[node].thaw()

    def leave(self, node: int) -> None:
        self.nodes[node].leave()
        self.tell_end(node, "leave")

    def wipe(self, node: int) -> None:
        """A new disk, with the membership on it that its owner saved elsewhere."""
        self.nodes[node].disk.wipe()
        self.nodes[node].install()

    def starve(
        self, nodes: Sequence[int], late_min_s: float, late_max_s: float
    ) -> Callable[[], None]:
        hunger = Hunger(late_min_s, late_max_s, AWAKE_S)
        undos = [Starving(self, node, hunger).stop for node in nodes]

        def undo() -> None:
            for each in undos:
                each()

        return undo

    def disk(self, node: int) -> Any:
        return self.nodes[node].disk

    def clock_step(self, node: int, step_s: float) -> None:
        self._clock(node).step(step_s)

    def clock_drift(self, node: int, rate: float) -> None:
        self._clock(node).drift(rate)

    def _clock(self, node: int) -> Any:
        clock = self.nodes[node].clock
        if clock is None:
            raise CannotDo(f"clock of node {node}")
        return clock

    # -- what nodes think ------------------------------------------------------------------------
    def own_view(self, node: int) -> MemberView | None:
        if not self._answers(node):
            return None
        return ask_why(self.nodes[node].home, bytes(self.node_id(node)).hex())

    def view(self, observer: int, subject: int) -> MemberView | None:
        belief = self._beliefs.get(observer)
        if belief is None or belief.life != self.life(observer) or not self.is_up(observer):
            return None
        if time.monotonic() - belief.at_s > BELIEF_AGE_MAX_S:
            return None
        known = belief.views.get(subject)
        word = belief.states.get(bytes(self.node_id(subject)).hex())
        if known is None or word is None:
            return None
        return attrs.evolve(known, state=STATES[word])

    def table_hash(self, node: int) -> bytes:
        """Of what it says now about everybody, itself included: state, epoch and incarnation."""
        lines = []
        for subject in range(self.size):
            view = ask_why(self.nodes[node].home, bytes(self.node_id(subject)).hex())
            if view is not None and view.state != State.SUSPECT:
                lines.append(f"{subject} {view.state.name} {view.epoch} {view.incarnation}")
        return sha256("\n".join(lines).encode()).digest()

    def _answers(self, node: int) -> bool:
        return self.is_up(node) and not self.is_frozen(node) and not self.nodes[node].ending

    def endpoint(self, node: int) -> Any:
        """Nobody looks into a real process."""
        raise CannotDo(f"inside of node {node}")

    def node_id(self, node: int) -> NodeId:
        return self.nodes[node].plan.founded.members[node].node_id

    def counters(self, node: int) -> dict[str, int]:
        raise CannotDo(f"counters of node {node}")

    # -- eavesdropping ---------------------------------------------------------------------------
    def tap(self, heard: Callable[[bytes, Address, Address], None]) -> Callable[[], None]:
        """Called in the world's thread, a little later. Only carrier `switch` hears anything."""

        def pass_on(data: bytes, source: Address, destination: Address) -> None:
            self.world.post(partial(heard, data, source, destination))

        self.network.taps.append(pass_on)
        return lambda: self.network.taps.remove(pass_on)

    def watch_packets(self, sent: Callable[[Address, Address, int, float | None], None]) -> None:
        del sent
        raise CannotDo("the fate of packets")
