"""Taint as a graph problem, and builders that lie."""

from __future__ import annotations

from random import Random
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from state_world import World, digest, result

from mesh.identity.roles import Role
from mesh.limits import EVENT_CONSUMED_MAX
from mesh.log.model import Lane
from mesh.state.actions import Divergent, Trusted, TrustPolicy
from mesh.state.events import CONSUMED_BYTES, ActionResult, Derivation, Trust
from mesh.state.taint import closure
from mesh.types import Digest

CLOSURE_S_MAX = 1.0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=40),
    st.sets(st.integers(0, 15), max_size=4),
)
def test_the_closure_is_what_can_be_reached(edges: list[tuple[int, int]], seeds: set[int]) -> None:
    consumers: dict[bytes, list[Digest]] = {}
    for made, from_what in edges:
        consumers.setdefault(digest(from_what)[:CONSUMED_BYTES], []).append(digest(made))
    reached: set[int] = set()
    for _ in range(16):
        reached |= {made for made, from_what in edges if from_what in seeds | reached}
    tainted = closure((digest(seed)[:16] for seed in seeds), consumers, lambda action: [action])
    assert tainted == {digest(each) for each in reached}


def test_the_closure_of_100_000_actions_takes_less_than_a_second() -> None:
    """One long chain and a wide graph; each action is made of two earlier ones."""
    random, count = Random(7), 100_000
    names = [digest(number) for number in range(count)]
    consumers: dict[bytes, list[Digest]] = {}
    for at in range(1, count):
        for other in (at - 1, random.randrange(at)):
            consumers.setdefault(names[other][:CONSUMED_BYTES], []).append(names[at])
    start = process_time()
    tainted = closure([names[0][:CONSUMED_BYTES]], consumers, lambda action: (action,))
    took_s = process_time() - start
    assert len(tainted) == count - 1
    assert took_s < CLOSURE_S_MAX


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_with_k_2_one_lying_builder_of_five_poisons_nothing(data: st.DataObject) -> None:
    """The liar may attest anything, as often as it likes, from many processes; the honest say what
    is true of what they happen to build. Nobody believes a lie, and a lie about something that two
    honest ones have built is an alarm with the liar's name."""
    world = World()
    honest = [world.join(f"honest {number}") for number in range(4)]
    liar = world.join("liar")
    built = data.draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=20))
    lies = data.draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=20))
    for who, action in built:
        honest[who].write(Lane.AC, result(action, "true"))
    for action, lie in lies:
        if lie == 2:
            liar.start()
        liar.write(Lane.AC, result(action, f"lie {lie}"))
    frames = data.draw(st.permutations(world.frames))
    state = world.fold(frames)
    policy = TrustPolicy(Trust.K_BUILDERS, 2)
    for action in range(6):
        found = state.lookup(digest(action), policy)
        builders = {who for who, each in built if each == action}
        assert isinstance(found, Trusted) == (len(builders) >= 2)
        if isinstance(found, Trusted):
            assert found.outputs == digest(f"{action}>true")
    alarms = {each.action: each.builders for each in state.actions.divergences()}
    for action in {each for each, _ in lies}:
        if any(each == action for _, each in built):
            assert liar.node in alarms[digest(action)]


def test_two_liars_that_agree_stand_against_two_honest_ones_and_nobody_is_believed() -> None:
    world = World()
    for name, outputs in (("a", "true"), ("b", "true"), ("c", "lie"), ("d", "lie")):
        world.join(name).write(Lane.AC, result("x", outputs))
    found = world.fold().lookup(digest("x"), TrustPolicy(Trust.K_BUILDERS, 2))
    assert isinstance(found, Divergent)
    assert len(found.builders) == 4


