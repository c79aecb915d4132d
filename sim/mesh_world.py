"""N whole nodes, the production `mesh.node.node.Node`, in one virtual world.

    async def story(mesh: MeshWorld) -> bool:
        mesh.start_all()                                      # node 0 has founded the mesh
        assert await mesh.until(mesh.converged, within_s=30)
        mesh.world.after(1.0, mesh[2].machine.crash)          # mishaps: at once, or as world events
        outcome = await mesh[0].run_project(folder)           # a real folder, virtual programs
        mesh[2].start()                                       # a new life on the surviving disk
        return outcome.ok

    done = simulate(story, MeshWorldConfig(seed=1, nodes=3))
    done.value, done.digest, done.findings, done.cpu_s        # `sim.kernel.run.Outcome`

MeshWorld   world, network, nodes, `mesh[i]`, start_all(), sleep(s), until(condition, within_s),
            converged(), running(), index_of(node_id), changes and on_change (every MemberChanged).
            It can be made first (to plan faults on its world) and run once by `mesh.run(story)`.
MeshNode    `sim.mesh_node`: index, name, node_id, address, machine, node, running, start(), stop(),
            restart(), ask(op, **params), leave_mesh(), members(), own_view(), view_of(other),
            sees(other), run_project(folder, kind, argv, options) -> RunOutcome
Machine     `sim.machine.machine`: crash(), power_cut(), host_down(), freeze(), thaw(),
            starve(low_s, high_s), clock.step_wall(s), clock.set_rate(x), disk, host, body
Kernel      `sim.kernel.run.current_kernel()`: the clock and the order of tasks

A run with the same config and story has the same digest, on every Python and hash seed.
Deliberately not here: faults as data, oracles and shrinking (`sim.scenario` and its neighbours).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import attrs
import trio

from mesh.node.doors import DEFAULT_PORT
from mesh.node.gossip import Gossip
from mesh.node.workshop import HASHES_FILE
from mesh.swim.effects import MemberChanged, MemberView, State
from mesh.types import NodeId
from sim.crypto import crypto
from sim.disk import SimDiskConfig
from sim.kernel.run import Outcome, RunConfig, run_in
from sim.kernel.world import World
from sim.machine.life import running_life
from sim.machine.machine import Machine, MachineConfig
from sim.machine.rack import Rack
from sim.machine.readings import Body
from sim.members import found
from sim.mesh_node import MeshNode, RunOutcome
from sim.net import Link, Network

__all__ = ["Change", "MeshNode", "MeshWorld", "MeshWorldConfig", "RunOutcome", "simulate"]

T = TypeVar("T")

LOOK_EVERY_S = 0.05
"""How often `until` looks."""
UPTIME_MAX_S = 1_000_000.0
WRONG_WALL_MAX_S = 2.0
HOST_FACTS = frozenset({HASHES_FILE, "runs/*", "cache/history"})


@attrs.frozen
class MeshWorldConfig:
    """What the mesh is made of."""

    seed: int = 0
    nodes: int = 3
    slots: int = 2
    cores: int = 4
    link: Link = attrs.field(factory=Link)
    """Between any two machines."""
    port: int = DEFAULT_PORT
    crypto: str = "remembered"
    """One of `sim.crypto.MODES`."""
    run: RunConfig = attrs.field(factory=RunConfig)


@attrs.frozen
class Change:
    """One membership change as one node saw it."""

    at_s: float
    observer: int
    subject: int
    """-1: not one of ours."""
    previous: State | None
    view: MemberView


class MeshWorld:
    """See the module's head."""

    def __init__(self, config: MeshWorldConfig) -> None:
        self.config = config
        self.world = World(config.seed)
        self.network = Network(self.world, config.link)
        self.rack = Rack()
        self.changes: list[Change] = []
        self.on_change: list[Callable[[Change], None]] = [self.changes.append]
        founded = found(config.nodes)
        self.nodes = [
            MeshNode(self, member, self._make_machine(member.index)) for member in founded.members
        ]
        self._index = {node.node_id: node.index for node in self.nodes}
        for node in self.nodes:
            founded.install(node.index, node.machine.disk.open(), self.nodes[0].address)

    def _make_machine(self, index: int) -> Machine:
        draw = self.world.rng(f"machine {index}").random
        config = MachineConfig(
            name=f"machine{index}",
            host=self.network.add_host(f"10.{index >> 16}.{(index >> 8) & 255}.{index & 255}"),
            body=Body(cores=self.config.cores),
            wall_offset_s=(2 * draw() - 1) * WRONG_WALL_MAX_S,
            uptime_s=draw() * UPTIME_MAX_S,
            disk=SimDiskConfig(host_facts=HOST_FACTS),
        )
        return Machine(self.world, self.rack, config)

    def __getitem__(self, index: int) -> MeshNode:
        return self.nodes[index]

    def index_of(self, node: NodeId) -> int:
        """-1 for a stranger."""
        return self._index.get(node, -1)

    # -- running ---------------------------------------------------------------------------------
    def run(self, story: Callable[[MeshWorld], Awaitable[T]]) -> Outcome[T]:
        """Play `story` to its end, once. Machines are off before and after."""

        async def main(_: World) -> T:
            value: list[T] = []
            failure: BaseException | None = None
            async with self.powered():
                try:
                    value.append(await story(self))
                except trio.Cancelled:
                    raise
                except BaseException as error:  # noqa: BLE001 - raised below, not in a group
                    failure = error
            if failure is not None:
                raise failure
            return value[0]

        return run_in(self.world, main, self.config.run)

    @asynccontextmanager
    async def powered(self) -> AsyncIterator[None]:
        """While it lasts, inside `run_in` of our world, nodes can be started."""
        with self._watching(), crypto(self.config.crypto):
            async with self.rack.powered():
                yield

    def start_all(self) -> None:
        for node in self.nodes:
            node.start()

    def running(self) -> list[MeshNode]:
        return [node for node in self.nodes if node.running]

    async def sleep(self, duration_s: float) -> None:
        await trio.sleep(duration_s)

    async def until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Wait for `condition()`; False when it takes longer than `within_s`."""
        end_s = self.world.now_s + within_s
        while not condition():
            if self.world.now_s >= end_s:
                return False
            await trio.sleep(LOOK_EVERY_S)
        return True

    # -- what they think -------------------------------------------------------------------------
    def converged(self) -> bool:
        """Whether every running node sees every running node alive, and is linked with it."""
        running = self.running()
        return all(self._knows_all(node, running) for node in running)

    @staticmethod
    def _knows_all(node: MeshNode, others: list[MeshNode]) -> bool:
        if node.node is None or not node.node.in_mesh or not node.members():
            return False
        return all(other is node or node.sees(other) is State.ALIVE for other in others)

    def linked(self) -> bool:
        """Whether every running node has a stream to every other."""
        running = self.running()
        for node in running:
            if node.node is None or not node.node.in_mesh:
                return False
            links = node.node.runtime.links.by_node
            if any(other is not node and other.node_id not in links for other in running):
                return False
        return True

    # -- watching --------------------------------------------------------------------------------
    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Hear of every membership change of every node, before the node acts on it."""
        inner = Gossip._changed
        observers = {node.machine.name: node.index for node in self.nodes}

        def changed(gossip: Gossip, change: MemberChanged) -> None:
            life = running_life.get()
            if life is not None:
                self._saw(observers[life.machine.name], change)
            inner(gossip, change)

        Gossip._changed = changed  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            Gossip._changed = inner  # type: ignore[method-assign]

    def _saw(self, observer: int, change: MemberChanged) -> None:
        view = change.view
        subject = self.index_of(view.node_id)
        self.world.note("saw", observer, subject, int(view.state), view.epoch, view.incarnation)
        seen = Change(self.world.now_s, observer, subject, change.previous_state, view)
        for listener in self.on_change:
            listener(seen)


def simulate(
    story: Callable[[MeshWorld], Awaitable[T]], config: MeshWorldConfig | None = None
) -> Outcome[T]:
    """Make a mesh and play a story with it. See the module's head."""
    return MeshWorld(config or MeshWorldConfig()).run(story)
