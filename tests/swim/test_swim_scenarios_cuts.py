"""Scenarios of meshes that are cut, whose keys change, or that are left; where they come from is in
the decision on adaptive failure detection."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import pytest

from mesh.swim.config import LAN, SwimConfig
from mesh.swim.effects import AskStream, State
from mesh.swim.endpoint import Output
from mesh.swim.spreading import FAREWELLS_MAX
from mesh.types import Address, NodeId
from sim.net import ANY, DATAGRAMS, Link
from sim.swim_world import Change, SwimNode, SwimWorld

GONE = (State.DEAD, State.UNREACHABLE)
QUIET_BYTES_PER_S = 260
STATEMENT_BYTES = 130
"""A record, its signature, and its share of the datagram."""


def a_mesh(seed: int, nodes: int, config: SwimConfig = LAN) -> SwimWorld:
    mesh = SwimWorld(seed, nodes, config, Link())
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=20)
    mesh.run(3)
    return mesh


def gone_for(subject: SwimNode, *observers: SwimNode) -> Callable[[], bool]:
    return lambda: all(each.sees(subject) in GONE for each in observers)


# -- scalecube -------------------------------------------------------------------------------------
def test_a_member_that_is_partitioned_many_times_is_lost_and_found_each_time() -> None:
    mesh = a_mesh(1, 6)
    member, others = mesh[3], [node for node in mesh.nodes if node.index != 3]
    host = member.address[0]
    for turn in range(8):
        mute = turn % 2 == 1  # every other time it still hears everybody
        cut = mesh.network.cut(host, ANY) if mute else mesh.network.isolate(host)
        assert mesh.run_until(gone_for(member, *others), within_s=12)
        cut.undo()
        assert mesh.run_until(mesh.converged, within_s=10)
    assert {death.subject for death in mesh.deaths() if death.observer != 3} == {3}
    assert member.endpoint.snapshot()[0].epoch == member.epoch, "it was one life"


def test_a_suspect_behind_a_bad_network_is_partitioned_and_returns() -> None:
    """It is charged and refutes for a while; then nothing gets through, and it is buried."""
    mesh = a_mesh(2, 8)
    member, others = mesh[4], [node for node in mesh.nodes if node.index != 4]
    bad = [
        mesh.network.degrade(member.address[0], ANY, loss=0.85),
        mesh.network.degrade(ANY, member.address[0], loss=0.85),
    ]

    def is_suspected() -> bool:
        return any(node.sees(member) == State.SUSPECT for node in others)

    assert mesh.run_until(is_suspected, within_s=120)
    fault = mesh.network.isolate(member.address[0])
    assert mesh.run_until(gone_for(member, *others), within_s=12)
    mesh.run(20)
    fault.undo()
    for each in bad:
        each.undo()
    assert mesh.run_until(mesh.converged, within_s=10)
    assert member.endpoint.counters["refuted"] >= 1
    assert {death.subject for death in mesh.deaths() if death.observer != 4} <= {4}


def test_halves_that_are_cut_for_long_remove_each_other_and_stay_whole_themselves() -> None:
    mesh = a_mesh(3, 10)
    half, rest = mesh.nodes[:5], mesh.nodes[5:]
    fault = mesh.network.partition([[node.address[0] for node in half]])
    mesh.run(30)
    cut_s = mesh.world.now_s

    def whole(side: Sequence[SwimNode], other: Sequence[SwimNode]) -> bool:
        alive = all(one.sees(two) == State.ALIVE for one in side for two in side if one is not two)
        return alive and all(one.sees(two) in GONE for one in side for two in other)

    assert whole(half, rest)
    assert whole(rest, half)
    mesh.run(300)
    assert whole(half, rest)
    assert whole(rest, half)
    later = [c for c in mesh.changes if c.at_s > cut_s and c.previous != c.view.state]
    assert later == [], "removed once, and for as long as it lasts"
    fault.undo()
    assert mesh.run_until(mesh.converged, within_s=10)


# -- memberlist ------------------------------------------------------------------------------------
def asked_by(mesh: SwimWorld) -> list[tuple[int, NodeId]]:
    """(who asks, whom) of all questions over streams, from now on."""
    asked: list[tuple[int, NodeId]] = []
    for node in mesh.nodes:
        perform = node.host._perform

        def noted(
            output: Output, index: int = node.index, inner: Callable[[Output], None] = perform
        ) -> None:
            if isinstance(output, AskStream):
                asked.append((index, output.node))
            inner(output)

        node.host._perform = noted  # type: ignore[assignment]
    return asked


@pytest.mark.parametrize("disabled", [True, False], ids=["not-asked", "not-answered"])
def test_without_an_answer_over_streams_silence_decides(disabled: bool) -> None:
    """The same cut that a stream's answer would survive: nobody asks, or nobody answers."""
    mesh = a_mesh(4, 6, attrs.evolve(LAN, stream_probes=not disabled))
    member, others = mesh[3], [node for node in mesh.nodes if node.index != 3]
    mesh.streams = lambda _asker, _asked: disabled
    asked = asked_by(mesh)
    mesh.network.isolate(member.address[0], DATAGRAMS)
    assert mesh.run_until(gone_for(member, *others), within_s=12)
    assert mesh.run_until(lambda: mesh.agree(State.DEAD, member, *others), within_s=12)
    assert (member.node_id in [node for _, node in asked]) == (not disabled)


