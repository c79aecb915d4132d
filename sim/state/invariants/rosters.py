"""20, 21: who is in. Deliberately not here: what members say (`views`)."""

from __future__ import annotations

from sim.state.deeds_roster import GUEST_KEY
from sim.state.invariants.common import StateOracle


class EqualRosters(StateOracle):
    """21: whoever removed, admitted or removed in turn whom, all hold the same for members."""

    name = "rosters-differ"

    def settled(self, core: tuple[int, ...]) -> None:
        rosters = [
            (node, node.identity.roster)
            for node in self.state.nodes
            if node.index in core and node.identity is not None and not node.frozen
        ]
        for node, roster in rosters[1:]:
            first, other = rosters[0]
            mine = {each.node_id: each for each in roster.members()}
            theirs = {each.node_id: each for each in other.members()}
            same = roster.standing() == other.standing() and roster.pending() == other.pending()
            if roster.digest() != other.digest() or mine != theirs or not same:
                text = f"nodes {first.index} and {node.index} differ in who is in"
                self.fail(text, first.index, node.index)
                return


class RemovedAdmitNobody(StateOracle):
    """21: nobody is in on the word of an admin that was removed before it said it."""

    name = "uninvited"

    def settled(self, core: tuple[int, ...]) -> None:
        for node, _ in self.members(core):
            for guest in sorted(self.state.rosters.uninvited):
                if node.holds_for_member(guest):
                    self.fail(f"node {node.index} has let in whom a removed admin sent", node.index)
                    return


class InvitesAsOften(StateOracle):
    """20: an invite lets in as many as it says; who is one too many is pending, and its word
    counts nowhere."""

    name = "overused"

    def settled(self, core: tuple[int, ...]) -> None:
        for node, replica in self.members(core):
            assert node.identity is not None
            roster = node.identity.roster
            for digest, guests in self.state.rosters.invites.items():
                invite = roster.invite(digest)
                if invite is None:
                    continue  # its author was removed, and the removal does not keep it
                members = [each for each in guests if node.holds_for_member(each)]
                heard = [each for each in guests if replica.state.registers.get(each, GUEST_KEY)]
                if len(invite.used_by) > invite.fact.uses or not set(members) <= invite.used_by:
                    self.fail(f"node {node.index}: {len(members)} came on one invite", node.index)
                    return
                if not set(heard) <= invite.used_by:
                    self.fail(f"node {node.index} listens to one too many", node.index)
                    return
