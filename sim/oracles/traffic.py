"""Traffic: nobody sends more than a bounded rate, whatever happens; a calm mesh is a quiet one.

A gossip storm is the failure of which healthy nodes die. Counted are datagrams and bytes per node
over windows; the bounds follow from the constants of the membership profile. Deliberately not here:
bulk transfers, which go over streams.
"""

from __future__ import annotations

from collections import Counter

from mesh.types import Address
from sim.oracles.model import Oracle, Report
from sim.scenario.bounds import CONFIGS
from sim.scenario.model import Scenario
from sim.stage.base import Stage

WINDOW_S = 10.0
PER_PROBE = 14
"""Datagrams that one probe can cost its prober and those who answer and help: ping, k requests and
their answers, acks, with room for repairs."""
CALM_PER_PROBE = 6
JOIN_BURST = 12
"""Datagrams for each member, in the window in which one gets to know them all."""


class NoStorm(Oracle):
    """Datagrams per node and window stay bounded."""

    name = "storm"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        config = CONFIGS[scenario.options.swim]
        probes = WINDOW_S / config.probe_interval_s
        gossip = config.gossip_fanout * WINDOW_S / config.gossip_interval_s
        met = JOIN_BURST * scenario.nodes
        self._most = PER_PROBE * probes + 2 * gossip + met
        self._sent: Counter[Address] = Counter()
        self._window_end_s = WINDOW_S
        self._worst = 0
        self._total = 0
        stage.tap(self._heard)

    def _heard(self, data: bytes, source: Address, destination: Address) -> None:  # noqa: ARG002
        self._sent[source] += 1

    def sampled(self) -> None:
        if self.stage.world.now_s < self._window_end_s:
            return
        self._window_end_s = self.stage.world.now_s + WINDOW_S
        for address, count in sorted(self._sent.items()):
            self._worst = max(self._worst, count)
            self._total += count
            if count > self._most:
                self.fail(f"{address[0]} sent {count} datagrams in {WINDOW_S:g} s")
        self._sent.clear()

    def figures(self) -> dict[str, float]:
        return {"worst_datagrams_per_s": round(self._worst / WINDOW_S, 1)}


class QuietWhenCalm(Oracle):
    """After the warm-up of a run without faults, each node sends a few datagrams per probe."""

    name = "chatty"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._sent = 0
        self._bytes = 0
        self._since_s: float | None = None
        self._per_node: dict[str, float] = {}
        stage.tap(self._heard)

    def _heard(self, data: bytes, source: Address, destination: Address) -> None:  # noqa: ARG002
        self._sent += 1
        self._bytes += len(data)

    def warmed_up(self) -> None:
        self._sent = self._bytes = 0
        self._since_s = self.stage.world.now_s

    def healed(self) -> None:
        assert self._since_s is not None, "warm-up comes before heal"
        lasted_s = self.stage.world.now_s - self._since_s
        if lasted_s < WINDOW_S:
            return
        node_seconds = lasted_s * self.stage.size
        self._per_node = {"bytes_per_node_s": round(self._bytes / node_seconds, 1)}
        allowed = CALM_PER_PROBE / CONFIGS[self.scenario.options.swim].probe_interval_s
        each = self._sent / node_seconds
        if not self.scenario.faults and each > allowed:
            self.fail(f"nothing is wrong, but each node sends {each:.1f} datagrams a second")

    def figures(self) -> dict[str, float]:
        return self._per_node
