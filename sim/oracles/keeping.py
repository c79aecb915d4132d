"""What whole nodes keep: what they rest on is on the disk, so that a power cut does not take it.

Looked at is what is durable, not what programs see; nodes whose disk was itself at fault are
excused. Stages that nobody can look into have nothing to show. Deliberately not here: logs
(`sim.state.invariants`) and blobs (`sim.blobs`).
"""

from __future__ import annotations

from mesh.node.epoch import EPOCH_FILE
from mesh.node.peers_file import PEERS_FILE, KnownPeers
from mesh.swim.effects import State
from mesh.types import Address
from mesh.wire.errors import WireError
from mesh.wire.schema import decode_struct
from sim.faults import KINDS
from sim.oracles.model import LOOKS_INSIDE, Oracle, Report
from sim.scenario.model import Fault, Scenario
from sim.stage.base import Stage

EPOCH = slice(9, 17)
"""Of a sealed datagram's head (`mesh.swim.sealed`)."""
REMEMBERED_S = 15.0
"""Who has been seen for so long is written down."""


class Keeping(Oracle):
    """What these have in common: whose disk is honest."""

    name = "keeping"
    simulated_only = LOOKS_INSIDE

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._excused: set[int] = set()

    def fault_began(self, fault: Fault) -> None:
        if KINDS[fault.kind].group == "disk":
            self._excused.update(fault.target or range(self.stage.size))

    def _kept(self, node: int, name: str) -> bytes | None:
        return self.stage.kept(node, name)


class EpochKept(Keeping):
    """The epoch of a start is durable before anybody hears of it."""

    name = "epoch-unkept"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._nodes = {stage.address(node): node for node in range(stage.size)}
        self._judged: dict[int, int] = {}
        """Node -> the newest of its lives that was looked at."""
        if scenario.world == "mesh":
            stage.tap(self._heard)

    def _heard(self, data: bytes, source: Address, destination: Address) -> None:  # noqa: ARG002
        node = self._nodes.get(source)
        if node is None or self._judged.get(node) == self.stage.life(node):
            return
        self._judged[node] = self.stage.life(node)
        stored = self._kept(node, EPOCH_FILE) or b"0"
        epoch = int.from_bytes(data[EPOCH], "big")
        if node not in self._excused and (not stored.isdigit() or int(stored) < epoch):
            text = f"node {node} speaks in epoch {epoch}, and a power cut would leave"
            self.fail(f"{text} {stored.decode('latin-1')} on its disk", node)


class MembersKept(Keeping):
    """Every member that a node sees, and that has not said goodbye, is remembered across starts."""

    name = "members-forgotten"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._since_s: dict[int, float] = {}

    def started(self, node: int) -> None:
        self._since_s[node] = self.stage.world.now_s

    def settled(self, core: tuple[int, ...]) -> None:
        if self.scenario.world != "mesh":
            return
        now_s = self.stage.world.now_s
        for node in core:
            if node not in self._excused and now_s - self._since_s[node] > REMEMBERED_S:
                self._look(node)

    def _look(self, node: int) -> None:
        known = _members_in(self._kept(node, PEERS_FILE) or b"")
        for other in range(self.stage.size):
            view = self.stage.view(node, other) if other != node else None
            if view is None or view.state == State.LEFT or self.stage.node_id(other) in known:
                continue
            self.fail(f"node {node} would not remember node {other} after a power cut", node, other)
            return


def _members_in(data: bytes) -> set[bytes]:
    """Of a peers file; nobody of one that cannot be read."""
    try:
        return {peer.node for peer in decode_struct(KnownPeers, data).peers}
    except WireError:
        return set()
