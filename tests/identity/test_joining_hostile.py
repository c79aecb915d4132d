"""What strangers and relays can do at the join door: nothing that counts.

The relay is a real man in the middle: it has its own key and certificate, takes the joiner's TLS
connection, dials the real door, and passes every message on (or changes it).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from identity_world import (
    LOCALHOST,
    Author,
    Reports,
    founder,
    key_of,
    new_mesh,
    new_node,
    open_door,
    until,
)

from mesh import errors
from mesh.identity import trust
from mesh.identity.certificates import make_certificate
from mesh.identity.codes import parse_code
from mesh.identity.join_desk import JoinDesk
from mesh.identity.join_door import Close, Deliver, DoorConfig, DoorSession, Now
from mesh.identity.join_joiner import (
    Admitted,
    ApprovalJoiner,
    CodeJoiner,
    Failed,
    JoinerConfig,
    Send,
    TokenJoiner,
)
from mesh.identity.messages import (
    ApprovalReveal,
    JoinAdmitted,
    JoinHello,
    JoinRecords,
    JoinWelcome,
    PakeConfirm,
    PakeShare,
    Refused,
    TokenRequest,
)
from mesh.identity.roles import Role
from mesh.identity.tokens import format_token, parse_token
from mesh.limits import JOIN_CONNECTIONS_MAX, JOIN_FRAME_BYTES_MAX, JOIN_PENDING_MAX
from mesh.node import join_door as driver
from mesh.node.join_frames import Frames
from mesh.node.joining import join_by_approval, join_with_code, join_with_token
from mesh.ports import Accepted, StreamBroken
from mesh.ports.real.streams import RealStreams
from mesh.types import Address, MeshId
from mesh.wire import schema
from mesh.wire.frame import frame

HOUR_S = 3600.0
NOW = Now(0.0, 0.0)


# -- a relay with its own certificate --------------------------------------------------------------
@attrs.define
class Relay:
    """Passes messages between a joiner and the real door, through `change`."""

    identity: trust.MeshIdentity
    target: Address
    change: Callable[[object], object] = lambda message: message
    seen: list[object] = attrs.field(factory=list)

    async def handle(self, accepted: Accepted) -> None:
        try:
            stream, _ = await RealStreams().dial_join(self.target)
        except StreamBroken:
            return
        here, there = Frames(accepted.stream, 4 << 20), Frames(stream, 4 << 20)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, here, there, nursery.cancel_scope)
            nursery.start_soon(self._pump, there, here, nursery.cancel_scope)
        await stream.aclose()

    async def _pump(self, source: Frames, sink: Frames, scope: trio.CancelScope) -> None:
        try:
            while (payload := await source.next()) is not None:
                message = schema.decode_message(payload)
                self.seen.append(message)
                await sink.send(schema.encode_message(self.change(message)))
        except StreamBroken:
            pass
        scope.cancel()

    def types_seen(self) -> list[type]:
        return [type(message) for message in self.seen]


@asynccontextmanager
async def relaying(folder, target: Address, change=lambda message: message):
    env, identity = new_mesh(folder, "evil", "mallory")
    relay = Relay(identity, target, change)
    listener = await env.streams.listen_join(LOCALHOST, identity)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, relay.handle)
        yield relay, listener.address
        nursery.cancel_scope.cancel()
    await listener.aclose()


async def test_a_relay_gets_nothing_out_of_a_code(tmp_path) -> None:
    """The key exchange is bound to both node ids: through a relay the right code is wrong."""
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    async with open_door(env, alice) as opened:
        code = opened.door.open_code(Role.ADMIN, 60).code
        async with relaying(tmp_path / "mallory", opened.address) as (relay, address):
            with pytest.raises(errors.CodeRefused):
                await join_with_code(bob_env, bob_key, "bob", code, [address], Reports())
            assert PakeConfirm in relay.types_seen()
            assert JoinRecords not in relay.types_seen()
        with pytest.raises(errors.CodeRefused):
            await opened.door.wait_code(code)
    assert len(alice.members()) == 1
    assert trust.load(bob_env) is None


async def test_a_relay_cannot_let_the_joiner_into_its_own_mesh_by_code(tmp_path) -> None:
    """A door that does not know the code says it is satisfied: its MAC does not fit."""
    mallory_env, mallory = new_mesh(tmp_path / "mallory", "evil", "mallory")
    bob_env, bob_key = new_node(tmp_path / "bob")
    certificate = make_certificate(bob_key, "bob")

    async def accept_anything(accepted: Accepted) -> None:
        frames = Frames(accepted.stream, JOIN_FRAME_BYTES_MAX)
        welcome = JoinWelcome(mallory.mesh_id, "home", "alice", b"n" * 32)
        await frames.next()
        await frames.send(schema.encode_message(welcome))
        share = schema.decode_message(await frames.next()).share
        await frames.send(schema.encode_message(PakeShare(b"B" + share[1:])))
        if await frames.next() is None:
            return
        mallory.write_admit(bob_key.node_id, "bob", Role.BUILDER, certificate)
        await frames.send(schema.encode_message(JoinRecords(mallory.roster.records())))
        await frames.send(schema.encode_message(JoinAdmitted((), b"m" * 32)))
        await frames.next()

    listener = await mallory_env.streams.listen_join(LOCALHOST, mallory)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, accept_anything)
        with pytest.raises((errors.CodeRefused, errors.JoinFailed)):
            await join_with_code(
                bob_env, bob_key, "bob", "7-amber-maple", [listener.address], Reports()
            )
        nursery.cancel_scope.cancel()
    await listener.aclose()
    assert trust.load(bob_env) is None


async def test_a_relay_shows_different_check_words_at_both_ends(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    reports = Reports()

    async def bob_joins(address: Address) -> None:
        with trio.fail_after(10), pytest.raises(errors.JoinFailed, match="consent"):
            await join_by_approval(bob_env, bob_key, "bob", [address], reports)

    async with open_door(env, alice) as opened:
        async with relaying(tmp_path / "mallory", opened.address) as (relay, address):
            await bob_joins(address)
            # The joiner's signature names the relay's key, so the door did not even let it wait.
            assert ApprovalReveal in relay.types_seen()
            assert Refused in relay.types_seen()
            assert opened.door.candidates() == ()
        mallory = await words_of_own_candidate(tmp_path / "second", opened)
    bob_words = reports.details("check_words")["words"]
    assert mallory != bob_words
    assert len(alice.members()) == 1


async def words_of_own_candidate(folder, opened) -> tuple[str, ...]:
    """The relay's best: ask under its own key. Those are the words that people at the mesh see."""
    env, key = new_node(folder)
    reports = Reports()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(join_by_approval, env, key, "bob", [opened.address], reports)
        await reports.wait("waiting")
        (candidate,) = opened.door.candidates()
        nursery.cancel_scope.cancel()
    return candidate.words


