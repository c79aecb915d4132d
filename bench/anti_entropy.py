"""What two replicas say to become equal: bytes for d differences among 100 000 entries.

    python bench/anti_entropy.py [--entries 100000] [--feeds 64]

Two logs of so many events in so many feeds (one lane each of a quarter as many writers) are made
equal but for d events, which only one of them has, spread over the feeds as a real writer would
leave them: at the ends. Then they meet, through the real codec, and every message is counted:
`lists` is digests, roll-ups, version vectors and questions; `answers` is headers and bodies, which
is what is new and nothing else. A round trip is half a message each way, no network is involved.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "log"))

from common import finish, print_table
from sync_world import Pair, chain, key

from mesh.log.frame import Frame
from mesh.log.model import Head

LANES = 4
FRAME_EVENTS = 256
EVENT_BYTES = 112
DIFFERENCES = (0, 1, 100, 1000)
LISTS = ("StateDigest", "RollUp", "Versions", "WantHeaders", "WantBodies")


def history(entries: int, feeds: int) -> list[list[Frame]]:
    """Frames by feed, as the writers made them."""
    dice = Random(1)
    made = []
    for feed in range(feeds):
        count = entries // feeds + (feed < entries % feeds)
        events = [dice.randbytes(EVENT_BYTES) for _ in range(count)]
        batches = [events[at : at + FRAME_EVENTS] for at in range(0, count, FRAME_EVENTS)]
        made.append(chain(key(feed // LANES), batches, lane=feed % LANES))
    return made


def differing(base: Sequence[Sequence[Frame]], differences: int) -> list[Frame]:
    """That many more events, over as many of the feeds as there are."""
    dice = Random(2)
    feeds = min(differences, len(base))
    more: list[Frame] = []
    for feed in range(feeds):
        count = differences // feeds + (feed < differences % feeds)
        events = [dice.randbytes(EVENT_BYTES) for _ in range(count)]
        head: Head = base[feed][-1].signed.head
        more += chain(key(feed // LANES), [events], lane=feed % LANES, parent=head)
    return more


def measure(base: Sequence[Sequence[Frame]], differences: int) -> tuple[int, int, int]:
    """(bytes of lists and questions, bytes of answers, messages)."""
    pair = Pair()
    frames = [frame for feed in base for frame in feed]
    for log in pair.logs:
        for frame in frames:
            log.add_frame(frame, verified=True)
    for frame in differing(base, differences):
        pair.logs[0].add_frame(frame, verified=True)
    pair.connect()
    assert pair.equal, "they are not equal after that"
    lists = sum(pair.bytes[kind] for kind in LISTS)
    return lists, pair.bytes.total() - lists, pair.sent.total()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--feeds", type=int, default=64)
    wanted = parser.parse_args()
    base = history(wanted.entries, wanted.feeds)
    rows: list[list[str]] = []
    values: dict[str, float] = {}
    for differences in DIFFERENCES:
        lists, answers, messages = measure(base, differences)
        values |= {f"lists_bytes_d{differences}": lists, f"answers_bytes_d{differences}": answers}
        each = f"{answers / differences:.0f}" if differences else "-"
        rows.append([str(differences), str(lists), str(answers), each, str(messages)])
    title = f"{wanted.entries} entries in {wanted.feeds} feeds, {EVENT_BYTES} bytes each"
    print_table(title, ["differences", "lists B", "answers B", "B/entry", "messages"], rows)
    finish("anti_entropy", values, entries=wanted.entries, feeds=wanted.feeds)


if __name__ == "__main__":
    main()
