"""A leaf's events as the mesh keeps them: a union that nothing can change afterwards."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.leaf.history import Contradicts, History, Segment
from mesh.leaf.messages import Event, EventKind, chain, chain_start

BOOT = b"boot-one"
TOTAL = 40


def event(number: int) -> Event:
    return Event(number * 10, EventKind.EMITTED, 0, 1, number, 0)


def heads(boot: bytes, total: int = TOTAL) -> list[bytes]:
    """The chain of a leaf whose events are `event(0)`, `event(1)`..."""
    found = [chain_start(boot)]
    for number in range(total):
        found.append(chain(found[-1], event(number)))
    return found


HEADS = {boot: heads(boot) for boot in (BOOT, b"boot-two")}


def segment(first: int, end: int, boot: bytes = BOOT) -> Segment:
    started = 1000 if boot == BOOT else 2000
    events = tuple(event(number) for number in range(first, end))
    return Segment(boot, first, HEADS[boot][first], started, events)


def numbers(history: History, boot: bytes = BOOT) -> list[int]:
    return [
        number
        for start in history.starts()
        if start.boot_nonce == boot
        for span in start.spans
        for number in range(span.first, span.end)
    ]


ranges = st.tuples(
    st.integers(0, TOTAL - 1), st.integers(1, 12), st.sampled_from(sorted(HEADS))
).map(lambda each: segment(each[0], min(TOTAL, each[0] + each[1]), each[2]))


@given(st.lists(ranges, max_size=12), st.randoms())
def test_any_order_and_any_repetition_gives_the_same_events(
    segments: list[Segment], random: object
) -> None:
    one, other = History(), History()
    for each in segments:
        one.add(each)
    shuffled = [*segments, *segments]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for each in shuffled:
        other.add(each)
    assert list(one.segments(1000)) == list(other.segments(1000))
    for boot in HEADS:
        wanted = {
            n for each in segments if each.boot_nonce == boot for n in range(each.first, each.end)
        }
        assert numbers(one, boot) == sorted(wanted)


@given(st.lists(ranges, max_size=12))
def test_each_event_is_new_exactly_once(segments: list[Segment]) -> None:
    history = History()
    told: list[tuple[bytes, int]] = []
    for each in segments:
        for part in history.add(each):
            told += [(part.boot_nonce, number) for number in range(part.first, part.end)]
            assert part.head == HEADS[part.boot_nonce][part.first]
    assert len(told) == len(set(told)) == history.count


@given(st.lists(ranges, max_size=8), st.lists(ranges, max_size=8))
def test_two_gateways_that_exchange_what_they_lack_end_with_the_same(
    mine: list[Segment], yours: list[Segment]
) -> None:
    a, b = History(), History()
    for history, segments in ((a, mine), (b, yours)):
        for each in segments:
            history.add(each)
    held_by_b = [(start.boot_nonce, start.ranges()) for start in b.starts()]
    held_by_a = [(start.boot_nonce, start.ranges()) for start in a.starts()]
    to_b, to_a = list(a.lacking(held_by_b, 7)), list(b.lacking(held_by_a, 7))
    for each in to_b:
        b.add(each)
    for each in to_a:
        a.add(each)
    assert list(a.segments(1000)) == list(b.segments(1000))


def test_a_gap_is_missing_until_another_gateway_brings_it() -> None:
    history = History()
    history.add(segment(0, 5))
    history.add(segment(9, 12))
    assert history.missing == 4
    history.add(segment(5, 9))
    assert history.missing == 0
    assert numbers(history) == list(range(12))


def test_the_next_gateway_goes_on_where_the_last_one_was() -> None:
    history = History()
    history.add(segment(0, 5))
    history.add(segment(9, 12))
    stream = history.stream(BOOT)
    assert (stream.next, stream.head, stream.missing) == (12, HEADS[BOOT][12], 4)


@pytest.mark.parametrize("first", [0, 3, 5, 6, 10])
def test_an_event_that_was_kept_cannot_be_changed(first: int) -> None:
    history = History()
    history.add(segment(5, 10))
    honest = segment(first, first + 6)
    lie = attrs.evolve(honest.events[0], value=12345)
    changed = attrs.evolve(honest, events=(lie, *honest.events[1:]))
    before = list(history.segments(100))
    with pytest.raises(Contradicts):
        history.add(changed if first < 10 else attrs.evolve(changed, head=bytes(32)))
    assert list(history.segments(100)) == before


def test_what_is_forgotten_for_want_of_room_is_not_missing() -> None:
    history = History(events_max=20)
    for first in range(0, 40, 4):
        history.add(segment(first, first + 4))
    assert history.count <= 20
    assert history.missing == 0
    assert numbers(history)[-1] == 39
    again = History(events_max=20)
    for mark in history.marks():
        again.recall(mark)
    for each in history.segments(100):
        again.add(each)
    assert again.missing == 0
    assert history.add(segment(0, 4)) == (), "what is forgotten does not come back as new"
