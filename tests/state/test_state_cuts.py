"""Removals: a cut in a chain of hashes, made by the real roster's records."""

from __future__ import annotations

from hashlib import sha256

import attrs
import pytest
from state_world import digest, key_of, result

from mesh.identity.certificates import make_certificate
from mesh.identity.keys import NodeKey
from mesh.identity.records import (
    REF_BYTES,
    Admit,
    Authorship,
    FeedPoint,
    Genesis,
    Leave,
    open_record,
    ref_of,
    sign_record,
)
from mesh.identity.roles import Role
from mesh.identity.roster import Roster
from mesh.limits import LEAVE_CUT_MAX, LEAVE_ENTRIES_MAX, RECORD_BYTES_MAX
from mesh.log.forks import fork_of
from mesh.log.frame import Frame, seal
from mesh.log.model import EMPTY, FeedId, Head, Lane
from mesh.state.actions import Trusted
from mesh.state.events import Event, Open, Register, RunEvent, encode_event
from mesh.state.views import State
from mesh.types import Digest, MeshId, RunId, digest_of
from mesh.wire.errors import WireError

ALICE, BOB = key_of("alice"), key_of("bob")


@attrs.define
class Mesh:
    """Alice has founded it and admitted Bob, by records."""

    genesis: bytes
    records: list[bytes]
    admission: bytes

    @property
    def mesh_id(self) -> MeshId:
        return MeshId(digest_of(self.genesis))

    def by_alice(self) -> Authorship:
        return Authorship(self.mesh_id, ALICE.node_id, digest_of(self.genesis))

    def admit(self, key: NodeKey, order: int = 1) -> bytes:
        certificate = make_certificate(key, "bob")
        fact = Admit(self.by_alice(), key.node_id, "bob", int(Role.BUILDER), certificate, order)
        self.admission = sign_record(ALICE, fact)
        self.records.append(self.admission)
        return self.admission

    def remove_bob(self, *cut: FeedPoint) -> None:
        ends = (ref_of(digest_of(self.admission)),)
        self.records.append(sign_record(ALICE, Leave(self.by_alice(), BOB.node_id, ends, (), cut)))

    def roster(self) -> Roster:
        roster = Roster(self.genesis)
        assert not roster.merge(self.records).rejected
        return roster


@pytest.fixture
def mesh() -> Mesh:
    certificate = make_certificate(ALICE, "alice")
    nonce = sha256(b"cuts").digest()
    genesis = sign_record(ALICE, Genesis(1, "home", nonce, ALICE.node_id, "alice", certificate))
    made = Mesh(genesis, [], b"")
    made.admit(BOB)
    return made


@attrs.define
class Epoch:
    """Somebody with a key, writing; not necessarily its owner."""

    mesh: Mesh
    key: NodeKey
    epoch: bytes
    frames: list[Frame] = attrs.field(factory=list)
    heads: dict[FeedId, Head] = attrs.field(factory=dict)

    def open(self, admission: bytes) -> Epoch:
        ref = digest_of(admission)[:REF_BYTES]
        self.write(Lane.CTL, Open(ref, (), "bob's"))
        return self

    def write(self, lane: Lane, *events: Event, after: Head | None = None) -> Frame:
        feed = FeedId(self.key.node_id, self.epoch, int(lane))
        parent = after or self.heads.get(feed, EMPTY)
        encoded = [encode_event(event) for event in events]
        frame = seal(
            self.key.sign, self.mesh.mesh_id, feed, parent, encoded, wall_ms=0, seen=bytes(8)
        )
        self.frames.append(frame)
        self.heads[feed] = frame.signed.head
        return frame


def point(frame: Frame) -> FeedPoint:
    head = frame.signed.head
    return FeedPoint(frame.feed.epoch, frame.feed.lane, head.count, head.digest)


def bobs(mesh: Mesh, name: str = "one") -> Epoch:
    return Epoch(mesh, BOB, digest(name)[:8]).open(mesh.admission)


def believed(state: State, action: str) -> bool:
    return isinstance(state.lookup(digest(action)), Trusted)


def fold(mesh: Mesh, *frames: Frame) -> State:
    state = State(ALICE.node_id, mesh.roster().standing())
    state.apply(frames)
    return state


def test_what_a_removed_node_wrote_before_the_cut_counts_and_nothing_after_it(mesh: Mesh) -> None:
    epoch = bobs(mesh)
    kept = epoch.write(Lane.AC, result("kept"))
    epoch.write(Lane.AC, result("beyond"))
    state = fold(mesh, *epoch.frames)
    assert believed(state, "beyond")
    mesh.remove_bob(point(kept))
    changes = state.stand(mesh.roster().standing())
    assert digest("beyond") in changes.actions
    assert (believed(state, "kept"), believed(state, "beyond")) == (True, False)
    assert state.digest() == fold(mesh, *epoch.frames).digest()


def test_a_removal_without_a_cut_withdraws_all(mesh: Mesh) -> None:
    epoch = bobs(mesh)
    epoch.write(Lane.AC, result("a"))
    mesh.remove_bob()
    assert not believed(fold(mesh, *epoch.frames), "a")


def test_a_frame_dated_back_below_the_cut_with_the_stolen_key_does_not_count(mesh: Mesh) -> None:
    """The thief signs another history of the same places; no time and no place in it helps, only
    the digest of the head counts."""
    epoch = bobs(mesh)
    first = epoch.write(Lane.AC, result("first"))
    head = epoch.write(Lane.AC, result("second"))
    mesh.remove_bob(point(head))
    thief = Epoch(mesh, BOB, epoch.epoch)
    forged = thief.write(Lane.AC, result("poisoned"), after=first.signed.head)
    on_top = thief.write(Lane.AC, result("also poisoned"))
    own_start = Epoch(mesh, BOB, epoch.epoch).write(Lane.AC, result("poisoned from the start"))
    for frames in (
        [*epoch.frames, forged, on_top, own_start],
        [own_start, forged, on_top, *reversed(epoch.frames)],
        [epoch.frames[0], first, forged, on_top],
    ):
        state = fold(mesh, *frames)
        assert not believed(state, "poisoned")
        assert not believed(state, "also poisoned")
        assert not believed(state, "poisoned from the start")
    state = fold(mesh, forged, on_top, own_start, *epoch.frames)
    assert believed(state, "first")
    assert believed(state, "second")


