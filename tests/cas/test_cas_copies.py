"""Copies without streams: where they belong, what is needed, who has what, who repairs."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.cas.copies.board import HolderBoard
from mesh.cas.copies.care import Blame, CareConfig, CopyCare, FetchCopy, Tell
from mesh.cas.copies.needs import Needs
from mesh.cas.copies.placement import Place, order, spread
from mesh.limits import COPIES_GRACE_S, COPIES_PINNED, HOLDINGS_PREFIXES_MAX
from mesh.types import Digest, NodeId, digest_of
from mesh.wire.blob_messages import PREFIX_BYTES, Holdings, Keep, KeptBlob
from mesh.wire.errors import WireError
from mesh.wire.schema import decode_message, encode_message


def node(number: int) -> NodeId:
    return NodeId(digest_of(b"node %d" % number))


def blob(number: int) -> Digest:
    return digest_of(b"blob %d" % number)


# -- placement -------------------------------------------------------------------------------------
@given(st.sets(st.integers(0, 50), min_size=2, max_size=20), st.integers(0, 1000))
def test_a_member_that_goes_moves_only_what_was_its_own(members: set[int], number: int) -> None:
    places = {node(each): Place() for each in members}
    before = order(blob(number), places)
    gone = before[len(before) // 2]
    after = order(blob(number), {each: place for each, place in places.items() if each != gone})
    assert after == [each for each in before if each != gone]


def test_twice_the_room_is_twice_as_often_first() -> None:
    places = {node(n): Place(2.0 if n == 0 else 1.0) for n in range(5)}
    firsts = Counter(order(blob(number), places)[0] for number in range(6000))
    assert 1.8 < firsts[node(0)] / (6000 / 6) < 2.2
    assert all(850 < firsts[node(n)] < 1150 for n in range(1, 5))


def test_copies_go_to_other_domains_as_long_as_there_are_any() -> None:
    places = {node(n): Place(domain="ab"[n % 2] if n < 4 else "") for n in range(5)}
    ordered = order(blob(1), places)
    chosen = spread(ordered, places, [node(0)], 2)
    assert "a" not in {places[each].domain for each in chosen}
    assert len(set(spread(ordered, places, [node(0)], 4))) == 4
    assert spread(ordered, places, places, 3) == []


# -- needs -----------------------------------------------------------------------------------------
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.dictionaries(st.integers(0, 5), st.just(10), max_size=4)),
        max_size=40,
    )
)
def test_what_is_needed_is_what_the_living_rows_refer_to(rows: list) -> None:
    needs = Needs(budget_bytes=30)
    living: dict[int, set[int]] = {}
    for action, files in rows:
        needs.row(blob(100 + action), {blob(each): size for each, size in files.items()})
        living.pop(action, None)
        living[action] = set(files)
        while len(living) > 1 and 10 * len(set().union(*living.values())) > 30:
            del living[next(iter(living))]
    needed = set().union(*living.values()) if living else set()
    assert {each for each in range(6) if needs.copies(blob(each))} == needed


def test_pins_outlive_rows_and_what_others_ask_for_is_bounded() -> None:
    needs = Needs(budget_bytes=100)
    assert needs.pin([blob(1)]) == [blob(1)]
    assert needs.copies(blob(1)) == COPIES_PINNED
    for number in range(10, 30):
        needs.ask(blob(number), 40, 2)
    assert [n for n in range(10, 30) if needs.copies(blob(n))] == [28, 29]
    needs.ask(blob(50), 101, 2)
    assert not needs.copies(blob(50))
    needs.pin([])
    assert not needs.copies(blob(1))


# -- the board -------------------------------------------------------------------------------------
def prefixes(numbers: range | list[int]) -> bytes:
    return b"".join(sorted(blob(each)[:PREFIX_BYTES] for each in numbers))


def test_what_a_peer_says_counts_until_its_link_ends() -> None:
    board = HolderBoard()
    board.heard(node(1), Holdings(0, 4, prefixes(range(10))))
    board.heard(node(2), Holdings(0, 4, prefixes(range(5))))
    board.heard(node(2), Holdings(1, 4, prefixes([7]), prefixes([0])))
    assert board.holders(blob(3)) == [node(1), node(2)]
    assert board.holders(blob(0)) == [node(1)]
    assert board.count(blob(7)) == 2
    board.forget(node(1))
    assert board.holders(blob(9)) == []
    board.heard(node(2), Holdings(0, 4, prefixes([1])))
    assert board.holders(blob(7)) == [], "what is said first replaces everything"


@pytest.mark.parametrize(
    "told",
    [
        Holdings(2, 4, b""),
        Holdings(1, 4, b"abc"),
        Holdings(1, 4, b"", b"12345"),
    ],
)
def test_who_breaks_the_rules_is_not_believed(told: Holdings) -> None:
    board = HolderBoard()
    board.heard(node(1), Holdings(0, 4, prefixes([1])))
    with pytest.raises(WireError):
        board.heard(node(1), told)


def test_many_peers_that_come_and_go_do_not_fill_the_table() -> None:
    board = HolderBoard()
    board.heard(node(0), Holdings(0, 4, prefixes([1])))
    for number in range(1, 500):
        board.heard(node(number), Holdings(0, 4, prefixes(range(number, number + 3))))
        board.forget(node(number))
        assert board.holders(blob(1)) == [node(0)]
    assert len(board._table) < 300
    assert len(board._table) < HOLDINGS_PREFIXES_MAX


# -- care ------------------------------------------------------------------------------------------
@attrs.define
class Disk:
    blobs: dict[Digest, int] = attrs.field(factory=dict)
    volatile: set[Digest] = attrs.field(factory=set)

    def has(self, blob: Digest) -> bool:
        return blob in self.blobs

    def is_durable(self, blob: Digest) -> bool:
        return blob in self.blobs and blob not in self.volatile

    def size_bytes(self, blob: Digest) -> int | None:
        return self.blobs.get(blob)


class Mesh:
    """Nodes whose messages arrive at once."""

    def __init__(self, count: int) -> None:
        self.disks = {node(n): Disk() for n in range(count)}
        self.cares = {
            each: CopyCare(CareConfig(each), Needs(10**9), disk)
            for each, disk in self.disks.items()
        }
        self.now_s = 0.0
        self.moved_bytes = 0
        self.keeps = 0
        for each in self.cares:
            for other in self.cares:
                if other != each:
                    self.do(each, self.cares[each].peer_up(other))

    def do(self, who: NodeId, effects: list) -> None:
        for effect in effects:
            match effect:
                case Tell(to, message):
                    assert decode_message(encode_message(message)) == message
                    self.keeps += isinstance(message, Keep)
                    if to in self.cares:
                        self.do(to, self.cares[to].receive(who, message))
                case FetchCopy(wanted, size_bytes, sources):
                    if any(self.disks[each].has(wanted) for each in sources):
                        size = self.disks[sources[0]].blobs.get(wanted, size_bytes or 0)
                        self.disks[who].blobs[wanted] = size
                        self.moved_bytes += size
                    self.cares[who].fetched(wanted)

    def run(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += 2.0
            for each, care in list(self.cares.items()):
                if care.next_look_s(self.now_s) is not None:
                    self.do(each, care.look(self.now_s))

    def kill(self, who: NodeId) -> None:
        del self.cares[who], self.disks[who]
        for care in self.cares.values():
            care.peer_down(who)

    def copies(self, wanted: Digest) -> int:
        return sum(disk.has(wanted) for disk in self.disks.values())


@given(st.integers(3, 7), st.integers(0, 10**6))
def test_each_blob_has_as_many_copies_as_it_should_and_one_repairer(
    count: int, number: int
) -> None:
    mesh = Mesh(count)
    owner = node(number % count)
    mesh.disks[owner].blobs[blob(number)] = 1000
    mesh.cares[owner].row(blob(1), {blob(number): 1000})
    mesh.run(COPIES_GRACE_S - 6)
    assert mesh.copies(blob(number)) == 1, "not before the time of grace is over"
    mesh.run(20)
    assert mesh.copies(blob(number)) == 2
    holder = next(each for each, disk in mesh.disks.items() if disk.has(blob(number)))
    mesh.kill(holder)
    mesh.run(2 * COPIES_GRACE_S + 10)
    assert mesh.copies(blob(number)) == min(2, count - 1)
    assert mesh.moved_bytes == 2000, "each copy moved once"
    assert mesh.keeps == 2


def test_a_mesh_in_which_all_is_well_has_nothing_to_do() -> None:
    mesh = Mesh(4)
    for number in range(20):
        mesh.disks[node(number % 4)].blobs[blob(number)] = 10
        mesh.cares[node(number % 4)].row(blob(500 + number), {blob(number): 10})
    mesh.run(COPIES_GRACE_S + 20)
    assert all(care.next_look_s(mesh.now_s) is None for care in mesh.cares.values())


def test_what_is_needed_goes_only_where_enough_others_are_first() -> None:
    mesh = Mesh(5)
    for each, disk in mesh.disks.items():
        disk.blobs[blob(1)] = 10
        mesh.cares[each].row(blob(2), {blob(1): 10})
    mesh.run(4)
    stay = [each for each, care in mesh.cares.items() if care.is_last_copy(blob(1))]
    assert sorted(stay) == sorted(order(blob(1), dict.fromkeys(mesh.cares, Place()))[:2])
    assert not mesh.cares[node(0)].is_last_copy(blob(99)), "nobody needs that one"


def test_alone_everything_needed_stays() -> None:
    mesh = Mesh(1)
    mesh.disks[node(0)].blobs[blob(1)] = 10
    mesh.cares[node(0)].row(blob(2), {blob(1): 10})
    mesh.run(100)
    assert mesh.cares[node(0)].is_last_copy(blob(1))


def test_copies_are_fetched_at_a_bounded_rate() -> None:
    care = CopyCare(CareConfig(node(0), bytes_per_s=100.0), Needs(10**9), Disk())
    care.peer_up(node(1))
    care.receive(node(1), Keep(tuple(KeptBlob(blob(n), 200, 2) for n in range(10))))
    fetched_at: list[float] = []
    now_s = 0.0
    while len(fetched_at) < 10:
        now_s += 0.5
        for effect in care.look(now_s):
            assert isinstance(effect, FetchCopy)
            fetched_at.append(now_s)
            care.fetched(effect.blob)
    assert fetched_at[-1] - fetched_at[0] >= (10 - 3) * 2.0


def test_a_liar_about_holdings_is_blamed() -> None:
    care = CopyCare(CareConfig(node(0)), Needs(10**9), Disk())
    care.peer_up(node(1))
    assert care.receive(node(1), Holdings(5, 4)) == [Blame(node(1), "holdings-order")]


def test_what_was_damaged_is_asked_of_whoever_has_it_else_of_everybody() -> None:
    care = CopyCare(CareConfig(node(0)), Needs(10**9), Disk())
    assert care.damaged(blob(1)) == []
    care.peer_up(node(1))
    care.peer_up(node(2))
    (asked,) = care.damaged(blob(1))
    assert isinstance(asked, FetchCopy)
    assert set(asked.sources) == {node(1), node(2)}
    assert care.damaged(blob(1)) == [], "once"
    care.receive(node(2), Holdings(0, 4, prefixes([7])))
    (asked,) = care.damaged(blob(7))
    assert isinstance(asked, FetchCopy)
    assert asked.sources == (node(2),)
