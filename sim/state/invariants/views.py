"""What the views may say. Deliberately not here: whether all say the same (`equality`)."""

from __future__ import annotations

from mesh.state.actions import Trusted, TrustPolicy
from mesh.state.events import Trust
from sim.oracles.model import Report
from sim.scenario.model import Scenario
from sim.stage.base import Stage
from sim.state.invariants.common import (
    ENDS_A_PROCESS,
    SPOILS_A_DISK,
    WRITES_FOR_ANOTHER,
    StateOracle,
    is_lacking,
)
from sim.state.workload import ACTIONS, LAST_WORDS, STOLEN_ACTION, digest

K = 2


class NeverBack(StateOracle):
    """6: a register never shows what its owner wrote before what it has shown; also not after its
    owner took it back. Owners whose process or disk was hit are not judged: until they have
    absorbed what they lost, two of their epochs are concurrent. In the end it shows the last write,
    unless it has counted events of that owner as lost: those are shown no more."""

    name = "went-back"

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        hit = self.hit_by(*ENDS_A_PROCESS, *SPOILS_A_DISK, "twin", *WRITES_FOR_ANOTHER)
        self._unhit = [node for node in range(scenario.nodes) if node not in hit]
        self._shown: dict[tuple[int, int, int, str], int] = {}

    def _owners(self) -> list[int]:
        """Those that nobody has removed, either: a removal withdraws what is beyond its cut."""
        rosters, node_id = self.state.rosters, self.state.node_id
        return [owner for owner in self._unhit if not rosters.cuts_of(node_id(owner))]

    def sampled(self) -> None:
        values = self.state.workload.values
        for owner in self._owners():
            for (whose, key), written in values.items():
                if whose == owner:
                    self._look(owner, key, written)

    def _look(self, owner: int, key: str, written: list[bytes | None]) -> None:
        for node, replica in self.running():
            value = replica.state.registers.get(self.state.node_id(owner), key)
            if value is None or value.value is None:
                continue
            shown = written.index(value.value)
            place = (node.index, node.lives, owner, key)
            before = self._shown.get(place, -1)
            if shown < before:
                self.fail(f"node {node.index} shows write {shown} of {key}, after {before}", owner)
            self._shown[place] = shown

    def settled(self, core: tuple[int, ...]) -> None:
        members = {node.index for node, _ in self.members(core)}
        for owner in self._owners():
            for (whose, key), written in self.state.workload.values.items():
                if whose != owner or owner not in members:
                    continue
                owner_id = self.state.node_id(owner)
                for node, replica in self.members(core):
                    if any(replica.log.lost(feed) for feed in replica.log.feeds_of(owner_id)):
                        continue
                    value = replica.state.registers.get(owner_id, key)
                    if (value.value if value is not None else None) != written[-1]:
                        self.fail(
                            f"node {node.index}: {key} of node {owner} is not its last", owner
                        )
                        return


class LastWords(StateOracle):
    """5: what a node writes after it has got back what it had lost counts, everywhere."""

    name = "last-words"

    def settled(self, core: tuple[int, ...]) -> None:
        members = {node.index for node, _ in self.members(core)}
        if any(is_lacking(replica.log) for _, replica in self.members(core)):
            return
        for owner, words in self.state.workload.last_words.items():
            owner_id = self.state.node_id(owner)
            if owner_id in self.stolen() or owner not in members:
                continue
            for node, replica in self.members(core):
                value = replica.state.registers.get(owner_id, LAST_WORDS)
                if value is None or value.value != words or value.others:
                    shown = value.value if value is not None else None
                    self.fail(f"node {node.index} shows {shown!r}, not {words!r}", node.index)
                    return


class NoLatePoison(StateOracle):
    """10, 11: who knows of a removal serves nothing that its key signed outside the cut."""

    name = "late-word"

    def sampled(self) -> None:
        poisoned = self.state.watch.poisoned
        if not poisoned:
            return
        for node, replica in self.running():
            if not self.state.rosters.knows_all_removals(node):
                continue
            found = replica.state.lookup(digest("action", STOLEN_ACTION))
            if isinstance(found, Trusted) and found.outputs in poisoned:
                self.fail(f"node {node.index} serves a removed writer's late word", node.index)
                return


class NoMinorityTrust(StateOracle):
    """12: with k builders asked for, no single one's outputs are believed, however often it says
    them. Actions below UNSTABLE have other outputs for each builder."""

    name = "minority"

    def settled(self, core: tuple[int, ...]) -> None:
        policy = TrustPolicy(Trust.K_BUILDERS, K)
        for node, replica in self.members(core):
            for number in range(ACTIONS):
                found = replica.state.lookup(digest("action", number), policy)
                if not isinstance(found, Trusted):
                    continue
                builders = {claim.builder for claim in found.claims}
                if len(builders) < K and node.node_id not in builders:
                    self.fail(f"node {node.index} believes one builder of {number}", node.index)
                    return
