"""Scenarios of single datagrams and single verdicts: two cores that talk, or one that is told.

Where the scenarios come from is in the decision on adaptive failure detection.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import TypeVar

import pytest
from signed_facts import (
    FROM_ONE,
    OWN_EPOCH,
    SETTLED_S,
    a_membership,
    a_record,
    an_acquainted,
    charge,
    counted,
    forged,
    judges_of,
    node,
    origin,
    record,
    say,
    state_of,
    votes,
)

from mesh.limits import SWIM_TOMBSTONE_S, SWIM_TOMBSTONES_MAX
from mesh.swim.config import LAN
from mesh.swim.core import Swim
from mesh.swim.effects import At, Effect, SelfInfo, SendDatagram, State
from mesh.swim.messages import (
    BODY_BYTES_MAX,
    EPOCH_MAX,
    FACTS_MAX,
    INCARNATION_MAX,
    PAYLOAD_BYTES_MAX,
    Ack,
    Beat,
    Gossip,
    Ping,
    PingFor,
    Relayed,
    Statement,
)
from mesh.swim.reconnect import Reconnector
from mesh.swim.records import body_of
from mesh.types import MeshId
from mesh.wire.schema import decode_message, encode_message, evolve
from sim.signatures import MESH_ID, CheapSignatures

HOST = "10.1.0.{}"
ROUNDS_S = 60.0
LONGEST_HOST = "fe80:1111:2222:3333:4444:5555:6666:7777%interface-of-thirty-chars"[:64]


def a_swim(own: int, members: int = 5) -> Swim:
    """Node `own`'s core, which has been told of everybody."""
    info = SelfInfo(node(own), 1, HOST.format(own), 7946, 1, 2)
    swim = Swim(LAN, info, CheapSignatures(node(own)), Random(own).random)
    swim.set_roster([node(index) for index in range(members)], 0.0)
    others = [record(index) for index in range(members) if index != own]
    hear(swim, (own + 1) % members, Gossip(tuple(others)), 0.0)
    return swim


def hear(swim: Swim, sender: int, message: object, now_s: float) -> list[Effect]:
    at = At((HOST.format(sender), 7946), now_s)
    return swim.receive(node(sender), encode_message(message), at, now_s)


def sent_to(effects: list[Effect], index: int) -> list[object]:
    """The messages among effects that are for that node."""
    sends = [each for each in effects if isinstance(each, SendDatagram)]
    return [decode_message(each.payload) for each in sends if each.node == node(index)]


Kind = TypeVar("Kind", Ping, PingFor)


def next_sent(swim: Swim, kind: type[Kind], index: int, since_s: float) -> tuple[Kind, float]:
    """The first message of that kind to that node, and when."""
    while True:
        now_s = swim.next_timer_s()
        assert now_s is not None
        assert now_s < since_s + ROUNDS_S, "it is never sent"
        now_s = max(now_s, since_s)
        for message in sent_to(swim.handle_timer(now_s), index):
            if isinstance(message, kind):
                return message, now_s


# -- memberlist ------------------------------------------------------------------------------------
@pytest.mark.parametrize("told_already", [False, True], ids=["while-gossiped", "gossiped-out"])
def test_a_suspect_hears_of_the_suspicion_in_the_very_next_ping_to_it(told_already: bool) -> None:
    """The buddy system: gossip alone would let it wait, and passes over whom a rumour is about."""
    swim, suspect = a_swim(0), a_swim(2)
    accusation = charge(1, 2)
    hear(swim, 1, Gossip((accusation,)), 1.0)
    view = swim.view(node(2))
    assert view is not None
    assert view.state == State.SUSPECT
    if told_already:
        while swim._facts.rumours.queue:
            swim._facts.rumours.take(1)
    ping, now_s = next_sent(swim, Ping, 2, 1.0)
    assert ping.facts[0] == accusation
    answers = sent_to(hear(suspect, 0, ping, now_s), 0)
    assert suspect.table.own.record.incarnation == 1, "and refutes it"
    assert any(
        suspect.table.own.statement in message.facts
        for message in answers
        if isinstance(message, (Ack, Gossip))
    ), "with the answer, so that the one who asked knows at once"


@pytest.mark.parametrize(
    "head",
    [
        bytes([0x98, FACTS_MAX]),
        bytes([0x98, FACTS_MAX + 1]),
        bytes([0x98, 0xFF]),
        bytes([0x99, 0xFF, 0xFF]),
        bytes([0x9A]) + b"\xff" * 4,
        bytes([0x9B]) + b"\xff" * 8,
        bytes([0x80]),
    ],
    ids=["most", "one-more", "byte", "two-bytes", "four-bytes", "eight-bytes", "fewer"],
)
def test_a_number_of_parts_that_is_not_that_of_the_parts_is_refused_whole(head: bytes) -> None:
    swim = a_swim(0)
    before = swim.table_hash
    payload = encode_message(Gossip((record(1, incarnation=1),)))
    assert payload[3:4] == b"\x81", "an array of one"
    at = At((HOST.format(1), 7946), 1.0)
    assert swim.receive(node(1), payload[:3] + head + payload[4:], at, 1.0) == []
    assert swim.counters["malformed"] == 1
    assert swim.table_hash == before
    swim.receive(node(1), payload, at, 1.0)
    assert swim.table_hash != before, "the same with the right number counts"


