"""What the tests of fault kinds share: faults to begin, stages to begin them on, and the form of
their tables.

Each group of kinds has a table from the name of a kind to a check that begins a fault of it and
asserts what it does to nodes or data, and that its end takes it back. `test_sim_faults.py` holds
the tables together against the registry.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

import trio
from test_sim_net_streams import DOOR, Pair

from mesh.types import Address
from sim.faults import KINDS, begin
from sim.faults.model import Undo
from sim.kernel.run import run_world
from sim.kernel.world import World
from sim.scenario.model import Fault, Options, Phases, Scenario
from sim.scenario.play import Outcome, PlayConfig, play
from sim.stage.base import Stage
from sim.stage.membership import MembershipStage
from sim.stage.mesh import MeshStage

Effect = Callable[[str], None]
"""Given the name of a kind, shows what it does."""
Effects = Mapping[str, Effect]

PORT = 9
COUNT = 400
NEAR = "10.0.0.2"
_made: set[str] = set()


def shows(effects: Effects, name: str) -> None:
    """Run the check of one kind; it must be about that kind."""
    _made.clear()
    effects[name](name)
    assert name in _made, f"the check of {name} begins none"


def fault_of(name: str, *target: int, **params: float) -> Fault:
    """A fault with the harshest values of the parameters that are not given."""
    kind = KINDS[name]
    values = {param.name: params.get(param.name, param.high) for param in kind.params}
    whole = {p.name for p in kind.params if p.whole}
    typed = {name: int(v) if name in whole else float(v) for name, v in values.items()}
    fault = Fault(0.0, name, target, 30.0 if kind.lasts else 0.0, typed)
    kind.check(fault, 4, ("faults", 0))
    _made.add(name)
    return fault


# -- datagrams -----------------------------------------------------------------------------------
class Probe:
    """A stage whose nodes do not run, and datagrams from one node to another, which without a
    fault arrive all, in order, and at once."""

    def __init__(self) -> None:
        calm = Options(jitter_s=0.0)
        self.stage: Stage = MembershipStage(Scenario(seed=1, nodes=3, options=calm))
        self.arrived: list[tuple[float, bytes]] = []
        self.delays_s: list[float] = []
        for node in range(self.stage.size):
            self.stage.network.attach(self.at(node), self._arrive)

    def at(self, node: int) -> Address:
        return (self.stage.place(node), PORT)

    def begin(self, name: str, *target: int, **params: float) -> Undo:
        return begin(self.stage, fault_of(name, *target, **params))

    def _arrive(self, data: bytes, _: Address) -> None:
        self.arrived.append((self.stage.world.now_s, data))

    def send(
        self, source: int = 0, to: int = 1, count: int = COUNT, size: int = 200
    ) -> list[bytes]:
        """Send and wait; returns what arrived, in order."""
        self.arrived.clear()
        begun_s = self.stage.world.now_s
        for data in payloads(count, size):
            self.stage.network.send(data, self.at(source), self.at(to))
        self.stage.world.run_until(begun_s + 60)
        self.delays_s = [at_s - begun_s for at_s, _ in self.arrived]
        return [data for _, data in self.arrived]


def payloads(count: int = COUNT, size: int = 200) -> list[bytes]:
    return [number.to_bytes(4, "big") + bytes(size - 4) for number in range(count)]


# -- streams and sockets -------------------------------------------------------------------------
class Street(Pair):
    """Two hosts as a stage has them: node 0 has the door, node 1 knocks there."""

    size = 2

    def place(self, node: int) -> str:
        return (DOOR[0], NEAR)[node]

    def begin(self, name: str, *target: int, **params: float) -> Undo:
        return begin(cast("Stage", self), fault_of(name, *target, **params))


StreetStory = Callable[[Street, trio.Nursery, str], Awaitable[None]]


def on_a_street(story: StreetStory) -> Effect:
    """A check that is told with streams and sockets."""

    def effect(name: str) -> None:
        async def main(world: World) -> None:
            async with trio.open_nursery() as nursery:
                await story(Street(world), nursery, name)
                nursery.cancel_scope.cancel()

        assert run_world(1, main).findings == ()

    return effect


# -- nodes that run ------------------------------------------------------------------------------
def running(seed: int = 1, nodes: int = 3) -> MembershipStage:
    """Membership cores that have known each other for some seconds."""
    stage = MembershipStage(Scenario(seed=seed, nodes=nodes))
    stage.world.at(0.0, stage.start_all)
    stage.world.run_until(10.0)
    return stage


def pass_s(stage: Stage, duration_s: float) -> None:
    stage.world.run_until(stage.world.now_s + duration_s)


Moment = tuple[float, Callable[[MeshStage], None]]


def played(fault: Fault, *moments: Moment) -> Outcome:
    """A short run of whole nodes with one fault, in which something is done or looked at."""
    phases = Phases(warm_up_s=10, chaos_s=20, settle_s=20, canary_s=0)
    scenario = Scenario(seed=5, nodes=3, world="mesh", phases=phases, faults=(fault,))

    def prepare(director: Any) -> None:
        for at_s, act in moments:
            director.stage.world.at(at_s, partial(act, director.stage))

    return play(scenario, PlayConfig(prepare=(prepare,)))


def whole() -> MeshStage:
    """Whole nodes that do not run: their disks and clocks."""
    return MeshStage(Scenario(seed=1, nodes=2, world="mesh"))
