"""Two and more replicas become equal, whatever they lack, and whoever lies."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from sync_world import MESH, Pair, chain, events, key

from mesh.identity.records import FeedPoint
from mesh.log.frame import seal
from mesh.log.model import FeedId
from mesh.log.sync.messages import Bodies, Headers, Push, StateDigest
from mesh.log.sync.vectors import tag_of
from mesh.state.events import Checkpoint, encode_event
from mesh.types import Digest, NodeId


def feeds(writers: int, frames: int, each: int = 4) -> list[Any]:
    return [
        frame
        for writer in range(writers)
        for frame in chain(key(writer), events(f"w{writer}", frames, each))
    ]


def test_equal_replicas_say_so_in_64_bytes() -> None:
    pair = Pair()
    for replica in (0, 1):
        pair.give(replica, feeds(16, 3))
    pair.connect()
    assert set(pair.sent) == {"StateDigest"}
    assert pair.bytes.total() <= 64


def test_an_empty_replica_gets_everything_and_each_body_once() -> None:
    pair = Pair()
    pair.give(0, feeds(5, 40))
    pair.connect()
    assert pair.equal
    assert pair.bodies(1) == 200
    assert len(pair.learned[1]) == 200
    assert not pair.blamed


def test_what_each_lacks_goes_both_ways() -> None:
    pair = Pair()
    shared = chain(key(1), events("shared", 10))
    pair.give(0, [*shared, *chain(key(2), events("left", 3))])
    pair.give(1, [*shared[:4], *chain(key(3), events("right", 3))])
    pair.connect()
    assert pair.equal
    assert pair.bodies(0) == pair.bodies(1) == 16


def test_thousands_of_frames_come_in_windows() -> None:
    pair = Pair()
    pair.give(0, chain(key(1), events("long", 1000)))
    pair.connect()
    assert pair.equal
    assert pair.bodies(1) == 1000
    assert pair.sent["WantHeaders"] <= 5


def test_cost_is_per_feed_and_not_per_entry() -> None:
    spoken = []
    for extra in (1, 100):
        pair = Pair()
        old = feeds(16, 2)
        pair.give(0, old)
        pair.give(1, old)
        head = pair.logs[0].heads[old[-1].feed]
        writer = key(15)
        more = chain(writer, events("new", extra), parent=head)
        pair.give(0, more)
        pair.connect()
        assert pair.equal
        lists = {"StateDigest", "RollUp", "Versions", "WantHeaders", "WantBodies"}
        spoken.append(sum(pair.bytes[kind] for kind in lists))
    assert spoken[1] <= spoken[0] + 8
    assert spoken[1] < 16 * 13 + 150


def test_three_peers_share_the_work_and_fetch_nothing_twice() -> None:
    trio = Pair(4)
    frames = feeds(4, 60)
    for replica in (1, 2, 3):
        trio.give(replica, frames)
    trio.connect()
    trio.run(3)
    assert trio.equal
    assert trio.bodies(0) == 240
    body_bytes = sum(len(frame.body) for frame in frames)
    header_bytes = sum(len(frame.signed.data) + 70 for frame in frames)
    assert trio.bytes["Headers"] + trio.bytes["Bodies"] < body_bytes + header_bytes + 4000


def test_fresh_frames_reach_all_at_once_by_pushes() -> None:
    many = Pair(6)
    many.connect()
    frames = chain(many.keys[0], events("fresh", 1))
    many.logs[0].add_frame(frames[0], verified=True)
    many.perform(0, many.syncs[0].published(frames, many.now_s))
    many.deliver()
    assert sum(log.digest() == many.logs[0].digest() for log in many.logs) >= 5
    many.run(8)
    assert many.equal


def test_a_push_whose_parent_is_missing_brings_the_rest() -> None:
    pair = Pair()
    pair.connect()
    frames = chain(pair.keys[0], events("some", 5))
    for frame in frames:
        pair.logs[0].add_frame(frame, verified=True)
    pair.perform(0, pair.syncs[0].published(frames[4:], pair.now_s))
    pair.deliver()
    assert pair.equal
    assert pair.bodies(1) == 5


def forked(pair: Pair, common: int, left: int, right: int) -> FeedId:
    writer = key(9)
    shared = chain(writer, events("shared", common))
    head = shared[-1].signed.head
    pair.give(0, [*shared, *chain(writer, events("left", left), parent=head)])
    pair.give(1, [*shared, *chain(writer, events("right", right, 2), parent=head)])
    return shared[0].feed


def test_two_histories_of_one_writer_are_found_out_at_the_place_where_they_part() -> None:
    for left, right in ((1, 1), (5, 2), (40, 3), (3, 300)):
        pair = Pair()
        feed = forked(pair, 20, left, right)
        pair.connect()
        pair.run(3)
        assert pair.equal, (left, right)
        assert [log.forks[feed].seq for log in pair.logs] == [20, 20]
        assert all(log.head(feed).count == 20 for log in pair.logs)
        assert not pair.blamed


def test_who_answers_is_not_blamed_for_a_log_that_became_shorter_meanwhile() -> None:
    pair, writer = Pair(), key(9)
    frames = chain(writer, events("all", 10))
    (rival,) = chain(writer, events("another", 1), parent=frames[1].signed.head)
    pair.give(0, frames)
    pair.give(1, frames[:5])
    answers = 0

    def shorten(_source: NodeId, to: NodeId, message: object) -> object:
        nonlocal answers
        if isinstance(message, Headers) and to == pair.ids[1]:
            answers += 1
            if answers == 1:  # it is on its way when the fork is found out
                pair.logs[1].add_frame(rival)
                assert pair.logs[1].head(rival.feed).count < 5
        return message

    pair.spoil = shorten
    pair.connect()
    pair.run(8)
    assert answers
    assert pair.blamed == []
    assert pair.equal


def test_a_third_one_is_told_of_the_fork() -> None:
    three = Pair(3)
    feed = forked(three, 2, 1, 1)
    three.connect()
    three.run(3)
    assert three.equal
    assert three.logs[2].forks[feed].seq == 2


def test_a_spoiled_body_is_noticed_and_had_from_somebody_else() -> None:
    three = Pair(3)
    frames = feeds(1, 30)
    three.give(1, frames)
    three.give(2, frames)
    liar = three.ids[1]

    def spoil(source: bytes, _: bytes, message: object) -> object:
        if source == liar and isinstance(message, Headers | Bodies) and message.bodies:
            bodies = tuple(b"\x81\x41x" for _ in message.bodies)
            return evolve(message, bodies=bodies)  # type: ignore[misc]
        return message

    three.spoil = spoil  # type: ignore[assignment]
    three.connect()
    three.run(10)
    assert three.bodies(0) == 30
    assert {(by, who) for by, who, _ in three.blamed} <= {(0, 1)}


def test_who_never_answers_is_not_waited_for() -> None:
    three = Pair(3)
    frames = feeds(8, 10)
    three.give(1, frames)
    three.give(2, frames)
    silent = three.ids[1]

    def spoil(source: bytes, _: bytes, message: object) -> object | None:
        return None if source == silent and isinstance(message, Headers | Bodies) else message

    three.spoil = spoil  # type: ignore[assignment]
    three.connect()
    three.run(20)
    assert three.equal
    assert three.bodies(0) == 80
    assert (0, 1, "silence") in three.blamed
    assert three.syncs[0].sessions[silent].is_avoided(three.now_s)


def test_bodies_that_a_peer_has_only_later_come_later() -> None:
    three = Pair(3)
    frames = feeds(1, 10)
    three.give(2, frames)
    for frame in frames:
        three.logs[1].add_frame(frame.without_body())
    three.syncs[1].heard_digest(three.ids[2], three.logs[2].digest(), 0.0)
    three.connect()
    three.run(40)
    assert [three.bodies(n) for n in range(3)] == [10, 10, 10]


def test_forged_and_foreign_frames_have_no_effect() -> None:
    pair = Pair()
    pair.connect()
    (good,) = chain(key(5), events("good", 1))
    thief = key(6)
    forged = seal(
        thief.sign, MESH, good.feed, pair.logs[0].head(good.feed), [b"x"], wall_ms=0, seen=bytes(8)
    )
    before = pair.logs[1].digest()
    message = Push(
        (evolve(_pushed(good), signature=forged.signed.signature), _pushed(forged))  # type: ignore[misc]
    )
    pair.perform(1, pair.syncs[1].receive(pair.ids[0], message, 0.0))
    assert pair.logs[1].digest() == before
    assert pair.blamed == [(1, 0, "signature")]


def _pushed(frame: Any) -> Any:
    from mesh.log.sync.messages import PushedFrame

    return PushedFrame(frame.signed.data, frame.signed.signature, frame.body)


def test_a_flood_is_counted_and_costs_nothing_more() -> None:
    pair = Pair()
    pair.connect()
    effects = 0
    for _ in range(10_000):
        effects += len(pair.syncs[1].receive(pair.ids[0], StateDigest(bytes(8)), pair.now_s))
    assert pair.syncs[1].counters["flood"] > 5000
    assert effects < 20


def test_answers_to_nothing_have_no_effect() -> None:
    pair = Pair()
    pair.connect()
    before = pair.logs[0].digest()
    effects = pair.syncs[0].receive(pair.ids[1], Bodies(77, (b"\x81\x41x",)), 0.0)
    assert effects == []
    assert pair.logs[0].digest() == before
    assert pair.syncs[0].counters["late"] == 1


def test_many_writers_that_begin_alike_are_told_apart() -> None:
    pair = Pair()
    pair.give(0, [f for n in range(300) for f in chain(key(n), events(f"{n}", 1), epoch=n + 1)])
    pair.give(
        1, [f for n in range(200, 500) for f in chain(key(n), events(f"{n}", 1), epoch=n + 1)]
    )
    pair.connect()
    pair.run(5)
    assert pair.equal
    assert len(pair.logs[0].heads) == 500
    assert not pair.blamed


def test_a_folded_feed_that_goes_by_the_same_short_name_hides_nothing() -> None:
    """Names are clear among what is in the version vector, and folded feeds are not."""
    writer = key(1)
    by_tag: dict[bytes, int] = {}
    for epoch in range(1, 400):
        feed = chain(writer, [[b"x"]], epoch=epoch)[0].feed
        folded = by_tag.setdefault(tag_of(feed)[:1], epoch)
        if folded != epoch:
            break
    old = chain(writer, events("old", 2), epoch=folded)
    covers = (FeedPoint(old[0].feed.epoch, 1, 2, old[-1].signed.head.digest),)
    covering = encode_event(Checkpoint(covers, Digest(bytes(32)), 10, 1))
    new = chain(writer, [[covering], *events("new", 3)], epoch=epoch)
    pair = Pair()
    pair.give(0, [*old, *new])
    pair.give(1, [*old, *new[:2]])
    assert list(pair.logs[0].heads) == [new[0].feed]
    pair.connect()
    assert pair.equal
    assert pair.sent["WantHeaders"] == 1
