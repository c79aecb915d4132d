"""Who may judge, what it takes to be dead, and that nothing short of it is enough."""

from __future__ import annotations

from statistics import median

import attrs
import pytest
from attackers import a_vote, gossip, inject, judges_of
from hypothesis import given
from hypothesis import strategies as st
from signed_facts import (
    FROM_ONE,
    SETTLED_S,
    a_membership,
    an_acquainted,
    charge,
    counted,
    forged,
    node,
    record,
    state_of,
    votes,
)
from signed_facts import (
    judges_of as judges_in,
)

from mesh.limits import DATAGRAM_SEAL_BYTES, SWIM_OTHER_CHARGES_MAX, SWIM_SETTLE_S
from mesh.swim.config import LAN
from mesh.swim.effects import State
from mesh.swim.evidence import Evidence
from mesh.swim.packets import Packets
from sim.net import Link
from sim.swim_world import SwimNode, SwimWorld

HEADERS_BYTES = 14 + 20 + 8
"""Ethernet, IPv4 and UDP around every datagram, as an interface counts them."""


def a_mesh(seed: int, nodes: int, link: Link | None = None) -> SwimWorld:
    mesh = SwimWorld(seed, nodes, link=link)
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=20)
    mesh.run(3)
    return mesh


# -- observers -------------------------------------------------------------------------------------
@given(st.integers(3, 40), st.integers(1, 2**40))
def test_everybody_names_the_same_observers_and_the_subject_is_none(
    members: int, epoch: int
) -> None:
    one, two = a_membership(members), a_membership(members, own=1)
    for membership in (one, two):
        for index in range(members):
            membership.hear([record(index, epoch)], FROM_ONE, 0.0)
    named = [judges_in(membership, 2, members) for membership in (one, two)]
    assert named[0] == named[1]
    assert len(named[0]) == min(LAN.observers, members - 1)
    assert 2 not in named[0]


def test_another_epoch_has_other_observers() -> None:
    membership = an_acquainted(members=30)
    before = judges_in(membership, 2, 30)
    membership.hear([record(2, epoch=2)], FROM_ONE, 0.0)
    assert judges_in(membership, 2, 30) != before


def test_observers_who_are_gone_are_replaced_and_voters_keep_their_place() -> None:
    membership = an_acquainted(members=12)
    first, second, *_ = [each for each in judges_in(membership, 2, 12) if each != 0]
    membership.hear(votes(second, subject=2), FROM_ONE, SETTLED_S)
    for gone in (first, second):
        membership.hear([record(gone, incarnation=1, left=True)], FROM_ONE, SETTLED_S)
    judges = judges_in(membership, 2, 12)
    assert first not in judges
    assert second in judges
    assert len(judges) == LAN.observers


def test_a_node_that_is_new_cannot_be_told_that_everybody_else_is_gone() -> None:
    """Its only contacts are three members who call the victim dead."""
    membership = a_membership(members=30)
    liars = (5, 6, 7)
    packet = [*map(record, (2, *liars)), *votes(*liars, subject=2)]
    membership.hear(packet, FROM_ONE, SWIM_SETTLE_S / 2)
    assert state_of(membership, 2) != State.DEAD


# -- quorum ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("members", "needed"), [(2, None), (3, 2), (4, 3), (5, 3), (50, 3)])
def test_how_many_votes_kill(members: int, needed: int | None) -> None:
    membership = an_acquainted(members)
    member = membership.table.get(node(1))
    assert member is not None
    assert membership.observers.quorum(member, SETTLED_S) == needed


def test_one_vote_less_than_a_quorum_kills_nobody_however_long() -> None:
    membership = an_acquainted(members=8)
    two = [each for each in judges_in(membership, 2, 8) if each != 0][:2]
    membership.hear(votes(*two, subject=2), FROM_ONE, SETTLED_S)
    for second in range(600):
        membership.cases.verdicts(SETTLED_S + second)
        membership.cases.reconsider(SETTLED_S + second)
    assert state_of(membership, 2) == State.UNREACHABLE