@pytest.mark.parametrize("genuine", [True, False], ids=["this-mesh", "another"])
def test_what_a_member_signed_for_another_mesh_means_nothing_here(genuine: bool) -> None:
    """The same keys in two meshes: a mesh's id is in all that is signed, and not on the wire."""
    swim = a_swim(0)
    before = swim.table_hash
    keys = CheapSignatures(node(2), MESH_ID if genuine else MeshId(bytes(32)))
    body = body_of(a_record(2, incarnation=1))
    hear(swim, 1, Gossip((Statement(body, keys.sign_statement(body), ""),)), 1.0)
    assert (swim.table_hash != before) == genuine
    assert swim.counters["bad-signature"] == (not genuine)


# -- foca ------------------------------------------------------------------------------------------
def test_what_a_dead_member_says_against_us_is_refuted_all_the_same() -> None:
    """We hold it dead, it holds us dead, and says so: both are wrong, and one must begin."""
    membership = an_acquainted()
    membership.hear(votes(2, 3, 4, subject=1), origin(2), SETTLED_S)
    assert state_of(membership, 1) == State.DEAD
    certificate = [charge(each, 0, OWN_EPOCH, vote=True) for each in (1, 2, 3)]
    membership.hear(certificate, origin(1), SETTLED_S + 1)
    assert membership.table.own.record.incarnation == 1
    assert counted(membership, "refuted") == 1
    assert membership.table.own.statement in [
        statement
        for letter in membership.book.take_letters()
        if letter.to == node(1)
        for statement in letter.statements
    ], "and who said it is told"


def test_messages_without_facts_are_signs_of_life_and_change_nothing_else() -> None:
    swim = a_swim(0)
    before, renewed = swim.table_hash, swim.view(node(2))
    bare = (Beat(1000, ()), Ping(7, swim.table_hash, None, (), None), Gossip(()))
    for at_s, message in enumerate(bare, start=10):
        effects = hear(swim, 2, message, float(at_s))
        member = swim.table.get(node(2))
        assert member is not None
        assert member.heard_s == at_s
        assert len(effects) == isinstance(message, Ping), "an ack, and that is all"
        assert len(encode_message(message)) <= 20
    assert (swim.table_hash, swim.view(node(2))) == (before, renewed)
    assert not swim._facts.cases.open


def test_an_ack_counts_for_the_ping_with_its_number_and_for_whom_it_was() -> None:
    swim = a_swim(0)
    ping, now_s = next_sent(swim, Ping, 2, 1.0)
    table_hash = swim.table_hash

    def answer(sender: int, number: int, after_s: float) -> float | None:
        hear(swim, sender, Ack(number, table_hash, None, (), None), now_s + after_s)
        view = swim.view(node(2))
        assert view is not None
        return view.rtt_s

    assert answer(2, ping.number + 1, 0.010) is None, "another number"
    assert answer(3, ping.number, 0.011) is None, "another member"
    assert swim.counters["unasked-ack"] == 2
    assert answer(2, ping.number, 0.012) == pytest.approx(0.012)
    assert answer(2, ping.number, 0.500) == pytest.approx(0.012), "once"
    assert swim.counters["unasked-ack"] == 3


def test_a_probe_goes_on_until_what_helpers_bring_has_its_number() -> None:
    """An honest proof of another ping, and one with the right number that proves nothing."""
    swim, helper, member = a_swim(0), a_swim(1), a_swim(2)
    ping, now_s = next_sent(swim, Ping, 2, 1.0)
    prober = swim._prober
    request, now_s = next_sent(swim, PingFor, 1, now_s)
    while request.number != ping.number:  # others are silent, too
        request, now_s = next_sent(swim, PingFor, 1, now_s)
    (asked,) = sent_to(hear(helper, 0, request, now_s), 2)
    (ack,) = sent_to(hear(member, 1, asked, now_s), 1)
    (relayed,) = sent_to(hear(helper, 2, ack, now_s), 0)
    assert isinstance(relayed, Relayed)
    assert relayed.proof is not None
    for wrong in (
        Relayed(ping.number + 1, relayed.proof, ()),
        Relayed(ping.number, forged(relayed.proof), ()),
    ):
        hear(swim, 1, wrong, now_s)
        assert ping.number in prober._probes, "still under way"
    hear(swim, 1, relayed, now_s)
    assert ping.number not in prober._probes


