"""The three ways in, end to end over real TLS: token, code, approval."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing
from identity_world import (
    Reports,
    clock_of,
    key_of,
    new_mesh,
    new_node,
    open_door,
    until,
)

from mesh import errors
from mesh.identity import trust
from mesh.identity.certificates import make_certificate
from mesh.identity.join_refusals import refusal, refusal_error
from mesh.identity.messages import PeerAddress, RefusalParam, Refused
from mesh.identity.roles import Role
from mesh.identity.tokens import format_token, parse_token
from mesh.limits import CODES_OPEN_MAX, JOIN_TIMEOUT_S
from mesh.node.joining import Joined, join_by_approval, join_with_code, join_with_token

HOUR_S = 3600.0


def nothing(event_name: str, **details: object) -> None:
    """A report that nobody reads."""


async def join(folder: Path, token: str, name: str = "bob") -> Joined:
    env, key = new_node(folder)
    return await join_with_token(env, key, name, token, nothing)


# -- by token --------------------------------------------------------------------------------------
async def test_a_token_lets_a_node_in_and_both_sides_know(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    reports = Reports()
    async with open_door(env, alice) as opened:
        token = opened.door.invite(1, HOUR_S, Role.BUILDER)
        joined = await join_with_token(bob_env, bob_key, "bob", token, reports)
        assert opened.door.counters == {"admitted": 1}
    assert joined.identity.mesh_id == alice.mesh_id
    assert joined.identity.members() == alice.members()
    assert joined.identity.me().role is Role.BUILDER
    assert joined.peers == (PeerAddress(alice.node_id, "127.0.0.1", 1001, 1002, opened.address[1]),)
    assert [name for name, _ in reports.events] == ["found", "joined"]
    assert reports.details("found")["mesh"] == "home"
    loaded = trust.load(bob_env)
    assert loaded is not None
    assert loaded.members() == alice.members()


async def test_a_member_that_is_no_admin_lets_others_in_by_token(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    async with open_door(env, alice) as opened:
        token = opened.door.invite(2, HOUR_S, Role.BUILDER)
        bob = (await join(tmp_path / "bob", token, "bob")).identity
    bob_env, _ = new_node(tmp_path / "bob")
    async with open_door(bob_env, bob) as at_bob:
        read = parse_token(token)
        elsewhere = format_token(read.seed, read.invite.data, (opened.address, at_bob.address))
        joined = await join(tmp_path / "carol", elsewhere, "carol")
        assert at_bob.changes == 1
    assert joined.identity.me().admitted_by == bob.node_id
    alice.merge(joined.identity.roster.records())
    assert [member.name for member in alice.members()] == ["alice", "bob", "carol"]


async def test_an_expired_token_is_refused_by_the_members_clock(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    async with open_door(env, alice) as opened:
        token = opened.door.invite(1, HOUR_S, Role.BUILDER)
        clock_of(env).advance(4 * HOUR_S)
        with pytest.raises(errors.TokenExpired, match="expired 3 hours ago"):
            await join(tmp_path / "bob", token)
    assert len(alice.members()) == 1


async def test_a_used_up_token_is_refused(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    async with open_door(env, alice) as opened:
        token = opened.door.invite(1, HOUR_S, Role.BUILDER)
        await join(tmp_path / "bob", token)
        with pytest.raises(errors.TokenUsedUp, match="1 of 1"):
            await join(tmp_path / "carol", token)
    assert len(alice.members()) == 2


async def test_a_node_whose_answer_got_lost_may_ask_again(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    async with open_door(env, alice) as opened:
        token = opened.door.invite(1, HOUR_S, Role.BUILDER)
        first = await join(tmp_path / "bob", token)
        trust.forget(new_node(tmp_path / "bob")[0].disk)
        again = await join(tmp_path / "bob", token)
    assert again.identity.node_id == first.identity.node_id
    assert len(alice.members()) == 2


async def test_whoever_was_removed_does_not_come_back_with_the_same_token(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    async with open_door(env, alice) as opened:
        token = opened.door.invite(5, HOUR_S, Role.BUILDER)
        bob = (await join(tmp_path / "bob", token)).identity
        bob.merge([alice.write_leave(bob.node_id)])
        with pytest.raises(errors.TokenSpent):
            await join(tmp_path / "bob", token)


async def test_a_token_signed_by_somebody_else_is_forged(tmp_path) -> None:
    """A builder makes an invitation by itself: its own mesh does not honour it."""
    env, alice = new_mesh(tmp_path / "alice")
    async with open_door(env, alice) as opened:
        token = opened.door.invite(1, HOUR_S, Role.BUILDER)
        bob = (await join(tmp_path / "bob", token)).identity
        forged = forge_token(bob, opened.address)
        with pytest.raises(errors.TokenForged):
            await join(tmp_path / "carol", forged)
    assert len(alice.members()) == 2


def forge_token(author: trust.MeshIdentity, address) -> str:
    from mesh.identity.records import Authorship, Invite, sign_record
    from mesh.identity.tokens import invite_key

    seed = b"f" * 16
    authorship = Authorship(author.mesh_id, author.node_id, author.me().admission)
    invite = Invite(authorship, invite_key(seed).node_id, int(Role.ADMIN), 9, 2**40)
    return format_token(seed, sign_record(author.key, invite), (address,))


async def test_a_token_for_another_mesh_is_refused(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    other_env, other = new_mesh(tmp_path / "other", "elsewhere", "oscar")
    async with open_door(env, alice) as here, open_door(other_env, other) as there:
        read = parse_token(there.door.invite(1, HOUR_S, Role.BUILDER))
        misled = format_token(read.seed, read.invite.data, (here.address,))
        with pytest.raises(errors.WrongMesh, match=f"127.0.0.1:{here.address[1]}"):
            await join(tmp_path / "bob", misled)
        # With both addresses it finds the right one.
        both = format_token(read.seed, read.invite.data, (here.address, there.address))
        joined = await join(tmp_path / "bob", both)
    assert joined.identity.mesh_name == "elsewhere"


async def test_nobody_there_names_what_was_tried(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    async with open_door(env, alice) as opened:
        token = opened.door.invite(1, HOUR_S, Role.BUILDER)
    with pytest.raises(errors.NobodyAnswered, match=f"127.0.0.1:{opened.address[1]}"):
        await join(tmp_path / "bob", token)


async def test_a_node_that_is_in_a_mesh_does_not_join_another(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    async with open_door(env, alice) as opened:
        token = opened.door.invite(1, HOUR_S, Role.BUILDER)
        with pytest.raises(errors.AlreadyInMesh):
            await join_with_token(env, alice.key, "alice", token, nothing)


async def test_a_door_whose_node_has_left_lets_nobody_in(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    async with open_door(env, alice) as opened:
        token = opened.door.invite(1, HOUR_S, Role.BUILDER)
        alice.write_leave(alice.node_id)
        with pytest.raises(errors.NotAMember):
            await join(tmp_path / "bob", token)


async def test_only_admins_invite_open_codes_and_approve(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    async with open_door(env, alice) as opened:
        token = opened.door.invite(1, HOUR_S, Role.BUILDER)
        bob = (await join(tmp_path / "bob", token)).identity
    bob_env, _ = new_node(tmp_path / "bob")
    async with open_door(bob_env, bob) as at_bob:
        with pytest.raises(errors.NotAllowed, match="builder"):
            at_bob.door.invite(1, HOUR_S, Role.BUILDER)
        with pytest.raises(errors.NotAllowed, match="builder"):
            at_bob.door.open_code(Role.BUILDER, 60)
        carol_env, carol_key = new_node(tmp_path / "carol")
        with pytest.raises(errors.NotAllowed, match="builder"):
            await join_by_approval(carol_env, carol_key, "carol", [at_bob.address], nothing)


# -- by code ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("language", ["en", "fr"])
async def test_a_code_lets_one_node_in(tmp_path, language: str) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    async with open_door(env, alice) as opened, trio.open_nursery() as nursery:
        code = opened.door.open_code(Role.ADMIN, 60, language).code
        waited = []

        async def wait() -> None:
            waited.append(await opened.door.wait_code(code))

        nursery.start_soon(wait)
        typed = code.upper().replace("-", " ")
        joined = await join_with_code(bob_env, bob_key, "bob", typed, [opened.address], nothing)
        await until(lambda: bool(waited))
        assert waited[0].name == "bob"
        carol_env, carol_key = new_node(tmp_path / "carol")
        with pytest.raises(errors.CodeUnknown):
            await join_with_code(carol_env, carol_key, "carol", code, [opened.address], nothing)
    assert joined.identity.me().role is Role.ADMIN
    assert len(alice.members()) == 2


def another_word(code: str) -> str:
    number, first, second = code.split("-")
    return f"{number}-{'amber' if first != 'amber' else 'maple'}-{second}"


async def test_a_wrong_guess_burns_the_code(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    async with open_door(env, alice) as opened:
        code = opened.door.open_code(Role.BUILDER, 60).code
        doors = [opened.address]
        with pytest.raises(errors.CodeRefused):
            await join_with_code(bob_env, bob_key, "bob", another_word(code), doors, nothing)
        with pytest.raises(errors.CodeUnknown):
            await join_with_code(bob_env, bob_key, "bob", code, doors, nothing)
        with pytest.raises(errors.CodeRefused):
            await opened.door.wait_code(code)
    assert len(alice.members()) == 1


async def test_a_code_expires(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    async with open_door(env, alice) as opened, trio.open_nursery() as nursery:
        code = opened.door.open_code(Role.BUILDER, 60).code

        async def wait() -> None:
            with pytest.raises(errors.CodeExpired, match="60 s"):
                await opened.door.wait_code(code)

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        clock_of(env).advance(61)
        with pytest.raises(errors.CodeUnknown):
            await join_with_code(bob_env, bob_key, "bob", code, [opened.address], nothing)


async def test_the_right_door_is_found_among_several(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    other_env, other = new_mesh(tmp_path / "other", "elsewhere", "oscar")
    bob_env, bob_key = new_node(tmp_path / "bob")
    async with open_door(env, alice) as here, open_door(other_env, other) as there:
        code = there.door.open_code(Role.BUILDER, 60).code
        doors = [("127.0.0.1", 1), here.address, there.address]
        joined = await join_with_code(bob_env, bob_key, "bob", code, doors, nothing)
    assert joined.identity.mesh_name == "elsewhere"


async def test_open_codes_are_bounded_and_their_numbers_differ(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    async with open_door(env, alice) as opened:
        codes = [opened.door.open_code(Role.BUILDER, 60).code for _ in range(CODES_OPEN_MAX)]
        assert len({code.split("-")[0] for code in codes}) == CODES_OPEN_MAX
        with pytest.raises(errors.TooManyCodes):
            opened.door.open_code(Role.BUILDER, 60)
        clock_of(env).advance(61)
        assert opened.door.open_code(Role.BUILDER, 60).code not in codes


# -- by approval -----------------------------------------------------------------------------------
async def test_people_compare_words_and_approve(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    reports, joined = Reports(), []

    async def bob_joins(doors) -> None:
        joined.append(await join_by_approval(bob_env, bob_key, "bob", doors, reports))

    async with open_door(env, alice) as opened, trio.open_nursery() as nursery:
        nursery.start_soon(bob_joins, [opened.address])
        shown = (await reports.wait("check_words"))["words"]
        await reports.wait("waiting")
        (candidate,) = opened.door.candidates()
        assert candidate.words == shown
        assert len(shown) == 3
        assert (candidate.name, candidate.node_id) == ("bob", bob_key.node_id)
        assert candidate.address == "127.0.0.1"
        assert len(alice.members()) == 1
        member = await opened.door.approve("bob", Role.VIEWER)
        assert member.role is Role.VIEWER
        await until(lambda: bool(joined))
        assert opened.door.candidates() == ()
    assert joined[0].identity.me().role is Role.VIEWER


@pytest.mark.parametrize("by", ["id", "words"])
async def test_a_candidate_may_be_named_by_its_id_or_words(tmp_path, by: str) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    reports = Reports()
    async with open_door(env, alice) as opened, trio.open_nursery() as nursery:
        nursery.start_soon(join_by_approval, bob_env, bob_key, "bob", [opened.address], reports)
        await reports.wait("waiting")
        (candidate,) = opened.door.candidates()
        for wrong in ("carol", "", candidate.node_id.hex()[:2], "amber-amber-amber"):
            with pytest.raises(errors.NoSuchCandidate):
                await opened.door.approve(wrong, Role.BUILDER)
        name = candidate.node_id.hex()[:8] if by == "id" else "-".join(candidate.words)
        await opened.door.approve(name, Role.BUILDER)
    assert len(alice.members()) == 2


async def test_a_denied_candidate_is_told(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    reports = Reports()

    async def bob_joins(doors) -> None:
        with pytest.raises(errors.ApprovalDenied):
            await join_by_approval(bob_env, bob_key, "bob", doors, reports)

    async with open_door(env, alice) as opened, trio.open_nursery() as nursery:
        nursery.start_soon(bob_joins, [opened.address])
        await reports.wait("waiting")
        opened.door.deny("bob")
        with pytest.raises(errors.NoSuchCandidate):
            opened.door.deny("bob")
    assert len(alice.members()) == 1


async def test_waiting_has_an_end(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    reports = Reports()

    async def bob_joins(doors) -> None:
        with pytest.raises(errors.ApprovalTimedOut):
            await join_by_approval(bob_env, bob_key, "bob", doors, reports)

    async with open_door(env, alice) as opened, trio.open_nursery() as nursery:
        nursery.start_soon(bob_joins, [opened.address])
        await reports.wait("waiting")
        await trio.testing.wait_all_tasks_blocked()
        clock_of(env).advance(JOIN_TIMEOUT_S + 1)
        await until(lambda: opened.door.candidates() == ())


async def test_a_candidate_that_goes_away_waits_no_more(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    reports = Reports()
    async with open_door(env, alice) as opened:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(join_by_approval, bob_env, bob_key, "bob", [opened.address], reports)
            await reports.wait("waiting")
            nursery.cancel_scope.cancel()
        await until(lambda: opened.door.candidates() == ())
        with pytest.raises(errors.NoSuchCandidate):
            await opened.door.approve("bob", Role.BUILDER)
    assert len(alice.members()) == 1


async def test_a_person_at_the_joiner_may_say_no(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    reports, asked = Reports(), []

    async def says_no(words: tuple[str, ...], mesh_name: str) -> bool:
        asked.append((words, mesh_name))
        return False

    async def bob_joins(doors) -> None:
        with pytest.raises(errors.JoinFailed, match="check words"):
            await join_by_approval(bob_env, bob_key, "bob", doors, reports, confirm=says_no)

    async with open_door(env, alice) as opened, trio.open_nursery() as nursery:
        nursery.start_soon(bob_joins, [opened.address])
        await reports.wait("waiting")
        await opened.door.approve("bob", Role.BUILDER)
    assert asked == [(reports.details("check_words")["words"], "home")]
    assert trust.load(bob_env) is None


async def test_two_candidates_of_one_name_are_told_apart(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    async with open_door(env, alice) as opened, trio.open_nursery() as nursery:
        for home in ("one", "two"):
            node_env, key = new_node(tmp_path / home)
            reports = Reports()
            nursery.start_soon(join_by_approval, node_env, key, "pc", [opened.address], reports)
            await reports.wait("waiting")
        assert [candidate.name for candidate in opened.door.candidates()] == ["pc", "pc-2"]
        for name in ("pc", "pc-2"):
            await opened.door.approve(name, Role.BUILDER)
    assert [member.name for member in alice.members()] == ["alice", "pc", "pc-2"]


# -- refusals --------------------------------------------------------------------------------------
def test_a_refusal_arrives_as_the_same_error() -> None:
    for error in (
        errors.TokenExpired(ago="3 hours"),
        errors.TokenUsedUp(uses=2),
        errors.NotAllowed(role="viewer", what="admit nodes"),
        errors.CodeUnknown(slot=7),
        errors.ApprovalTimedOut(seconds=600),
    ):
        again = refusal_error(refusal(error), "1.2.3.4:5")
        assert type(again) is type(error)
        assert again.message() == error.message()


def test_an_internal_error_is_not_shown_to_strangers() -> None:
    told = refusal_error(refusal(errors.StoreFull(path="/home/alice")), "1.2.3.4:5")
    assert isinstance(told, errors.JoinFailed)
    assert "/home" not in told.message()


def test_a_hostile_refusal_cannot_write_on_the_terminal() -> None:
    hostile = Refused("VM202", (RefusalParam("ago", "\x1b[2J" + "x" * 900 + "{0}"),))
    told = refusal_error(hostile, "1.2.3.4:5")
    assert "\x1b" not in told.message()
    assert len(told.message()) < 400
    missing = refusal_error(Refused("VM202", ()), "1.2.3.4:5")
    assert missing.message() == "The invitation expired ? ago"
    unknown = refusal_error(Refused("\x1bVM9", ()), "1.2.3.4:5")
    assert isinstance(unknown, errors.JoinFailed)
    assert "\x1b" not in unknown.message()


def test_large_rosters_travel_in_several_messages() -> None:
    from mesh.identity.join_door import _batches

    records = tuple(bytes([number % 251]) * 700 for number in range(4000))
    batches = list(_batches(records))
    assert len(batches) > 2
    assert tuple(record for batch in batches for record in batch) == records


async def test_a_mesh_of_many_is_told_whole(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    for number in range(40):
        key = key_of(str(number))
        name = f"node-{number}"
        alice.write_admit(key.node_id, name, Role.BUILDER, make_certificate(key, name))
    async with open_door(env, alice) as opened:
        token = opened.door.invite(1, HOUR_S, Role.BUILDER)
        joined = await join(tmp_path / "bob", token)
    assert joined.identity.roster.digest() == alice.roster.digest()
