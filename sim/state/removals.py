"""Who was removed, as the roster would say it: a grow-only set of removals that spreads by gossip.

Node 0 is the admin. A removal is a cut (`mesh.identity.standing`) made of what the admin's log has
of the node. Each replica knows some removals; the pairs that are linked tell each other all they
know every GOSSIP_S. Deliberately not here: signatures of removals (`mesh.identity.roster`, tested
there).
"""

from __future__ import annotations

from hashlib import sha256
from itertools import permutations
from typing import TYPE_CHECKING

import attrs

from mesh.identity.records import REF_BYTES, FeedPoint
from mesh.identity.roles import Role
from mesh.identity.standing import Cut, Life, Standing
from mesh.types import NodeId

if TYPE_CHECKING:
    from sim.state.node import StateNode
    from sim.state.stage import StateStage

ADMIN = 0
GOSSIP_S = 0.5


@attrs.frozen
class Removal:
    """One node, and how much of what it wrote counts."""

    node: int
    cut: Cut
    at_s: float


class Removals:
    """See the module's head."""

    def __init__(self, stage: StateStage) -> None:
        self._stage = stage
        self.made: list[Removal] = []

    def admission_of(self, node: NodeId) -> bytes:
        return sha256(b"admission" + node).digest()[:REF_BYTES]

    def remove(self, node: int) -> Removal | None:
        """The admin removes a node now. None when it is down, or the node is removed already."""
        admin = self._stage.nodes[ADMIN]
        if admin.replica is None or any(removal.node == node for removal in self.made):
            return None
        log, subject = admin.replica.log, self._stage.node_id(node)
        feeds = [feed for feed in log.feeds_of(subject) if log.head(feed).count]
        heads = [(feed, log.head(feed)) for feed in feeds]
        cut = tuple(FeedPoint(f.epoch, f.lane, h.count, h.digest) for f, h in heads)
        self.made.append(Removal(node, cut, self._stage.world.now_s))
        self.learn(admin, {len(self.made) - 1})
        self._gossip_soon()
        return self.made[-1]

    def learn(self, node: StateNode, numbers: set[int]) -> None:
        """The node hears of removals; the one that is removed itself stops."""
        new = numbers - node.removed
        if not new:
            return
        node.removed |= new
        self._stage.world.note("removals", node.index, sorted(new))
        if node.replica is not None:
            node.replica.stand(self.standing(node.removed))

    def standing(self, known: set[int]) -> Standing:
        """What the roster says to somebody who knows these removals."""
        cuts: dict[NodeId, tuple[Cut, ...]] = {}
        for number in sorted(known):
            removal = self.made[number]
            cuts[self._stage.node_id(removal.node)] = (removal.cut,)
        lives = {}
        for node in self._stage.nodes:
            role = Role.ADMIN if node.index == ADMIN else Role.BUILDER
            ref = self.admission_of(node.node_id)
            lives[node.node_id] = (Life(ref, role, cuts.get(node.node_id, ())),)
        return Standing(lives, cuts)

    def is_removed(self, node: int) -> bool:
        return any(removal.node == node for removal in self.made)

    def is_shut_out(self, one: StateNode, other: StateNode) -> bool:
        """Whether either of two knows that the other is removed."""
        known = {self.made[n].node for n in one.removed}, {self.made[n].node for n in other.removed}
        return other.index in known[0] or one.index in known[1]

    def _gossip_soon(self) -> None:
        if len(self.made) == 1:
            self._stage.world.after(GOSSIP_S, self._gossip)

    def _gossip(self) -> None:
        stage = self._stage
        running = [node for node in stage.nodes if node.is_up and not node.frozen]
        for one, other in permutations(running, 2):
            if stage.is_linked(one.index, other.index):
                self.learn(other, set(one.removed))
        stage.world.after(GOSSIP_S, self._gossip)
