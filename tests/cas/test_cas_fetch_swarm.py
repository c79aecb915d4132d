"""The choice of chunks and the windows, without streams: everything comes, once, and soon."""

from __future__ import annotations

import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.cas.fetch.bucket import ByteBucket
from mesh.cas.fetch.swarm import Swarm, bitmap, has_bit
from mesh.cas.fetch.window import QUEUE_S, Window
from mesh.limits import FETCH_BLOCK_CHUNKS, FETCH_WINDOW_CHUNKS_MAX
from mesh.types import NodeId

STEP_S = 0.01


def node(number: int) -> NodeId:
    return NodeId(bytes([number]) * 32)


@attrs.define
class Holder:
    """Gives one chunk every `pace_s`, until it stalls or has given its last."""

    pace_s: float
    have: bytes | None = None
    stalls_at_s: float = float("inf")
    queue: list[int] = attrs.field(factory=list)
    due_s: float = 0.0

    def ask(self, indices: list[int], now_s: float) -> None:
        if not self.queue:
            self.due_s = now_s + self.pace_s
        self.queue += indices

    def gives(self, now_s: float) -> int | None:
        if not self.queue or now_s < self.due_s or now_s >= self.stalls_at_s:
            return None
        self.due_s += self.pace_s
        return self.queue.pop(0)


@attrs.define
class Play:
    """A swarm and its holders in virtual time."""

    chunks: int
    holders: dict[NodeId, Holder]
    seed: int = 0
    now_s: float = 0.0
    asked: list[tuple[NodeId, int]] = attrs.field(factory=list)
    swarm: Swarm = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.swarm = Swarm(range(self.chunks), random.Random(self.seed).random)
        for each, holder in self.holders.items():
            self.swarm.join(each, holder.have, 0.0)

    def run(self, within_s: float) -> bool:
        """Whether everything came in that time."""
        while self.swarm.missing and self.now_s < within_s:
            self.step()
        return not self.swarm.missing

    def step(self) -> None:
        for each, holder in self.holders.items():
            if each not in self.swarm.sources:
                continue
            while (index := holder.gives(self.now_s)) is not None:
                self.swarm.arrived(each, index, self.now_s)
            indices = self.swarm.next_for(each, self.now_s)
            self.asked += [(each, index) for index in indices]
            assert len(self.swarm.sources[each].asked) <= FETCH_WINDOW_CHUNKS_MAX
            if indices:
                holder.ask(indices, self.now_s)
        self.now_s += STEP_S

    def times_asked(self) -> dict[int, int]:
        counts: dict[int, int] = {}
        for _, index in self.asked:
            counts[index] = counts.get(index, 0) + 1
        return counts


@given(
    st.integers(1, 60),
    st.lists(st.sampled_from([0.01, 0.05, 0.3]), min_size=1, max_size=4),
    st.integers(0, 99),
    st.data(),
)
def test_everything_comes_from_whoever_has_it(
    chunks: int, paces: list[float], seed: int, data: st.DataObject
) -> None:
    """Each chunk is somewhere; nobody is asked for what it has not; no chunk of more than two."""
    rng = random.Random(seed)
    lists = [{i for i in range(chunks) if rng.random() < 0.5} for _ in paces]
    for index in range(chunks):
        lists[rng.randrange(len(lists))].add(index)
    holders = {
        node(number): Holder(pace_s, bitmap(chunks, set(range(chunks)) - lists[number]))
        for number, pace_s in enumerate(paces)
    }
    dies = data.draw(st.booleans())
    if dies:  # one that has everything, and goes away soon
        holders[node(99)] = Holder(0.02)
    play = Play(chunks, holders, seed)
    for _ in range(7):
        play.step()
    play.swarm.leave(node(99))
    assert play.run(within_s=60), play.swarm.missing
    for who, index in play.asked:
        have = holders[who].have
        assert have is None or has_bit(have, index)
    assert max(play.times_asked().values()) <= 2 + dies


def test_four_equal_holders_are_four_times_as_quick() -> None:
    play = Play(400, {node(n): Holder(0.05) for n in range(4)})
    assert play.run(within_s=400 * 0.05 / 4 * 1.1)
    assert len(play.asked) <= 404


def test_a_slow_holder_does_not_hold_up_the_end() -> None:
    holders = {node(1): Holder(0.02), node(2): Holder(2.0)}
    play = Play(200, holders)
    assert play.run(within_s=200 * 0.02 * 1.15)
    assert len(play.asked) <= 200 + 8


def test_a_holder_that_stalls_costs_its_window_and_no_time() -> None:
    holders = {node(n): Holder(0.02, stalls_at_s=0.5 if n == 1 else 1e9) for n in range(3)}
    play = Play(300, holders)
    assert play.run(within_s=300 * 0.02 / 2 * 1.2)
    twice = sum(times > 1 for times in play.times_asked().values())
    assert 0 < twice <= FETCH_WINDOW_CHUNKS_MAX


