"""Merging a mesh's history: 100 000 signed events of 16 writers, from a file to a node that has
checked, folded and durably kept every one of them.

What is timed, in a fresh process each time: read the file, take it apart, check every frame's
signature, chain and Merkle root, fold the events into the views, write them to segment files and
sync. The floor: one Ed25519 verification for each event, of a signature over that event alone, and
nothing else: no decoding, no fold, no disk. It is measured in the same process, half of it before
and half after, over a fifth of the events, and scaled.

Keys: ratio_per_entry_verify = floor / merge, the median of the rounds' ratios; bytes_per_event =
bytes that travel / events.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from common import ROOT, finish, medians, print_table

sys.path.insert(0, str(ROOT))

from mesh.identity.keys import NodeKey, verify
from mesh.identity.roles import Role
from mesh.identity.standing import Life, Standing
from mesh.log.frame import decode_frame, encode_frame, seal
from mesh.log.log import Log, LogConfig
from mesh.log.model import EMPTY, FeedId, Lane
from mesh.log.segments import Segments
from mesh.ports.real.disk import RealDisk
from mesh.state.events import BUILT, ActionResult, Open, encode_event
from mesh.state.views import State
from mesh.types import Digest, MeshId
from mesh.wire.frame import FrameReader, frame

WRITERS = 16
FLOOR_PART = 10_000
MESH = MeshId(b"bench mesh".ljust(32, b"."))
KEYS = [NodeKey(bytes([number]) * 32) for number in range(1, WRITERS + 1)]
ADMISSION = bytes(16)
EVENT_CONTEXT = b"one event\0"
MERGE, FLOOR = "frames of 256, merged", "floor: a signature an event, verified"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--merge", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.merge:
        print(json.dumps(merge(Path(options.merge), options.events)))
        return
    with tempfile.TemporaryDirectory(prefix="vitte-bench-") as folder:
        run(options.events, options.rounds, Path(folder))


def run(events: int, rounds: int, folder: Path) -> None:
    history = folder / "history"
    size_bytes, count = write_history(history, events)
    parts: dict[str, list[float]] = {}
    for turn in range(rounds):
        argv = [sys.executable, __file__, "--merge", str(history), "--events", str(count)]
        said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        for name, value in json.loads(said).items():
            parts.setdefault(name, []).append(value)
        latest = ", ".join(f"{name} {values[-1]:.3f} s" for name, values in parts.items())
        print(f"  round {turn + 1}/{rounds} {latest}", flush=True)
    rows = [
        [name, f"{seconds:.3f}", f"{1e6 * seconds / count:.2f}", f"{count / seconds:,.0f}"]
        for name, seconds in medians(parts).items()
    ]
    title = f"{count:,} events of {WRITERS} writers, median of {rounds} rounds"
    print_table(title, ["", "s", "us/event", "events/s"], rows)
    ratios = [floor / merged for floor, merged in zip(parts[FLOOR], parts[MERGE], strict=True)]
    values = {
        "ratio_per_entry_verify": median(ratios),
        "bytes_per_event": size_bytes / count,
        "merge_s": median(parts[MERGE]),
        "floor_s": median(parts[FLOOR]),
    }
    finish("log_merge", values, events=count, rounds=rounds)


# -- what is merged ------------------------------------------------------------------------------
def write_history(path: Path, events: int) -> tuple[int, int]:
    """Frames of all writers, taking turns, as they would arrive. Returns the bytes of the frames,
    and how many events of results are in them."""
    rng = random.Random(2026)
    encoded: list[bytes] = []
    heads = {key.node_id: EMPTY for key in KEYS}
    for key in KEYS:
        opened = encode_event(Open(ADMISSION, (), "bench"))
        feed = FeedId(key.node_id, bytes(8), Lane.CTL)
        encoded.append(encode_frame(seal_one(key, feed, EMPTY, [opened])))
    per_writer, count = events // WRITERS, 0
    for start in range(0, per_writer, 256):
        for key in KEYS:
            results = [result(rng) for _ in range(min(256, per_writer - start))]
            feed = FeedId(key.node_id, bytes(8), Lane.AC)
            made = seal_one(key, feed, heads[key.node_id], results)
            heads[key.node_id] = made.signed.head
            encoded.append(encode_frame(made))
            count += len(results)
    path.write_bytes(b"".join(frame(each) for each in encoded))
    return path.stat().st_size, count


def seal_one(key: NodeKey, feed: FeedId, head, events: list[bytes]):  # type: ignore[no-untyped-def]
    return seal(key.sign, MESH, feed, head, events, wall_ms=1_790_000_000_000, seen=bytes(8))


def result(rng: random.Random) -> bytes:
    names = [Digest(rng.randbytes(32)) for _ in range(3)]
    return encode_event(ActionResult(*names, BUILT, rng.randrange(60_000)))


# -- the two ways --------------------------------------------------------------------------------
def merge(path: Path, events: int) -> dict[str, float]:
    """Seconds, by part; the floor is measured before and after, in this process."""
    entries = signed_entries(FLOOR_PART)
    floor_s = verify_entries(entries)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        segments = Segments(RealDisk(Path(folder)))
        log = Log(LogConfig(MESH, KEYS[0].node_id), segments)
        for _ in log.load():
            pass
        lives = {key.node_id: (Life(ADMISSION, Role.BUILDER, ()),) for key in KEYS}
        state = State(KEYS[0].node_id, Standing(lives))
        fold_s, started = 0.0, time.perf_counter()
        for encoded in FrameReader().feed(path.read_bytes()):
            added = log.add_frame(decode_frame(encoded))
            assert added.frames, added.refused
            before = time.perf_counter()
            state.apply(added.frames, added.forks, added.withdrawn)
            fold_s += time.perf_counter() - before
        merged = time.perf_counter()
        segments.commit(merged)
        ended = time.perf_counter()
    floor_s += verify_entries(entries)
    return {
        MERGE: ended - started,
        "  decode, verify, chain": merged - started - fold_s,
        "  fold": fold_s,
        "  write and sync": ended - merged,
        FLOOR: floor_s * events / (2 * len(entries)),
    }


def signed_entries(count: int) -> list[tuple[bytes, bytes, bytes]]:
    """(writer, event, signature) of single events."""
    rng = random.Random(2026)
    entries = []
    for number in range(count):
        key, event = KEYS[number % WRITERS], result(rng)
        entries.append((key.node_id, event, key.sign(EVENT_CONTEXT, event)))
    return entries


def verify_entries(entries: list[tuple[bytes, bytes, bytes]]) -> float:
    started = time.perf_counter()
    assert all(verify(node, EVENT_CONTEXT, event, signature) for node, event, signature in entries)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
