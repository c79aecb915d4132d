"""Laws of merging statements, and the parts of the core by themselves."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signed_facts import (
    FROM_ONE,
    OWN_EPOCH,
    REPAIR_FROM_ONE,
    SETTLED_S,
    a_membership,
    a_record,
    an_acquainted,
    charge,
    counted,
    judges_of,
    node,
    origin,
    record,
    say,
    state_of,
    votes,
)

from mesh.limits import SWIM_OUTDONE_MAX
from mesh.swim import repair
from mesh.swim.config import LAN, LOOPBACK, WAN, SwimConfig
from mesh.swim.dissemination import Rumours
from mesh.swim.effects import MemberView, State
from mesh.swim.evidence import Evidence
from mesh.swim.membership import Membership, Origin
from mesh.swim.messages import (
    DIGEST_ENTRIES_MAX,
    INCARNATION_MAX,
    PAYLOAD_BYTES_MAX,
    Buckets,
    Delta,
    Digest,
    Gossip,
    Statement,
    pack,
    prefix_of,
)
from mesh.swim.probe import ProbeOrder
from mesh.swim.repair import statements_about
from mesh.swim.suspicion import Suspicions
from mesh.types import NodeId
from mesh.wire.schema import decode_message, encode_message, evolve

STATEMENTS = st.one_of(
    st.builds(record, st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.booleans()),
    st.builds(
        charge, st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.integers(0, 1),
        st.booleans(),
    ),
)  # fmt: skip
RECORDS = st.builds(record, st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.booleans())


def versions(membership: Membership) -> dict[NodeId, tuple[int, int, int]]:
    return {member.node_id: member.version for member in membership.table}


@given(st.lists(RECORDS, max_size=12), st.randoms(use_true_random=False))
def test_merging_in_any_order_any_number_of_times_gives_the_same_table(
    records: list[Statement], random: Random
) -> None:
    one, two = a_membership(), a_membership()
    for each in records:
        one.hear([each], FROM_ONE, 0.0)
    again = records + random.choices(records, k=len(records)) if records else []
    random.shuffle(again)
    for second, each in enumerate(again):
        two.hear([each], FROM_ONE, float(second))
    assert versions(one) == versions(two)
    assert one.table.hash == two.table.hash


@given(st.lists(st.lists(STATEMENTS, max_size=4), max_size=6))
def test_versions_only_grow_and_changes_tell_every_step(packets: list[list[Statement]]) -> None:
    membership = a_membership()
    told: dict[NodeId, State] = {}
    for packet in packets:
        before = versions(membership)
        for change in membership.hear(packet, FROM_ONE, 0.0):
            assert change.previous_state == told.get(change.view.node_id)
            told[change.view.node_id] = change.view.state
        after = versions(membership)
        assert all(after[each] >= before[each] for each in before)
    assert told == {member.node_id: member.state for member in membership.table}


@given(st.lists(st.lists(STATEMENTS, max_size=4), max_size=6))
def test_the_hash_and_the_count_of_the_reachable_are_those_of_the_table(
    packets: list[list[Statement]],
) -> None:
    membership = a_membership()
    for packet in packets:
        membership.hear(packet, FROM_ONE, 0.0)
    expected = membership.table.own.mark
    for member in membership.table:
        expected ^= member.mark
    assert membership.table.hash == expected.to_bytes(8, "big")
    assert membership.table.reachable_count == len(membership.table.reachable())


def test_statements_by_strangers_are_dropped_and_counted() -> None:
    membership = a_membership(members=3)
    assert membership.hear([record(7)], FROM_ONE, 0.0) == []
    assert len(membership.table) == 0
    assert counted(membership, "statement-by-non-member") == 1


@pytest.mark.parametrize(
    "host", ["evil.example", "224.0.0.251", "0.0.0.0", "255.255.255.255", "::"]
)
def test_records_without_the_address_of_one_machine_are_dropped(host: str) -> None:
    membership = a_membership()
    assert membership.hear([say(2, evolve(a_record(2), host=host))], FROM_ONE, 0.0) == []
    assert counted(membership, "record-without-address") == 1


def test_without_a_host_a_member_is_where_it_was_heard() -> None:
    membership = a_membership()
    homeless = say(1, evolve(a_record(1), host=""))
    (change,) = membership.hear([homeless], FROM_ONE, 0.0)
    assert change.view.address == ("10.1.0.1", 7946)
    member = membership.table.get(node(1))
    assert member is not None
    (moved,) = membership.hear_from(member, "10.1.0.77")
    assert moved.view.address == ("10.1.0.77", 7946)


def test_others_tell_where_they_see_a_member_without_a_host_and_it_corrects_them() -> None:
    membership = a_membership()
    homeless = say(2, evolve(a_record(2), host=""))
    assert membership.hear([homeless], FROM_ONE, 0.0) == []
    (change,) = membership.hear([evolve(homeless, seen_host="10.9.9.9")], FROM_ONE, 0.0)
    assert change.view.address == ("10.9.9.9", 7946)
    member = membership.table.get(node(2))
    assert member is not None
    membership.hear_from(member, "10.1.0.2")
    assert statements_about(member)[0].seen_host == "10.1.0.2"


def test_a_host_that_is_signed_is_not_changed_by_where_datagrams_come_from() -> None:
    membership = an_acquainted()
    member = membership.table.get(node(2))
    assert member is not None
    assert membership.hear_from(member, "10.66.6.6") == []


@pytest.mark.parametrize("vote", [False, True])
def test_what_is_charged_to_us_is_refuted_one_step_on(vote: bool) -> None:
    membership = an_acquainted()
    membership.hear([charge(1, 0, OWN_EPOCH, 0, vote)], FROM_ONE, 0.0)
    own = membership.table.own.record
    assert (own.epoch, own.incarnation, own.left) == (OWN_EPOCH, 1, False)
    letters = membership.book.take_letters()
    assert node(1) in [letter.to for letter in letters], "the accuser hears it first"


def test_stale_charges_do_not_raise_our_incarnation() -> None:
    membership = an_acquainted()
    membership.hear([charge(1, 0, OWN_EPOCH, 0)], FROM_ONE, 0.0)
    for stale in (charge(2, 0, OWN_EPOCH, 0), charge(3, 0, OWN_EPOCH - 1, 9)):
        membership.hear([stale], FROM_ONE, 5.0)
    assert membership.table.own.record.incarnation == 1


def test_one_accuser_makes_us_refute_once_per_interval() -> None:
    membership = an_acquainted()
    for incarnation in range(50):
        membership.hear([charge(1, 0, OWN_EPOCH, incarnation)], FROM_ONE, 0.01 * incarnation)
    assert membership.table.own.record.incarnation == 1
    assert counted(membership, "charge-too-often") > 0


def test_our_own_record_of_an_epoch_we_forgot_is_outdone() -> None:
    membership = an_acquainted()
    membership.hear([record(0, OWN_EPOCH + 5, 3, left=True)], FROM_ONE, 0.0)
    own = membership.table.own.record
    assert (own.epoch, own.incarnation, own.left) == (OWN_EPOCH + 6, 0, False)


def test_two_processes_with_one_key_do_not_outdo_each_other_for_ever() -> None:
    membership = an_acquainted()
    for _ in range(2 * SWIM_OUTDONE_MAX):
        others = record(0, membership.table.own.record.epoch + 1, 0)
        membership.hear([others], FROM_ONE, 0.0)
    assert membership.table.own.record.epoch == OWN_EPOCH + 2 * SWIM_OUTDONE_MAX
    assert counted(membership, "outdone-too-often") == SWIM_OUTDONE_MAX


def test_the_highest_incarnation_is_outdone_by_an_epoch() -> None:
    membership = an_acquainted()
    membership.hear([record(0, OWN_EPOCH, INCARNATION_MAX)], FROM_ONE, 0.0)
    own = membership.table.own.record
    assert (own.epoch, own.incarnation, own.left) == (OWN_EPOCH + 1, 0, False)


def test_who_leaves_does_not_refute() -> None:
    membership = an_acquainted()
    membership.leave()
    membership.hear([charge(1, 0, OWN_EPOCH, 0, vote=True)], FROM_ONE, 0.0)
    own = membership.table.own.record
    assert (own.left, own.incarnation) == (True, 0)


def test_a_verdict_heard_by_repair_is_a_suspicion_first_and_not_gossiped() -> None:
    gossip, repaired = an_acquainted(), an_acquainted()
    gossip.hear(votes(1, 3, 4, subject=2), FROM_ONE, SETTLED_S)
    before = len(repaired.rumours)
    repaired.hear(votes(1, 3, 4, subject=2), REPAIR_FROM_ONE, SETTLED_S)
    assert (state_of(gossip, 2), state_of(repaired, 2)) == (State.DEAD, State.SUSPECT)
    assert len(repaired.rumours) == before
    repaired.cases.verdicts(SETTLED_S + 100)
    assert state_of(repaired, 2) == State.DEAD, "nothing was refuted"


def test_whom_we_meet_with_its_certificate_was_never_alive_for_us() -> None:
    membership = a_membership()
    for index in (1, 3, 4):
        membership.hear([record(index)], FROM_ONE, 0.0)
    packet = [record(2), *votes(1, 3, 4, subject=2)]
    (change,) = membership.hear(packet, REPAIR_FROM_ONE, SETTLED_S)
    assert (change.previous_state, change.view.state) == (None, State.DEAD)


def test_repair_confirms_nothing() -> None:
    membership = an_acquainted(members=8)
    one, two, three = [each for each in judges_of(membership, 2, 8) if each != 0][:3]
    membership.hear([charge(one, 2)], FROM_ONE, 0.0)
    before_s = membership.suspicions.next_s()
    membership.hear([charge(two, 2)], REPAIR_FROM_ONE, 0.0)
    assert membership.suspicions.next_s() == before_s
    membership.hear([charge(three, 2)], FROM_ONE, 0.0)
    after_s = membership.suspicions.next_s()
    assert before_s is not None
    assert after_s is not None
    assert after_s < before_s


def test_a_suspicion_of_a_higher_incarnation_starts_anew() -> None:
    membership = an_acquainted()
    membership.hear([charge(1, 2)], FROM_ONE, 0.0)
    first_s = membership.suspicions.next_s()
    membership.hear([record(2, incarnation=1)], origin(2), 1.0)
    assert membership.suspicions.next_s() is None
    membership.hear([charge(1, 2, incarnation=1)], FROM_ONE, 3.0)
    assert first_s is not None
    assert membership.suspicions.next_s() == first_s + 3.0


VIEW: MemberView = an_acquainted().table.reachable()[0].view()


# -- suspicion -----------------------------------------------------------------------------------
@pytest.mark.parametrize("config", [LAN, WAN, LOOPBACK])
@pytest.mark.parametrize("members", [2, 3, 4, 10, 100, 5000])
def test_confirmations_shorten_suspicion_down_to_its_minimum(
    config: SwimConfig, members: int
) -> None:
    useful = max(0, min(config.confirmations, members - 2))
    timeouts_s = [config.suspicion_timeout_s(members, count) for count in range(useful + 1)]
    assert timeouts_s == sorted(timeouts_s, reverse=True)
    assert timeouts_s[-1] == pytest.approx(config.suspicion_min_s)
    longest_s = config.suspicion_max_s if useful else config.suspicion_min_s
    assert timeouts_s[0] == pytest.approx(longest_s)


def test_an_accuser_counts_once_and_beyond_the_needed_shortens_nothing() -> None:
    suspicions = Suspicions(LAN)
    suspicions.start(VIEW, b"a", Evidence.SILENT, members=10, now_s=0.0)
    accusers = [b"a", b"b", b"b", b"c", b"d", b"e"]
    assert [suspicions.confirm(VIEW, who, Evidence.SILENT, 0.0) for who in accusers] == [
        False, True, False, True, True, True,
    ]  # fmt: skip
    assert suspicions.next_s() == pytest.approx(LAN.suspicion_min_s)


def test_forgiven_time_survives_confirmations() -> None:
    suspicions = Suspicions(LAN)
    suspicions.start(VIEW, b"a", Evidence.SILENT, members=10, now_s=0.0)
    suspicions.forgive(7.0)
    for who in (b"b", b"c", b"d"):
        suspicions.confirm(VIEW, who, Evidence.SILENT, 0.0)
    assert suspicions.next_s() == pytest.approx(LAN.suspicion_min_s + 7.0)


# -- probing and dissemination -------------------------------------------------------------------
@given(st.integers(1, 30), st.integers(0, 2**32))
def test_every_member_is_probed_within_two_rounds(members: int, seed: int) -> None:
    order = ProbeOrder(Random(seed).random)
    candidates = dict.fromkeys(node(index) for index in range(members))
    probed = [order.next(candidates) for _ in range(4 * members)]
    for start in range(2 * members):
        assert set(probed[start : start + 2 * members - 1]) == set(candidates)


def test_nobody_to_probe_is_none() -> None:
    order = ProbeOrder(Random(1).random)
    order.add(node(1))
    assert order.next({}) is None


def tell(rumours: Rumours, index: int) -> None:
    prefix = prefix_of(node(index))
    rumours.add(prefix, prefix, record(index))


def test_a_rumour_is_told_as_often_as_allowed_and_newest_first() -> None:
    rumours = Rumours()
    tell(rumours, 1)
    assert rumours.take(limit=3) == [record(1)]
    tell(rumours, 2)
    assert rumours.take(limit=3) == [record(2), record(1)]
    assert rumours.take(limit=3) == [record(2), record(1)]
    assert not rumours.take(limit=3, skip=prefix_of(node(2)))
    assert rumours.take(limit=3) == [record(2)]
    assert len(rumours) == 0


@given(st.integers(0, 100), st.integers(1, 8), st.integers(1, 6))
def test_packing_respects_the_datagram_bound(count: int, packets: int, together: int) -> None:
    about = record(1, epoch=2**62, incarnation=INCARNATION_MAX)
    groups = [(about,) * together for _ in range(count)]
    packed = pack(groups, packets)
    assert len(packed) <= packets
    for packet in packed:
        assert len(packet) % together == 0, "what belongs together stays together"
        assert len(encode_message(Gossip(packet))) <= PAYLOAD_BYTES_MAX


# -- repair --------------------------------------------------------------------------------------
def _exchange(one: Membership, two: Membership, random: Random) -> int:
    """Run one whole repair from `one` to `two`; returns the number of packets."""
    queue: list[tuple[Membership, Membership, object]] = [(one, two, repair.opening(one.table))]
    packets = 0
    while queue:
        sender, receiver, message = queue.pop(0)
        packets += 1
        assert packets < 500, "endless repair"
        payload = encode_message(message)
        assert len(payload) <= PAYLOAD_BYTES_MAX
        answers = _answers(receiver, sender.table.own.prefix, decode_message(payload), random)
        queue += [(receiver, sender, answer) for answer in answers]
    return packets


def _answers(
    receiver: Membership, sender: bytes, message: object, random: Random
) -> list[Digest] | list[Delta]:
    if isinstance(message, Buckets):
        return repair.answer_buckets(receiver.table, message, random.random)
    if isinstance(message, Digest):
        return repair.answer_digest(receiver.table, message)
    assert isinstance(message, Delta)
    receiver.hear(message.facts, Origin(sender, "10.1.0.1", repair=True), 0.0)
    return repair.answer_delta(receiver.table, message)


@pytest.mark.parametrize("members", [3, DIGEST_ENTRIES_MAX - 1, 150, 600])
def test_two_different_tables_become_equal_in_few_exchanges(members: int) -> None:
    random = Random(members)
    tables = []
    for own in (0, 1):
        membership = a_membership(members, own=own)
        for index in range(members):
            if random.random() < 0.7 and index != own:
                some = record(index, random.randint(1, 2), random.randint(0, 2))
                membership.hear([some], FROM_ONE, 0.0)
        tables.append(membership)
    one, two = tables
    exchanges = 0
    while one.table.hash != two.table.hash:
        exchanges += 1
        assert exchanges <= 2 + members // 50
        _exchange(one, two, random)
    known = [{*versions(each), each.table.own.node_id} for each in tables]
    assert known[0] == known[1]


def test_equal_tables_have_nothing_to_say() -> None:
    one, two = a_membership(), a_membership()
    for membership in (one, two):
        membership.hear([record(2)], FROM_ONE, 0.0)
    opening = repair.opening(one.table)
    assert isinstance(opening, Digest)
    assert repair.answer_digest(two.table, opening) == []
