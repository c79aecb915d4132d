"""Laws of merging facts, and the parts of the core by themselves."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.swim import repair
from mesh.swim.config import LAN, LOOPBACK, WAN, SwimConfig
from mesh.swim.dissemination import Rumours
from mesh.swim.effects import SelfInfo, State
from mesh.swim.membership import Membership, Origin
from mesh.swim.messages import (
    DIGEST_ENTRIES_MAX,
    INCARNATION_MAX,
    PAYLOAD_BYTES_MAX,
    Buckets,
    Delta,
    Digest,
    Fact,
    Gossip,
    pack,
    prefix_of,
)
from mesh.swim.probe import ProbeOrder
from mesh.swim.suspicion import Suspicions
from mesh.swim.table import version
from mesh.types import NodeId, digest_of
from mesh.wire.messages import Load
from mesh.wire.schema import decode_message, encode_message, evolve

OWN_EPOCH = 50


def node(index: int) -> NodeId:
    return NodeId(digest_of(f"node {index}".encode()))


def fact(
    index: int, epoch: int = 1, incarnation: int = 0, state: int = 0, accuser: int | None = None
) -> Fact:
    return Fact(
        node=prefix_of(node(index)),
        epoch=epoch,
        incarnation=incarnation,
        state=state,
        accuser=b"" if accuser is None else prefix_of(node(accuser)),
        host=f"10.1.{index >> 8}.{index & 255}",
        swim_port=7946,
        peer_port=1,
        join_port=2,
        load_number=0,
        load=Load(0, 0, 0, 0, 0),
    )


FROM_ONE = Origin(prefix_of(node(1)), "10.1.0.1")
REPAIR_FROM_ONE = Origin(prefix_of(node(1)), "10.1.0.1", repair=True)


def a_membership(members: int = 5) -> Membership:
    """Node 0's, which has heard of nobody yet."""
    info = SelfInfo(node(0), OWN_EPOCH, "10.1.0.0", 7946, 1, 2)
    membership = Membership(LAN, info, Counter())
    membership.set_roster([node(index) for index in range(members)], 0.0)
    return membership


def state_of(membership: Membership, index: int) -> State | None:
    member = membership.table.get(node(index))
    return member.state if member is not None else None


FACTS = st.builds(
    fact, st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3), st.just(4)
)


@given(st.lists(FACTS, max_size=12), st.randoms(use_true_random=False))
def test_merging_in_any_order_any_number_of_times_gives_the_same_table(
    facts: list[Fact], random: Random
) -> None:
    one, two = a_membership(), a_membership()
    for each in facts:
        one.hear(each, FROM_ONE, 0.0)
    again = facts + random.choices(facts, k=len(facts)) if facts else []
    random.shuffle(again)
    for each in again:
        two.hear(each, FROM_ONE, 0.0)
    versions = [{m.node_id: version(m.fact) for m in which.table} for which in (one, two)]
    assert versions[0] == versions[1]
    assert one.table.hash == two.table.hash


@given(st.lists(FACTS, max_size=12))
def test_versions_only_grow_and_changes_tell_every_step(facts: list[Fact]) -> None:
    membership = a_membership()
    told: dict[NodeId, State] = {}
    for each in facts:
        before = {member.node_id: version(member.fact) for member in membership.table}
        for change in membership.hear(each, FROM_ONE, 0.0):
            assert change.previous_state == told.get(change.view.node_id)
            told[change.view.node_id] = change.view.state
        for member in membership.table:
            assert version(member.fact) >= before.get(member.node_id, (0, 0, 0))
    assert told == {member.node_id: member.state for member in membership.table}


def test_facts_about_strangers_are_dropped_and_counted() -> None:
    membership = a_membership(members=3)
    assert membership.hear(fact(7), FROM_ONE, 0.0) == []
    assert len(membership.table) == 0
    assert membership._counters["fact-of-non-member"] == 1


