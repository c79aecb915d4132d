"""Scenarios that other systems test and that are not told elsewhere; where they come from is in the
decision on adaptive failure detection."""

from __future__ import annotations

import pytest

from mesh.swim.effects import State
from sim.net import ANY, Link
from sim.swim_world import SwimNode, SwimWorld

GONE = (State.DEAD, State.UNREACHABLE)


def a_mesh(seed: int, nodes: int, loss: float = 0.0) -> SwimWorld:
    mesh = SwimWorld(seed, nodes, link=Link(loss=loss))
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=20)
    mesh.run(3)
    return mesh


def test_a_leave_that_came_before_the_member_was_known_is_a_leave() -> None:
    """The newcomer joins while another's farewell goes round."""
    mesh = SwimWorld(1, 6)
    for node in mesh.nodes[1:5]:
        node.join(mesh[0])
    assert mesh.run_until(lambda: mesh.agree(State.ALIVE, mesh[4], *mesh.nodes[:4]), 10)
    mesh[4].leave()
    mesh[5].join(mesh[0])
    mesh.run(1)
    mesh[4].crash()
    assert mesh.run_until(lambda: mesh[5].sees(mesh[4]) == State.LEFT, within_s=6)
    assert not mesh.deaths()


def test_a_farewell_is_not_told_for_ever() -> None:
    mesh = a_mesh(2, 10)
    mesh[3].leave()
    mesh.run(1)
    mesh[3].crash()
    mesh.run(10)
    before = mesh.network.counters["sent"]
    mesh.run(20)
    assert mesh.network.counters["sent"] - before <= 2.5 * 9 * 20


def test_a_mesh_that_is_scaled_down_one_by_one_reports_no_deaths() -> None:
    mesh = a_mesh(3, 10, loss=0.02)
    for node in mesh.nodes[:2:-1]:
        node.leave()
        mesh.run(0.5)
        node.crash()
        mesh.run(1)
    mesh.run(5)
    assert not mesh.deaths()
    for left in mesh.nodes[3:]:
        assert mesh.agree(State.LEFT, left, *mesh.nodes[:3])


@pytest.mark.parametrize("share", [4, 3])
def test_a_random_quarter_and_a_random_third_fail_together(share: int) -> None:
    mesh = a_mesh(share, 24, loss=0.01)
    lost = mesh.world.rng("lost").sample(mesh.nodes[1:], 24 // share)
    for node in lost:
        node.crash()
    alive = [node for node in mesh.nodes if node not in lost]
    assert mesh.run_until(
        lambda: all(one.sees(gone) in GONE for one in alive for gone in lost), within_s=15
    )
    assert {death.subject for death in mesh.deaths()} <= {node.index for node in lost}


def test_a_member_that_nobody_can_reach_joins_and_kills_nobody() -> None:
    """No inbound traffic: it asks, and hears no answer."""
    mesh = a_mesh(5, 6)
    late = mesh[5]
    late.crash()
    mesh.run(15)
    fault = mesh.network.cut(ANY, late.address[0])
    late.restart()
    late.join(mesh[0])
    mesh.run(20)
    others = mesh.nodes[:5]
    assert not [death for death in mesh.deaths() if death.subject != late.index]
    fault.undo()
    assert mesh.run_until(lambda: mesh.agree(State.ALIVE, late, *others), within_s=8)


def test_a_long_partition_whose_other_side_is_struck_off_is_forgotten() -> None:
    mesh = a_mesh(6, 8)
    half, rest = mesh.nodes[:4], mesh.nodes[4:]
    mesh.network.partition([[node.address[0] for node in half]])
    mesh.run(60)
    kept = [node.node_id for node in half]
    for node in half:
        node.set_roster(kept)
    mesh.run(5)
    assert all(one.sees(other) is None for one in half for other in rest)
    before = mesh.network.counters["sent"]
    mesh.run(10)
    assert all(one.sees(other) == State.ALIVE for one in half for other in half if one is not other)
    assert mesh.network.counters["sent"] > before


def test_dead_members_are_told_to_who_joins_later() -> None:
    mesh = SwimWorld(8, 8)
    for node in mesh.nodes[1:7]:
        node.join(mesh[0])
    mesh.run(8)
    mesh[2].crash()
    assert mesh.run_until(lambda: mesh.agree(State.DEAD, mesh[2], *mesh.nodes[3:7]), within_s=10)
    mesh[7].join(mesh[0])
    assert mesh.run_until(lambda: mesh[7].sees(mesh[2]) == State.DEAD, within_s=5)
    assert not [
        c
        for c in mesh.changes
        if (c.observer, c.subject) == (7, 2) and c.previous is None and c.view.state == State.ALIVE
    ], "a dead member was never alive for it"


def test_everything_recorded_before_a_member_was_struck_off_and_returned_is_replayed_in_vain() -> (
    None
):
    mesh = a_mesh(9, 5)
    tape: list[tuple[bytes, SwimNode]] = []
    by_address = {node.address: node for node in mesh.nodes}
    mesh.network.taps.append(lambda data, _source, to: tape.append((data, by_address[to])))
    mesh.run(10)
    mesh.network.taps.clear()
    ids = [node.node_id for node in mesh.nodes]
    for node in mesh.nodes[:4]:
        node.set_roster(ids[:4])
    mesh.run(2)
    for node in mesh.nodes[:4]:
        node.set_roster(ids)
    mesh[4].crash()
    mesh.run(10)
    assert tape
    for data, to in tape:
        if to is not mesh[4]:
            mesh.network.deliver(data, mesh[4].address, to.address)
    mesh.run(2)
    assert all(node.sees(mesh[4]) != State.ALIVE for node in mesh.nodes[:4])


@pytest.mark.parametrize(("nodes", "faulty"), [(10, 0), (20, 0), (40, 0), (100, 0), (100, 10)])
def test_the_delay_before_a_death_is_known_does_not_grow_with_the_mesh(
    nodes: int, faulty: int
) -> None:
    """The faulty ones lose a third of what is sent to them and a third of what they send."""
    mesh = a_mesh(11, nodes)
    victim = mesh[nodes // 2]
    for node in mesh.nodes[1 : 1 + faulty]:
        mesh.network.degrade(node.address[0], ANY, loss=1 / 3)
        mesh.network.degrade(ANY, node.address[0], loss=1 / 3)
    victim.crash()
    alive = [node for node in mesh.nodes if node is not victim]
    assert mesh.run_until(lambda: all(node.sees(victim) in GONE for node in alive), within_s=5)
    assert {death.subject for death in mesh.deaths()} == {victim.index}
