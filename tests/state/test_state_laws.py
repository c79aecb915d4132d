"""What holds of every history, honest or not: the views are a function of the set."""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from state_scripts import EVERYTHING, NO_CHECKPOINTS, again, tell, worlds
from state_world import World

from mesh.identity.standing import Cut
from mesh.log.frame import Frame
from mesh.log.model import FeedId, Lane
from mesh.state.changes import Changes
from mesh.state.events import ActionResult, Open, decode_event
from mesh.state.views import State
from mesh.types import Digest, NodeId

SEEDS = st.integers(0, 2**32)
LAWS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@LAWS
@given(worlds(), SEEDS)
def test_order_repetition_pieces_and_gaps_make_no_difference(world: World, seed: int) -> None:
    told = tell(world, Random(seed))
    told = again(world, told)
    assert told.digest() == world.fold(me=told.me).digest()


@LAWS
@given(worlds(), SEEDS, st.integers(1, 6))
def test_slices_of_any_size_come_to_the_same(world: World, seed: int, slice_rows: int) -> None:
    random = Random(seed)
    told = tell(world, random, slice_rows=slice_rows)
    told = again(world, told)
    for name in random.sample(list(world.writers), 2):  # folded anew, once more in the middle of it
        for _ in range(2):
            told.refold(world.writers[name].node, world.writers[name].frames)
            told.go_on()
    world.load_wanted(told)
    again(world, told)
    assert not told.is_behind
    assert told.digest() == world.fold(me=told.me).digest()
    shown = {each.action for each in told.actions.divergences()}
    assert shown == {a for a in told.actions.all() if len(told.actions.claims(a)) > 1}


@LAWS
@given(worlds(), SEEDS)
def test_merging_two_replicas_is_commutative_associative_and_idempotent(
    world: World, seed: int
) -> None:
    random = Random(seed)
    one, two, three = ([frame for frame in world.frames if random.random() < 0.6] for _ in range(3))
    views = [
        world.fold(frames).digest()
        for frames in (
            [*one, *two, *three],
            [*three, *one, *two],
            [*two, *[*three, *one], *one],
            [*one, *two, *three, *one, *two, *three],
        )
    ]
    assert len(set(views)) == 1


@LAWS
@given(worlds(), SEEDS)
def test_a_body_that_a_checkpoint_covers_is_not_missed(world: World, seed: int) -> None:
    random = Random(seed)
    full = world.fold()
    covered = full.covered()
    frames = [
        frame.without_body()
        if frame.signed.end <= covered.get(frame.feed, 0) and random.random() < 0.7
        else frame
        for frame in world.frames
    ]
    random.shuffle(frames)
    assert world.fold(frames).digest() == full.digest()


@LAWS
@given(worlds(tuple(e for e in EVERYTHING if e not in ("fork", "remove", "restore", "readmit"))))
def test_a_checkpoint_changes_no_view(world: World) -> None:
    before = world.fold().digest()
    for name in world.writers:
        for lane in (Lane.AC, Lane.EXEC, Lane.DEP, Lane.CTL):
            world.checkpoint(name, lane)
            assert world.fold().digest() == before


@LAWS
@given(worlds(NO_CHECKPOINTS))
def test_what_counts_is_what_a_fold_without_windows_would_count(world: World) -> None:
    state = world.fold()
    expected = naive_claims(world)
    shown = {
        (action, outputs, claim.builder)
        for action in state.actions.all()
        for outputs, claims in state.actions.claims(action).items()
        for claim in claims
    }
    assert shown == expected


def naive_claims(world: World) -> set[tuple[Digest, Digest, NodeId]]:
    """The same by sets of headers: slow, short, and without strands."""
    parents = {frame.signed.digest: frame.signed.header.prev for frame in world.frames}
    standing = world.standing()
    opened: dict[tuple[NodeId, bytes], set[bytes]] = {}
    for frame in world.frames:
        event = decode_event(frame.events[0], frame.feed.lane)
        if frame.signed.seq == 0 and isinstance(event, Open):
            opened.setdefault((frame.feed.node, frame.feed.epoch), set()).add(event.admission)
    forked = {proof.feed: proof.seq for proof in world.proofs}

    def cuts(feed: FeedId) -> tuple[Cut, ...]:
        names = opened.get((feed.node, feed.epoch), set())
        if forked.get(FeedId(feed.node, feed.epoch, int(Lane.CTL))) == 0:
            names = set()
        return standing.judge(feed.node, next(iter(names), None)).cuts

    liars = {feed.node for feed in forked if not cuts(feed)}
    found = set()
    for frame in world.frames:
        feed = frame.feed
        ends = [ancestors(parents, cut, feed) for cut in cuts(feed)]
        counts = all(frame.signed.digest in each for each in ends)
        if feed.lane == Lane.AC and counts and (ends or feed.node not in liars):
            found |= {
                (event.action, event.outputs, feed.node)
                for event in (decode_event(data, feed.lane) for data in frame.events)
                if isinstance(event, ActionResult)
            }
    return found


def ancestors(parents: dict[Digest, bytes], cut: Cut, feed: FeedId) -> set[bytes]:
    found: set[bytes] = set()
    for point in cut:
        header: bytes = point.head
        if (point.epoch, point.lane) == (feed.epoch, feed.lane):
            while header in parents:
                found.add(header)
                header = parents[Digest(header)]
    return found


@LAWS
@given(worlds(), SEEDS)
def test_what_is_not_named_in_the_changes_has_not_changed(world: World, seed: int) -> None:
    mirror: dict[str, dict[object, object]] = {}

    def look(state: State) -> dict[str, dict[object, object]]:
        return {
            "actions": {each: state.actions.claims(each) for each in state.actions.all()},
            "registers": dict(state.registers.items()),
            "programs": {each: state.deployed(each) for each in state.programs()},
            "runs": {
                key: (seen.told, [each.execution for each in seen.executions])
                for key in state.runs.all()
                if (seen := state.runs.get(*key))
            },
            "policy": {"": state.policy()},
            "diverged": {each.action: True for each in state.actions.divergences()},
        }

    def watch(state: State, changes: object) -> None:
        assert isinstance(changes, Changes)
        named = {
            "actions": set(changes.actions),
            "registers": set(changes.registers),
            "programs": set(changes.programs),
            "runs": set(changes.runs),
            "policy": {""} if changes.policy else set(),
            "diverged": {*changes.diverged, *changes.settled},
        }
        now = look(state)
        for view, values in now.items():
            before = mirror.get(view, {})
            changed = {
                key
                for key in values.keys() | before.keys()
                if (values.get(key) or None) != (before.get(key) or None)
            }
            if mirror:
                assert changed <= named[view], view
        mirror.update(now)

    tell(world, Random(seed), watch=watch)


@LAWS
@given(worlds(), SEEDS)
def test_other_writers_views_do_not_depend_on_a_forkers_frames(world: World, seed: int) -> None:
    forkers = {proof.feed.node for proof in world.proofs}
    honest: list[Frame] = [frame for frame in world.frames if frame.feed.node not in forkers]
    state, without = world.fold(), world.fold(honest)
    for node in {frame.feed.node for frame in honest}:
        assert state.registers.of_node(node) == without.registers.of_node(node)
        assert claims_of(state, node) == claims_of(without, node)


def claims_of(state: State, node: NodeId) -> set[tuple[Digest, object]]:
    return {
        (action, claim)
        for action in state.actions.all()
        for side in state.actions.claims(action).values()
        for claim in side
        if claim.builder == node
    }
