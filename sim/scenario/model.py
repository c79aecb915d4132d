"""What a scenario is: frozen values, checked when made.

    warm-up -> chaos -> heal -> settle -> oracles -> canary crash -> oracles -> stop

Times are virtual seconds since the start of the run. Targets are indexes of nodes; what several of
them mean (a group, the two ends of a link) is the fault kind's business (`sim.faults`).
Deliberately not here: how it is written down (`files`) and what it does (`play`, `sim.faults`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs

FORMAT = "vitte-scenario/1"
NODES_MAX = 2000
FAULTS_MAX = 10_000
WORK_MAX = 200
"""Runs of a scenario, and shards of a run."""
DURATION_MAX_S = 366 * 86_400.0

WORLDS = ("membership", "mesh", "state")
"""`membership`: membership cores alone, for many nodes and long times; `mesh`: whole nodes;
`state`: replicas of the log alone."""
SWIM_PROFILES = ("lan", "wan", "loopback")

Value = int | float | str | bool


class BadScenario(ValueError):
    """It cannot be played. `where` is the path of the mistake in the file, like faults/3/kind."""

    def __init__(self, where: Sequence[str | int], why: str) -> None:
        self.where = tuple(where)
        self.why = why
        super().__init__(f"{'/'.join(map(str, where)) or 'scenario'}: {why}")


def _frozen(params: Mapping[str, Value]) -> Mapping[str, Value]:
    return MappingProxyType({name: params[name] for name in sorted(params)})


def _nodes(target: Iterable[int]) -> tuple[int, ...]:
    return tuple(target)


@attrs.frozen
class Fault:
    """One thing that goes wrong."""

    at_s: float
    kind: str
    """A name in `sim.faults.KINDS`."""
    target: tuple[int, ...] = attrs.field(default=(), converter=_nodes)
    """Node indexes; empty: the whole mesh."""
    for_s: float = 0.0
    """How long; the kinds that are a moment ignore it. Heal ends what is still going on."""
    params: Mapping[str, Value] = attrs.field(factory=dict, converter=_frozen)

    def number(self, name: str) -> float:
        return float(self.params[name])

    @property
    def until_s(self) -> float:
        return self.at_s + self.for_s


@attrs.frozen
class Phases:
    """The lengths of the phases."""

    warm_up_s: float = 20.0
    chaos_s: float = 60.0
    settle_s: float = 60.0
    """After everything is healed: by its end every liveness oracle must hold."""
    canary_s: float = 60.0
    """After one more crash, of a healthy node: by its end all must know. 0: no canary."""

    @property
    def heal_s(self) -> float:
        return self.warm_up_s + self.chaos_s

    @property
    def canary_at_s(self) -> float:
        return self.heal_s + self.settle_s

    @property
    def end_s(self) -> float:
        return self.canary_at_s + self.canary_s


@attrs.frozen
class Workload:
    """Builds that are submitted during the chaos; only whole nodes can do them."""

    runs: int = 0
    shards: int = 0
    """Independent steps of each run; one more step joins their outputs."""
    seconds: float = 1.0
    """Length of a step on a machine of speed 1."""


@attrs.frozen
class Options:
    """How the nodes are set up."""

    swim: str = "lan"
    latency_s: float = 0.002
    jitter_s: float = 0.001
    loss: float = 0.0
    """Chance of every datagram, all the time: no fault, but how this network is."""
    heal: str = "all"
    """`all`, or `core`: a random majority is healed while the rest stays broken."""


def _faults(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(faults)


@attrs.frozen
class Scenario:
    """Everything that a run depends on, beside the code."""

    seed: int
    nodes: int
    profile: str = "calm"
    world: str = "membership"
    phases: Phases = Phases()
    workload: Workload = Workload()
    options: Options = Options()
    faults: tuple[Fault, ...] = attrs.field(default=(), converter=_faults)
    vitte: str = ""
    """The version that wrote it; another one may play it, but the trace will differ."""
    python: str = ""

    def __attrs_post_init__(self) -> None:
        _check(0 <= self.seed < 2**63, ("seed",), "must be between 0 and 2**63")
        _check(1 <= self.nodes <= NODES_MAX, ("nodes",), f"must be between 1 and {NODES_MAX}")
        _check(self.world in WORLDS, ("world",), f"must be one of {', '.join(WORLDS)}")
        self._check_options()
        for name, length_s in attrs.asdict(self.phases).items():
            in_range = 0 <= length_s <= DURATION_MAX_S
            _check(in_range, ("phases", name), "must be between 0 and a year, in seconds")
        _check(len(self.faults) <= FAULTS_MAX, ("faults",), f"more than {FAULTS_MAX}")
        for index, fault in enumerate(self.faults):
            self._check_fault(index, fault)

    def _check_options(self) -> None:
        options, work = self.options, self.workload
        known = options.swim in SWIM_PROFILES
        _check(known, ("options", "swim"), f"must be one of {', '.join(SWIM_PROFILES)}")
        _check(options.heal in ("all", "core"), ("options", "heal"), "must be all or core")
        for name in ("latency_s", "jitter_s"):
            _check(0 <= getattr(options, name) <= 60, ("options", name), "must be 0 to 60 s")
        _check(0 <= options.loss <= 0.5, ("options", "loss"), "must be 0 to 0.5")
        for name in ("runs", "shards"):
            _check(
                0 <= getattr(work, name) <= WORK_MAX, ("workload", name), f"must be 0 to {WORK_MAX}"
            )
        _check(0 < work.seconds <= 3600, ("workload", "seconds"), "must be above 0, to 3600")

    def _check_fault(self, index: int, fault: Fault) -> None:
        where = ("faults", index)
        _check(fault.at_s >= 0, (*where, "at_s"), "must be 0 or more: there is no time before 0")
        heal_s = self.phases.heal_s
        _check(fault.at_s <= heal_s, (*where, "at_s"), f"must lie before the heal at {heal_s:g} s")
        in_range = 0 <= fault.for_s <= DURATION_MAX_S
        _check(in_range, (*where, "for_s"), "must be between 0 and a year, in seconds")
        for node in fault.target:
            inside = 0 <= node < self.nodes
            _check(inside, (*where, "target"), f"there is no node {node}, only 0-{self.nodes - 1}")

    def with_faults(self, faults: Sequence[Fault]) -> Scenario:
        return attrs.evolve(self, faults=tuple(faults))


def _check(right: bool, where: tuple[str | int, ...], why: str) -> None:
    if not right:
        raise BadScenario(where, why)


def as_dict(value: Any) -> Any:
    """attrs classes as plain dicts, lists and numbers, in the order of their fields."""
    if attrs.has(type(value)):
        names = [field.name for field in attrs.fields(type(value))]
        return {name: as_dict(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {name: as_dict(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [as_dict(each) for each in value]
    return round(value, 6) if isinstance(value, float) else value
