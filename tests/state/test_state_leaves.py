"""Events of leaves in the shared state: each once, in any order; holes are seen."""

from __future__ import annotations

from random import Random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from leaf_chains import TOTAL, Chain
from state_scripts import again, tell
from state_world import World
from test_state_laws import LAWS, SEEDS

from mesh.leaf.history import Contradicts, History, SignedHead
from mesh.leaf.segment import Segment, joined
from mesh.log.model import Lane
from mesh.state.views import State

LEAF = Chain()
LIE = Chain(twist=1000)
CHAINS = (LEAF, Chain(start=1), Chain("cellar"))
NAMES = ("alice", "bob", "carol")


def numbers(history: History, chain: Chain = LEAF) -> list[int]:
    start = history.start(chain.boot)
    return [n for low, high in (start.ranges() if start else ()) for n in range(low, high)]


def values(history: History, chain: Chain = LEAF) -> list[int]:
    start = history.start(chain.boot)
    return [each.value for piece in (start.pieces if start else ()) for each in piece.events]


# -- the union -------------------------------------------------------------------------------------
ranges = st.tuples(st.integers(0, TOTAL - 1), st.integers(1, 12), st.sampled_from(CHAINS[:2])).map(
    lambda each: each[2].segment(each[0], min(TOTAL, each[0] + each[1]))
)


