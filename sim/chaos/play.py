"""Playing a scenario with real processes: make the world, let the director direct, take it down.

    outcome = play_live(scenario, ChaosConfig())

Whatever happens (the end, a finding, Ctrl-C, a bug), everything that was made is removed: processes
by namespace, mounts by folder, namespaces by name. Raises ChaosForeignWorld, ChaosUnavailable,
ChaosUnsupported and ChaosFailed. Deliberately not here: what it means (`sim.scenario.play`,
`sim.oracles`).
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from cli.homes import answers
from mesh.errors import ChaosFailed, ChaosForeignWorld, ChaosUnavailable, ChaosUnsupported
from mesh.node.doors import DEFAULT_PORT
from sim.chaos import kinds, namespaces
from sim.chaos.bridge import Bridge
from sim.chaos.builds import LiveBuilds
from sim.chaos.cables import Cables
from sim.chaos.clock import LiveWorld
from sim.chaos.network import ChaosNetwork
from sim.chaos.node import ChaosNode, NodePlan
from sim.chaos.stage import ChaosStage
from sim.chaos.switch import Port
from sim.chaos.watch import ask
from sim.faults import check_fault
from sim.members import found
from sim.net.link import Link
from sim.oracles import ORACLES
from sim.scenario.model import Fault, Scenario
from sim.scenario.play import Director, Outcome, PlayConfig

HOST = "10.219.7.{}"
HARDWARE = bytes((0x02, 0x76, 0x74, 0x63, 0))
LATE_S = 0.7
"""When an event of ours begins so late, the machine was too busy to blame anybody for silence."""
LOOK_S = 0.5
START_TIMEOUT_S = 90.0
MEET_TIMEOUT_S = 30.0
"""Then time begins all the same, and the oracle `joined` judges."""
POLL_S = 0.1
LIVE_ORACLES = tuple(each for each in ORACLES if not each.simulated_only)


@attrs.frozen
class ChaosConfig:
    """How to play."""

    carrier: str = "switch"
    play: PlayConfig = attrs.field(factory=lambda: PlayConfig(oracles=LIVE_ORACLES))
    keep: Path | None = None
    """Where the nodes' logs are copied at the end."""
    on_lost_log: Callable[[Path, OSError], None] = lambda path, error: None  # noqa: ARG005
    """Told of a log that could not be copied; everything is removed all the same."""


def play_live(scenario: Scenario, config: ChaosConfig | None = None) -> Outcome:
    """Play it to its end, or to the first finding. Raises BadScenario, too.

    The outcome's scenario is of the world `mesh`: whole nodes are what has played."""
    wanted = config or ChaosConfig()
    check(scenario, wanted.carrier, "scenario")
    scenario = attrs.evolve(scenario, world="mesh")
    begun_s = time.process_time()
    with _interruptible(), _Lab(scenario, wanted) as lab:
        director = Director(lab.stage, scenario, wanted.play)
        _excuse_a_busy_machine(director, lab.world)
        if scenario.workload.runs:
            LiveBuilds(lab.stage, scenario, lab.folder).schedule()
        lab.stage.run(director.end_s, lambda: lab.failed() or director.stopped())
    lab.stage.close()
    return director.outcome(begun_s)


def check(scenario: Scenario, carrier: str, where: str) -> None:
    """Whether this machine can play it. Raises ChaosForeignWorld, ChaosUnavailable,
    ChaosUnsupported, BadScenario."""
    if scenario.world not in kinds.WORLDS:
        raise ChaosForeignWorld(where=where, world=scenario.world)
    for index, fault in enumerate(scenario.faults):
        check_fault(fault, scenario.nodes, ("faults", index))
    lacking = kinds.missing(scenario, carrier)
    if lacking:
        said = "; ".join(f"{what} ({why})" for what, why in lacking.items())
        raise ChaosUnsupported(where=where, kinds=said)
    why = kinds.why_not(carrier)
    if why is not None:
        raise ChaosUnavailable(why=why, tools=kinds.tools_to_install(carrier))


