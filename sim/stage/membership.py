"""The light stage: sealed membership cores of `sim.swim_world`, without trio, disks and streams.

What it cannot do (disks, clocks, streams, serial lines), kinds know by `Kind.worlds`. Starvation is
played as a chain of short stops: a starved machine reads its mail in order, but late, all of what
has come meanwhile at once, and its timers fire late. Deliberately not here: whole nodes (`mesh`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mesh.swim.effects import MemberChanged, MemberView
from mesh.types import Address, NodeId
from sim.kernel.findings import Livelock
from sim.net.link import Link
from sim.scenario.bounds import CONFIGS
from sim.scenario.model import Scenario
from sim.stage.base import Change, Listener, Stage
from sim.stage.starving import Hunger, Starving
from sim.swim_world import SwimNode, SwimWorld

CORE = 0
"""The node through which everybody joins."""
SEEDS_REMEMBERED = 4
"""A node that starts again tries so many of the others, as one that kept its peers file does."""


class _Watched(SwimWorld):
    """A SwimWorld that tells a stage what its nodes see."""

    stage: MembershipStage | None = None

    def record(self, observer: int, change: MemberChanged) -> None:
        if self.stage is not None:
            self.stage.saw(observer, change)


class MembershipStage(Stage):
    """`sim.stage.base.Stage` over membership cores."""

    def __init__(self, scenario: Scenario) -> None:
        options = scenario.options
        link = Link(options.latency_s, options.jitter_s, loss=options.loss)
        self.swim = CONFIGS[options.swim]
        self.mesh = _Watched(scenario.seed, scenario.nodes, self.swim, link)
        self.mesh.stage = self
        self.world = self.mesh.world
        self.network = self.mesh.network
        self.size = scenario.nodes
        self.listeners: list[Listener] = []
        self._lives = [1] * self.size
        self._index = {node.node_id: node.index for node in self.mesh.nodes}
        for node in range(self.size):
            self._watch_seal(node)

    # -- running ---------------------------------------------------------------------------------
    def run(self, until_s: float, stop: Callable[[], bool]) -> None:
        self.world.on_error = lambda error: self.world.found("membership core", error)
        try:
            self.world.run_while(lambda: not stop(), until_s)
        except Livelock as error:
            self.world.found("membership core", error)

    def start_all(self) -> None:
        self.mesh.start_all()
        for node in range(self.size):
            self.tell_start(node)

    def saw(self, observer: int, change: MemberChanged) -> None:
        view = change.view
        subject = self._index.get(view.node_id, -1)
        self.world.note("saw", observer, subject, int(view.state), view.epoch, view.incarnation)
        seen = Change(self.world.now_s, observer, subject, change.previous_state, view)
        self.tell_change(seen)

    def _watch_seal(self, node: int) -> None:
        """Tell the listeners which datagrams this life opens and believes."""
        sealer = self.mesh[node].endpoint._sealer  # an oracle's look inside
        inner = sealer.open

        def watched(datagram: bytes) -> Any:
            opened = inner(datagram)
            if opened is not None:
                for listener in self.listeners:
                    listener.opened(node, datagram, opened.fresh)
            return opened

        sealer.open = watched  # type: ignore[method-assign]

    # -- where nodes are -------------------------------------------------------------------------
    def address(self, node: int) -> Address:
        return self.mesh[node].address

    # -- lives -----------------------------------------------------------------------------------
    def _node(self, node: int) -> SwimNode:
        return self.mesh[node]

    def is_up(self, node: int) -> bool:
        return self._node(node).host.running

    def is_frozen(self, node: int) -> bool:
        return self._node(node).host.frozen

    def life(self, node: int) -> int:
        return self._lives[node]

    def start(self, node: int) -> None:
        assert not self.is_up(node), "one process per node"
        host = self.network.hosts.get(self.place(node))
        if host is not None and not host.up:
            host.power_on()
        self._lives[node] += 1
        self._node(node).restart()
        self._watch_seal(node)
        self.tell_start(node)
        self._node(node).join(*(self.mesh[other] for other in self._remembered(node)))

    def _remembered(self, node: int) -> list[int]:
        step = max(1, self.size // SEEDS_REMEMBERED)
        others = [(node + 1 + step * k) % self.size for k in range(SEEDS_REMEMBERED)]
        return sorted({CORE, *others} - {node})

    def crash(self, node: int) -> None:
        self._node(node).kill()
        self.tell_end(node, "crash")

    def host_down(self, node: int) -> None:
        self._node(node).crash()
        host = self.network.hosts.get(self.place(node))
        if host is not None:
            host.power_off()
        self.tell_end(node, "host_down")

    def freeze(self, node: int) -> None:
        self._node(node).freeze()

    def thaw(self, node: int) -> None:
        self._node(node).thaw()

    def leave(self, node: int) -> None:
        self._node(node).leave()
        self.tell_end(node, "leave")

    def starve(
        self, nodes: Sequence[int], late_min_s: float, late_max_s: float
    ) -> Callable[[], None]:
        hunger = Hunger(late_min_s, late_max_s)
        undos = [Starving(self, node, hunger).stop for node in nodes]

        def undo() -> None:
            for each in undos:
                each()

        return undo

    # -- what nodes think ------------------------------------------------------------------------
    def own_view(self, node: int) -> MemberView | None:
        return self._node(node).endpoint.snapshot()[0] if self.is_up(node) else None

    def view(self, observer: int, subject: int) -> MemberView | None:
        if not self.is_up(observer):
            return None
        return self._node(observer).endpoint.view(self._node(subject).node_id)

    def endpoint(self, node: int) -> Any:
        return self._node(node).endpoint if self.is_up(node) else None

    def node_id(self, node: int) -> NodeId:
        return self._node(node).node_id

    def table_hash(self, node: int) -> bytes:
        return self._node(node).endpoint.table_hash

    def counters(self, node: int) -> dict[str, int]:
        return dict(self._node(node).endpoint.counters)

    # -- eavesdropping ---------------------------------------------------------------------------
    def tap(self, heard: Callable[[bytes, Address, Address], None]) -> Callable[[], None]:
        self.network.taps.append(heard)
        return lambda: self.network.taps.remove(heard)

    def watch_packets(self, sent: Callable[[Address, Address, int, float | None], None]) -> None:
        self.network.observers.append(
            lambda packet: sent(
                packet.source, packet.destination, packet.size_bytes, packet.arrives_s
            )
        )
