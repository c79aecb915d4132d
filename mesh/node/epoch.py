"""The epoch of a start: wall-clock milliseconds, made to grow with every start.

It is stored before it is used, so that a clock set back between two starts does not bring an old
epoch again; others would take the node's datagrams for replays. Not here: what epochs decide
(`mesh.swim.table`, `mesh.swim.sealed`).
"""

from __future__ import annotations

from mesh.ports import Clock, Disk
from mesh.swim.messages import EPOCH_MAX

EPOCH_FILE = "epoch"


def next_epoch(disk: Disk, clock: Clock) -> int:
    """The epoch for this start; greater than any returned before for the same disk."""
    stored = disk.read(EPOCH_FILE) or b""
    last = int(stored) if stored.isdigit() and len(stored) < 19 else 0
    epoch = max(int(clock.wall() * 1000), last + 1)
    assert 0 < epoch <= EPOCH_MAX
    disk.write(EPOCH_FILE, str(epoch).encode())
    return epoch
