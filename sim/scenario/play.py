"""Playing a scenario: the phases, the faults at their times, the oracles, and what came of it.

    outcome = play(scenario)
    outcome.verdict, outcome.findings, outcome.digest

Everything is an event of the world: the same code drives membership cores and whole nodes. The
first finding ends a run (what comes after it is consequence), unless told otherwise. Exceptions of
the simulated program are findings of the oracle `uncaught`.
Deliberately not here: which world (`sim.stage`), what is right (`sim.oracles`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import attrs

from sim import faults
from sim.faults.model import Undo, choose
from sim.oracles import Finding, Oracle, oracles_of
from sim.oracles.model import FINDINGS_MAX
from sim.scenario.model import Fault, Scenario
from sim.stage.base import Stage

SAMPLE_S = 1.0
SILENT_CANARIES = 0.5
ROWS_OF_CANARIES = 0.5
"""Of the silent ones: a row of the ring goes at once, whose inner members only a probe can miss."""
ROW_SHARE = 4
"""One of so many goes with the first."""
DISK_COMPLAINTS = (
    "StoreFull",
    "StoreBroken",
    "OSError",
    "CannotPlace",
    "BlobLost",
    "PermissionError",
)
Prepare = Callable[["Director"], None]


@attrs.frozen
class PlayConfig:
    """How to play."""

    stop_at_first: bool = True
    until_s: float | None = None
    """Stop here, without judging what comes later."""
    oracles: Sequence[type[Oracle]] | None = None
    """None: those of the scenario's world."""
    prepare: Sequence[Prepare] = ()
    """Called before the first event: recorders, progress, rewinding."""


@attrs.frozen
class Outcome:
    """What a run has come to."""

    scenario: Scenario
    findings: tuple[Finding, ...]
    digest: str
    """Of everything that happened; the same in every process that plays the same."""
    virtual_s: float
    events: int
    figures: dict[str, float]
    cpu_s: float
    """Really used; the only thing here that differs from run to run."""

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def verdict(self) -> str:
        return "ok" if self.ok else f"FAILED: {self.findings[0].oracle}"