def test_keys_that_are_admitted_and_revoked_one_node_at_a_time_disturb_nobody() -> None:
    """There is no key of the mesh that could change: each member has its own. A transition is that
    some know of a key already, or still, and others do not."""
    mesh = SwimWorld(5, 8)
    old, new = mesh.nodes[:7], mesh[7]
    ids = [node.node_id for node in mesh.nodes]
    for node in old:
        node.set_roster(ids[:7])
    for node in old[1:]:
        node.join(mesh[0])
    assert mesh.run_until(lambda: sum(each.sees(mesh[0]) == State.ALIVE for each in old) == 6, 10)
    new.join(mesh[0])
    mesh.run(5)
    assert all(node.sees(new) is None for node in old), "nobody knows its key"
    assert mesh[0].endpoint.counters["seal-unknown-sender"] > 0
    for known, node in enumerate(old, start=1):  # its key is admitted, node by node
        node.set_roster(ids)
        mesh.run(3)
        assert all(each.sees(new) is None for each in old[known:])
    assert mesh.run_until(mesh.converged, within_s=10)
    leaver = mesh[3]
    rest = [node for node in mesh.nodes if node is not leaver]
    for known, node in enumerate(rest, start=1):  # another's key is revoked, node by node
        node.set_roster([each for each in ids if each != leaver.node_id])
        mesh.run(3)
        assert all(each.sees(leaver) is None for each in rest[:known])
    mesh.run(10)
    assert all(node.sees(leaver) is None for node in rest)
    assert len({node.endpoint.table_hash for node in rest}) == 1
    wrong = [change for change in mesh.changes if _is_disturbed(change, leaver.index, new.index)]
    assert wrong == []


def _is_disturbed(change: Change, leaver: int, new: int) -> bool:
    """Whether somebody whose key did not change was seen as anything but alive."""
    between = {change.observer, change.subject}
    return not between & {leaver, new} and change.view.state != State.ALIVE


# -- ringpop ---------------------------------------------------------------------------------------
def test_a_farewell_reaches_more_members_than_are_told_directly() -> None:
    """Who leaves says so of itself, and gossip tells those whom it did not tell."""
    nodes = FAREWELLS_MAX + 16
    mesh = a_mesh(6, nodes)
    leaver = mesh[7]
    told: list[Address] = []
    mesh.network.taps.append(
        lambda _data, source, to: told.append(to) if source == leaver.address else None
    )
    leaver.leave()
    assert len(set(told)) == FAREWELLS_MAX < nodes - 1
    leaver.crash()
    assert mesh.run_until(lambda: mesh.agree(State.LEFT, leaver), within_s=2)
    mesh.run(10)
    assert mesh.agree(State.LEFT, leaver)
    assert not mesh.deaths()


def test_what_a_newcomer_is_told_on_joining_it_tells_on_for_a_moment_and_then_never_again() -> None:
    """All the others know it already; in a mesh that comes together all at once they do not."""
    nodes = 40
    mesh = SwimWorld(7, nodes)
    for node in mesh.nodes[1:-1]:
        node.join(mesh[0])
    mesh.run(10)
    late, sent = mesh.nodes[-1], list[bytes]()
    mesh.network.taps.append(
        lambda data, source, _to: sent.append(data) if source == late.address else None
    )
    late.join(mesh[0])
    assert mesh.run_until(mesh.converged, within_s=3)
    mesh.run(2)
    tellings = nodes * LAN.retransmit_limit(nodes)
    assert 10_000 < sum(map(len, sent)) <= tellings * STATEMENT_BYTES + 2 * QUIET_BYTES_PER_S
    assert not any(node.endpoint._swim._facts.rumours.queue for node in mesh.nodes)
    sent.clear()
    mesh.run(10)
    assert sum(map(len, sent)) <= 10 * QUIET_BYTES_PER_S
