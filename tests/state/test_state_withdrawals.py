"""What an admin lists as withdrawn is withheld everywhere, also where the frames never were."""

from __future__ import annotations

from mesh.identity.keys import NodeKey
from mesh.identity.roles import Role
from mesh.identity.standing import Life, Standing
from mesh.log.frame import Frame, seal
from mesh.log.model import EMPTY, FeedId, Head, Lane
from mesh.state.attestations import split_rows
from mesh.state.events import ActionResult, Derivation, Event, Register, encode_event
from mesh.state.views import State
from mesh.state.withdrawals import PREFIX, WITHDRAWN_EACH, pair_in, withdrawal_events
from mesh.types import Digest, MeshId, NodeId

ADMIN, BOB, MALLORY = (NodeKey(bytes([each]) * 32) for each in (1, 2, 3))
MESH = MeshId(bytes(32))


def digest(fill: int) -> Digest:
    return Digest(bytes([fill]) * 32)


def result(action: int, outputs: int) -> ActionResult:
    return ActionResult(digest(action), digest(outputs), digest(99), 0, 1)


def standing() -> Standing:
    def life(role: Role, cuts: tuple[()] | tuple[tuple[()]] = ()) -> tuple[Life, ...]:
        return (Life(b"r" * 16, role, cuts),)

    lives = {
        ADMIN.node_id: life(Role.ADMIN),
        BOB.node_id: life(Role.BUILDER),
        MALLORY.node_id: life(Role.BUILDER, ((),)),
    }
    return Standing(lives, {MALLORY.node_id: ((),)})


def said(key: NodeKey, lane: Lane, *events: Event, head: Head = EMPTY) -> Frame:
    feed = FeedId(key.node_id, b"epoch--1", int(lane))
    data = [encode_event(each) for each in events]
    return seal(key.sign, MESH, feed, head, data, wall_ms=0, seen=bytes(8))


def listing(author: NodeKey, *pairs: tuple[int, int]) -> Frame:
    listed = [(digest(action), digest(outputs)) for action, outputs in pairs]
    return said(author, Lane.CTL, *withdrawal_events(MALLORY.node_id, listed, 0))


def state_of(*frames: Frame) -> State:
    state = State(BOB.node_id, standing())
    for frame in frames:
        state.apply([frame])
    return state


BUILT_ON_IT = said(BOB, Lane.AC, Derivation(digest(2), (digest(11)[:16],)), result(2, 12))


def test_who_never_had_the_frames_withholds_what_was_made_of_them() -> None:
    for frames in ((BUILT_ON_IT, listing(ADMIN, (1, 11))), (listing(ADMIN, (1, 11)), BUILT_ON_IT)):
        state = state_of(*frames)
        assert state.lookup(digest(2)) is None
        taint = state.taint(NodeId(MALLORY.node_id))
        assert [(each.action, each.nodes) for each in taint.withdrawn] == [
            (digest(1), (MALLORY.node_id,))
        ]
        assert taint.derived == (digest(2),)
    assert state_of(BUILT_ON_IT).lookup(digest(2)) is not None


def test_the_list_of_somebody_who_is_no_admin_says_nothing() -> None:
    state = state_of(BUILT_ON_IT, listing(MALLORY, (1, 11)))
    assert state.lookup(digest(2)) is not None
    assert not state.taint().withdrawn
    bobs = said(BOB, Lane.CTL, *withdrawal_events(MALLORY.node_id, [(digest(1), digest(11))], 0))
    assert state_of(BUILT_ON_IT, bobs).lookup(digest(2)) is not None


def test_what_somebody_honest_has_got_too_is_not_withdrawn() -> None:
    same = said(ADMIN, Lane.AC, result(1, 11))
    state = state_of(BUILT_ON_IT, listing(ADMIN, (1, 11)))
    assert state.lookup(digest(2)) is None
    state.apply([same])
    assert state.lookup(digest(2)) is not None
    other = state_of(BUILT_ON_IT, listing(ADMIN, (1, 11)), said(ADMIN, Lane.AC, result(1, 13)))
    assert other.lookup(digest(2)) is None


def test_long_lists_take_several_registers_and_none_is_written_twice() -> None:
    pairs = [(digest(1), Digest(number.to_bytes(32, "big"))) for number in range(130)]
    events = list(withdrawal_events(MALLORY.node_id, pairs, 5))
    assert [len(event.value or b"") // 64 for event in events] == [
        *(WITHDRAWN_EACH, WITHDRAWN_EACH, 130 - 2 * WITHDRAWN_EACH)
    ]
    assert [event.key for event in events] == [
        f"{PREFIX}{MALLORY.node_id.hex()}/{number}" for number in (5, 6, 7)
    ]
    state = state_of(said(ADMIN, Lane.CTL, *events))
    assert {each.outputs for each in state.taint().withdrawn} == {outputs for _, outputs in pairs}


def test_bytes_that_are_no_list_are_nothing() -> None:
    bad = [
        Register(f"{PREFIX}nonsense/0", b"x" * 64),
        Register(f"{PREFIX}{MALLORY.node_id.hex()}/0", b"x" * 63),
        Register(f"{PREFIX}{MALLORY.node_id.hex()[:-2]}/0", b"x" * 64),
        Register(f"{PREFIX}{MALLORY.node_id.hex()}/1", None),
    ]
    assert not state_of(said(ADMIN, Lane.CTL, *bad)).taint().withdrawn


def test_a_row_of_the_view_says_which_pair_it_is() -> None:
    state = state_of(said(BOB, Lane.AC, result(7, 8), result(200, 201)))
    (rows,) = map(split_rows, state.actions.kept(BOB.node_id))
    assert {pair_in(row) for row in rows} == {(digest(7), digest(8)), (digest(200), digest(201))}
