"""Of one feed there are two histories, and replicas do not know it yet: who answers honestly by its
own is not blamed for it, and nothing of the other is taken."""

from __future__ import annotations

from log_world import spoiled
from sync_world import Pair, chain, events, key

from mesh.log.frame import Frame
from mesh.log.model import FeedId
from mesh.log.store import MemoryStore
from mesh.log.sync import Send
from mesh.log.sync.messages import Bodies, Headers, WantBodies
from mesh.log.sync.vectors import mark_of
from mesh.types import NodeId

WRITER = key(9)


class Narrow(MemoryStore):
    """Has room, or not, as it is told."""

    room = True

    def has_room(self, *, for_own: bool = False) -> bool:
        return self.room


def frame_of(text: str) -> Frame:
    return chain(WRITER, events(text, 1))[0]


def want(feed: FeedId, frames: list[Frame]) -> WantBodies:
    newest = frames[-1].signed
    seqs = tuple(frame.signed.seq for frame in reversed(frames))
    mark = mark_of(feed, newest.head)
    return WantBodies(7, feed.node, feed.epoch, feed.lane, newest.end, mark, seqs)


def test_headers_that_found_no_room_say_nothing_of_bodies_of_ours() -> None:
    pair = Pair()
    store = Narrow()
    pair.logs[0].store = store
    ours, theirs = frame_of("ours"), frame_of("theirs")
    pair.give(0, [ours.without_body()])
    pair.give(1, [theirs])

    def no_room_for_headers(source: NodeId, _: NodeId, message: object) -> object | None:
        if isinstance(message, Headers) and source == pair.ids[0]:
            return None  # the other one knows nothing of the fork either
        store.room &= not isinstance(message, Headers)
        return message

    pair.spoil = no_room_for_headers
    pair.connect()
    assert not store.room, "headers have come"
    store.room = True
    pair.spoil = lambda _, __, message: None if isinstance(message, Headers) else message
    pair.run(20)
    assert not pair.logs[0].forks
    assert {reason for _, _, reason in pair.blamed} == {"silence"}
    pair.spoil = lambda _, __, message: message
    pair.run(300)
    assert pair.equal
    assert pair.logs[0].forks[ours.feed].seq == 0


def test_bodies_are_asked_for_by_history() -> None:
    pair = Pair()
    common = chain(WRITER, events("common", 3))
    head = common[-1].signed.head
    ours = chain(WRITER, events("ours", 2), parent=head)
    theirs = chain(WRITER, events("theirs", 2), parent=head)
    pair.connect()
    pair.give(1, [*common, *theirs])
    asked: dict[str, tuple[bytes | None, ...]] = {}
    for name, frames in (("ours", ours), ("common", common), ("theirs", theirs)):
        question = want(common[0].feed, frames)
        (answer,) = pair.syncs[1].receive(pair.ids[0], question, pair.now_s)
        assert isinstance(answer, Send)
        assert isinstance(answer.message, Bodies)
        asked[name] = answer.message.bodies
    assert asked["ours"] == (None, None)
    assert asked["common"] == tuple(frame.body for frame in reversed(common))
    assert asked["theirs"] == tuple(frame.body for frame in reversed(theirs))


def test_an_answer_to_a_question_about_a_history_that_gave_way_is_let_be() -> None:
    pair = Pair()
    sound = frame_of("sound")
    first = frame_of("planted")
    planted = Frame(spoiled(first.signed), first.body)
    for log, frame in ((pair.logs[0], planted.without_body()), (pair.logs[1], planted)):
        assert not log.add_frame(frame, verified=True).refused
    asked = []

    def spoil(_: NodeId, __: NodeId, message: object) -> object:
        if isinstance(message, Bodies):
            asked.append(message.bodies)
            pair.logs[0].add_frame(sound.without_body(), verified=True)
        return message

    pair.spoil = spoil
    pair.syncs[0].look_for_gaps()
    pair.connect()
    assert asked == [(planted.body,), (None,)], "asked for anew, by the other history"
    assert pair.logs[0].head(sound.feed) == sound.signed.head
    assert pair.bodies(0) == 0
    assert not pair.blamed
