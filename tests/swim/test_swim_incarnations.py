"""Incarnations rise when a member is charged with being gone, and never fall within an epoch: for
no observer, nor for the member itself."""

from __future__ import annotations

import attrs
import pytest
from attackers import a_record, a_vote, gossip, inject, judges_of

from mesh.swim.messages import INCARNATION_MAX
from sim.net import Link
from sim.swim_world import SwimNode, SwimWorld

NODES = 8


Version = tuple[int, int]
LOOK_EVERY_S = 0.1


@attrs.define
class Watch:
    """The highest (epoch, incarnation) that each node has seen of each, itself included: from every
    change that was reported, in order, and from all tables ten times a second."""

    mesh: SwimWorld
    seen: dict[tuple[int, int], Version] = attrs.field(factory=dict)
    risen: set[tuple[int, int]] = attrs.field(factory=set)
    """(observer, subject) of all that have seen one rise."""
    told: int = 0
    """Changes looked at."""

    def look(self) -> None:
        for change in self.mesh.changes[self.told :]:
            view = change.view
            self._see(change.observer, change.subject, (view.epoch, view.incarnation))
        self.told = len(self.mesh.changes)
        ids = {node.node_id: node.index for node in self.mesh.nodes}
        for node in self.mesh.nodes:
            table = node.endpoint._swim.table
            for member in (table.own, *table):
                self._see(node.index, ids[member.node_id], member.record.version[:2])

    def _see(self, observer: int, subject: int, version: Version) -> None:
        pair = (observer, subject)
        before = self.seen.setdefault(pair, version)
        assert version >= before, "never less"
        if version > before:
            self.risen.add(pair)
            self.seen[pair] = version

    def run(self, duration_s: float) -> None:
        """And look."""
        for _ in range(round(duration_s / LOOK_EVERY_S)):
            self.mesh.run(LOOK_EVERY_S)
            self.look()


def a_watched_mesh(seed: int, loss: float = 0.0) -> Watch:
    mesh = SwimWorld(seed, NODES, link=Link(loss=loss))
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=20)
    watch = Watch(mesh)
    watch.told = len(mesh.changes)
    watch.look()
    return watch


def highest(watch: Watch, subject: SwimNode) -> int:
    return max(seen[1] for (_, index), seen in watch.seen.items() if index == subject.index)


@pytest.mark.parametrize("seed", range(2))
def test_true_charges_raise_incarnations_and_none_ever_falls(seed: int) -> None:
    """In a network that loses a third, members freeze until their judges charge them, and thaw."""
    watch = a_watched_mesh(seed, loss=0.3)
    mesh = watch.mesh
    for frozen in (mesh[1], mesh[4], mesh[6], mesh[1]):
        frozen.freeze()
        watch.run(6)
        assert any(node.endpoint.counters["accused"] for node in mesh.nodes)
        frozen.thaw()
        watch.run(4)
    refuted = [node for node in mesh.nodes if node.endpoint.counters["refuted"]]
    assert len(refuted) >= 2, "who was charged and lived"
    watch.run(10)
    for node in refuted:
        seen_by = {observer for observer, subject in watch.risen if subject == node.index}
        assert seen_by == set(range(NODES)), "everybody has seen it rise"


def test_forged_charges_and_records_raise_nothing_and_lower_nothing() -> None:
    watch = a_watched_mesh(3)
    mesh = watch.mesh
    victim, target = mesh[2], mesh[5]
    liar = next(judge for judge in judges_of(mesh, victim) if judge is not target)
    charge = a_vote(mesh, liar, victim)
    inject(mesh, liar, target, gossip([charge]))
    watch.run(3)
    assert highest(watch, victim) == 1, "its own charge was answered: there is something to lower"
    others = [node for node in mesh.nodes if node not in (liar, victim)]
    for turn in range(10):
        forged = [
            a_vote(mesh, others[turn % 6], victim, liar),  # in another's name
            a_record(mesh, victim, liar, incarnation=0),
            a_record(mesh, victim, liar, incarnation=INCARNATION_MAX),
        ]
        stale = [a_vote(mesh, liar, victim, incarnation=0), charge]
        ahead = [a_vote(mesh, liar, victim, incarnation=INCARNATION_MAX)]
        for statement in (*stale, *ahead, *forged):
            for each in mesh.nodes:
                if each is not liar:
                    inject(mesh, liar, each, gossip([statement]))
        watch.run(0.7)
    assert highest(watch, victim) == 1
    assert watch.risen <= {(observer, victim.index) for observer in range(NODES)}
    assert mesh.converged()


@pytest.mark.parametrize("seed", range(2))
def test_genuine_charges_of_a_member_that_lies_raise_one_step_each_and_lower_nothing(
    seed: int,
) -> None:
    watch = a_watched_mesh(10 + seed, loss=0.1)
    mesh = watch.mesh
    victim = mesh[3]
    for turn in range(20):
        liar = mesh.nodes[(4 + turn) % NODES]
        for each in mesh.nodes:
            if each is not liar and liar is not victim:
                inject(mesh, liar, each, gossip([a_vote(mesh, liar, victim)]))
        watch.run(0.7)
    refuted = victim.endpoint.counters["refuted"]
    assert 10 <= refuted <= 20, "one step for each of them at most"
    assert highest(watch, victim) == refuted
    watch.run(5)
    assert {observer for observer, subject in watch.risen if subject == victim.index} == set(
        range(NODES)
    )