@given(st.lists(ranges, max_size=12), st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_gives_the_same_events(
    segments: list[Segment], random: Random
) -> None:
    one, other = History(), History()
    told: list[tuple[bytes, int]] = []
    for each in segments:
        for part in one.add(each):
            told += [(part.boot_nonce, number) for number in range(part.first, part.end)]
    assert len(told) == len(set(told)) == one.count, "each event is new once"
    shuffled = [*segments, *segments]
    random.shuffle(shuffled)
    for each in shuffled:
        other.add(each)
    both = [History.of(segments, ()), other]
    for chain in CHAINS[:2]:
        wanted = sorted(
            {n for s in segments if s.boot_nonce == chain.boot for n in range(s.first, s.end)}
        )
        assert values(one, chain) == numbers(one, chain) == wanted
        assert [values(each, chain) for each in both] == [wanted, wanted]


@given(ranges, st.data())
def test_a_part_of_a_segment_is_of_the_same_chain(segment: Segment, data: st.DataObject) -> None:
    low = data.draw(st.integers(segment.first, segment.end))
    high = data.draw(st.integers(low, segment.end))
    part = segment.part(low, high)
    assert part.agrees(segment)
    assert part.events == segment.events[low - segment.first : high - segment.first]
    assert part.tail == segment.head_at(high)
    halves = [segment.part(segment.first, low), segment.part(low, segment.end)]
    whole = [each for each in joined([h for h in halves if h.count], 100) if each.count]
    assert whole == [segment]


@pytest.mark.parametrize("first", [0, 3, 5, 6, 9, 10])
def test_an_event_that_was_kept_cannot_be_changed(first: int) -> None:
    history = History()
    history.add(LEAF.segment(5, 10))
    before = values(history)
    with pytest.raises(Contradicts):
        history.add(LIE.segment(first, first + 6))
    assert values(history) == before


def test_the_next_gateway_goes_on_where_the_last_one_was() -> None:
    history = History()
    history.add(LEAF.segment(0, 5))
    history.add(LEAF.segment(9, 12))
    stream = history.stream(LEAF.boot)
    assert (stream.next, stream.head, stream.missing) == (12, LEAF.head(12), 4)
    assert history.order_of(LEAF.boot) == 0
    assert history.order_of(b"another.") == 1


def test_a_hole_is_told_with_who_signed_for_it() -> None:
    history = History()
    history.add(LEAF.segment(10, 12))
    history.add(LEAF.segment(15, 20))
    history.sign(SignedHead(LEAF.boot, 18, LEAF.head(18)))
    start = history.start(LEAF.boot)
    assert start is not None
    assert [(g.first, g.end, g.signed) for g in start.gaps()] == [(0, 10, False), (12, 15, True)]
    assert start.missing == 13
    history.let_go(LEAF.boot, 0, 0, 8)
    assert [(g.first, g.end, g.let_go) for g in start.gaps()] == [
        (0, 8, True),
        (8, 10, False),
        (12, 15, False),
    ]
    assert start.missing == 5


# -- the fold --------------------------------------------------------------------------------------
def mesh() -> World:
    world = World()
    for name in NAMES:
        world.join(name)
    return world


def history_of(state: State, chain: Chain = LEAF) -> History:
    return state.leaves.history(chain.leaf)


def test_two_gateways_that_saw_the_same_events_count_them_once() -> None:
    world = mesh()
    world.writers["alice"].write(Lane.LEAF, LEAF.told(0, 10), LEAF.told(10, 20))
    world.writers["bob"].write(Lane.LEAF, LEAF.told(5, 25))
    history = history_of(world.fold())
    assert values(history) == list(range(25))
    assert (history.count, history.missing) == (25, 0)


def test_what_a_removal_cuts_is_a_hole_again() -> None:
    world = mesh()
    world.writers["alice"].write(Lane.LEAF, LEAF.told(0, 10))
    world.writers["bob"].write(Lane.LEAF, LEAF.told(10, 20))
    world.writers["carol"].write(Lane.LEAF, LEAF.told(20, 30))
    state = world.fold()
    assert history_of(state).missing == 0
    world.remove("bob")
    changes = state.stand(world.standing())
    assert changes.leaves == (LEAF.leaf,)
    assert numbers(history_of(state)) == [*range(10), *range(20, 30)]
    assert history_of(state).missing == 10


def test_the_leafs_signature_decides_between_gateways() -> None:
    for liar, honest in (("alice", "bob"), ("bob", "alice")):
        world = mesh()
        world.writers[liar].write(Lane.LEAF, LIE.told(0, 12))
        world.writers[honest].write(Lane.LEAF, LEAF.told(0, 8), LEAF.told(8, 20))
        world.writers[honest].write(Lane.LEAF, LEAF.proof(15))
        history = history_of(world.fold())
        assert values(history) == list(range(20))
        assert history.refused == 1


def test_a_proof_that_the_leaf_has_not_signed_is_refused() -> None:
    world = mesh()
    forged = attrs.evolve(LEAF.proof(5), next_event=6)
    world.writers["alice"].write(Lane.LEAF, LEAF.told(0, 8), forged)
    state = State(world.writers["bob"].node, world.standing())
    changes = state.apply(world.frames)
    assert changes.refused == {world.writers["alice"].node: {"leaf-proof": 1}}
    assert values(history_of(state)) == list(range(8))


def test_a_checkpoint_keeps_what_was_not_let_go_and_says_how_far() -> None:
    world = mesh()
    alice = world.writers["alice"]
    alice.write(Lane.LEAF, *(LEAF.told(at, at + 5) for at in range(0, 30, 5)))
    alice.write(Lane.LEAF, LEAF.proof(10), LEAF.proof(20), LEAF.let_go(10))
    assert history_of(world.fold()).count == 30, "let go is what the next checkpoint does"
    world.checkpoint("alice", Lane.LEAF)
    alice.write(Lane.LEAF, LEAF.told(30, 35))
    history = history_of(world.fold())
    assert values(history) == list(range(10, 35))
    start = history.start(LEAF.boot)
    assert start is not None
    assert (start.forgotten, start.missing, list(start.signed)) == (10, 0, [20])


def test_what_the_log_had_no_room_for_is_missing() -> None:
    world = mesh()
    alice = world.writers["alice"]
    alice.write(Lane.LEAF, LEAF.told(0, 10))
    alice.write(Lane.LEAF, LEAF.told(10, 20))
    state = world.fold()
    changes = state.lost(alice.feed(Lane.LEAF), 1)
    assert changes.leaves == (LEAF.leaf,)
    assert numbers(history_of(state)) == list(range(10, 20))
    assert history_of(state).missing == 10


class Gateways:
    """Worlds of gateways, honest and not."""

    def __init__(self) -> None:
        self.world = mesh()

    def run(self, steps: list[tuple[str, int, int, int]]) -> World:
        for what, who, a, b in steps:
            getattr(self, what)(NAMES[who % len(NAMES)], CHAINS[a % len(CHAINS)], a, b)
        return self.world

    def told(self, name: str, chain: Chain, a: int, b: int) -> None:
        first = b % TOTAL
        said = chain.told(first, min(TOTAL, first + 1 + a % 9))
        self.world.writers[name].write(Lane.LEAF, said)

    def lie(self, name: str, chain: Chain, a: int, b: int) -> None:
        self.told(name, attrs.evolve(chain, twist=1000 * (1 + b % 2)), a, b)

    def proof(self, name: str, chain: Chain, _a: int, b: int) -> None:
        self.world.writers[name].write(Lane.LEAF, chain.proof(b % TOTAL))

    def let_go(self, name: str, chain: Chain, _a: int, b: int) -> None:
        self.world.writers[name].write(Lane.LEAF, chain.let_go(b % TOTAL))

    def fork(self, name: str, chain: Chain, _a: int, b: int) -> None:
        writer = self.world.writers[name]
        places = [at for at, f in enumerate(writer.frames) if f.feed.lane == Lane.LEAF]
        if places:
            self.world.fork(name, places[b % len(places)], chain.told(b % TOTAL, TOTAL))

    def restart(self, name: str, _chain: Chain, _a: int, _b: int) -> None:
        self.world.writers[name].start()

    def checkpoint(self, name: str, _chain: Chain, _a: int, _b: int) -> None:
        self.world.checkpoint(name, Lane.LEAF)

    def remove(self, name: str, _chain: Chain, _a: int, b: int) -> None:
        self.world.remove(name, self.world.writers[name].points() if b % 2 else ())


steps = st.tuples(
    st.sampled_from(
        ("told",) * 6
        + ("lie", "proof", "proof", "let_go", "fork", "restart", "checkpoint", "checkpoint")
        + ("remove",)
    ),
    st.integers(0, 2),
    st.integers(0, 99),
    st.integers(0, 99),
)
meshes = st.lists(steps, min_size=1, max_size=25).map(lambda each: Gateways().run(each))


@LAWS
@given(meshes, SEEDS)
def test_the_view_is_a_function_of_the_set(world: World, seed: int) -> None:
    told = again(world, tell(world, Random(seed)))
    assert told.leaves.shown() == world.fold(me=told.me).leaves.shown()
    assert told.digest() == world.fold(me=told.me).digest()


@LAWS
@given(st.lists(steps.filter(lambda s: s[0] not in {"lie", "fork", "remove"}), max_size=25), SEEDS)
def test_honest_gateways_are_never_refused(
    told: list[tuple[str, int, int, int]], seed: int
) -> None:
    state = tell(Gateways().run(told), Random(seed))
    for chain in CHAINS:
        history = history_of(state, chain)
        assert history.refused == 0
        assert values(history, chain) == numbers(history, chain)


@LAWS
@given(meshes, SEEDS)
def test_what_leads_to_a_signature_is_shown_as_the_leaf_said_it(world: World, seed: int) -> None:
    state = tell(world, Random(seed))
    for chain in CHAINS:
        start = history_of(state, chain).start(chain.boot)
        for first, end in start.ranges() if start else ():
            assert start is not None
            sure = [number for number in start.signed if first <= number <= end]
            known = [
                event.value
                for piece in start.pieces
                for number, event in enumerate(piece.events, piece.first)
                if sure and first <= number < max(sure)
            ]
            assert known == list(range(first, max(sure, default=first)))
