"""Builds: every run ends, succeeds unless its own node is broken, and makes the right bytes.

What a run makes is a pure function of its project, so the first run of a project is the model of
all later ones, whoever helped. A shard waits for nobody who is gone. Deliberately not here: how
fast; that is for benchmarks.
"""

from __future__ import annotations

from collections import Counter

from mesh.scheduler.victim import Victim
from mesh.types import NodeId
from sim.faults import KINDS
from sim.oracles.model import Oracle, Report
from sim.scenario.model import Fault, Scenario
from sim.stage.base import Stage
from sim.stage.builds import Build

BREAKS_ITS_NODE = ("disk", "clock")
"""Faults of an origin's own disk or clock excuse a run that fails."""


class Runs(Oracle):
    """Runs end, succeed, count their shards right, and place the right files."""

    name = "run-wrong"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._going: dict[int, int] = {}
        self._model: dict[int, dict[str, bytes]] = {}
        self._broken: set[int] = set()
        self._ended = 0
        self._succeeded = 0

    def fault_began(self, fault: Fault) -> None:
        if KINDS[fault.kind].group in BREAKS_ITS_NODE or fault.kind in ("amnesia", "old_disk"):
            self._broken.update(fault.target)

    def run_began(self, number: int, origin: int) -> None:
        self._going[number] = origin

    def run_ended(self, build: Build) -> None:
        self._going.pop(build.number, None)
        self._ended += 1
        alive = not build.lost and self.stage.life(build.origin) == build.life
        if build.ok:
            self._succeeded += 1
            self._judge(build)
        elif alive and build.origin not in self._broken:
            text = f"run {build.number} on node {build.origin} failed: {build.why}"
            self.fail(text, build.origin)

    def _judge(self, build: Build) -> None:
        if build.accounted != build.shards:
            counts = f"{build.shards} shards, accounts for {build.accounted}"
            self.fail(f"run {build.number} has {counts}", build.origin)
        model = self._model.setdefault(build.variant, build.outputs)
        if build.outputs != model:
            wrong = sorted(
                name
                for name in {*model, *build.outputs}
                if model.get(name) != build.outputs.get(name)
            )
            text = f"run {build.number} made another {', '.join(wrong)} than the runs before"
            self.fail(text, build.origin)

    def settled(self, core: tuple[int, ...]) -> None:
        for number, origin in sorted(self._going.items()):
            if origin in core:
                self.fail(f"run {number} on node {origin} has not ended", origin)

    def figures(self) -> dict[str, float]:
        return {"runs": self._ended, "runs_ok": self._succeeded} if self._ended else {}


class Leases(Oracle):
    """Only who is linked holds shards, and as many as are counted: what a peer had when its link
    ended is in the queue again at once, and not when its lease expires."""

    name = "stranded"

    def sampled(self) -> None:
        for node in range(self.stage.size):
            scheduler = self.stage.scheduler(node)
            if scheduler is not None:
                self._look(node, scheduler._victim)  # an oracle's look inside

    def _look(self, node: int, victim: Victim) -> None:
        held: Counter[NodeId] = Counter(lease.holder for lease in victim._leases.values())
        own = held.pop(self.stage.node_id(node), 0)
        if own != victim.own_leases:
            self.fail(f"node {node} has {own} shards itself, and counts {victim.own_leases}", node)
        for holder, shards in sorted(held.items()):
            if holder not in victim.peers:
                who = holder.hex()[:12]
                self.fail(f"{shards} shards of node {node} are with {who}, which is gone", node)
        for peer in victim.peers.values():
            if peer.held != held[peer.node]:
                text = f"{held[peer.node]} shards of node {node} are with {peer.node.hex()[:12]}"
                self.fail(f"{text}, and it counts {peer.held}", node)
