"""What the disk does not take waits within a bound; what is refused for it comes again."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st
from log_world import KEYS, WALL_MS, feed_of, history, log_of, new_log, snapshot
from sync_world import Pair, chain, events

from mesh.errors import StoreFull
from mesh.identity.roles import Role
from mesh.identity.standing import Life, Standing
from mesh.limits import LOG_BODY_BYTES_MAX, LOG_HEADER_BYTES_MAX, LOG_UNWRITTEN_LINE_BYTES
from mesh.log.forks import fork_of
from mesh.log.segments import Segments
from mesh.log.waiting import Room
from mesh.node.state.replica import Replica, ReplicaConfig
from mesh.state.events import Register
from mesh.types import MeshId
from sim.disk import SimDisk, SimDiskConfig
from sim.world import World

A, B = KEYS[:2]
ROOM = Room(bytes_max=12_000, others_bytes_max=8_000)
ONE_MORE_BYTES = LOG_BODY_BYTES_MAX + LOG_HEADER_BYTES_MAX + LOG_UNWRITTEN_LINE_BYTES


def disk_of(quota_bytes: int | None) -> SimDisk:
    return SimDisk(World(1), "disk", SimDiskConfig(quota_bytes=quota_bytes))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=40))
def test_however_often_the_disk_refuses_what_waits_is_bounded_and_nothing_taken_is_lost(
    turns: list[tuple[int, bool]],
) -> None:
    disk = disk_of(None)
    segments = Segments(disk.open(), 4_000, room=ROOM)
    log = new_log(segments)
    frames = history(B, feed_of(B), [count for count, _ in turns for _ in range(3)])
    largest_bytes = 2_000
    for number, (_, works) in enumerate(turns):
        disk.config = SimDiskConfig(quota_bytes=None if works else 0)
        for frame in frames[3 * number : 3 * number + 3]:
            log.add_frame(frame)
        with suppress(StoreFull):
            segments.commit(float(number))
        assert segments.unwritten_bytes <= ROOM.others_bytes_max + largest_bytes
        assert works <= (segments.unwritten_bytes == 0)
    taken = log.head(feed_of(B))
    disk.config = SimDiskConfig()
    segments.commit(99.0)
    again = new_log(Segments(disk.open(), 4_000))
    for _ in again.load():
        pass
    assert again.head(feed_of(B)) == taken
    for frame in frames:  # they come again
        assert not log.add_frame(frame).refused
        segments.commit(100.0)
    assert snapshot(log) == snapshot(log_of(frames))


def test_a_batch_is_about_a_file_however_much_has_waited() -> None:
    disk = disk_of(0)
    segments = Segments(disk.open(), 2_000)
    log = new_log(segments)
    for frame in history(B, feed_of(B), [2] * 30):
        log.add_frame(frame)
    with suppress(StoreFull):
        segments.commit(1.0)
    disk.config = SimDiskConfig()
    segments.commit(2.0)
    sizes = [len(disk.open().read(f"log/{name}") or b"") for name in disk.open().names("log")]
    assert len(sizes) > 2
    assert max(sizes) < 2 * 2_000


def test_a_full_log_blames_nobody_asks_for_nothing_and_takes_forks() -> None:
    log = new_log(Segments(disk_of(0).open(), room=Room(0, 0)))
    frame, rival = (history(B, feed_of(B), [1], mark)[0] for mark in (b"", b" rival"))
    assert log.add_frame(frame).refused == {"full": 1}
    assert log.add_headers([frame.signed]).refused == {"full": 1}
    proof = fork_of(frame.signed, rival.signed)
    assert log.add_fork(proof).forks == (proof,)


def test_what_a_full_replica_refused_it_asks_for_when_there_is_room() -> None:
    pair = Pair()
    disk = disk_of(0)
    store = Segments(disk.open(), room=Room(90_000, 60_000))
    pair.logs[1].store = store
    pair.connect()
    writer = A
    pair.give(0, chain(writer, events("a", 600)))
    pair.run(40.0)
    assert 0 < pair.logs[1].event_count() < 600
    assert pair.bodies(1) == 0, "they are left with those who have them"
    assert not pair.blamed
    asked = pair.sent["WantHeaders"] + pair.sent["WantBodies"]
    pair.run(60.0)
    assert pair.sent["WantHeaders"] + pair.sent["WantBodies"] == asked, "it does not ask"
    disk.config = SimDiskConfig()
    for _turn in range(40):
        store.commit(pair.now_s)
        pair.syncs[1].look_for_gaps()
        pair.perform(1, pair.syncs[1].handle_timer(pair.now_s))
        pair.deliver()
        pair.run(2.0)
        if pair.equal and pair.bodies(1) == 600:
            break
    assert pair.equal
    assert pair.bodies(1) == 600


def test_what_we_would_say_ourselves_is_refused_last_and_counted() -> None:
    me, mesh, admission = A.node_id, MeshId(bytes(32)), bytes(16)
    config = ReplicaConfig(
        mesh=mesh,
        me=me,
        sign=A.sign,
        admission=admission,
        wall_ms=lambda: WALL_MS,
        token=bytes,
        draw=lambda: 0.5,
        standing=Standing({me: (Life(admission, Role.BUILDER, ()),)}),
    )
    disk = disk_of(0)
    store = Segments(disk.open(), room=ROOM)
    replica = Replica(config, store, 0.0)
    for number in range(60):
        replica.write(Register(f"key {number}", b"x" * 100), 0.0)
        replica.flush(0.0)
    assert ROOM.others_bytes_max < store.unwritten_bytes < ROOM.bytes_max + ONE_MORE_BYTES
    assert replica.unlogged > 0
    held = [each for each in range(60) if replica.state.registers.get(me, f"key {each}")]
    assert len(held) == 60 - replica.unlogged
    assert held == list(range(len(held))), "the first ones; then all are refused"
    disk.config = SimDiskConfig()
    store.commit(1.0)
    replica.write(Register("key 59", b"x"), 1.0)
    replica.flush(1.0)
    assert replica.state.registers.get(me, "key 59") is not None