# -- rapid -----------------------------------------------------------------------------------------
def test_a_case_that_stays_undecided_does_not_hold_up_another() -> None:
    """One member short of a quorum of votes blocks nobody else's verdict."""
    membership = an_acquainted(members=9)
    blocker, subject = 3, 6
    two = [each for each in judges_of(membership, blocker, 9) if each not in (0, subject)][:2]
    membership.hear(votes(*two, subject=blocker), FROM_ONE, SETTLED_S)
    membership.cases.verdicts(SETTLED_S + 20)
    assert state_of(membership, blocker) == State.UNREACHABLE, "undecided"
    three = [each for each in judges_of(membership, subject, 9) if each not in (0, blocker)][:3]
    membership.hear(votes(*three, subject=subject), FROM_ONE, SETTLED_S + 21)
    assert state_of(membership, subject) == State.DEAD
    assert state_of(membership, blocker) == State.UNREACHABLE
    assert node(blocker) in membership.cases.open, "and its case is still open"


# -- serf ------------------------------------------------------------------------------------------
def test_each_lost_member_is_tried_at_a_pace_of_its_own() -> None:
    """Who was lost long ago is tried rarely; who is lost now, soon."""
    reconnector = Reconnector(LAN, Random(1).random)
    reconnector.watch(node(1), 0.0)
    tried: list[float] = []
    now_s = 0.0
    while now_s < 60:
        next_s = reconnector.next_s()
        assert next_s is not None
        now_s = next_s
        if reconnector.take_due(now_s, members=64):
            tried.append(now_s)
    waits_s = [after - before for before, after in pairwise(tried)]
    assert waits_s[-1] > 4 * waits_s[0], "it has backed off"
    reconnector.watch(node(2), now_s)
    tries = {node(1): 0, node(2): 0}
    end_s = now_s + 6 * LAN.reconnect_interval_s
    while (next_s := reconnector.next_s()) is not None and next_s < end_s:
        which = reconnector.take_due(next_s, members=64)
        assert which is not None
        tries[which] += 1
    assert tries[node(2)] >= 2 > tries[node(1)]


# -- ringpop ---------------------------------------------------------------------------------------
def test_tombstones_are_evicted_when_they_are_old_and_when_there_are_too_many() -> None:
    membership = an_acquainted()
    everybody = [node(index) for index in range(5)]
    membership.set_roster(everybody[:4], 10.0)
    membership.set_roster(everybody, 11.0)
    membership.hear([record(4)], FROM_ONE, 12.0)
    assert state_of(membership, 4) is None, "what was said before is not believed again"
    assert counted(membership, "resurrection") == 1
    tombstones = membership.table._tombstones
    later_s = 10.0 + SWIM_TOMBSTONE_S + 1
    membership.set_roster([*everybody[:3], everybody[4]], later_s)
    assert set(tombstones) == {node(3)}, "a day is enough"
    crowd = a_membership(SWIM_TOMBSTONES_MAX + 50)
    for index in range(1, SWIM_TOMBSTONES_MAX + 50):
        crowd.hear([record(index)], FROM_ONE, 0.0)
    crowd.set_roster([node(0)], 1.0)
    assert len(crowd.table._tombstones) == SWIM_TOMBSTONES_MAX


# -- kinship ---------------------------------------------------------------------------------------
def test_the_largest_record_of_oneself_fits_with_a_quorum_of_charges() -> None:
    largest = evolve(
        a_record(1, EPOCH_MAX, INCARNATION_MAX),
        host=LONGEST_HOST,
        swim_port=65_535,
        peer_port=65_535,
        join_port=65_535,
    )
    assert len(LONGEST_HOST) == 64
    body = body_of(largest)
    assert len(body) <= BODY_BYTES_MAX
    packet = Gossip((Statement(body, bytes(64), ""), *votes(1, 2, 3, 4, 5, subject=1)))
    assert len(encode_message(packet)) <= PAYLOAD_BYTES_MAX


def test_an_oversized_record_of_oneself_is_refused_and_its_author_stays_as_it_was() -> None:
    """Too long a host, within a statement that may be so long; and a longer statement yet."""
    swim = a_swim(0)
    before = swim.table_hash
    plain = say(1, evolve(a_record(1, incarnation=1), host="10.1.0.1"))
    assert b"\x6810.1.0.1" in plain.body, "a text of eight characters"
    long_host = plain.body.replace(b"\x6810.1.0.1", b"\x78\x50" + b"1" * 80)
    signed = Statement(long_host, CheapSignatures(node(1)).sign_statement(long_host), "")
    hear(swim, 1, Gossip((signed,)), 1.0)
    assert swim.counters["statement-malformed"] == 1
    payload = encode_message(Gossip((signed,)))
    head = bytes([0x58, len(long_host)])
    assert head in payload
    longer = payload.replace(head + long_host, bytes([0x58, 250]) + long_host.ljust(250, b"1"))
    swim.receive(node(1), longer, At((HOST.format(1), 7946), 2.0), 2.0)
    assert swim.counters["malformed"] == 1
    assert swim.table_hash == before
    view = swim.view(node(1))
    assert view is not None
    assert (view.state, view.incarnation) == (State.ALIVE, 0)
    hear(swim, 1, Gossip((plain,)), 3.0)
    assert swim.table_hash != before, "and it may still say what fits"
