"""Who is in the simulated mesh: every node's own roster of signed records, and how they spread.

Each node keeps a real `MeshIdentity` on its own disk, so that a crash, a wiped or a restored disk
makes it forget records as it would. Pairs of machines that reach each other merge their records
every GOSSIP_S, once there is anything to merge; also with one that is out, as somebody would carry
it by hand. A node that learns that it is out ends, and begins again when it is admitted anew.

`truth` holds every record ever written, for oracles. Deliberately not here: what is done to the
roster (`rosterdeeds`), links between members (`stage`).
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from mesh.errors import EnvironmentFault, NotAllowed
from mesh.identity.records import FeedPoint, Leave, open_record
from mesh.identity.roles import Role
from mesh.identity.roster import Roster
from mesh.identity.standing import Cut
from mesh.identity.trust import load_roster
from mesh.ports import Disk
from mesh.types import Digest, NodeId, digest_of
from sim.state.identities import ADMINS, certificate_of, founding, name_of

if TYPE_CHECKING:
    from sim.state.node import StateNode
    from sim.state.stage import StateStage

GOSSIP_S = 0.5


def roster_from(disk: Disk, nodes: int) -> Roster:
    """What the disk has of it; a disk that was wiped has met somebody of the mesh again."""
    try:
        roster = load_roster(disk)
    except OSError:
        roster = None
    if roster is None:
        first = founding(nodes)
        roster = Roster(first[0])
        roster.merge(first[1:])
    return roster


def cut_of(node: StateNode, subject: NodeId) -> Cut:
    """All that this replica has of what the subject wrote."""
    if node.replica is None:
        return ()
    log = node.replica.log
    heads = [(feed, log.head(feed)) for feed in sorted(log.feeds_of(subject))]
    return tuple(FeedPoint(f.epoch, f.lane, h.count, h.digest) for f, h in heads if h.count)


class Rosters:
    """See the module's head."""

    def __init__(self, stage: StateStage) -> None:
        self._stage = stage
        self.truth = Roster(founding(stage.size)[0])
        self.truth.merge(founding(stage.size)[1:])
        self.removals: dict[Digest, Leave] = {}
        """Every removal, by the digest of its record."""
        self.guests: list[str] = []
        """Everybody who ever came to a door: they have keys, and no machines."""
        self.invites: dict[Digest, list[NodeId]] = {}
        """Who was let in on an invite, by its digest."""
        self.uninvited: set[NodeId] = set()
        """Guests that only a removed admin's key has let in, after its removal."""
        self._gossips = False

    # -- asking ----------------------------------------------------------------------------------
    def is_removed(self, node: int) -> bool:
        """Whether all records together say so."""
        return self.truth.member(self._stage.node_id(node)) is None

    def cuts_of(self, node: NodeId) -> list[Cut]:
        """Of every removal of a node there ever was."""
        return [leave.cut for leave in self.removals.values() if leave.node == node]

    def is_shut_out(self, one: StateNode, other: StateNode) -> bool:
        """Whether either of two knows that the other is no member."""
        return not (one.holds_for_member(other.node_id) and other.holds_for_member(one.node_id))

    def knows_all_removals(self, node: StateNode) -> bool:
        if node.identity is None:
            return False
        cuts = node.identity.roster.standing().cuts
        return all(leave.cut in cuts.get(leave.node, ()) for leave in self.removals.values())

    def admin_for(self, subject: int) -> StateNode | None:
        """An admin that can act on this node now."""
        for node in self._stage.nodes[:ADMINS]:
            is_able = node.replica is not None and not node.frozen
            if node.index != subject and is_able and node.holds_for_member(node.node_id):
                return node
        return None

    # -- writing ---------------------------------------------------------------------------------
    def remove(self, by: StateNode, subject: int, cut: Cut | None = None) -> bool:
        """One node removes another, as far as it knows its log, or at the given cut. False: it may
        not, or it is out."""
        node_id = self._stage.node_id(subject)
        if by.identity is None or not by.holds_for_member(node_id):
            return False
        try:
            record = by.identity.write_leave(node_id, cut_of(by, node_id) if cut is None else cut)
        except (NotAllowed, EnvironmentFault, OSError):
            return False
        self.written(by, record)
        return True

    def admit(self, by: StateNode, subject: int) -> bool:
        """A node is admitted anew, as what it was. False: the other may not do that."""
        node = self._stage.nodes[subject]
        if by.identity is None or not by.holds_for_member(by.node_id):
            return False
        role = Role.ADMIN if subject < ADMINS else Role.BUILDER
        name, certificate = name_of(subject), certificate_of(subject)
        try:
            record = by.identity.write_admit(node.node_id, name, role, certificate)
        except (NotAllowed, EnvironmentFault, OSError):
            return False
        self.written(by, record)
        return True

    def written(self, by: StateNode, *records: bytes) -> None:
        """A node has written these and merged them; now they spread."""
        for record in records:
            fact = open_record(record).fact
            if isinstance(fact, Leave):
                self.removals[digest_of(record)] = fact
            self._stage.world.note("record", by.index, type(fact).__name__)
        self.truth.merge(records)
        by.stand()
        if not self._gossips:
            self._gossips = True
            self._stage.world.after(GOSSIP_S, self._gossip)

    # -- spreading -------------------------------------------------------------------------------
    def _gossip(self) -> None:
        stage = self._stage
        awake = [node for node in stage.nodes if node.identity is not None and not node.frozen]
        for one, other in combinations(awake, 2):
            if one.roster_digest() != other.roster_digest() and stage.is_open(one, other):
                self._merge(one, other)
                self._merge(other, one)
        stage.world.after(GOSSIP_S, self._gossip)

    def _merge(self, into: StateNode, source: StateNode) -> None:
        if into.identity is None or source.identity is None:
            return
        into.hear_records(source.identity.roster.records())
