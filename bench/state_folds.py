"""The views of the shared state: how fast events become views, what a row costs, and how long the
longest turn of the event loop is when there is much to look at.

All in one process, on rows of random results; times are processor time, because what else runs on
the machine must not make a turn look longer than it is. The floor of folding is a plain dict that
is filled with the same events, already taken apart: from action to the event's bytes, without any
check. A **turn** is one verb of `State`, or one `go_on`; `turn_max_ms` is the longest, the garbage
collector included. Memory is what `tracemalloc` counts, in a pass of its own.

Keys: events_per_s, ratio_dict (time of the fold / time of the floor), bytes_per_row and
ratio_dict_bytes (the dict's bytes a row / ours), lookup_us, taint_s, ratio_taint_dict,
frame_bytes, turn_max_ms of each story.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable
from statistics import median

from common import ROOT, finish, print_table

sys.path.insert(0, str(ROOT))

from mesh.identity.keys import NodeKey
from mesh.identity.records import FeedPoint
from mesh.identity.roles import Role
from mesh.identity.standing import Life, Standing
from mesh.limits import STATE_SLICE_ROWS
from mesh.log.frame import Frame, seal
from mesh.log.log import Log, LogConfig
from mesh.log.model import EMPTY, FeedId, Head, Lane
from mesh.log.segments import Segments
from mesh.state.events import (
    BUILT,
    CONSUMED_BYTES,
    ActionResult,
    Checkpoint,
    Derivation,
    Open,
    encode_event,
)
from mesh.state.views import State
from mesh.types import Digest, MeshId, digest_of
from sim.disk import SimDisk
from sim.world import World

MESH = MeshId(b"bench mesh".ljust(32, b"."))
WRITERS = 16
KEYS = [NodeKey(bytes([number]) * 32) for number in range(1, WRITERS + 1)]
ADMISSION = bytes(16)
LIVES = {key.node_id: (Life(ADMISSION, Role.BUILDER, ()),) for key in KEYS}
FRAME_EVENTS = 256
LOOKUPS = 20_000
FRAMES = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000, help="of one writer; of the others")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows: int = options.rows
    one, others = history(KEYS[0], rows), spread(rows)
    values = folding([*one, *others], options.rounds)
    values |= memory([*one, *others])
    values |= taint(rows, options.rounds)
    turns = {
        "removal of one writer": longest(removal(one, others)),
        "the same at once": longest(removal(one, others, None)),
        "folding one writer anew": longest(refold(one, others)),
        "state of a checkpoint": longest(checkpoint(one, others)),
        "drafting a checkpoint": longest(drafting(one)),
        "finishing it, in a thread": longest(finishing(one)),
        "taint of as many actions": longest(tainting(rows)),
    }
    print_table(
        f"turns of the event loop, {rows:,} results of one writer, {rows:,} of the others",
        ["", "turns", "longest ms", "but for the collector", "all s"],
        [
            [name, str(n), f"{most:.1f}", f"{own:.1f}", f"{sum_s:.2f}"]
            for name, (n, most, own, sum_s) in turns.items()
        ],
    )
    for name, (_, most, _, _) in turns.items():
        values["turn_max_ms_" + name.replace(",", "").replace(" ", "_")] = most
    finish("state_folds", values, rows=2 * rows, slice_rows=STATE_SLICE_ROWS)


# -- what is folded --------------------------------------------------------------------------------
def feed_of(key: NodeKey, lane: Lane = Lane.AC) -> FeedId:
    return FeedId(key.node_id, bytes(8), int(lane))


def sealed(key: NodeKey, lane: Lane, events: Iterable[bytes], parent: Head = EMPTY) -> list[Frame]:
    """Frames of one feed, without real signatures: nobody checks them here."""
    frames, waiting = list[Frame](), list(events)
    for at in range(0, len(waiting), FRAME_EVENTS):
        some = waiting[at : at + FRAME_EVENTS]
        made = seal(unsigned, MESH, feed_of(key, lane), parent, some, wall_ms=0, seen=bytes(8))
        frames.append(made)
        parent = made.signed.head
    return frames


def unsigned(_context: bytes, data: bytes) -> bytes:
    return digest_of(data) * 2


def history(key: NodeKey, rows: int) -> list[Frame]:
    rng = random.Random(key.node_id[0])
    opened = sealed(key, Lane.CTL, [encode_event(Open(ADMISSION, (), "bench"))])
    return [*opened, *sealed(key, Lane.AC, (result(rng) for _ in range(rows)))]


def spread(rows: int) -> list[Frame]:
    return [each for key in KEYS[1:] for each in history(key, rows // (WRITERS - 1))]


def result(rng: random.Random) -> bytes:
    names = [Digest(rng.randbytes(32)) for _ in range(3)]
    return encode_event(ActionResult(*names, BUILT, rng.randrange(60_000)))


def state_of(frames: Iterable[Frame], slice_rows: int | None = None) -> State:
    state = State(KEYS[-1].node_id, Standing(LIVES))
    for frame in frames:
        state.apply([frame])
    state.slice_rows = slice_rows
    return state


# -- speed and size --------------------------------------------------------------------------------
def results_of(frames: Iterable[Frame]) -> list[bytes]:
    return [e for frame in frames if frame.feed.lane == Lane.AC for e in frame.events]


def fill(events: Iterable[bytes]) -> dict[bytes, bytes]:
    """The floor."""
    return {event[4:36]: event for event in events}


def folding(frames: list[Frame], rounds: int) -> dict[str, float]:
    events = results_of(frames)
    ours, floor, asked = list[float](), list[float](), list[float]()
    names = [Digest(event[4:36]) for event in random.Random(1).sample(events, LOOKUPS)]
    for _ in range(rounds):
        floor.append(timed(lambda: fill(events)))
        begun = time.process_time()
        state = state_of(frames)
        ours.append(time.process_time() - begun)
        asked.append(timed(lambda state=state: [state.lookup(name) for name in names]))
    table = [
        ["bodies to views", f"{median(ours):.3f}", f"{len(events) / median(ours):,.0f}"],
        ["floor: a dict", f"{median(floor):.3f}", f"{len(events) / median(floor):,.0f}"],
        ["look-ups", f"{median(asked):.3f}", f"{LOOKUPS / median(asked):,.0f}"],
    ]
    print_table(f"{len(events):,} results of {WRITERS} writers", ["", "s", "a second"], table)
    return {
        "events_per_s": len(events) / median(ours),
        "ratio_dict": median(a / b for a, b in zip(ours, floor, strict=True)),
        "lookup_us": 1e6 * median(asked) / LOOKUPS,
    }


def memory(frames: list[Frame]) -> dict[str, float]:
    events = results_of(frames)
    count = len(events)
    in_dict = traced(lambda: {bytes(e[4:36]): bytes(bytearray(e)) for e in events}) / count
    packed = traced(lambda: state_of(frames)) / count
    single = sealed_singly(FRAMES)
    log_bytes = traced(lambda: log_of(single)) / FRAMES
    rows = [
        ["a row of the views", f"{packed:.0f}"],
        ["floor: an entry of a dict", f"{in_dict:.0f}"],
        ["a frame of one event in the log, without its body", f"{log_bytes:.0f}"],
    ]
    print_table("memory", ["", "bytes"], rows)
    return {
        "bytes_per_row": packed,
        "ratio_dict_bytes": in_dict / packed,
        "frame_bytes": log_bytes,
    }


def sealed_singly(count: int) -> list[Frame]:
    frames, head, rng = list[Frame](), EMPTY, random.Random(3)
    for _ in range(count):
        (made,) = sealed(KEYS[0], Lane.AC, [result(rng)], head)
        frames.append(made.without_body())
        head = made.signed.head
    return frames


def log_of(frames: Iterable[Frame]) -> tuple[Log, State]:
    """As a node has it: the headers, where bodies are on the disk, and the strand."""
    disk = SimDisk(World(1), "disk")
    segments = Segments(disk.open())
    log, state = Log(LogConfig(MESH, KEYS[0].node_id), segments), State(KEYS[0].node_id, Standing())
    for number, frame in enumerate(frames):
        state.apply(log.add_frame(frame, verified=True).stored)
        if number % FRAME_EVENTS == 0:
            segments.commit(1.0)
            disk.wipe()
    segments.commit(1.0)
    disk.wipe()
    return log, state


def traced(make: Callable[[], object]) -> float:
    gc.collect()
    tracemalloc.start()
    made = make()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert made is not None
    return size


# -- taint -----------------------------------------------------------------------------------------
def taint(actions: int, rounds: int) -> dict[str, float]:
    """A graph in which each action consumes what two of the others made, all of it from one result
    that a removal withdraws; from the removal to the answer. The floor: the same edges put into a
    dict of lists, and walked."""
    made, edges = graph(actions)
    seconds, floors, found = list[float](), list[float](), 0
    frames = tangled(made, edges)
    state = state_of(frames)
    for _ in range(rounds):
        floors.append(timed(lambda: walk(made, edges)))
        state.stand(Standing(LIVES))
        state.taint()
        begun = time.process_time()
        state.stand(removed())
        found = len(state.taint().derived)
        seconds.append(time.process_time() - begun)
    assert found == actions - 1
    rows = [
        ["removal to answer", f"{median(seconds):.3f}"],
        ["floor: a dict of lists, walked", f"{median(floors):.3f}"],
    ]
    print_table(f"taint over {actions:,} actions, two edges each", ["", "s"], rows)
    ratio = median(a / b for a, b in zip(seconds, floors, strict=True))
    return {"taint_s": median(seconds), "ratio_taint_dict": ratio}


def graph(actions: int) -> tuple[list[Digest], list[tuple[int, int]]]:
    rng = random.Random(2)
    made = [Digest(rng.randbytes(32)) for _ in range(actions)]
    return made, [(max(0, at - 1), rng.randrange(at) if at else 0) for at in range(actions)]


def tangled(made: list[Digest], edges: list[tuple[int, int]]) -> list[Frame]:
    """The first is the removed writer's, all others somebody else's."""
    events = list[bytes]()
    for at in range(1, len(made)):
        consumed = sorted({made[source][:CONSUMED_BYTES] for source in edges[at]})
        events.append(encode_event(ActionResult(made[at], made[at], made[at], BUILT, 1)))
        events.append(encode_event(Derivation(made[at], tuple(consumed))))
    first = encode_event(ActionResult(made[0], made[0], made[0], BUILT, 1))
    return [
        *sealed(KEYS[0], Lane.CTL, [encode_event(Open(ADMISSION, (), ""))]),
        *sealed(KEYS[1], Lane.CTL, [encode_event(Open(ADMISSION, (), ""))]),
        *sealed(KEYS[0], Lane.AC, [first]),
        *sealed(KEYS[1], Lane.AC, events),
    ]


def walk(made: list[Digest], edges: list[tuple[int, int]]) -> set[int]:
    consumers: dict[bytes, list[int]] = {}
    for at, sources in enumerate(edges):
        for source in sources:
            consumers.setdefault(made[source][:CONSUMED_BYTES], []).append(at)
    seen, queue = {0}, [0]
    while queue:
        for at in consumers.get(made[queue.pop()][:CONSUMED_BYTES], ()):
            if at not in seen:
                seen.add(at)
                queue.append(at)
    return seen


def removed() -> Standing:
    """The first writer is out, and nothing of what it said counts."""
    node = KEYS[0].node_id
    return Standing(LIVES | {node: (Life(ADMISSION, Role.BUILDER, ((),)),)}, {node: ((),)})


# -- turns -----------------------------------------------------------------------------------------
Turn = Callable[[], object]


def removal(
    one: list[Frame], others: list[Frame], slice_rows: int | None = STATE_SLICE_ROWS
) -> tuple[State, Turn]:
    state = state_of([*one, *others], slice_rows)
    return state, lambda: state.stand(removed())


def refold(one: list[Frame], others: list[Frame]) -> tuple[State, Turn]:
    state = state_of([*one, *others], STATE_SLICE_ROWS)
    return state, lambda: state.refold(KEYS[0].node_id, one)


def checkpoint(one: list[Frame], others: list[Frame]) -> tuple[State, Turn]:
    """From its blob to the rows it covers thrown away."""
    owner = State(KEYS[0].node_id, Standing(LIVES))
    owner.apply(one)
    kept = owner.checkpoint(Lane.AC).finish()
    head = one[-1].signed.head
    point = FeedPoint(bytes(8), int(Lane.AC), head.count, head.digest)
    name = digest_of(kept.data)
    event = encode_event(Checkpoint((point,), name, len(kept.data), kept.rows))
    state = state_of([*one, *others, *sealed(KEYS[0], Lane.AC, [event], head)], STATE_SLICE_ROWS)
    return state, lambda: state.load(name, kept.data)


def drafting(one: list[Frame]) -> tuple[State, Turn]:
    owner = State(KEYS[0].node_id, Standing(LIVES))
    owner.apply(one)
    return owner, lambda: owner.checkpoint(Lane.AC)


def finishing(one: list[Frame]) -> tuple[State, Turn]:
    owner, _ = drafting(one)
    return owner, owner.checkpoint(Lane.AC).finish


def tainting(actions: int) -> tuple[State, Turn]:
    """What all the others made comes from one result that is withdrawn."""
    state = state_of(tangled(*graph(actions)), STATE_SLICE_ROWS)
    return state, lambda: state.stand(removed())


def longest(story: tuple[State, Turn]) -> tuple[int, float, float, float]:
    """How many turns, the longest in milliseconds, the longest without what the interpreter's
    garbage collector took of it, all in seconds."""
    state, begin = story
    collected_s = [0.0]

    def watch(phase: str, _info: object) -> None:
        collected_s[-1] += time.process_time() * (-1 if phase == "start" else 1)

    gc.callbacks.append(watch)
    turns = [timed(begin)]
    while state.is_behind:
        collected_s.append(0.0)
        turns.append(timed(state.go_on))
    gc.callbacks.remove(watch)
    own = max(turn - each for turn, each in zip(turns, collected_s, strict=True))
    return len(turns), 1e3 * max(turns), 1e3 * own, sum(turns)


def timed(act: Callable[[], object]) -> float:
    begun = time.process_time()
    act()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
