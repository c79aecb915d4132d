"""One member of a MeshWorld: a machine that runs the production `Node`. See `sim.mesh_world`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mesh.errors import StoreBroken, StoreFull
from mesh.limits import MIB
from mesh.node.config import NodeConfig
from mesh.node.node import Node
from mesh.ports import Env, StreamBroken
from mesh.swim.effects import MemberView, State
from mesh.types import Address, NodeId
from sim.asking import Refusal, View, ask
from sim.machine.control import LocalEnd
from sim.machine.life import running_life
from sim.machine.machine import Machine
from sim.members import Membership

if TYPE_CHECKING:
    from sim.mesh_world import MeshWorld

CACHE_BYTES_MAX = 64 * MIB
RUN_ENV = ("PATH", "HOME")
RESTART_S = 2.0
"""After which a service manager starts a node again that did not come up."""


@attrs.frozen
class RunOutcome:
    """How a simulated run of a project ended."""

    view: View
    """`mesh.control.views.RunView`; empty when there is none."""
    events: tuple[View, ...]
    refusal: View | None = None
    """The node's error when it would not run it at all."""
    lost: bool = False
    """The node went away meanwhile."""
    began_s: float = 0.0
    ended_s: float = 0.0

    @property
    def ok(self) -> bool:
        return bool(self.view.get("ok"))


class MeshNode:
    """See the module's head."""

    def __init__(self, mesh: MeshWorld, membership: Membership, machine: Machine) -> None:
        self._mesh = mesh
        self.membership = membership
        self.index = membership.index
        self.name = membership.name
        self.node_id: NodeId = membership.node_id
        self.machine = machine
        self.node: Node | None = None
        """The program; None while no process runs."""
        machine.on_end = lambda _: self._gone()

    @property
    def address(self) -> Address:
        """Of its members' door, and of its gossip."""
        return self.machine.host.address, self._mesh.config.port

    @property
    def running(self) -> bool:
        return self.machine.running

    # -- lives -----------------------------------------------------------------------------------
    def start(self) -> None:
        """A process: the node, on whatever is on the disk."""
        self.machine.start(self._run)

    def stop(self) -> None:
        """Ask it to say goodbye and end; harmless when it does not run."""
        if self.node is not None:
            self.node.stop()

    def restart(self) -> None:
        """Killed and started again at once."""
        self.machine.crash()
        self.start()

    async def _run(self, env: Env) -> None:
        """As a service manager runs it: when its disk would not let it start, again a bit later.
        A process that is being ended leaves `node` alone: the next one may be there already."""
        life = running_life.get()
        assert life is not None, "machines run it"
        while life.alive and not await self._lives_on(env):
            if life.alive:
                self.node = None
            await env.clock.sleep_until(env.clock.monotonic() + RESTART_S)

    async def _lives_on(self, env: Env) -> bool:
        """Run the node to its end; False when its disk kept it from coming up."""
        node = self.node = None
        try:
            node = self.node = Node(env, self._config(env))
            await node.run()
        except (StoreBroken, StoreFull, ExceptionGroup) as error:
            came_up = node is not None and node.came_up
            if came_up or not _of_disk(error):
                raise
            return False
        return True

    def _gone(self) -> None:
        self.node = None

    def _config(self, env: Env) -> NodeConfig:
        config = self._mesh.config
        return NodeConfig(
            home=env.disk.path("home").parent,
            name=self.name,
            bind=self.address,
            slots=config.slots,
            cache_bytes_max=CACHE_BYTES_MAX,
        )

    # -- what it thinks --------------------------------------------------------------------------
    def members(self) -> tuple[MemberView, ...]:
        """Itself first; empty when it does not run or is in no mesh."""
        if self.node is None or not self.node.in_mesh:
            return ()
        return self.node.runtime.gossip.members()

    def own_view(self) -> MemberView | None:
        members = self.members()
        return members[0] if members else None

    def view_of(self, other: MeshNode) -> MemberView | None:
        if self.node is None or not self.node.in_mesh:
            return None
        return self.node.runtime.gossip.member(other.node_id)

    def sees(self, other: MeshNode) -> State | None:
        view = self.view_of(other)
        return view.state if view is not None else None

    # -- its user --------------------------------------------------------------------------------
    async def ask(self, op: str, **params: Any) -> View:
        """One operation of the control port. Raises Refusal, and StreamBroken when no node
        listens or it goes away."""
        return await ask(self._dial(), op, params)

    def _dial(self) -> LocalEnd:
        if self.machine.life is None:
            raise StreamBroken("no node is running")
        return self.machine.life.control.dial()

    async def leave_mesh(self) -> None:
        """`vitte mesh leave`: give up the membership for good."""
        await self.ask("leave")

    async def run_project(
        self,
        folder: Path,
        kind: str = "build",
        argv: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
    ) -> RunOutcome:
        """`vitte dist run KIND` in a real folder of this host; its actions are virtual programs
        (`sim.machine.program`). Never raises for what the node or the world does."""
        world, events = self._mesh.world, list[View]()
        began_s, lost = world.now_s, False
        view: View = {}
        refusal: View | None = None
        environment = {name: os.environ[name] for name in RUN_ENV if name in os.environ}
        asked = {"cwd": str(folder), "kind": kind, "argv": list(argv), "env": environment}
        try:
            view = await ask(self._dial(), "run", {**asked, **(options or {})}, events.append)
        except Refusal as error:
            refusal = error.view
        except StreamBroken:
            lost = True
        return RunOutcome(view, tuple(events), refusal, lost, began_s, world.now_s)


def _of_disk(error: Exception) -> bool:
    """Whether a disk that fails or is full is all that it says."""
    if isinstance(error, ExceptionGroup):
        return all(_of_disk(each) for each in error.exceptions)
    return isinstance(error, (StoreBroken, StoreFull))
