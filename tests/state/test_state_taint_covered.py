"""What a checkpoint covers makes no difference to what is withheld, whether or not it was ever
here."""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from state_scripts import LIVES, again, tell, worlds
from state_world import World, Writer, digest, result

from mesh.identity.records import FeedPoint
from mesh.identity.roles import Role
from mesh.log.frame import Frame
from mesh.log.model import Lane
from mesh.state.events import CONSUMED_BYTES, Checkpoint, Derivation
from mesh.state.taint import Taint
from mesh.state.withdrawals import withdrawal_events
from mesh.types import Digest, digest_of

SEEDS = st.integers(0, 2**32)
LAWS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def as_it_may_be_held(frame: Frame, covered: int, random: Random) -> list[Frame]:
    """Of what is covered the body may have gone, or the frame never have come. How an epoch was
    opened stays (`Log.is_opening`)."""
    if frame.signed.end > covered or (frame.feed.lane == Lane.CTL and frame.signed.seq == 0):
        return [frame]
    return random.choice([[frame], [frame.without_body()], []])


@LAWS
@given(worlds(LIVES, 16, 2), SEEDS)
def test_what_is_withheld_of_many_lives_is_a_function_of_what_is_not_covered(
    world: World, seed: int
) -> None:
    random = Random(seed)
    full = world.fold()
    covered = full.covered()
    some = [
        each
        for frame in world.frames
        for each in as_it_may_be_held(frame, covered.get(frame.feed, 0), random)
    ]
    random.shuffle(some)
    assert world.fold(some).digest() == full.digest()
    told = again(world, tell(world, random))
    assert told.digest() == world.fold(me=told.me).digest()


def cut_after(writer: Writer, frame: Frame) -> list[FeedPoint]:
    """A removal that keeps one feed of results up to this frame."""
    head = frame.signed.head
    return [FeedPoint(frame.feed.epoch, frame.feed.lane, head.count, head.digest)]


def taken_from_withdrawn() -> tuple[World, Frame]:
    """Bob was removed and admitted anew; of what was withdrawn Alice has made `p`. And the frame
    that says what was withdrawn."""
    world = World()
    alice, bob = world.join("alice", Role.ADMIN), world.join("bob")
    bob.write(Lane.AC, result("x"))
    kept = bob.frames[-1]
    bob.write(Lane.AC, result("y", "bad"))
    bad = bob.frames[-1]
    consumed = digest("y>bad")[:CONSUMED_BYTES]
    alice.write(Lane.AC, Derivation(digest("p"), (consumed,)), result("p"))
    world.remove("bob", cut_after(bob, kept))
    world.readmit("bob")
    return world, bad


def test_withdrawn_results_that_a_later_life_covers_are_the_same_to_all() -> None:
    world, bad = taken_from_withdrawn()
    before = world.fold()
    assert before.lookup(digest("p")) is None
    old = set(world.frames)
    world.checkpoint("bob", Lane.AC)
    before.apply([frame for frame in world.frames if frame not in old])
    world.load_wanted(before)
    without = [frame for frame in world.frames if frame is not bad]
    for state in (
        before,
        world.fold(),
        world.fold([*without, bad.without_body()]),
        world.fold(without),
    ):
        assert state.taint() == Taint()
        assert state.lookup(digest("p")) is not None


def test_what_an_admin_has_listed_stays_withheld_when_a_later_life_covers_it() -> None:
    world, bad = taken_from_withdrawn()
    bob, listed = world.writers["bob"], [(digest("y"), digest("y>bad"))]
    world.writers["alice"].write(Lane.CTL, *withdrawal_events(bob.node, listed, 0))
    world.checkpoint("bob", Lane.AC)
    for frames in (world.frames, [frame for frame in world.frames if frame is not bad]):
        state = world.fold(frames)
        assert [each.action for each in state.taint(bob.node).withdrawn] == [digest("y")]
        assert state.lookup(digest("p")) is None


def evict(world: World, name: str, action: Digest) -> None:
    """A checkpoint of all results of a node but those of one action."""
    writer = world.writers[name]
    covers = writer.points(Lane.AC)
    draft = world.fold(me=writer.node).checkpoint(Lane.AC, lambda each: each != action)
    kept = draft.finish()
    state = digest_of(kept.data)
    world.states[state] = kept.data
    writer.write(Lane.AC, Checkpoint(covers, state, len(kept.data), kept.rows))


def test_nothing_follows_from_outputs_that_their_owner_has_evicted() -> None:
    """`p` is tainted; Carol's outputs of it were evicted, and `q` was made of those."""
    world, _ = taken_from_withdrawn()
    carol = world.join("carol")
    carol.write(Lane.AC, result("p", "other"), result("z"))
    evicted = carol.frames[-1]
    consumed = digest("p>other")[:CONSUMED_BYTES]
    world.writers["alice"].write(Lane.AC, Derivation(digest("q"), (consumed,)), result("q"))
    assert world.fold().taint().derived == tuple(sorted((digest("p"), digest("q"))))
    evict(world, "carol", digest("p"))
    for frames in (world.frames, [frame for frame in world.frames if frame is not evicted]):
        assert world.fold(frames).taint().derived == (digest("p"),)


def test_what_a_checkpoint_repeats_is_withdrawn_by_nobody_when_it_counts_no_more() -> None:
    """Its state was loaded here before the removal; who hears of the removal first never wants
    it."""
    world = World()
    bob = world.join("bob")
    bob.write(Lane.AC, result("x"))
    kept = bob.frames[-1]
    world.checkpoint("bob", Lane.AC)
    frames = [each.without_body() if each is kept else each for each in world.frames]
    early = world.fold(frames)
    assert early.lookup(digest("x")) is not None
    world.remove("bob", cut_after(bob, kept))
    early.stand(world.standing())
    assert early.taint() == Taint()
    assert early.digest() == world.fold(frames).digest()
