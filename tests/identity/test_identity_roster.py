"""The roster is a set: whatever the order, every replica knows the same members."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identity_world import Author, founder, key_of

from mesh.identity.certificates import make_certificate
from mesh.identity.records import (
    Admit,
    Authorship,
    Invite,
    Leave,
    Record,
    open_record,
    sign_record,
)
from mesh.identity.roles import Role
from mesh.identity.roster import Roster, RosterChange
from mesh.limits import LEAVE_ENTRIES_MAX, RECORD_BYTES_MAX, ROSTER_ORPHANS_MAX
from mesh.types import Digest, digest_of
from mesh.wire.errors import WireError
from mesh.wire.schema import decode_struct, encode_struct


def roster_of(root: Author, *records: bytes) -> Roster:
    roster = Roster(root.admission)
    roster.merge(records)
    return roster


def names(roster: Roster) -> dict[str, str]:
    return {member.name: member.role.label for member in roster.members()}


ALICE = founder()
BOB = ALICE.admits("bob", Role.ADMIN, order=1)
CAROL = BOB.admits("carol", order=2)
TWO = ALICE.invites("two", uses=2)
ONE = BOB.invites("one", uses=1)
DAVE = CAROL.admits_invited("dave", TWO, "two")
ERIN = DAVE.admits_invited("erin", TWO, "two")
FRANK = ALICE.admits_invited("frank", TWO, "two")
GINA = CAROL.admits_invited("gina", ONE, "one")
HUGO = BOB.admits_invited("hugo", ONE, "one")
TWIN = ALICE.admits("twin", name="bob", order=3)
BOB_LEAVES = BOB.removes(BOB, keeps=(CAROL.admission, ONE, HUGO.admission))
BOB_REMOVED = ALICE.removes(BOB, keeps=(CAROL.admission,))
ALICE_REMOVED = BOB.removes(ALICE, keeps=(TWO, BOB.admission))
CAROL_LEAVES = CAROL.removes(CAROL, keeps=(DAVE.admission,))
CAROL_AGAIN = ALICE.admits("carol", Role.VIEWER, order=9)
OTHER_MESH = founder("mallory", "elsewhere")

EVERYTHING = [
    *(each.admission for each in (BOB, CAROL, DAVE, ERIN, FRANK, GINA, HUGO, TWIN, CAROL_AGAIN)),
    *(TWO, ONE, BOB_LEAVES, BOB_REMOVED, ALICE_REMOVED, CAROL_LEAVES),
    CAROL.admits("eve").admission,  # a builder admits at will
    ALICE.admits_invited("eve", TWO, "wrong secret").admission,
    OTHER_MESH.admits("eve").admission,
    b"\x00garbage",
]


def state(roster: Roster) -> object:
    return roster.digest(), roster.records(), roster.members(), roster.pending()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_order_grouping_and_repetition_do_not_matter(data: st.DataObject) -> None:
    """Commutative, associative, idempotent, over every subset of a nasty set of records."""
    chosen = data.draw(st.lists(st.sampled_from(EVERYTHING), max_size=24))
    shuffled = data.draw(st.permutations(chosen))
    cut = data.draw(st.integers(0, len(chosen)))
    at_once = roster_of(ALICE, *chosen)
    in_parts = roster_of(ALICE, *shuffled[:cut])
    in_parts.merge(shuffled[cut:])
    one_by_one = Roster(ALICE.admission)
    for record in shuffled:
        one_by_one.merge((record,))
    from_replica = roster_of(ALICE, *reversed(at_once.records()))
    assert state(at_once) == state(in_parts) == state(one_by_one) == state(from_replica)
    assert not at_once.merge(chosen)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(EVERYTHING)), st.lists(st.sampled_from(EVERYTHING)))
def test_replicas_that_exchange_what_they_have_agree(here: list[bytes], there: list[bytes]) -> None:
    a, b = roster_of(ALICE, *here), roster_of(ALICE, *there)
    for _ in range(6):  # what waits at one side is told once it is explained: a few rounds at most
        a.merge(b.records())
        b.merge(a.records())
    assert state(a) == state(b) == state(roster_of(ALICE, *here, *there))


def test_a_mesh_begins_with_its_founder_as_admin() -> None:
    roster = Roster(ALICE.admission)
    assert names(roster) == {"alice": "admin"}
    assert roster.mesh_id == digest_of(ALICE.admission)
    assert roster.genesis.mesh_name == "home"


def test_merge_says_what_it_did() -> None:
    roster = Roster(ALICE.admission)
    generation = roster.generation
    change = roster.merge([BOB.admission, b"garbage", CAROL.admits("x").admission])
    assert [member.name for member in change.added] == ["bob"]
    assert change.records == (BOB.admission,)
    assert sum(change.rejected.values()) == 1  # carol is not known yet: that one waits
    assert roster.generation == generation + 1
    assert roster.merge([BOB.admission]) == RosterChange()
    assert roster.generation == generation + 1
    change = roster.merge([BOB_REMOVED])
    assert [member.name for member in change.left] == ["bob"]


def test_a_builder_admits_nobody_at_will_and_invites_nobody() -> None:
    eve = CAROL.admits("eve")
    roster = roster_of(ALICE, BOB.admission, CAROL.admission)
    assert roster.merge([eve.admission]).rejected == {"not-allowed": 1}
    assert roster.merge([CAROL.invites("x")]).rejected == {"not-allowed": 1}
    assert roster.merge([CAROL.removes(BOB)]).rejected == {"not-allowed": 1}


def test_nobody_acts_under_the_admission_of_somebody_else() -> None:
    mallory = Author(key_of("mallory"), ALICE.mesh_id, ALICE.admission)
    assert roster_of(ALICE).merge([mallory.admits("eve").admission]).rejected == {"author": 1}


def test_a_record_of_another_mesh_is_refused() -> None:
    roster = Roster(ALICE.admission)
    foreign = [OTHER_MESH.admission, OTHER_MESH.admits("eve").admission]
    assert roster.merge(foreign).rejected == {"wrong-mesh": 2}


def test_any_member_admits_on_an_invite() -> None:
    roster = roster_of(ALICE, BOB.admission, CAROL.admission, TWO, DAVE.admission)
    assert names(roster)["dave"] == "builder"


def test_an_invite_gives_its_own_role_only() -> None:
    greedy = CAROL.admits_invited("eve", TWO, "two", role=Role.ADMIN)
    roster = roster_of(ALICE, BOB.admission, CAROL.admission, TWO)
    assert roster.merge([greedy.admission]).rejected == {"not-allowed": 1}


def test_an_invite_needs_its_own_secret() -> None:
    forged = CAROL.admits_invited("eve", TWO, "another secret")
    roster = roster_of(ALICE, BOB.admission, CAROL.admission, TWO)
    assert roster.merge([forged.admission]).rejected == {"proof": 1}


def test_of_too_many_on_one_invite_all_replicas_choose_the_same() -> None:
    """A partitioned mesh admits two nodes on a single-use invite; both sides agree later."""
    base = (BOB.admission, CAROL.admission, ONE)
    gina_first = roster_of(ALICE, *base, GINA.admission)
    hugo_first = roster_of(ALICE, *base, HUGO.admission)
    assert "gina" in names(gina_first)
    assert "hugo" in names(hugo_first)
    gina_first.merge(hugo_first.records())
    hugo_first.merge(gina_first.records())
    assert state(gina_first) == state(hugo_first)
    invite = gina_first.invite(digest_of(ONE))
    assert invite is not None
    assert len(invite.used_by) == 1
    assert len(gina_first.pending()) == 1
    assert gina_first.pending().isdisjoint(member.node_id for member in gina_first.members())


def test_whoever_came_through_a_pending_member_is_not_in() -> None:
    base = (BOB.admission, CAROL.admission, ONE, TWO)
    chosen = roster_of(ALICE, *base, GINA.admission, HUGO.admission)
    gina_is_in = "gina" in names(chosen)
    out, label = (HUGO, "hugo") if gina_is_in else (GINA, "gina")
    assert label not in names(chosen)
    chosen.merge([out.admits_invited("ivan", TWO, "two").admission])
    assert "ivan" not in names(chosen)


def test_names_are_told_apart_the_older_keeps_its_own() -> None:
    for records in permutations([BOB.admission, TWIN.admission]):
        roster = roster_of(ALICE, *records)
        assert roster.member(BOB.key.node_id).name == "bob"
        assert roster.member(TWIN.key.node_id).name == "bob-2"


def test_those_a_leaver_admitted_stay_but_it_admits_nobody_any_more() -> None:
    roster = roster_of(ALICE, BOB.admission, CAROL.admission, BOB_REMOVED)
    assert names(roster) == {"alice": "admin", "carol": "builder"}
    roster.merge([BOB.admits("sybil").admission])
    assert "sybil" not in names(roster)


def test_what_the_remover_had_not_seen_ends_with_the_removed() -> None:
    sybil = BOB.admits("sybil", Role.ADMIN)
    roster = roster_of(ALICE, BOB.admission, sybil.admission)
    assert "sybil" in names(roster)
    roster.merge([BOB_REMOVED])
    assert names(roster) == {"alice": "admin"}


def test_a_leaver_may_be_admitted_again_and_has_its_new_role_only() -> None:
    base = (BOB.admission, CAROL.admission)
    roster = roster_of(ALICE, *base, CAROL_LEAVES)
    assert "carol" not in names(roster)
    roster.merge([CAROL_AGAIN.admission])
    assert names(roster)["carol"] == "viewer"


def test_whoever_left_does_not_come_back_on_the_same_invite() -> None:
    base = (BOB.admission, CAROL.admission, TWO, DAVE.admission)
    roster = roster_of(ALICE, *base, ALICE.removes(DAVE))
    roster.merge([ALICE.admits_invited("dave", TWO, "two").admission])
    assert "dave" not in names(roster)


def test_two_admins_that_remove_each_other_are_both_out() -> None:
    roster = roster_of(ALICE, BOB.admission, CAROL.admission, BOB_REMOVED, ALICE_REMOVED)
    assert names(roster) == {"carol": "builder"}


def test_the_highest_of_several_roles_counts() -> None:
    roster = roster_of(ALICE, BOB.admission, ALICE.admits("bob", Role.VIEWER, order=7).admission)
    assert names(roster) == {"alice": "admin", "bob": "admin"}


def test_a_record_waits_for_what_it_rests_on() -> None:
    roster = Roster(ALICE.admission)
    roster.merge([DAVE.admission])
    assert roster.records() == (ALICE.admission,)
    roster.merge([TWO])
    roster.merge([CAROL.admission])
    assert "dave" not in names(roster)
    roster.merge([BOB.admission])
    assert "dave" in names(roster)


def test_records_that_nothing_ever_explains_are_bounded() -> None:
    roster = Roster(ALICE.admission)
    nowhere = Authorship(ALICE.mesh_id, BOB.key.node_id, Digest(bytes(32)))
    orphans = [
        sign_record(BOB.key, Invite(nowhere, BOB.key.node_id, 2, 1, number))
        for number in range(ROSTER_ORPHANS_MAX + 5)
    ]
    assert roster.merge(orphans).rejected == {"orphan": 5}
    assert len(roster) == 1


# -- one record by itself --------------------------------------------------------------------------
def damaged(data: bytes, position: int, flip: int) -> bytes:
    changed = bytearray(data)
    changed[position % len(data)] ^= flip
    return bytes(changed)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(EVERYTHING[:15]), st.integers(0, 5000), st.integers(1, 255))
def test_a_record_with_any_changed_byte_is_refused(data: bytes, position: int, flip: int) -> None:
    with pytest.raises(WireError):
        open_record(damaged(data, position, flip))


@given(st.binary(max_size=300))
def test_opening_a_record_raises_nothing_but_wire_errors(data: bytes) -> None:
    with pytest.raises(WireError):
        open_record(data)


def test_a_signature_does_not_fit_a_record_of_another_kind() -> None:
    record = decode_struct(Record, TWO)
    moved = encode_struct(Record(3, record.body, record.signature))
    with pytest.raises(WireError):
        open_record(moved)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "bad name"}, "name"),
        ({"certificate": make_certificate(key_of("eve"), "x")}, "certificate"),
        ({"certificate": b""}, "certificate"),
        ({"invite": Digest(bytes(32))}, "proof"),
        ({"proof": b"x"}, "proof"),
    ],
)
def test_an_admission_with_impossible_content_is_refused(change: dict, reason: str) -> None:
    author = Authorship(ALICE.mesh_id, ALICE.key.node_id, digest_of(ALICE.admission))
    fields = {
        "author": author,
        "node": BOB.key.node_id,
        "name": "bob",
        "role": 2,
        "certificate": make_certificate(BOB.key, "bob"),
        "order": 1,
    }
    with pytest.raises(WireError) as caught:
        open_record(sign_record(ALICE.key, Admit(**{**fields, **change})))
    assert caught.value.reason == reason


def test_the_largest_leave_fits_a_record_and_a_larger_one_is_refused() -> None:
    author = Authorship(ALICE.mesh_id, ALICE.key.node_id, digest_of(ALICE.admission))
    refs = tuple(number.to_bytes(16, "big") for number in range(LEAVE_ENTRIES_MAX))
    largest = sign_record(ALICE.key, Leave(author, BOB.key.node_id, refs[:1], refs[1:]))
    assert len(largest) <= RECORD_BYTES_MAX
    assert open_record(largest).author == ALICE.key.node_id
    with pytest.raises(WireError, match="oversized"):
        open_record(sign_record(ALICE.key, Leave(author, BOB.key.node_id, refs[:1], refs)))


def test_an_invite_for_nobody_is_refused() -> None:
    with pytest.raises(WireError, match="uses"):
        open_record(ALICE.invites("x", uses=0))