def test_a_new_epoch_of_the_stolen_key_does_not_count(mesh: Mesh) -> None:
    epoch = bobs(mesh)
    mesh.remove_bob(point(epoch.write(Lane.AC, result("a"))))
    thief = bobs(mesh, "the thief's")
    thief.write(Lane.AC, result("poisoned"))
    stranger = Epoch(mesh, BOB, b"no start")
    stranger.write(Lane.AC, result("poisoned"))
    assert not believed(fold(mesh, *epoch.frames, *thief.frames, *stranger.frames), "poisoned")


def test_several_removals_keep_what_all_of_them_keep_in_any_order(mesh: Mesh) -> None:
    epoch = bobs(mesh)
    short = point(epoch.write(Lane.AC, result("a")))
    long = point(epoch.write(Lane.AC, result("b")))
    mesh.remove_bob(long)
    mesh.remove_bob(short)
    one = fold(mesh, *epoch.frames)
    mesh.records[-2:] = reversed(mesh.records[-2:])
    other = fold(mesh, *epoch.frames)
    assert one.digest() == other.digest()
    assert (believed(one, "a"), believed(one, "b")) == (True, False)


def test_who_is_admitted_anew_is_heard_again_from_its_new_epoch_on(mesh: Mesh) -> None:
    old = bobs(mesh)
    old.write(Lane.AC, result("before"))
    mesh.remove_bob()
    mesh.admit(BOB, order=3)
    new = bobs(mesh, "new")
    new.write(Lane.AC, result("after"))
    state = fold(mesh, *reversed([*old.frames, *new.frames]))
    assert (believed(state, "before"), believed(state, "after")) == (False, True)


def test_an_epoch_that_names_two_admissions_is_cut_by_every_removal(mesh: Mesh) -> None:
    first = mesh.admission
    mesh.remove_bob()
    second = mesh.admit(BOB, order=3)
    epoch = Epoch(mesh, BOB, digest("two")[:8]).open(second)
    epoch.write(Lane.AC, result("a"))
    assert believed(fold(mesh, *epoch.frames), "a")
    twice = Epoch(mesh, BOB, epoch.epoch).open(first)
    assert not believed(fold(mesh, *epoch.frames, *twice.frames), "a")


def test_registers_fall_back_to_what_they_were_at_the_cut(mesh: Mesh) -> None:
    epoch = bobs(mesh)
    kept = epoch.write(Lane.CTL, Register("label", b"bob"))
    epoch.write(Lane.CTL, Register("label", b"thief"))
    mesh.remove_bob(point(kept))
    value = fold(mesh, *epoch.frames).registers.get(BOB.node_id, "label")
    assert value is not None
    assert value.value == b"bob"


# -- the record ------------------------------------------------------------------------------------
def points(count: int) -> tuple[FeedPoint, ...]:
    return tuple(
        FeedPoint(at.to_bytes(8, "big"), 3, 2**48, Digest(bytes(32))) for at in range(count)
    )


def test_the_largest_removal_fits_a_record(mesh: Mesh) -> None:
    refs = tuple(at.to_bytes(REF_BYTES, "big") for at in range(LEAVE_ENTRIES_MAX))
    leave = Leave(mesh.by_alice(), BOB.node_id, refs[:1], refs[1:], points(LEAVE_CUT_MAX))
    record = sign_record(ALICE, leave)
    assert len(record) <= RECORD_BYTES_MAX
    assert open_record(record).fact == leave


@pytest.mark.parametrize(
    "cut",
    [
        points(2)[::-1],
        points(1) * 2,
        (FeedPoint(bytes(8), 0, 0, Digest(bytes(32))),),
    ],
    ids=["out of order", "twice", "empty"],
)
def test_a_cut_has_one_form(mesh: Mesh, cut: tuple[FeedPoint, ...]) -> None:
    leave = Leave(mesh.by_alice(), BOB.node_id, (bytes(REF_BYTES),), (), cut)
    with pytest.raises(WireError, match="cut"):
        open_record(sign_record(ALICE, leave))


def test_a_cut_with_too_many_feeds_cannot_be_written(mesh: Mesh) -> None:
    leave = Leave(mesh.by_alice(), BOB.node_id, (), (), points(LEAVE_CUT_MAX + 1))
    with pytest.raises(WireError, match="array of at most"):
        sign_record(ALICE, leave)


def test_of_an_epoch_that_was_opened_twice_it_makes_no_difference_which_opening_one_has(
    mesh: Mesh,
) -> None:
    first = mesh.admission
    mesh.remove_bob()
    second = mesh.admit(BOB, order=3)
    epoch = Epoch(mesh, BOB, digest("two")[:8]).open(second)
    run = epoch.write(Lane.EXEC, RunEvent(RunId(b"run 1234"), 0, "", 1, 0))
    twin = Epoch(mesh, BOB, epoch.epoch).open(first).frames[0]
    proof = fork_of(epoch.frames[0].signed, twin.signed)
    digests = set()
    for opening in (epoch.frames[0], twin):
        state = State(ALICE.node_id, mesh.roster().standing())
        state.apply([opening, run], [proof])
        digests.add(state.digest())
    assert len(digests) == 1