def test_votes_of_members_that_are_not_its_observers_do_not_count() -> None:
    membership = an_acquainted(members=20)
    judges = judges_in(membership, 2, 20)
    others = [each for each in range(1, 20) if each != 2 and each not in judges]
    membership.hear(votes(*others, subject=2), FROM_ONE, SETTLED_S)
    assert state_of(membership, 2) == State.ALIVE
    member = membership.table.get(node(2))
    assert member is not None
    assert len(member.charges) <= SWIM_OTHER_CHARGES_MAX


def test_votes_against_another_incarnation_do_not_count() -> None:
    membership = an_acquainted(members=8)
    judges = [each for each in judges_in(membership, 2, 8) if each != 0]
    membership.hear([record(2, incarnation=1)], FROM_ONE, SETTLED_S)
    membership.hear(votes(*judges, subject=2), FROM_ONE, SETTLED_S)
    membership.hear(votes(*judges, subject=2, incarnation=2), FROM_ONE, SETTLED_S)
    assert state_of(membership, 2) == State.ALIVE


def test_a_vote_against_who_was_heard_meanwhile_is_not_cast() -> None:
    membership = an_acquainted(members=8)
    subject = next(i for i in range(1, 8) if 0 in judges_in(membership, i, 8))
    member = membership.table.get(node(subject))
    assert member is not None
    membership.cases.accuse(member, Evidence.SILENT, SETTLED_S)
    member.heard_s = SETTLED_S + 1
    membership.cases.verdicts(SETTLED_S + 5)
    assert member.state == State.SUSPECT
    assert counted(membership, "verdict-postponed") == 1


def test_a_statement_with_a_bad_signature_silences_who_passed_it_on() -> None:
    membership = an_acquainted()
    membership.hear([forged(record(2, incarnation=5))], FROM_ONE, SETTLED_S)
    membership.hear([record(2, incarnation=6)], FROM_ONE, SETTLED_S + 1)
    member = membership.table.get(node(2))
    assert member is not None
    assert member.record.incarnation == 0
    assert counted(membership, f"lied.{FROM_ONE.sender.hex()}") == 1


def test_what_was_verified_once_is_not_verified_again() -> None:
    membership = an_acquainted()
    membership.hear([charge(1, 2)], FROM_ONE, 0.0)
    before = membership.book.voice.checked
    for _ in range(100):
        membership.hear([charge(1, 2), record(2), record(3)], FROM_ONE, 1.0)
    assert membership.book.voice.checked == before


def test_a_struck_off_member_does_not_come_back_with_its_old_record() -> None:
    membership = an_acquainted(members=4)
    membership.hear([record(3, epoch=5)], FROM_ONE, 0.0)
    membership.set_roster([node(index) for index in range(3)], 1.0)
    membership.set_roster([node(index) for index in range(4)], 2.0)
    membership.hear([record(3, epoch=5)], FROM_ONE, 3.0)
    assert state_of(membership, 3) is None
    membership.hear([record(3, epoch=6)], FROM_ONE, 3.0)
    assert state_of(membership, 3) == State.ALIVE


# -- hard evidence ---------------------------------------------------------------------------------
def seconds_until_dead(mesh: SwimWorld, killed: SwimNode) -> float:
    """Kill a process: its streams end, so all who are linked with it look at once."""
    killed.kill()
    at_s = mesh.world.now_s
    for other in mesh.nodes:
        if other is not killed:
            other.host.act(other.endpoint.doubt(killed.node_id, at_s))
    assert mesh.run_until(lambda: mesh.agree(State.DEAD, killed), within_s=10)
    assert {death.subject for death in mesh.deaths()} == {killed.index}
    return mesh.world.now_s - at_s