async def test_a_relay_gets_nothing_out_of_a_token(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    async with open_door(env, alice) as opened:
        token = parse_token(opened.door.invite(1, HOUR_S, Role.BUILDER))
        async with relaying(tmp_path / "mallory", opened.address) as (relay, address):
            through_relay = format_token(token.seed, token.invite.data, (address,))
            with pytest.raises(errors.MeshError):
                await join_with_token(bob_env, bob_key, "bob", through_relay, Reports())
            assert TokenRequest in relay.types_seen()
            assert JoinRecords not in relay.types_seen()
        assert len(alice.members()) == 1
        direct = format_token(token.seed, token.invite.data, (opened.address,))
        await join_with_token(bob_env, bob_key, "bob", direct, Reports())  # no use was lost
    assert len(alice.members()) == 2


async def test_an_eavesdropper_who_replays_a_token_request_is_not_let_in(tmp_path) -> None:
    """What a relay saw is signed over one conversation with one door: worthless in another."""
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    async with open_door(env, alice) as opened:
        token = parse_token(opened.door.invite(1, HOUR_S, Role.BUILDER))
        async with relaying(tmp_path / "mallory", opened.address) as (relay, address):
            through_relay = format_token(token.seed, token.invite.data, (address,))
            with pytest.raises(errors.MeshError):
                await join_with_token(bob_env, bob_key, "bob", through_relay, Reports())
        recorded = [m for m in relay.seen if isinstance(m, JoinHello | TokenRequest)]
        stream, _ = await RealStreams().dial_join(opened.address)
        frames = Frames(stream, 1 << 20)
        for message in recorded:
            await frames.send(schema.encode_message(message))
        answers = [schema.decode_message(await frames.next()) for _ in range(2)]
        assert isinstance(answers[1], Refused)
        await stream.aclose()
    assert len(alice.members()) == 1


# -- machines, without a network -------------------------------------------------------------------
@attrs.define
class Machines:
    """A joiner and a door, message by message, in memory."""

    door: DoorSession
    joiner: object
    records: Callable[[], tuple[bytes, ...]] = tuple

    def run(self, change=lambda side, index, payload: payload):
        """Pass messages until one side ends; return the joiner's last effects."""
        effects, to_door = self.joiner.start(), True
        for index in range(12):
            sent = [e.payload for e in effects if isinstance(e, Send)]
            if not sent:
                return effects
            last = ()
            for payload in sent:
                changed = change(to_door, index, payload)
                last = self._receive(to_door, changed)
                if any(isinstance(e, Admitted | Failed) for e in last):
                    return last
            effects, to_door = last, not to_door
        raise AssertionError("the conversation does not end")

    def _receive(self, to_door: bool, payload: bytes):
        if not to_door:
            return self.joiner.receive(payload)
        effects = self.door.receive(payload, NOW)
        if any(isinstance(effect, Deliver) for effect in effects):
            return tuple(self.door.deliver(self.records(), ()))
        return effects


def counting_entropy():
    """Different at every call, the same in every test."""
    counter = itertools.count()
    return lambda size: (next(counter).to_bytes(4, "big") * (size // 4 + 1))[:size]


@pytest.fixture(scope="module")
def alice(tmp_path_factory) -> trust.MeshIdentity:
    folder = tmp_path_factory.mktemp("alice")
    return trust.create(env_in_sync(folder), key_of("alice"), "home", "alice")


def env_in_sync(folder):
    """Outside of trio no clock can be made; nothing here asks for the time."""
    from typing import Any, cast

    from mesh.ports import Env
    from mesh.ports.real.disk import RealDisk
    from mesh.ports.real.entropy import RealEntropy

    none = cast("Any", None)
    return Env(none, RealEntropy(), none, none, RealDisk(folder), *[none] * 6)


def machines(alice: trust.MeshIdentity, how: str, desk: JoinDesk | None = None) -> Machines:
    token = counting_entropy()
    desk = desk or JoinDesk(alice, token)
    config = JoinerConfig(
        key_of("bob"), "bob", make_certificate(key_of("bob"), "bob"), alice.node_id, "here", token
    )
    if how == "token":
        text = desk.invite(65_535, Role.BUILDER, 2**40, ())
        joiner = TokenJoiner(config, parse_token(text))
    elif how == "code":
        joiner = CodeJoiner(config, desk.open_code(Role.BUILDER, 60, "en", 0.0).code)
    else:
        joiner = ApprovalJoiner(config)
    door = DoorSession(DoorConfig(desk, token, "there"))
    return Machines(door, joiner, alice.roster.records)


@settings(max_examples=120, deadline=None)
@given(
    how_and_at=st.sampled_from(
        [
            (how, at)
            for how in ("token", "approval", "code")
            for at in range(6 if how == "code" else 3)
        ]
    ),
    position=st.integers(0, 2000),
    flip=st.integers(1, 255),
)
def test_one_changed_byte_never_raises_and_never_admits(
    alice: trust.MeshIdentity, how_and_at: tuple[str, int], position: int, flip: int
) -> None:
    """In any message up to the joiner's last; with a code, in the door's answer as well."""
    how, at = how_and_at
    before = alice.roster.members()

    def change(to_door: bool, index: int, payload: bytes) -> bytes:
        if index != at:
            return payload
        damaged = bytearray(payload)
        damaged[position % len(damaged)] ^= flip
        return bytes(damaged)

    desk = JoinDesk(alice, counting_entropy())
    last = machines(alice, how, desk).run(change)
    assert not any(isinstance(effect, Admitted) for effect in last)
    assert desk.candidates() == ()
    if (how, at) != ("code", 5):
        assert alice.roster.members() == before


@pytest.mark.parametrize("how", ["token", "code"])
def test_without_a_changed_byte_the_same_conversation_admits(
    alice: trust.MeshIdentity, how: str
) -> None:
    (admitted,) = machines(alice, how).run()
    assert isinstance(admitted, Admitted)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.booleans())
def test_noise_never_raises_at_either_side(
    alice: trust.MeshIdentity, noise: list[bytes], after_hello: bool
) -> None:
    met = machines(alice, "approval")
    (hello,) = met.joiner.start()
    if after_hello:
        met.door.receive(hello.payload, NOW)
    for payload in noise:
        effects = met.door.receive(payload, NOW)
        assert isinstance(effects[-1], Close)
    (failed,) = met.joiner.receive(noise[0])
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, errors.JoinFailed)


def some_messages(alice: trust.MeshIdentity) -> list[object]:
    certificate = make_certificate(key_of("bob"), "bob")
    node = key_of("bob").node_id
    return [
        *(JoinHello(1, how, node, "bob", certificate, alice.mesh_id, 1) for how in range(3)),
        JoinHello(2, 0, node, "bob", certificate, alice.mesh_id),
        JoinHello(1, 0, node, "b\x1b b", certificate, alice.mesh_id),
        JoinHello(1, 0, node, "bob", certificate[:-1], alice.mesh_id),
        JoinHello(1, 0, key_of("carol").node_id, "bob", certificate, alice.mesh_id),
        TokenRequest(alice.roster.records()[0], b"p" * 64, b"f" * 64, b"c" * 64),
        TokenRequest(b"", b"p" * 64, b"f" * 64, b"c" * 64),
        PakeShare(b"A" + b"\xff" * 32),
        PakeShare(b"A" + b"\x00" * 32),
        PakeShare(b"A" + b"\x01" + b"\x00" * 31),
        PakeShare(b"A" + b"\x05" * 32),
        PakeConfirm(b"m" * 32, b"c" * 64),
        ApprovalReveal(b"n" * 32, b"c" * 64),
        JoinRecords(alice.roster.records()),
        JoinAdmitted(()),
        JoinWelcome(alice.mesh_id, "home", "alice", b"n" * 32),
        JoinWelcome(alice.mesh_id, "bad name", "alice", b"n" * 32),
        Refused("VM999", ()),
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 17), min_size=1, max_size=5), st.sampled_from("tca"))
def test_well_formed_messages_in_any_order_admit_nobody(
    alice: trust.MeshIdentity, order: list[int], how: str
) -> None:
    before = alice.roster.members()
    desk = JoinDesk(alice, counting_entropy())
    desk.open_code(Role.ADMIN, 60, "en", 0.0)
    names = {"t": "token", "c": "code", "a": "approval"}
    met = machines(alice, names[how], desk)
    met.joiner.start()
    messages = some_messages(alice)
    over = False
    for index in order:
        payload = schema.encode_message(messages[index])
        met.door.receive(payload, NOW)
        if not over:
            effects = met.joiner.receive(payload)
            assert not any(isinstance(effect, Admitted) for effect in effects)
            over = any(isinstance(effect, Failed) for effect in effects)
    assert alice.roster.members() == before
    assert desk.candidates() == ()


