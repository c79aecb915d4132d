"""What a timeline shows of a run, kept small: a long run is sampled, its end is kept whole.

Of datagrams two sets are kept: an even sample of all (when it is full, every other one is dropped
and from then on only half as many are taken) and the newest, because a run ends at what went wrong.
Deliberately not here: drawing (`page.html`).
"""

from __future__ import annotations

from collections import deque

from mesh.swim.effects import State
from mesh.types import Address
from sim.oracles import Finding
from sim.scenario.play import Director
from sim.stage.base import Change, Listener, Stage

NEWEST_MAX = 3000
SAMPLE_MAX = 3000
CHANGES_MAX = 20_000
LIVES_MAX = 10_000

Packet = tuple[int, int, int, int, int]
"""(sent ms, source, destination, size bytes, arrival ms or -1 when lost)."""


class Recorder(Listener):
    """Give `prepare` to a play."""

    def __init__(self) -> None:
        self._stage: Stage
        self._index: dict[Address, int] = {}
        self._newest: deque[Packet] = deque(maxlen=NEWEST_MAX)
        self._sample: list[Packet] = []
        self._stride = 1
        self._count = 0
        self.changes: deque[tuple[int, int, int, int]] = deque(maxlen=CHANGES_MAX)
        """(ms, observer, subject, state), the newest CHANGES_MAX of them."""
        self.lives: list[tuple[int, int, str]] = []
        """(ms, node, how): "start" or the way it ended."""
        self.findings: list[Finding] = []

    def prepare(self, director: Director) -> None:
        stage = self._stage = director.stage
        self._index = {stage.address(node): node for node in range(stage.size)}
        stage.listeners.append(self)
        director.on_finding.append(self.findings.append)
        stage.watch_packets(self._sent)

    def _ms(self) -> int:
        return round(self._stage.world.now_s * 1000)

    # -- Listener --------------------------------------------------------------------------------
    def changed(self, change: Change) -> None:
        state = change.view.state
        seen = (self._ms(), change.observer, change.subject, int(State(state)))
        self.changes.append(seen)

    def started(self, node: int) -> None:
        self._live(node, "start")

    def ended(self, node: int, how: str) -> None:
        self._live(node, how)

    def _live(self, node: int, how: str) -> None:
        if len(self.lives) < LIVES_MAX:
            self.lives.append((self._ms(), node, how))

    # -- datagrams -------------------------------------------------------------------------------
    def _sent(
        self, source: Address, destination: Address, size_bytes: int, arrives_s: float | None
    ) -> None:
        one, other = self._index.get(source), self._index.get(destination)
        if one is None or other is None:
            return
        arrives_ms = -1 if arrives_s is None else round(arrives_s * 1000)
        packet = (self._ms(), one, other, size_bytes, arrives_ms)
        self._newest.append(packet)
        self._count += 1
        if self._count % self._stride == 0:
            self._sample.append(packet)
            if len(self._sample) > SAMPLE_MAX:
                self._sample = self._sample[::2]
                self._stride *= 2

    def packets(self) -> list[Packet]:
        """The sample and the newest, in order, none twice."""
        begin_ms = self._newest[0][0] if self._newest else 0
        earlier = [packet for packet in self._sample if packet[0] < begin_ms]
        return [*earlier, *self._newest]