class Director:
    """One run of one scenario on one stage."""

    def __init__(self, stage: Stage, scenario: Scenario, config: PlayConfig) -> None:
        self.stage = stage
        self.scenario = scenario
        self.findings: list[Finding] = []
        self.active: dict[int, tuple[Fault, Undo]] = {}
        """Faults at work, by their place in the scenario."""
        self.on_finding: list[Callable[[Finding], None]] = []
        self.phase = "warm-up"
        self._config = config
        self._known_world_findings = 0
        self._core = tuple(range(scenario.nodes))
        self._canaries: tuple[int, ...] = ()
        oracles = oracles_of(scenario.world) if config.oracles is None else config.oracles
        self.oracles = [oracle(stage, scenario, self.report) for oracle in oracles]
        stage.listeners.extend(self.oracles)
        phases = scenario.phases
        self.end_s = phases.end_s if config.until_s is None else min(phases.end_s, config.until_s)
        self._schedule()
        for prepare in config.prepare:
            prepare(self)

    # -- findings --------------------------------------------------------------------------------
    def report(self, finding: Finding) -> None:
        self.stage.world.note("finding", finding.oracle, finding.text)
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding)
        for listener in self.on_finding:
            listener(finding)

    def stopped(self) -> bool:
        """Whether there is nothing more to see."""
        self._collect_uncaught()
        return bool(self.findings) and self._config.stop_at_first

    def _collect_uncaught(self) -> None:
        found = self.stage.world.findings
        while self._known_world_findings < len(found):
            each = found[self._known_world_findings]
            self._known_world_findings += 1
            if not self._complains_of_its_disk(each.where, each.what):
                text = f"{each.where}: {each.what}"
                self.report(Finding("uncaught", each.at_s, text, (), each.detail))

    def _complains_of_its_disk(self, where: str, what: str) -> bool:
        """A node whose disk we broke may say so in its log: that is not a bug of its own."""
        hit = {
            node
            for fault in self.scenario.faults
            if fault.at_s <= self.stage.world.now_s and faults.KINDS[fault.kind].group == "disk"
            for node in fault.target
        }
        return where in {f"machine{node}" for node in hit} and what.startswith(DISK_COMPLAINTS)

    # -- the plot --------------------------------------------------------------------------------
    def _schedule(self) -> None:
        world, phases = self.stage.world, self.scenario.phases
        world.at(0.0, self.stage.start_all)
        world.at(phases.warm_up_s, self._warmed_up)
        for index, fault in enumerate(self.scenario.faults):
            world.at(fault.at_s, partial(self._begin, index, fault))
            if faults.KINDS[fault.kind].lasts and fault.until_s < phases.heal_s:
                world.at(fault.until_s, partial(self._end, index))
        world.at(phases.heal_s, self._heal)
        world.at(phases.canary_at_s, self._settled)
        world.at(phases.end_s, self._finish)
        world.at(SAMPLE_S, self._sample)

    def _each(self, tell: Callable[[Oracle], None]) -> None:
        for oracle in self.oracles:
            tell(oracle)

    def _sample(self) -> None:
        self._each(lambda oracle: oracle.sampled())
        self.stage.world.after(SAMPLE_S, self._sample)

    def _warmed_up(self) -> None:
        self._each(lambda oracle: oracle.warmed_up())
        self.phase = "chaos"

    def _begin(self, index: int, fault: Fault) -> None:
        self.stage.world.note("fault", index, fault.kind, fault.target)
        undo = faults.begin(self.stage, fault)
        if faults.KINDS[fault.kind].lasts:
            self.active[index] = (fault, undo)
        self._each(lambda oracle: oracle.fault_began(fault))
        if not faults.KINDS[fault.kind].lasts:
            self._each(lambda oracle: oracle.fault_ended(fault))

    def _end(self, index: int) -> None:
        if index not in self.active:
            return
        fault, undo = self.active.pop(index)
        self.stage.world.note("over", index)
        undo()
        self._each(lambda oracle: oracle.fault_ended(fault))

    # -- heal, settle, canary --------------------------------------------------------------------
    def _heal(self) -> None:
        self.phase = "settle"
        if self.scenario.options.heal == "core":
            self._choose_core()
        for index in list(self.active):
            if self._concerns_core(self.active[index][0]):
                self._end(index)
        for node in self._core:
            if not self.stage.is_up(node):
                self.stage.start(node)
        self._each(lambda oracle: oracle.healed())

    def _choose_core(self) -> None:
        """A random majority; the rest stays as broken as it is."""
        nodes = self.scenario.nodes
        rng = self.stage.world.rng("core")
        self._core = tuple(sorted(choose(rng, range(nodes), nodes // 2 + 1)))

    def _concerns_core(self, fault: Fault) -> bool:
        return not fault.target or any(node in self._core for node in fault.target)

    def _settled(self) -> None:
        self._each(lambda oracle: oracle.settled(self._core))
        if not self.scenario.phases.canary_s or len(self._core) < 2:
            return
        self.phase = "canary"
        rng = self.stage.world.rng("canary")
        canary = choose(rng, self._core, 1)[0]
        self._canaries = (canary,)
        if rng.random() >= SILENT_CANARIES:
            self.stage.crash(canary)
        else:  # nothing refuses on its behalf: only silence tells
            if rng.random() < ROWS_OF_CANARIES:
                self._canaries = self._row_of(canary)
            for each in self._canaries:
                self.stage.host_down(each)
        for each in self._canaries:
            self._tell_canary(each)

    def _row_of(self, last: int) -> tuple[int, ...]:
        """Neighbours on the ring of beats among the core, each of whom waits for the next."""
        ring = sorted(self._core, key=self.stage.node_id)
        place = ring.index(last)
        return tuple(ring[place - step] for step in range(1 + len(ring) // ROW_SHARE))

    def _tell_canary(self, canary: int) -> None:
        self._each(lambda oracle: oracle.canary_died(canary))

    def _finish(self) -> None:
        self.phase = "end"
        left = tuple(node for node in self._core if node not in self._canaries)
        for canary in self._canaries:
            self._judge_canary(canary, left)

    def _judge_canary(self, canary: int, left: tuple[int, ...]) -> None:
        self._each(lambda oracle: oracle.canary_judged(canary, left))

    # -- the end ---------------------------------------------------------------------------------
    def outcome(self, begun_cpu_s: float) -> Outcome:
        self._collect_uncaught()
        world = self.stage.world
        figures: dict[str, float] = {}
        self._each(lambda oracle: figures.update(oracle.figures()))
        return Outcome(
            scenario=self.scenario,
            findings=tuple(self.findings),
            digest=world.trace_digest(),
            virtual_s=world.now_s,
            events=world.events_done,
            figures=figures,
            cpu_s=time.process_time() - begun_cpu_s,
        )


def play(scenario: Scenario, config: PlayConfig | None = None) -> Outcome:
    """Play it to its end, or to the first finding. Raises BadScenario when a fault is not one,
    or not one of its world."""
    from sim.stage import perform

    for index, fault in enumerate(scenario.faults):
        faults.check_fault(fault, scenario.nodes, ("faults", index), scenario.world)
    begun_s = time.process_time()
    wanted = config or PlayConfig()
    director = perform(scenario, lambda stage: Director(stage, scenario, wanted))
    return director.outcome(begun_s)