def lie_to(joiner: TokenJoiner, mesh_id: MeshId, records: tuple[bytes, ...]) -> errors.MeshError:
    """What the joiner makes of a door that says this to it."""
    joiner.start()
    said = [
        JoinWelcome(mesh_id, "home", "alice", b"n" * 32),
        JoinRecords(records),
        JoinAdmitted(()),
    ]
    for message in said:
        effects = joiner.receive(schema.encode_message(message))
    (failed,) = effects
    assert isinstance(failed, Failed)
    return failed.error


def test_a_door_that_lies_about_the_mesh_or_itself_is_not_believed() -> None:
    alice, mallory, bob = founder(), founder("mallory", "evil"), key_of("bob")
    invite = alice.invites("s" * 16, uses=9)
    text = format_token(b"s" * 16, invite, ())

    def joiner(door: Author) -> TokenJoiner:
        certificate, token = make_certificate(bob, "bob"), counting_entropy()
        config = JoinerConfig(bob, "bob", certificate, door.key.node_id, "here:1", token)
        return TokenJoiner(config, parse_token(text))

    mine = alice.admits("bob").admission
    lie = lie_to(joiner(alice), alice.mesh_id, (mallory.admission, mallory.admits("bob").admission))
    assert isinstance(lie, errors.WrongMesh)
    lie = lie_to(joiner(mallory), alice.mesh_id, (alice.admission, mine))
    assert isinstance(lie, errors.JoinFailed)
    assert "not a member" in lie.message()
    lie = lie_to(joiner(alice), alice.mesh_id, (alice.admission,))
    assert isinstance(lie, errors.NotAMember)
    lie = lie_to(joiner(alice), alice.mesh_id, ())
    assert isinstance(lie, errors.JoinFailed)
    lie = lie_to(joiner(alice), alice.mesh_id, (mine, alice.admission))
    assert isinstance(lie, errors.JoinFailed)