@pytest.mark.parametrize(
    "host", ["evil.example", "224.0.0.251", "0.0.0.0", "255.255.255.255", "::"]
)
def test_facts_without_the_address_of_one_machine_are_dropped(host: str) -> None:
    membership = a_membership()
    assert membership.hear(evolve(fact(2), host=host), FROM_ONE, 0.0) == []
    assert membership._counters["fact-without-address"] == 1


def test_an_empty_host_is_where_the_subject_was_heard_and_only_from_itself() -> None:
    membership = a_membership()
    assert membership.hear(evolve(fact(2), host=""), FROM_ONE, 0.0) == []
    (change,) = membership.hear(evolve(fact(1), host=""), FROM_ONE, 0.0)
    assert change.view.address == ("10.1.0.1", 7946)


@pytest.mark.parametrize("state", [State.SUSPECT, State.DEAD, State.LEFT])
def test_what_is_said_against_us_is_refuted(state: State) -> None:
    membership = a_membership()
    membership.hear(fact(0, OWN_EPOCH, 3, state.value), FROM_ONE, 0.0)
    own = membership.table.own
    assert (own.epoch, own.incarnation, own.state) == (OWN_EPOCH, 4, State.ALIVE)
    assert membership.health.score == 1


def test_stale_accusations_do_not_raise_our_incarnation() -> None:
    membership = a_membership()
    membership.hear(fact(0, OWN_EPOCH, 3, State.SUSPECT.value), FROM_ONE, 0.0)
    for stale in (fact(0, OWN_EPOCH, 3, 3), fact(0, OWN_EPOCH - 1, 9, 3), fact(0, OWN_EPOCH, 4)):
        membership.hear(stale, FROM_ONE, 0.0)
    assert membership.table.own.incarnation == 4


def test_the_highest_incarnation_is_outdone_by_an_epoch() -> None:
    membership = a_membership()
    membership.hear(fact(0, OWN_EPOCH, INCARNATION_MAX, 3), FROM_ONE, 0.0)
    own = membership.table.own
    assert (own.epoch, own.incarnation, own.state) == (OWN_EPOCH + 1, 0, State.ALIVE)


def test_who_leaves_does_not_refute() -> None:
    membership = a_membership()
    membership.leave()
    membership.hear(fact(0, OWN_EPOCH, 8, State.DEAD.value), FROM_ONE, 0.0)
    assert membership.table.own.state == State.LEFT


def test_a_death_heard_by_repair_is_a_suspicion_first() -> None:
    gossip, repaired = a_membership(), a_membership()
    for membership in (gossip, repaired):
        membership.hear(fact(2), FROM_ONE, 0.0)
    gossip.hear(fact(2, state=State.DEAD.value), FROM_ONE, 0.0)
    repaired.hear(fact(2, state=State.DEAD.value), REPAIR_FROM_ONE, 0.0)
    assert (state_of(gossip, 2), state_of(repaired, 2)) == (State.DEAD, State.SUSPECT)


def test_repair_confirms_nothing() -> None:
    membership = a_membership()
    for index in (1, 2, 3):
        membership.hear(fact(index), FROM_ONE, 0.0)
    membership.hear(fact(2, state=1, accuser=1), FROM_ONE, 0.0)
    before_s = membership.suspicions.next_s()
    membership.hear(fact(2, state=1, accuser=3), REPAIR_FROM_ONE, 0.0)
    assert membership.suspicions.next_s() == before_s
    membership.hear(fact(2, state=1, accuser=3), FROM_ONE, 0.0)
    after_s = membership.suspicions.next_s()
    assert before_s is not None
    assert after_s is not None
    assert after_s < before_s


def test_a_suspicion_of_a_higher_incarnation_starts_anew() -> None:
    membership = a_membership()
    membership.hear(fact(2), FROM_ONE, 0.0)
    membership.hear(fact(2, state=1, accuser=1), FROM_ONE, 0.0)
    first_s = membership.suspicions.next_s()
    membership.hear(fact(2, incarnation=1, state=1, accuser=1), FROM_ONE, 3.0)
    assert first_s is not None
    assert membership.suspicions.next_s() == first_s + 3.0


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