def test_taint_is_told_by_node_and_ends_with_a_derivation_that_counts_no_more() -> None:
    world = World()
    alice = world.join("alice", Role.ADMIN)
    bob, eve = world.join("bob"), world.join("eve")
    bob.write(Lane.AC, result("x", "bad"))
    eve.write(Lane.AC, result("y", "bad"))
    alice.write(Lane.AC, Derivation(digest("p"), (digest("x>bad")[:16],)), result("p"))
    world.remove("bob")
    world.remove("eve")
    state = world.fold()
    assert [each.action for each in state.taint(bob.node).withdrawn] == [digest("x")]
    assert state.taint(bob.node).derived == (digest("p"),)
    assert state.taint(eve.node).derived == ()
    assert state.lookup(digest("p")) is None
    world.remove("alice")
    state.stand(world.standing())
    assert state.taint().derived == ()
    assert len(state.taint().withdrawn) == 3


@pytest.mark.parametrize("count", [1, 23, 24, 255, 256, EVENT_CONSUMED_MAX])
def test_every_one_of_many_inputs_is_found(count: int) -> None:
    consumed = tuple(digest(number)[:CONSUMED_BYTES] for number in range(count))
    for at in {0, count // 2, count - 1}:
        world = World()
        alice, bob = world.join("alice"), world.join("bob")
        bob.write(Lane.AC, ActionResult(digest("x"), digest(at), digest("r"), 0, 1))
        alice.write(Lane.AC, Derivation(digest("p"), consumed))
        world.remove("bob")
        assert world.fold().taint().derived == (digest("p"),)


@pytest.mark.parametrize("slice_rows", [1, 3, 50])
def test_while_taint_is_looked_for_nothing_that_may_be_tainted_is_offered(slice_rows: int) -> None:
    """Also of what comes in meanwhile. What consumed nothing of others is offered throughout."""
    world = World()
    alice, bob = world.join("alice"), world.join("bob")
    bob.write(Lane.AC, result("x0", "0"))
    for at in range(30):
        consumed = (digest(f"x{at}>{at}")[:16],)
        alice.write(Lane.AC, Derivation(digest(f"x{at + 1}"), consumed))
        alice.write(Lane.AC, result(f"x{at + 1}", str(at + 1)))
    alice.write(Lane.AC, result("apart"))
    state = world.fold()
    state.slice_rows = slice_rows
    chain = [digest(f"x{at + 1}") for at in range(30)]
    assert all(state.lookup(each) for each in chain)

    world.remove("bob")
    state.stand(world.standing())
    alice.write(Lane.AC, Derivation(digest("late"), (digest("x30>30")[:16],)), result("late"))
    turns, told = 0, False
    while state.is_behind:
        assert all(state.lookup(each) is None for each in chain)
        assert state.lookup(digest("apart")) is not None
        state.go_on()
        turns += 1
        if turns == 2 or not (told or state.is_behind):
            state.apply(world.frames)
            told = True
    assert told
    assert state.lookup(digest("late")) is None
    assert state.taint(at_once=False) == world.fold().taint()
    assert len(state.taint().derived) == 31
    assert turns > 31 // slice_rows


def test_what_touches_nothing_tainted_does_not_make_it_look_again() -> None:
    world = World()
    alice, bob = world.join("alice"), world.join("bob")
    bob.write(Lane.AC, result("x", "bad"))
    alice.write(Lane.AC, Derivation(digest("p"), (digest("x>bad")[:16],)), result("p"))
    world.remove("bob")
    state = world.fold()
    state.slice_rows = 10
    while state.is_behind:
        state.go_on()
    alice.write(Lane.AC, Derivation(digest("q"), (digest("y>ok")[:16],)), result("q"))
    state.apply(world.frames)
    assert not state.is_behind
    assert state.lookup(digest("q")) is not None
    alice.write(Lane.AC, Derivation(digest("r"), (digest("x>bad")[:16],)), result("r"))
    state.apply(world.frames)
    assert state.is_behind
    while state.is_behind:
        state.go_on()
    assert state.taint(at_once=False).derived == tuple(sorted((digest("p"), digest("r"))))