def test_many_conversations_at_once_get_one_guess_between_them(alice) -> None:
    """A hundred sessions may be half way; the first wrong confirmation burns the code for all."""
    desk = JoinDesk(alice, counting_entropy())
    code = desk.open_code(Role.ADMIN, 60, "en", 0.0).code
    wrong = parse_code(f"{code.slot}-amber-maple")
    assert wrong != code
    certificate = make_certificate(key_of("eve"), "eve")

    def half_way(guess):
        token = counting_entropy()
        config = JoinerConfig(key_of("eve"), "eve", certificate, alice.node_id, "here", token)
        door, joiner = DoorSession(DoorConfig(desk, token, "there")), CodeJoiner(config, guess)
        (hello,) = joiner.start()
        (welcome,) = door.receive(hello.payload, NOW)
        share = joiner.receive(welcome.payload)[-1]
        (answer,) = door.receive(share.payload, NOW)
        (confirm,) = joiner.receive(answer.payload)
        return door, confirm

    first, second = half_way(wrong), half_way(code)
    assert isinstance(first[0].receive(first[1].payload, NOW)[-1], Close)
    refused = second[0].receive(second[1].payload, NOW)
    assert isinstance(refused[-1], Close)
    assert alice.roster.member(key_of("eve").node_id) is None