@pytest.mark.parametrize("nodes", [3, 16])
def test_a_killed_process_is_dead_for_everybody_within_a_second(nodes: int) -> None:
    took_s = []
    for seed in range(5):
        mesh = a_mesh(seed, nodes)
        took_s.append(seconds_until_dead(mesh, mesh[nodes // 2]))
    assert median(took_s) <= 1.0
    assert max(took_s) <= 2.0


def test_one_refusal_alone_kills_nobody() -> None:
    """One member sits behind a firewall that says no; the others reach it well."""
    mesh = a_mesh(1, 8)
    subject = mesh[2]
    accuser = judges_of(mesh, subject)[0]
    for _ in range(20):
        now_s = mesh.world.now_s
        swim = accuser.endpoint._swim
        effects = swim.accuse(subject.node_id, Evidence.REFUSED, now_s)
        accuser.host.act(accuser.endpoint._seal_all(effects, now_s))
        mesh.run(1)
    assert not mesh.deaths()
    assert mesh.run_until(mesh.converged, within_s=5)


def test_switched_off_hard_evidence_weighs_like_silence() -> None:
    config = attrs.evolve(LAN, hard_evidence=False)
    hard, soft = (an_acquainted(members=8, config=each) for each in (LAN, config))
    for membership in (hard, soft):
        two = [each for each in judges_in(membership, 2, 8) if each != 0][:2]
        packet = [charge(each, 2, evidence=Evidence.REFUSED) for each in two]
        membership.hear(packet, FROM_ONE, SETTLED_S)
    first_s, later_s = hard.suspicions.next_s(), soft.suspicions.next_s()
    assert first_s is not None
    assert later_s is not None
    assert first_s - SETTLED_S == pytest.approx(LAN.refutation_window_s(8))
    assert later_s > first_s


@pytest.mark.parametrize(("quorum", "expected"), [(3, State.SUSPECT), (0, State.DEAD)])
def test_without_a_quorum_one_vote_kills_as_in_swim(quorum: int, expected: State) -> None:
    membership = an_acquainted(members=8, config=attrs.evolve(LAN, quorum=quorum))
    judge = next(each for each in judges_in(membership, 2, 8) if each != 0)
    membership.hear(votes(judge, subject=2), FROM_ONE, SETTLED_S)
    assert state_of(membership, 2) == expected


def test_without_signatures_anybody_can_say_anything() -> None:
    membership = an_acquainted(config=attrs.evolve(LAN, signed=False))
    membership.hear([forged(record(2, incarnation=1, left=True))], FROM_ONE, SETTLED_S)
    assert state_of(membership, 2) == State.LEFT


# -- whole meshes ----------------------------------------------------------------------------------
def test_two_nodes_never_call_each_other_dead() -> None:
    mesh = a_mesh(2, 2)
    mesh[1].crash()
    mesh.run(60)
    assert mesh[0].sees(mesh[1]) == State.UNREACHABLE
    mesh[1].restart()
    assert mesh.run_until(mesh.converged, within_s=30)


def test_who_comes_late_learns_the_verdict_with_its_certificate() -> None:
    mesh = SwimWorld(3, 9)
    latecomer = mesh[8]
    latecomer.crash()
    for other in mesh.nodes[1:8]:
        other.join(mesh[0])
    mesh.run(5)
    dead = mesh[4]
    dead.crash()
    early = mesh.nodes[:8]
    others = [each for each in early if each is not dead]
    assert mesh.run_until(lambda: mesh.agree(State.DEAD, dead, *others), within_s=60)
    mesh.run(40)
    latecomer.restart()
    latecomer.join(mesh[0])
    assert mesh.run_until(mesh.converged, within_s=60)
    seen = [
        change.view.state for change in mesh.changes if change.observer == 8 and change.subject == 4
    ]
    assert seen == [State.DEAD], "it was never alive for it"


def test_a_verdict_with_fewer_observers_alive_than_the_quorum_still_comes() -> None:
    """All observers of one member die with it; the next in rank take over."""
    mesh = a_mesh(4, 14)
    subject = mesh[3]
    gone = [subject, *judges_of(mesh, subject)]
    for each in gone:
        each.crash()
    assert mesh.run_until(lambda: mesh.agree(State.DEAD, subject), within_s=90)


def test_colluders_short_of_a_quorum_cannot_kill_whom_they_alone_cannot_reach() -> None:
    """Two observers are really cut off from it, and vote; it stays for everybody else."""
    mesh = a_mesh(5, 10)
    subject = mesh[3]
    cut_off = judges_of(mesh, subject)[:2]
    for each in cut_off:
        mesh.network.cut(each.address, subject.address)
        mesh.network.cut(subject.address, each.address)
    for _ in range(30):
        statements = [a_vote(mesh, each, subject) for each in cut_off]
        for target in mesh.nodes:
            if target is not subject and target not in cut_off:
                inject(mesh, cut_off[0], target, gossip(statements))
        mesh.run(1)
    others = [each for each in mesh.nodes if each is not subject and each not in cut_off]
    assert not [death for death in mesh.deaths() if mesh[death.observer] in others]
    worse = [c for c in mesh.changes if c.subject == 3 and c.view.state > State.SUSPECT]
    assert not [change for change in worse if mesh[change.observer] in others]


def bytes_per_node_and_s(mesh: SwimWorld, duration_s: float) -> float:
    """What an interface would count, in a mesh where nothing happens."""
    before = dict(mesh.network.counters)
    mesh.run(duration_s)
    datagrams = mesh.network.counters["sent"] - before["sent"]
    size_bytes = mesh.network.counters["sent-bytes"] - before["sent-bytes"]
    return (size_bytes + HEADERS_BYTES * datagrams) / len(mesh.nodes) / duration_s


def test_a_quiet_mesh_of_16_stays_within_its_bytes() -> None:
    mesh = a_mesh(6, 16)
    mesh.run(15)
    assert bytes_per_node_and_s(mesh, 20) <= 240


def test_a_mesh_of_64_is_frugal_and_finds_a_killed_process_within_a_second() -> None:
    mesh = a_mesh(6, 64)
    mesh.run(10)
    assert bytes_per_node_and_s(mesh, 10) <= 260
    assert seconds_until_dead(mesh, mesh[32]) <= 1.0


def test_a_mesh_of_1000_costs_each_node_no_more_than_300_bytes() -> None:
    """A slice of it: one node that knows 999 others, and its pings and acks, which are all that a
    quiet node sends. The rest of the mesh would only repeat it."""
    members = 1000
    membership = an_acquainted(members)
    packets = Packets(LAN, membership)
    while len(membership.rumours):
        membership.rumours.take(limit=1)
    sizes = []
    for index in range(1, members):
        member = membership.table.get(node(index))
        assert member is not None
        ping = packets.ping(member.node_id, member.address, 65_535)
        ack = packets.ack(member.node_id, member.address, 65_535)
        sizes.append(len(ping.payload) + len(ack.payload))
    sealed_bytes = max(sizes) + 2 * (DATAGRAM_SEAL_BYTES + HEADERS_BYTES)
    beat = packets.beat(member)
    beat_bytes = len(beat.payload) + DATAGRAM_SEAL_BYTES + HEADERS_BYTES
    assert sealed_bytes / LAN.probe_interval_s + beat_bytes / LAN.beat_interval_s <= 300


def test_the_dossier_tells_who_said_what() -> None:
    mesh = a_mesh(7, 8)
    subject, observer = mesh[2], mesh[5]
    subject.crash()
    assert mesh.run_until(lambda: mesh.agree(State.DEAD, subject), within_s=60)
    dossier = observer.endpoint.dossier(subject.node_id, mesh.world.now_s)
    assert dossier is not None
    assert dossier.state == State.DEAD
    voters = {charge.accuser for charge in dossier.charges if charge.vote}
    assert len(voters) >= LAN.quorum
    assert voters <= set(dossier.observers)
    story = [line.what for line in dossier.history]
    assert story[0] == "alive"
    assert story[-1] == "dead"
    assert story.count("voted") >= LAN.quorum