def test_an_accuser_counts_once_and_beyond_the_needed_not_at_all() -> None:
    suspicions = Suspicions(LAN)
    suspicions.start(node(1), b"a", members=10, now_s=0.0)
    accusers = [b"a", b"b", b"b", b"c", b"d", b"e"]
    assert [suspicions.confirm(node(1), who) for who in accusers] == [
        False, True, False, True, False, False,
    ]  # fmt: skip
    assert suspicions.next_s() == pytest.approx(LAN.suspicion_min_s)


def test_forgiven_time_survives_confirmations() -> None:
    suspicions = Suspicions(LAN)
    suspicions.start(node(1), b"a", members=10, now_s=0.0)
    suspicions.forgive(7.0)
    for who in (b"b", b"c", b"d"):
        suspicions.confirm(node(1), who)
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


def test_a_rumour_is_told_as_often_as_allowed_and_newest_first() -> None:
    rumours = Rumours()
    rumours.add(fact(1))
    assert rumours.take(limit=3) == [fact(1)]
    rumours.add(fact(2))
    assert rumours.take(limit=3) == [fact(2), fact(1)]
    assert rumours.take(limit=3) == [fact(2), fact(1)]
    assert not rumours.take(limit=3, skip=fact(2).node)
    assert rumours.take(limit=3) == [fact(2)]
    assert len(rumours) == 0
    assert not rumours.urgent


def test_load_reports_never_demand_a_packet_and_give_way() -> None:
    rumours = Rumours()
    rumours.add(fact(1), load_only=True)
    assert not rumours.urgent
    rumours.add(fact(2))
    assert rumours.take(limit=9) == [fact(2), fact(1)]
    rumours.add(evolve(fact(2), load_number=5), load_only=True)
    assert rumours.urgent, "a state change in the queue keeps its rank"


@given(st.integers(0, 300), st.integers(1, 8))
def test_packing_respects_the_datagram_bound(count: int, packets: int) -> None:
    facts = [fact(index, epoch=2**62, incarnation=INCARNATION_MAX) for index in range(count)]
    packed = pack(facts, packets)
    assert len(packed) <= packets
    assert [each for packet in packed for each in packet] == facts[: sum(map(len, packed))]
    for packet in packed:
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
        answers = _answers(receiver, sender.table.own.node, decode_message(payload), random)
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
    for each in message.facts:
        receiver.hear(each, Origin(sender, "10.1.0.1", repair=True), 0.0)
    return repair.answer_delta(receiver.table, message)


@pytest.mark.parametrize("members", [3, DIGEST_ENTRIES_MAX - 1, 150, 600])
def test_two_different_tables_become_equal_in_few_exchanges(members: int) -> None:
    random = Random(members)
    roster = [node(index) for index in range(members)]
    tables = []
    for own in (0, 1):
        info = SelfInfo(node(own), 1, f"10.1.0.{own}", 7946, 1, 2)
        membership = Membership(LAN, info, Counter())
        membership.set_roster(roster, 0.0)
        for index in range(members):
            if random.random() < 0.7 and index != own:
                some = fact(index, epoch=random.randint(1, 2), incarnation=random.randint(0, 2))
                membership.hear(some, FROM_ONE, 0.0)
        tables.append(membership)
    one, two = tables
    exchanges = 0
    while one.table.hash != two.table.hash:
        exchanges += 1
        assert exchanges <= 2 + members // 50
        _exchange(one, two, random)
    versions = [
        {**{m.fact.node: version(m.fact) for m in each.table}, each.table.own.node: 0}
        for each in tables
    ]
    assert versions[0].keys() == versions[1].keys()


def test_equal_tables_have_nothing_to_say() -> None:
    one, two = a_membership(), a_membership()
    for membership in (one, two):
        membership.hear(fact(2), FROM_ONE, 0.0)
    opening = repair.opening(one.table)
    assert isinstance(opening, Digest)
    assert repair.answer_digest(two.table, opening) == []
