"""The scene of the table of attacks: eight nodes with real keys, a victim, and its past.

In each past something really happened to the victim that an attacker would like to have happen
again: everything that went over the wire meanwhile was recorded, and what was said then is known in
plain, with the signatures of whoever said it. Deliberately not here: attacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256

import attrs
from attackers import a_vote, gossip, inject, judges_of

from mesh.swim.effects import State
from mesh.swim.messages import INCARNATION_MAX, Statement
from mesh.swim.records import author_of
from mesh.swim.repair import statements_about
from mesh.types import Address, NodeId
from mesh.wire.schema import evolve
from sim.signatures import RealSignatures
from sim.swim_world import SwimNode, SwimWorld, node_key

NODES = 8
VICTIM = 2
EVIL: Address = ("10.66.6.6", 666)
SEEDS = {node_key(each)[0]: f"simulated node {each}".encode() for each in range(NODES)}


def real_keys(node: NodeId) -> RealSignatures:
    return RealSignatures(sha256(SEEDS[node]).digest())


@attrs.define
class Scene:
    """A mesh, its victim, and what was ever said about it."""

    mesh: SwimWorld
    victim: SwimNode
    overheard: list[bytes] = attrs.field(factory=list)
    """Payloads in plain: what an insider who only repeats has been told."""
    datagrams: list[tuple[bytes, Address]] = attrs.field(factory=list)
    """What an outsider could record: sealed, and where it went."""

    @property
    def judges(self) -> list[SwimNode]:
        return list(judges_of(self.mesh, self.victim))

    def others(self, attackers: Iterable[SwimNode]) -> list[SwimNode]:
        """Everybody who runs but these and the victim."""
        out = {self.victim.index, *(each.index for each in attackers)}
        return [node for node in self.mesh.nodes if node.index not in out and node.host.running]

    def overhear(self, statements: Iterable[Statement]) -> None:
        """These were said, by those whom they name."""
        for statement in statements:
            author = next(n for n in self.mesh.nodes if n.node_id[:8] == author_of(statement.body))
            keys = self.mesh.signatures(author.node_id)
            assert keys.verify_statement(author.node_id, statement.body, statement.signature)
            self.overheard.append(gossip([statement]))

    def comes_back(self) -> None:
        """The victim, in a new life."""
        self.victim.restart()
        self.victim.join(self.mesh[0])
        assert self.mesh.run_until(self.mesh.converged, within_s=20)

    @property
    def own(self) -> Statement:
        """What the victim says of itself."""
        return self.victim.endpoint._swim._facts.table.own.statement


# -- pasts -----------------------------------------------------------------------------------------
def was_buried(scene: Scene) -> None:
    """It crashed, its judges voted, everybody buried it, and it came back; and in this life, too,
    it was charged with being dead, and refuted that."""
    scene.victim.crash()
    assert scene.mesh.run_until(lambda: scene.mesh.agree(State.DEAD, scene.victim), within_s=60)
    buried = scene.others([])[0].endpoint._swim._facts.table.get(scene.victim.node_id)
    assert buried is not None
    certificate = statements_about(buried)
    assert len(certificate) >= 1 + 3, "its record, and a quorum of votes"
    scene.overhear(certificate)
    scene.comes_back()
    _is_charged(scene)


def had_left(scene: Scene) -> None:
    """It said that it goes, and came back."""
    scene.victim.leave()
    assert scene.mesh.run_until(lambda: scene.mesh.agree(State.LEFT, scene.victim), within_s=10)
    scene.overhear([scene.own])
    scene.comes_back()


def was_at_the_top(scene: Scene) -> None:
    """Its incarnation was the highest there is, everybody knew it, and it was charged with being
    dead in that one: it went on in the next epoch."""
    facts = scene.victim.endpoint._swim._facts
    epoch = scene.victim.endpoint.epoch
    facts._become(evolve(facts.table.own.record, incarnation=INCARNATION_MAX))
    scene.overhear([scene.own])

    def is_known() -> bool:
        views = [node.view_of(scene.victim) for node in scene.others([])]
        return all(view is not None and view.incarnation == INCARNATION_MAX for view in views)

    assert scene.mesh.run_until(is_known, within_s=10)
    _is_charged(scene)
    assert scene.victim.endpoint.epoch == epoch + 1


def lived_elsewhere(scene: Scene) -> None:
    """It had the address that is the attacker's by now, and everybody sent there."""
    home = scene.victim.address
    scene.victim.address = EVIL
    scene.comes_back()
    views = [node.view_of(scene.victim) for node in scene.others([])]
    assert all(view is not None and view.address == EVIL for view in views)
    scene.overhear([scene.own])
    scene.victim.address = home
    scene.comes_back()


def is_dead(scene: Scene) -> None:
    """It lived, and does not any more."""
    scene.overhear([scene.own])
    scene.victim.crash()
    assert scene.mesh.run_until(lambda: scene.mesh.agree(State.DEAD, scene.victim), within_s=60)


def _is_charged(scene: Scene) -> None:
    """Two of its judges vote against it as it is now, which it refutes."""
    votes = [a_vote(scene.mesh, judge, scene.victim) for judge in scene.judges[:2]]
    scene.overhear(votes)
    before = scene.own
    inject(scene.mesh, scene.judges[0], scene.others(scene.judges[:1])[0], gossip(votes))
    assert scene.mesh.run_until(lambda: scene.own != before, within_s=10)
    assert scene.mesh.run_until(scene.mesh.converged, within_s=10)


Past = Callable[[Scene], None]


def a_scene(past: Past) -> Scene:
    """A quiet mesh, some seconds after that past."""
    mesh = SwimWorld(3, NODES, signatures=real_keys)
    scene = Scene(mesh, mesh[VICTIM])
    mesh.network.taps.append(lambda data, _source, to: scene.datagrams.append((data, to)))
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=10)
    mesh.run(2)
    known = len(scene.datagrams)
    past(scene)
    mesh.run(2)
    assert scene.overheard
    assert len(scene.datagrams) > known + 50, "it is on the tape"
    mesh.network.taps.clear()
    mesh.changes.clear()
    return scene
