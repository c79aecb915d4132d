"""A writer that was removed and is in again: which of its checkpoints let bodies go."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from log_world import KEYS, continued, feed_of, history, new_log
from test_log_retention import STATE, checkpoint, opened, points

from mesh.limits import LOG_COVERS_PER_FEED_MAX
from mesh.log.frame import Frame
from mesh.log.hearing import Hearing, kept_by
from mesh.log.log import Log
from mesh.log.model import EMPTY, Head
from mesh.log.retention import RetentionConfig, clear_up
from sim.disk import SimDisk
from sim.world import World

A = KEYS[0]
FEED, OLD = feed_of(A, 1), feed_of(A, 0)
AT_ONCE = RetentionConfig(max_buffer_age_hours=-1.0)


def story() -> list[Frame]:
    """An old epoch; a newer one with a checkpoint at 2, and one at 5 over all before it."""
    old = history(A, OLD, [3])
    begun = history(A, FEED, [2])
    first = checkpoint(A, FEED, begun[-1].signed.head, {FEED: begun[-1].signed.head})
    more = continued(A, FEED, first.signed.head, [2])
    heads = {OLD: old[-1].signed.head, FEED: more[-1].signed.head}
    second = checkpoint(A, FEED, more[-1].signed.head, heads)
    return [*old, *begun, first, *more, second]


STORY = story()
FIRST, SECOND = STORY[2], STORY[4]


def cut_at(head: Head) -> Hearing:
    """A removal that keeps the old epoch, and the newer one up to that head."""
    cut = points({OLD: STORY[0].signed.head, FEED: head})
    return Hearing(kept_by([cut]), {})


def full(log: Log) -> Log:
    for frame in STORY:
        log.add_frame(frame)
    return log


def covered(log: Log) -> tuple[int, int]:
    return log.covered(OLD), log.covered(FEED)


def test_a_checkpoint_beyond_the_cut_lets_nothing_go_and_one_below_does() -> None:
    log = full(new_log())
    assert covered(log) == (3, 5)
    assert list(log.heads) == [FEED]
    assert log.hear(A.node_id, cut_at(FIRST.signed.head))
    assert covered(log) == (0, 2)
    assert set(log.heads) == {OLD, FEED}, "it is in the version vector again"
    assert not log.hear(A.node_id, cut_at(FIRST.signed.head)), "no news"
    log.hear(A.node_id, None)
    assert covered(log) == (3, 5)


def test_an_epoch_under_an_admission_in_force_is_heard_to_its_end() -> None:
    log = full(new_log())
    cut = cut_at(FIRST.signed.head).unnamed
    log.hear(A.node_id, Hearing(cut, {FEED.epoch: ()}))
    assert covered(log) == (3, 5)


def test_what_was_let_go_for_a_checkpoint_that_was_cut_off_is_wanted_again() -> None:
    disk = SimDisk(World(1), "disk")
    log, segments = opened(disk)
    full(log)
    segments.commit(0.0)
    clear_up(log, segments, AT_ONCE, lambda state: state == STATE)
    segments.commit(1.0)
    assert log.counts().lost == 0

    for each in (log, opened(disk)[0]):  # the same process, and the next one
        each.hear(A.node_id, cut_at(FIRST.signed.head))
        assert [signed.seq for signed in each.wanted(OLD)] == [0]
        assert [signed.seq for signed in each.wanted(FEED)] == [3, 2]
        assert each.lost(OLD) == 3, "said, until it is here again"
        for frame in STORY:
            each.add_frame(frame)
        assert each.wanted(OLD) == each.wanted(FEED) == []
        assert each.counts().lost == 0


def test_what_went_for_want_of_room_is_not_asked_for_again() -> None:
    log = full(new_log())
    assert log.drop([STORY[0].signed], for_room=True) == 0, "it is covered"
    log.hear(A.node_id, cut_at(FIRST.signed.head))
    assert log.wanted(OLD) == []
    assert log.lost(OLD) == 3


@settings(max_examples=40)
@given(st.permutations(range(len(STORY) + 1)), st.sampled_from([0, 1, 2, 3, 4]))
def test_the_order_in_which_frames_and_the_cut_become_known_makes_no_difference(
    order: list[int], cut_after: int
) -> None:
    head = STORY[cut_after].signed.head if cut_after else EMPTY
    hearing = Hearing(kept_by([points({FEED: head} if cut_after else {})]), {})
    log, other = new_log(), full(new_log())
    other.hear(A.node_id, hearing)
    for number in order:
        if number == len(STORY):
            log.hear(A.node_id, hearing)
        else:
            log.add_frame(STORY[number])
    assert (covered(log), dict(log.heads), log.digest()) == (
        covered(other),
        dict(other.heads),
        other.digest(),
    )


def test_many_checkpoints_beyond_the_cut_do_not_crowd_out_the_one_below_it() -> None:
    log = full(new_log())
    head = SECOND.signed.head
    for number in range(LOG_COVERS_PER_FEED_MAX + 2):
        more = continued(A, OLD, log.head(OLD), [1])[0]
        log.add_frame(more)
        frame = checkpoint(A, FEED, head, {OLD: more.signed.head})
        log.add_frame(frame)
        head = frame.signed.head
        assert log.covered(OLD) == 4 + number
    log.hear(A.node_id, cut_at(SECOND.signed.head))
    assert log.covered(OLD) == 3
    log.hear(A.node_id, None)
    assert log.covered(OLD) == 3 + LOG_COVERS_PER_FEED_MAX + 2
