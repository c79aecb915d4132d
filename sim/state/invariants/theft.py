"""Stolen keys that were found out, and what was made from what they said. Deliberately not here:
keys that sign one place twice (`signing`), and single late words (`views`)."""

from __future__ import annotations

from mesh.identity.standing import Standing
from mesh.node.state.replica import Replica
from mesh.types import NodeId
from sim.state.deeds_theft import STOLEN_KEY, Known
from sim.state.invariants.common import (
    ENDS_A_PROCESS,
    SPOILS_A_DISK,
    WRITES_FOR_ANOTHER,
    StateOracle,
    is_lacking,
)


def ends(standing: Standing, owner: NodeId, known: Known) -> bool:
    """Whether the removal stands, and has ended the admission that the thief writes under."""
    lives = standing.lives.get(owner, ())
    return any(life.ref == known.theft.admission and known.cut in life.cuts for life in lives)


class ThiefUnheard(StateOracle):
    """10, 11: who knows of the removal believes nothing that a thief of the key has written: not
    before it, not after it, and not after the owner is in again."""

    name = "thief-heard"

    def sampled(self) -> None:
        noticed = [each for each in self.state.watch.thefts if each.cut is not None]
        for node, replica in self.running() if noticed else ():
            for known in noticed:
                theft, owner = known.theft, self.state.node_id(known.theft.owner)
                if not ends(replica.standing, owner, known):
                    continue
                register = replica.state.registers.get(owner, STOLEN_KEY.format(theft.number))
                claims = replica.state.actions.claims(theft.action)
                if claims or (register is not None and register.value is not None):
                    text = f"node {node.index} believes who stole the key of node {theft.owner}"
                    self.fail(text, node.index)
                    return


class TaintedWithheld(StateOracle):
    """11: what a removal withdraws, and what was made from it, is offered by nobody, however late
    it came; if the word of the admin that listed it counts, and of the builder that used it."""

    name = "taint-forgotten"

    def settled(self, core: tuple[int, ...]) -> None:
        members = self.members(core)
        if any(is_lacking(replica.log) for _, replica in members):
            return
        sure = {node.index for node, _ in members} - self._unsure()
        for known in self.state.watch.thefts:
            for node, replica in members:
                theft, state = known.theft, replica.state
                owner = self.state.node_id(theft.owner)
                if known.lister not in sure or not ends(replica.standing, owner, known):
                    continue
                offers = state.lookup(theft.action) is not None
                used = known.builder in sure and not state.taint_has(theft.made_from_it)
                if offers or used or (theft.action, theft.outputs) not in _withdrawn(replica):
                    text = f"node {node.index} does not know what node {known.lister} has withdrawn"
                    self.fail(text, node.index)
                    return

    def _unsure(self) -> set[int]:
        """Nodes of whose words some may be nowhere any more, or count no more."""
        hit = self.hit_by(*ENDS_A_PROCESS, *SPOILS_A_DISK, "twin", *WRITES_FOR_ANOTHER)
        stolen = {self.state.node_id(index) for index in hit} | self.stolen()
        return {
            node.index
            for node in self.state.nodes
            if node.node_id in stolen or self.state.rosters.cuts_of(node.node_id)
        }

    def figures(self) -> dict[str, float]:
        thefts = self.state.watch.thefts
        return {
            "thefts": float(len(thefts)),
            "withdrawn": float(sum(each.lister is not None for each in thefts)),
        }


def _withdrawn(replica: Replica) -> set[tuple[bytes, bytes]]:
    return {(each.action, each.outputs) for each in replica.state.taint().withdrawn}