def test_hanging_up_before_the_confirmation_burns_nothing(alice) -> None:
    desk = JoinDesk(alice, counting_entropy())
    code = desk.open_code(Role.ADMIN, 60, "en", 0.0).code
    met = machines(alice, "approval", desk)
    hello = JoinHello(
        1, 1, key_of("eve").node_id, "eve", make_certificate(key_of("eve"), "e"), None, code.slot
    )
    met.door.receive(schema.encode_message(hello), NOW)
    (answer,) = met.door.receive(
        schema.encode_message(PakeShare(b"A" + b"\x58" + b"\x66" * 31)), NOW
    )
    assert isinstance(schema.decode_message(answer.payload), PakeShare)
    assert desk.code_at(code.slot, 0.0).code == code


def test_those_who_wait_are_bounded(alice) -> None:
    desk = JoinDesk(alice, counting_entropy())
    outcomes = []
    for number in range(JOIN_PENDING_MAX + 2):
        key, token = key_of(f"crowd-{number}"), counting_entropy()
        config = JoinerConfig(key, "pc", make_certificate(key, "pc"), alice.node_id, "", token)
        met = Machines(DoorSession(DoorConfig(desk, token, "there")), ApprovalJoiner(config))
        outcomes.append(met.run())
    failed = [last for last in outcomes if any(isinstance(e, Failed) for e in last)]
    assert len(failed) == 2
    assert len(desk.candidates()) == JOIN_PENDING_MAX
    assert len({candidate.name for candidate in desk.candidates()}) == JOIN_PENDING_MAX


