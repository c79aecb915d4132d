"""Packed version vectors: what is packed comes out, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sync_world import Pair, chain, events, key

from mesh.limits import LOG_SEQ_MAX
from mesh.log.model import FeedId, Head
from mesh.log.sync.messages import RollUp, Section
from mesh.log.sync.vectors import (
    clear_bytes,
    mark_of,
    open_roll_up,
    open_section,
    pack_roll_up,
    pack_section,
    tag_of,
)
from mesh.types import Digest, NodeId
from mesh.wire.errors import WireError

NODE = NodeId(bytes(32))
FEEDS = st.builds(FeedId, st.just(NODE), st.binary(min_size=8, max_size=8), st.integers(0, 3))
HEADS = st.builds(
    Head, st.integers(1, LOG_SEQ_MAX), st.binary(min_size=32, max_size=32).map(Digest)
)
NODES = st.binary(min_size=32, max_size=32).map(NodeId)


@given(
    st.dictionaries(FEEDS, HEADS, max_size=40),
    st.dictionaries(FEEDS, st.integers(0, LOG_SEQ_MAX), max_size=5),
)
def test_a_section_says_what_was_packed(
    heads: dict[FeedId, Head], forks: dict[FeedId, int]
) -> None:
    section = pack_section(NODE[:1], heads, forks)
    opened = open_section(section)
    for feed, head in heads.items():
        found = [each for each in opened.entries if tag_of(feed).startswith(each.tag)]
        assert [(each.count, each.mark) for each in found] == [(head.count, mark_of(feed, head))]
    assert sorted(each.since for each in opened.forks) == sorted(forks.values())


@given(st.dictionaries(NODES, st.binary(min_size=8, max_size=8), max_size=60))
def test_a_roll_up_says_what_was_packed(hashes: dict[NodeId, bytes]) -> None:
    rows = open_roll_up(pack_roll_up(hashes))
    assert len(rows) == len(hashes)
    for prefix, digest in rows:
        (node,) = [each for each in hashes if each.startswith(prefix)]
        assert hashes[node] == digest


@given(st.binary(max_size=80), st.integers(0, 4))
def test_what_is_taken_for_a_section_has_one_form(data: bytes, tag_bytes: int) -> None:
    try:
        opened = open_section(Section(b"x", tag_bytes, data, b""))
    except WireError:
        return
    tags = [each.tag for each in opened.entries]
    assert tags == sorted(set(tags))
    assert all(len(each.mark) == 8 and each.count <= LOG_SEQ_MAX for each in opened.entries)
    assert sum(len(each.tag) + _count_bytes(each.count) + 8 for each in opened.entries) == len(data)


def _count_bytes(count: int) -> int:
    return max(1, -(-count.bit_length() // 7))


@given(st.binary(max_size=80), st.integers(0, 32))
def test_any_bytes_are_a_roll_up_or_refused(data: bytes, prefix_bytes: int) -> None:
    try:
        rows = open_roll_up(RollUp(prefix_bytes, data))
    except WireError:
        return
    assert b"".join(prefix + digest for prefix, digest in rows) == data


@given(st.sets(st.binary(min_size=4, max_size=4), max_size=30))
def test_short_names_are_clear_and_not_longer_than_needed(names: set[bytes]) -> None:
    size = clear_bytes(names)
    assert len({name[:size] for name in names}) == len(names)
    assert size == 1 or len({name[: size - 1] for name in names}) < len(names)


def test_equal_marks_need_the_same_feed_the_same_count_and_the_same_history() -> None:
    feed, other = FeedId(NODE, bytes(8), 0), FeedId(NODE, bytes(8), 1)
    head = Head(5, Digest(bytes(32)))
    marks = {
        mark_of(feed, head),
        mark_of(other, head),
        mark_of(feed, Head(6, head.digest)),
        mark_of(feed, Head(5, Digest(bytes([1]) * 32))),
    }
    assert len(marks) == 4


@pytest.mark.parametrize("years", [2, 20])
def test_who_was_away_for_years_merges_like_anybody(years: int) -> None:
    pair = Pair()
    shared = chain(key(1), events("shared", 5))
    pair.give(0, shared)
    pair.give(1, shared)
    pair.connect()
    for one in (0, 1):
        pair.perform(one, pair.syncs[one].peer_down(pair.ids[1 - one], pair.now_s))
    pair.give(0, chain(key(1), events("later", 50), parent=shared[-1].signed.head))
    pair.give(1, chain(key(2), events("alone", 50)))
    pair.now_s += years * 365 * 86_400.0
    pair.connect()
    assert pair.equal
    assert pair.bodies(0) == pair.bodies(1) == 105