def _excuse_a_busy_machine(director: Director, world: LiveWorld) -> None:
    """While our own clock is late, oracles take everybody for starved."""

    def look() -> None:
        if world.late_s > LATE_S:
            trouble = Fault(world.now_s, "starve")
            for oracle in director.oracles:
                oracle.fault_began(trouble)
                oracle.fault_ended(trouble)
        world.after(LOOK_S, look)

    world.at(LOOK_S, look)


class _Lab:
    """The world of one run: namespaces, network, machines."""

    def __init__(self, scenario: Scenario, config: ChaosConfig) -> None:
        self.world = LiveWorld(scenario.seed)
        self.folder = Path(tempfile.mkdtemp(prefix=namespaces.name_of("-")))
        self._config = config
        options = scenario.options
        ports = [Port(n, host_of(n), HARDWARE + bytes((n + 1,))) for n in range(scenario.nodes)]
        link = Link(options.latency_s, options.jitter_s, loss=options.loss)
        self._network = ChaosNetwork(self.world, link, ports)
        self._nodes = [self._node(scenario, index) for index in range(scenario.nodes)]
        self.stage = ChaosStage(scenario, self.world, self._network, self._nodes)
        names = [node.namespace for node in self._nodes]
        carrier = Bridge if config.carrier == "kernel" else Cables
        self._carrier: Bridge | Cables = carrier(self._network, names)

    def _node(self, scenario: Scenario, index: int) -> ChaosNode:
        plan = NodePlan(
            index=index,
            address=(host_of(index), DEFAULT_PORT),
            folder=self.folder / f"node-{index}",
            image=kinds.wants_image(scenario, index),
            faked_clock=kinds.wants_faked_clock(scenario, index),
            founded=found(scenario.nodes),
            founder=(host_of(0), DEFAULT_PORT),
            random=self.world.rng(f"disk {index}").random,
        )
        return ChaosNode(plan)

    def failed(self) -> bool:
        """Raises ChaosFailed when no frames are carried any more."""
        if self._carrier.failure is not None:
            raise ChaosFailed(what="the switch", why=repr(self._carrier.failure))
        return False

    def __enter__(self) -> _Lab:
        try:
            namespaces.sweep()
            for node in self._nodes:
                namespaces.add(node.namespace)
                node.prepare()
            self._carrier.open()
            self._start_all()
        except BaseException:
            self.close()
            raise
        return self

    def _start_all(self) -> None:
        """Time begins when all nodes run and, if that is to be, see each other: how long programs
        take to load on a busy machine is not the story. Raises ChaosFailed."""
        for node in self._nodes:
            node.start()
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not all(answers(str(node.home)) for node in self._nodes):
            for node in self._nodes:
                if not node.running or time.monotonic() > deadline_s:
                    last = node.log.read_text(errors="replace").splitlines()[-1:]
                    raise ChaosFailed(what=f"start of {node.name}", why=" ".join(last))
            time.sleep(POLL_S)
        deadline_s = time.monotonic() + MEET_TIMEOUT_S
        while not all(map(_sees_all, self._nodes)) and time.monotonic() < deadline_s:
            time.sleep(POLL_S)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything, last first. Ctrl-C waits until it is done."""
        with _deaf():
            for node in self._nodes:  # all of them before the carrier: nobody shall see it go
                node.close()
                self._keep_log(node)
            self._carrier.close()
            for node in self._nodes:
                namespaces.remove(node.namespace)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _keep_log(self, node: ChaosNode) -> None:
        keep = self._config.keep
        if keep is None or not node.log.exists():
            return
        try:
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(node.log, keep / f"{node.name}.log")
        except OSError as error:
            self._config.on_lost_log(keep / f"{node.name}.log", error)


def _sees_all(node: ChaosNode) -> bool:
    status = ask(node.home, "status")
    return status is not None and all(each["state"] == "alive" for each in status["nodes"])


def host_of(node: int) -> str:
    """The IP address of a node."""
    return HOST.format(node + 1)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends us as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _deaf() -> Iterator[None]:
    """Neither signal interrupts what happens meanwhile."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