# -- the driver ------------------------------------------------------------------------------------
async def test_an_oversized_message_is_cut_off_and_the_door_stays_open(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    async with open_door(env, alice) as opened:
        token = opened.door.invite(1, HOUR_S, Role.BUILDER)
        stream, _ = await RealStreams().dial_join(opened.address)
        await stream.send_all((JOIN_FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
        assert await end_of(stream) is True
        stream, _ = await RealStreams().dial_join(opened.address)
        await stream.send_all(frame(b"\xff" * 100))
        answer = await Frames(stream, 1 << 20).next()
        assert isinstance(schema.decode_message(answer), Refused)
        await stream.aclose()
        await join_with_token(bob_env, bob_key, "bob", token, Reports())
        await until(lambda: sum(opened.door.counters.values()) == 3)
        assert opened.door.counters == {"gone": 1, "type": 1, "admitted": 1}


async def end_of(stream) -> bool:
    with trio.fail_after(10):
        try:
            return await stream.receive_some() == b""
        except StreamBroken:
            return True
        finally:
            await stream.aclose()


async def test_a_silent_stranger_is_given_up(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(driver, "JOIN_MESSAGE_TIMEOUT_S", 0.05)
    env, alice = new_mesh(tmp_path / "alice")
    async with open_door(env, alice) as opened:
        stream, _ = await RealStreams().dial_join(opened.address)
        assert await end_of(stream) is True
        assert opened.door.counters == {"silent": 1}


async def test_a_crowd_of_strangers_is_bounded(tmp_path) -> None:
    env, alice = new_mesh(tmp_path / "alice")
    async with open_door(env, alice) as opened:
        crowd = [
            (await RealStreams().dial_join(opened.address))[0]
            for _ in range(JOIN_CONNECTIONS_MAX + 3)
        ]
        await until(lambda: opened.door.counters["too-many"] == 3)
        for stream in crowd:
            await stream.aclose()
        await until(lambda: opened.door.counters["gone"] == JOIN_CONNECTIONS_MAX)


async def test_those_who_wait_for_approval_do_not_block_the_door(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(driver, "JOIN_CONNECTIONS_MAX", 1)
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    carol_env, carol_key = new_node(tmp_path / "carol")
    reports = Reports()
    async with open_door(env, alice) as opened, trio.open_nursery() as nursery:
        doors = [opened.address]
        nursery.start_soon(join_by_approval, bob_env, bob_key, "bob", doors, reports)
        await reports.wait("waiting")
        token = opened.door.invite(1, HOUR_S, Role.BUILDER)
        await join_with_token(carol_env, carol_key, "carol", token, Reports())
        nursery.cancel_scope.cancel()


async def test_a_removed_member_cannot_connect_any_more(tmp_path) -> None:
    """From joining to being shut out, on the members' door itself."""
    env, alice = new_mesh(tmp_path / "alice")
    bob_env, bob_key = new_node(tmp_path / "bob")
    async with open_door(env, alice) as opened:
        token = opened.door.invite(1, HOUR_S, Role.BUILDER)
        bob = (await join_with_token(bob_env, bob_key, "bob", token, Reports())).identity

    async def greet(accepted: Accepted) -> None:
        assert accepted.peer == bob.node_id
        await accepted.stream.send_all(b"welcome")

    listener = await env.streams.listen(LOCALHOST, alice)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, greet)
        stream = await bob_env.streams.dial(listener.address, alice.node_id, bob)
        assert await stream.receive_some() == b"welcome"
        await stream.aclose()
        alice.write_leave(bob.node_id)
        stream = await bob_env.streams.dial(listener.address, alice.node_id, bob)
        assert await end_of(stream) is True
        nursery.cancel_scope.cancel()
    await listener.aclose()
    assert env.streams.counters["handshake-failed"] == 1
