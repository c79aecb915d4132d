"""The epoch of a start: wall-clock milliseconds, made to grow with every start.

It is stored before it is used, so that a clock set back between two starts does not bring an old
epoch again; others would take the node's datagrams for replays. The clock decides nothing: who lost
the disk and has a clock that is behind starts too low, is shown its own later record by the others,
goes on above it (`mesh.swim.endpoint`), and stores that. A start that cannot go by the clock leaves
a random gap, because an old copy of the disk would otherwise bring the very epoch again that the
last start had: the same epoch with other counters is all replays to the others.
Not here: what epochs decide (`mesh.swim.table`, `mesh.swim.sealed`).
"""

from __future__ import annotations

from mesh.ports import Clock, Disk, Entropy
from mesh.swim.messages import EPOCH_MAX

EPOCH_FILE = "epoch"
GAP_BITS = 20
"""17 minutes of milliseconds: what a clock that goes on makes up for by itself."""


def next_epoch(disk: Disk, clock: Clock, entropy: Entropy) -> int:
    """The epoch for this start; greater than any returned before for the same disk."""
    stored = disk.read(EPOCH_FILE) or b""
    last = int(stored) if stored.isdigit() and len(stored) < 19 else 0
    epoch = int(clock.wall() * 1000)
    if epoch <= last:
        epoch = last + 1 + int.from_bytes(entropy.token(4), "big") % (1 << GAP_BITS)
    assert 0 < epoch <= EPOCH_MAX
    store_epoch(disk, epoch)
    return epoch


def store_epoch(disk: Disk, epoch: int) -> None:
    """Let every later start be above `epoch`."""
    disk.write(EPOCH_FILE, str(epoch).encode())
