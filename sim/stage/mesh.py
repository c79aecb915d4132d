"""The full stage: whole nodes of `sim.mesh_world`, with disks, clocks, streams and builds.

Everything a node does to the world goes through its simulated ports, so everything here is a fault
of those. Which life a datagram is opened in is known from the life that runs (`running_life`).
Deliberately not here: the runs that users start (`sim.stage.builds`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from mesh.swim.effects import MemberView
from mesh.swim.sealed import Sealer
from mesh.types import Address, NodeId
from sim.kernel.deadlock import describe_tasks
from sim.kernel.findings import Deadlock, Livelock
from sim.kernel.run import RunConfig
from sim.machine.life import running_life, tasks_of_the_dead
from sim.members import found
from sim.mesh_world import Change as MeshChange
from sim.mesh_world import MeshNode, MeshWorld, MeshWorldConfig
from sim.net.link import Link
from sim.scenario.bounds import CONFIGS
from sim.scenario.model import Scenario
from sim.stage.base import Change, Listener, Stage
from sim.stage.builds import Builds
from sim.stage.overhearing import overhearing

if TYPE_CHECKING:
    from sim.stage import Playable

P = TypeVar("P", bound="Playable")
LOOK_S = 0.5
"""How often it is asked whether the play is over."""


class MeshStage(Stage):
    """`sim.stage.base.Stage` over whole nodes."""

    def __init__(self, scenario: Scenario) -> None:
        options = scenario.options
        link = Link(options.latency_s, options.jitter_s, loss=options.loss)
        config = MeshWorldConfig(scenario.seed, scenario.nodes, link=link, run=RunConfig())
        self.mesh = MeshWorld(config)
        self.mesh.on_change.clear()  # a long run would keep them all
        self.mesh.on_change.append(self._saw)
        self.world = self.mesh.world
        self.network = self.mesh.network
        self.size = scenario.nodes
        self.swim = CONFIGS[options.swim]
        self.listeners: list[Listener] = []
        self._index = {node.machine.name: node.index for node in self.mesh.nodes}

    # -- running ---------------------------------------------------------------------------------
    def start_all(self) -> None:
        for node in range(self.size):
            self._node(node).start()
            self.tell_start(node)

    def _saw(self, change: MeshChange) -> None:
        seen = Change(change.at_s, change.observer, change.subject, change.previous, change.view)
        self.tell_change(seen)

    @contextmanager
    def watching_seals(self) -> Iterator[None]:
        """Tell the listeners which datagrams nodes open and believe."""
        inner = Sealer.open

        def watched(sealer: Sealer, datagram: bytes) -> Any:
            opened = inner(sealer, datagram)
            life = running_life.get()
            if opened is not None and life is not None:
                node = self.index_of(life.machine.name)
                for listener in self.listeners:
                    listener.opened(node, datagram, opened.fresh)
            return opened

        Sealer.open = watched  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            Sealer.open = inner  # type: ignore[method-assign]

    def index_of(self, machine: str) -> int:
        """The node that runs on the machine of this name."""
        return self._index[machine]

    # -- where nodes are -------------------------------------------------------------------------
    def _node(self, node: int) -> MeshNode:
        return self.mesh[node]

    def address(self, node: int) -> Address:
        return self._node(node).address

    # -- lives -----------------------------------------------------------------------------------
    def is_up(self, node: int) -> bool:
        return self._node(node).running

    def is_frozen(self, node: int) -> bool:
        return self._node(node).machine.frozen

    def life(self, node: int) -> int:
        return self._node(node).machine.lives

    def start(self, node: int) -> None:
        self._node(node).start()
        self.tell_start(node)

    def crash(self, node: int) -> None:
        self._node(node).machine.crash()
        self.tell_end(node, "crash")

    def power_cut(self, node: int) -> None:
        self._node(node).machine.power_cut()
        self.tell_end(node, "power_cut")

    def host_down(self, node: int) -> None:
        self._node(node).machine.host_down()
        self.tell_end(node, "host_down")

    def freeze(self, node: int) -> None:
        self._node(node).machine.freeze()

    def thaw(self, node: int) -> None:
        self._node(node).machine.thaw()

    def leave(self, node: int) -> None:
        self._node(node).stop()
        self.tell_end(node, "leave")

    def wipe(self, node: int) -> None:
        """A new disk, with the membership on it that its owner saved elsewhere."""
        machine = self._node(node).machine
        machine.disk.heal()  # it is another disk
        machine.disk.wipe()
        found(self.size).install(node, machine.disk.open(), self.address(0))

    def starve(
        self, nodes: Sequence[int], late_min_s: float, late_max_s: float
    ) -> Callable[[], None]:
        for node in nodes:
            self._node(node).machine.starve(late_min_s, late_max_s)

        def undo() -> None:
            for node in nodes:
                self._node(node).machine.starve(None)

        return undo

    def disk(self, node: int) -> Any:
        return self._node(node).machine.disk

    def clock_step(self, node: int, step_s: float) -> None:
        self._node(node).machine.clock.step_wall(step_s)

    def clock_drift(self, node: int, rate: float) -> None:
        self._node(node).machine.clock.set_rate(rate)

    def serial(self, node: int) -> Any:  # noqa: ARG002 - no node of this stage has a leaf
        return None

    # -- what nodes think ------------------------------------------------------------------------
    def own_view(self, node: int) -> MemberView | None:
        return self._node(node).own_view()

    def view(self, observer: int, subject: int) -> MemberView | None:
        return self._node(observer).view_of(self._node(subject))

    def endpoint(self, node: int) -> Any:
        runtime = self.runtime(node)
        return runtime.gossip._endpoint if runtime is not None else None  # an oracle's look inside

    def scheduler(self, node: int) -> Any:
        runtime = self.runtime(node)
        return runtime.work.core if runtime is not None else None

    def runtime(self, node: int) -> Any:
        program = self._node(node).node
        return program.runtime if program is not None and program.in_mesh else None

    def unread(self, node: int) -> int:
        """Datagrams that wait in the socket of its membership."""
        runtime = self.runtime(node)
        return len(runtime.gossip._port._waiting) if runtime is not None else 0

    def kept(self, node: int, name: str) -> bytes | None:
        inode = self.disk(node).journal.durable.get(name)
        return bytes(inode.durable) if inode is not None else None

    def left_over(self) -> list[str]:
        return [describe_tasks([task]) for task in tasks_of_the_dead()]

    def node_id(self, node: int) -> NodeId:
        return self._node(node).node_id

    def table_hash(self, node: int) -> bytes:
        endpoint = self.endpoint(node)
        return bytes(endpoint.table_hash) if endpoint is not None else b""

    def counters(self, node: int) -> dict[str, int]:
        endpoint = self.endpoint(node)
        return dict(endpoint.counters) if endpoint is not None else {}

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


def perform_mesh(scenario: Scenario, direct: Callable[[Stage], P]) -> P:
    """Build the stage, let `direct` put a play on it, and play it, builds included."""
    stage = MeshStage(scenario)
    director = direct(stage)

    async def story(_: MeshWorld) -> None:
        # Looking now and then is cheaper here than an event: a finding may come from anywhere.
        async with trio.open_nursery() as nursery:
            if scenario.workload.runs:
                Builds(stage, scenario, nursery).schedule()
            while stage.world.now_s < director.end_s and not director.stopped():  # noqa: ASYNC110
                await trio.sleep(LOOK_S)
            nursery.cancel_scope.cancel()

    with stage.watching_seals(), overhearing(stage):
        try:
            stage.mesh.run(story)
        except (Livelock, Deadlock) as error:
            stage.world.found("world", error)
        except BaseExceptionGroup as group:
            if group.subgroup(KeyboardInterrupt) is not None:
                raise KeyboardInterrupt from None
            raise
    return director
