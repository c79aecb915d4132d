"""Checkpoints of one writer that cover each other as no honest one does: with a stolen key anybody
can write them. Whichever state comes first, folding ends, and in the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations

import pytest
from state_world import World, digest, result

from mesh.identity.records import FeedPoint
from mesh.identity.roles import Role
from mesh.log.model import Dot, FeedId, Lane
from mesh.state.checkpoint import encode_state
from mesh.state.events import Checkpoint, Register, encode_event
from mesh.state.views import State
from mesh.types import Digest, digest_of

ROUNDS_MAX = 50
AFTER_ALL = 9
"""More events than any feed here has."""


def bobs_world() -> World:
    world = World()
    world.join("alice", Role.ADMIN)
    world.join("bob").write(Lane.CTL, Register("label", b"first"))
    return world


def covering(world: World, covers: Sequence[FeedPoint], value: bytes) -> Digest:
    """A checkpoint of bob's, in an epoch of its own; in its state the label has this value."""
    bob = world.writers["bob"].start()
    kept = (Dot(bob.feed(Lane.CTL), 0), encode_event(Register("label", value)))
    data = encode_state(Lane.CTL, b"", [kept])
    state = digest_of(data)
    world.states[state] = data
    ordered = tuple(sorted(covers, key=lambda point: point.epoch))
    bob.write(Lane.CTL, Checkpoint(ordered, state, len(data), 1))
    return state


def all_of(feed: FeedId) -> FeedPoint:
    return FeedPoint(feed.epoch, feed.lane, AFTER_ALL, digest("a head that never was"))


def feed_of(world: World) -> FeedId:
    return world.writers["bob"].feed(Lane.CTL)


def less_than_the_one_before(world: World) -> list[Digest]:
    """The second covers the first, and not what the first covers."""
    first = covering(world, [all_of(feed_of(world))], b"of the first")
    return [first, covering(world, [all_of(feed_of(world))], b"of the second")]


def each_the_other(world: World) -> list[Digest]:
    bob = world.writers["bob"]
    epochs = [digest(("bob", "epoch", bob.starts + n))[:8] for n in (1, 2)]
    one, other = (FeedId(bob.node, epoch, int(Lane.CTL)) for epoch in epochs)
    first = covering(world, [all_of(other), all_of(feed_of(world))], b"of the first")
    return [first, covering(world, [all_of(one)], b"of the second")]


def in_turn(world: World, states: Sequence[Digest], slice_rows: int | None) -> State:
    """Folds, and gives states in this order, each time again after all was folded anew."""
    bob = world.writers["bob"]
    state = State(world.writers["alice"].node, world.standing(), slice_rows)
    changes, left = state.apply(world.frames), list(states)
    for _ in range(ROUNDS_MAX):
        if changes.again:
            changes, left = state.refold(bob.node, bob.frames), list(states)
        elif state.is_behind:
            changes = state.go_on()
        elif left:
            name = left.pop(0)
            changes = state.load(name, world.states[name])
        else:
            return state
    raise AssertionError("bob is folded anew for ever")


@pytest.mark.parametrize("slice_rows", [None, 1])
@pytest.mark.parametrize("written", [less_than_the_one_before, each_the_other])
def test_in_every_order_folding_ends_and_in_the_same(
    written: Callable[[World], list[Digest]], slice_rows: int | None
) -> None:
    world = bobs_world()
    states = written(world)
    ends = [in_turn(world, order, slice_rows) for order in permutations(states)]
    assert len({state.digest() for state in ends}) == 1
    assert ends[0].covered() == ends[1].covered()
    assert ends[0].wanted() == ends[1].wanted() == ()


def test_what_a_covered_checkpoint_covers_counts_no_more_and_its_state_is_not_needed() -> None:
    world = bobs_world()
    begun = feed_of(world)
    _, second = less_than_the_one_before(world)
    state = State(world.writers["alice"].node, world.standing())
    state.apply(world.frames)
    state.load(second, world.states[second])
    assert state.wanted() == ()
    assert state.covered()[begun] == AFTER_ALL
    label = state.registers.get(world.writers["bob"].node, "label")
    assert label is not None
    assert (label.value, label.others) == (b"of the second", ())


def test_a_removal_of_the_later_one_brings_back_what_the_earlier_one_says() -> None:
    world = bobs_world()
    bob = world.writers["bob"]
    first = covering(world, [all_of(feed_of(world))], b"of the first")
    cut = bob.points()
    covering(world, [all_of(feed_of(world))], b"of the second")
    world.remove("bob", cut)
    state = world.fold()
    assert first not in state.wanted()
    label = state.registers.get(bob.node, "label")
    assert label is not None
    assert label.value == b"of the first"


def test_a_state_that_proves_unreadable_after_all_was_folded_anew_changes_nothing() -> None:
    world = bobs_world()
    bob = world.writers["bob"]
    bob.write(Lane.AC, result("a"))
    (row,) = world.fold().actions.kept(bob.node)
    data = encode_state(Lane.AC, row + row, ())
    covers = (FeedPoint(digest("epoch")[:8], int(Lane.AC), 1, digest("head")),)
    bob.write(Lane.AC, Checkpoint(covers, digest_of(data), len(data), 2))
    state = State(world.writers["alice"].node, world.standing(), slice_rows=1)
    state.apply(world.frames)
    state.load(digest_of(data), data)
    assert state.is_behind
    state.refold(bob.node, bob.frames)
    go_on(state)
    assert state.wanted() == (digest_of(data),)
    state.load(digest_of(data), data)
    go_on(state)
    assert state.wanted() == ()
    assert state.covered() == {}


def go_on(state: State) -> None:
    while state.is_behind:
        state.go_on()