def test_what_a_holder_owed_when_it_left_is_asked_of_others() -> None:
    swarm = Swarm(range(4), random.Random(1).random)
    swarm.join(node(1), None, 0.0)
    first = swarm.next_for(node(1), 0.0)
    swarm.leave(node(1))
    swarm.join(node(2), None, 1.0)
    got: list[int] = []
    while swarm.missing:
        for index in swarm.next_for(node(2), 1.0):
            got.append(index)
            assert swarm.arrived(node(2), index, 1.1)
    assert sorted(got) == [0, 1, 2, 3]
    assert set(first) <= set(got)


def test_the_rarest_chunk_comes_first() -> None:
    swarm = Swarm(range(64), random.Random(5).random)
    swarm.join(node(1), None, 0.0)
    swarm.join(node(2), bitmap(64, {9, 40}), 0.0)
    swarm.join(node(3), bitmap(64, {9, 40, 41}), 0.0)
    assert sorted(swarm.next_for(node(1), 0.0)) == [9, 40]
    assert 41 in swarm.next_for(node(2), 0.0)


def test_a_holder_that_lacks_one_after_all_is_not_asked_for_it_again() -> None:
    swarm = Swarm([7], random.Random(5).random)
    swarm.join(node(1), None, 0.0)
    assert swarm.next_for(node(1), 0.0) == [7]
    swarm.lacks(node(1), 7)
    assert swarm.next_for(node(1), 0.0) == []
    assert swarm.is_hopeless()
    swarm.join(node(2), None, 0.0)
    assert not swarm.is_hopeless()
    assert swarm.next_for(node(2), 0.0) == [7]


def test_a_blob_of_any_size_is_chosen_from_block_by_block() -> None:
    chunks = 3 * FETCH_BLOCK_CHUNKS
    swarm = Swarm(range(chunks), random.Random(5).random)
    swarm.join(node(1), None, 0.0)
    assert max(swarm.next_for(node(1), 0.0)) < FETCH_BLOCK_CHUNKS
    last = bitmap(chunks, range(chunks - 1))
    swarm.join(node(2), last, 0.0)
    assert swarm.next_for(node(2), 0.0) == [chunks - 1], "whoever has something is asked for it"


@given(st.sets(st.integers(0, 40)), st.integers(1, 41))
def test_a_bitmap_says_what_is_missing(missing: set[int], chunks: int) -> None:
    missing = {index for index in missing if index < chunks}
    bits = bitmap(chunks, missing)
    assert len(bits) == -(-chunks // 8)
    assert {i for i in range(8 * len(bits)) if has_bit(bits, i)} == set(range(chunks)) - missing
    assert not has_bit(bits, 8 * len(bits))


# -- windows ---------------------------------------------------------------------------------------
def test_a_window_doubles_until_chunks_wait_too_long_then_grows_slowly() -> None:
    window = Window()
    for _ in range(100):
        window.arrived(0.0, 0.01)
    assert window.chunks == FETCH_WINDOW_CHUNKS_MAX
    window.arrived(1.0, 1.02 + QUEUE_S)
    assert window.chunks == FETCH_WINDOW_CHUNKS_MAX // 2
    window.arrived(1.1, 1.13 + QUEUE_S)
    assert window.chunks == FETCH_WINDOW_CHUNKS_MAX // 2, "once per window"
    for _ in range(FETCH_WINDOW_CHUNKS_MAX // 2 + 1):
        window.arrived(2.0, 2.01)
    assert window.chunks == FETCH_WINDOW_CHUNKS_MAX // 2 + 1
    for _ in range(20):
        now_s = 10.0 + _
        window.arrived(now_s - 0.5 - QUEUE_S, now_s)
    assert window.chunks == 1


@pytest.mark.parametrize("size", [1000, 5000])
def test_a_bucket_lets_so_many_bytes_a_second_through(size: int) -> None:
    bucket = ByteBucket(10_000.0, 2000.0)
    now_s, sent = 100.0, 0
    for _ in range(50):
        now_s += bucket.take(size, now_s)
        sent += size
    assert sent - 2000 <= 10_000 * (now_s - 100.0) + 1e-6 <= sent


def test_a_bucket_forgives_who_overslept_and_not_who_paused() -> None:
    bucket = ByteBucket(10_000.0, 1000.0, late_s=0.25)
    now_s = 100.0
    assert bucket.take(3000, now_s) == pytest.approx(0.2), "a burst, and the rest at the rate"
    for _ in range(10):
        now_s += bucket.take(2000, now_s) + 0.19
    assert now_s == pytest.approx(100.2 + 10 * 0.2 + 0.19), "the rate, and late by one wake-up"
    assert bucket.take(5000, now_s + 60.0) == pytest.approx(0.4), "no more than a burst"
