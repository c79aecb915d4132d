"""The medium: what programs see, what is durable, and the verbs for everything that can go wrong.

A disk outlives the lives of its machine's process; each life opens a `DiskPort` on it. Deliberately
not here: the methods of `mesh.ports.Disk` (`port`), what a power cut leaves (`journal`).
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mesh.errors import StoreFull
from sim.disk.journal import Cut, Journal, Name, Operation, Remove, Rename, Write, resize
from sim.disk.port import DiskPort
from sim.disk.tree import Inode, Tree
from sim.disk.troubles import Trouble, Troubles
from sim.undo import Fault
from sim.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

NEW_MODE = 0o644


@attrs.frozen
class DiskImage:
    """All files of a disk at some time: (name, bytes, mode)."""

    files: tuple[tuple[str, bytes, int], ...]


@attrs.frozen
class SimDiskConfig:
    """How a disk is made."""

    quota_bytes: int | None = None
    """Room for all files together; None is without bound."""
    root: Path | None = None
    """Where `Disk.path` points; None is a folder that does not exist."""
    host_facts: frozenset[str] = frozenset()
    """Files that tell of the host the simulator is on (inodes, times and paths of the user's
    project), as patterns: only their sizes are in the trace, or no run could be repeated
    elsewhere."""

    def tells_of_host(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.host_facts)


class SimDisk:
    """See the module's head, and the package's for the faults."""

    def __init__(self, world: World, name: str, config: SimDiskConfig | None = None) -> None:
        self.world = world
        self.name = name
        self.config = config or SimDiskConfig()
        self.root = self.config.root or Path("/simulated") / name
        self.random = world.rng(name).random
        self.troubles = Troubles(self.random)
        self.journal = Journal(lambda: world.now_s)
        self.seen = Tree()
        self.used_bytes = 0
        self.locks: dict[str, DiskPort] = {}
        self.watchers: list[Callable[[str, str], None]] = []
        """Called with (operation, name) before it happens: the place for "crash at the third
        sync". When the watcher has detached the port, the operation fails and does not happen."""
        self._inodes = 0

    def open(self, stall: Callable[[float], None] | None = None) -> DiskPort:
        """The port for one life. `stall` is told how long an operation has taken."""
        return DiskPort(self, stall or (lambda _: None))

    # -- power, and old or new disks -------------------------------------------------------------
    def power_cut(self) -> Sequence[str]:
        """Lose what was not synced, in part. Returns what was lost, in words."""
        lost = self.journal.power_cut(self.random)
        self._see_what_is_durable()
        self.world.note("power cut", self.name, lost)
        return lost

    def snapshot(self) -> DiskImage:
        """An image of all files as programs see them."""
        return DiskImage(tuple((name, bytes(node.data), node.mode) for name, node in self.seen))

    def restore(self, image: DiskImage) -> None:
        """Be as the image is, durably."""
        self.wipe()
        for name, data, mode in image.files:
            inode = self.new_inode(mode)
            inode.data[:] = inode.durable[:] = data
            self.seen.put(name, inode)
            self.journal.durable.put(name, inode)
            self.used_bytes += len(data)

    def wipe(self) -> None:
        """Be empty; a new disk is in the machine."""
        self.seen, self.journal = Tree(), Journal(lambda: self.world.now_s)
        self.locks.clear()
        self.used_bytes = 0

    def _see_what_is_durable(self) -> None:
        self.seen = Tree()
        self.used_bytes = 0
        self.locks.clear()
        for name, inode in self.journal.durable:
            inode.data[:] = inode.durable
            inode.version += 1
            self.seen.put(name, inode)
            self.used_bytes += len(inode.data)

    # -- faults ----------------------------------------------------------------------------------
    def fill(self, free_bytes: int = 0) -> Fault:
        """No more room than that beyond what is there now."""
        return self.troubles.add(Trouble("full", amount=self.used_bytes + free_bytes))

    def read_only(self) -> Fault:
        return self.troubles.add(Trouble("read-only"))

    def fail_reads(self, chance: float = 1.0, names: str = "*") -> Fault:
        return self.troubles.add(Trouble("fail-reads", chance, names))

    def fail_writes(self, chance: float = 1.0, names: str = "*") -> Fault:
        return self.troubles.add(Trouble("fail-writes", chance, names))

    def fail_syncs(self, chance: float = 1.0, names: str = "*") -> Fault:
        """EIO; what was to be synced is readable, and will never be durable."""
        return self.troubles.add(Trouble("fail-syncs", chance, names))

    def slow_syncs(self, duration_s: float) -> Fault:
        return self.troubles.add(Trouble("slow-syncs", amount=duration_s))

    def slow_reads(self, duration_s: float) -> Fault:
        return self.troubles.add(Trouble("slow-reads", amount=duration_s))

    def lose_syncs(self, names: str = "*") -> Fault:
        """Say yes to a sync, and leave it for later."""
        return self.troubles.add(Trouble("lose-syncs", names=names))

    def heal(self) -> None:
        """Undo all faults; damage that was done stays."""
        self.troubles.clear()

    def rot(self, name: str | None = None, bits: int = 1) -> str | None:
        """Flip bits at rest in a file (a random one). Returns its name; None when all are empty."""
        chosen = self._choose(name)
        if chosen is None:
            return None
        name, inode = chosen
        for _ in range(bits):
            bit = int(self.random() * len(inode.data) * 8)
            for data in (inode.data, inode.durable):
                if bit // 8 < len(data):
                    data[bit // 8] ^= 1 << bit % 8
        self.world.note("rot", self.name, name)
        return name

    def tear(self, name: str | None = None) -> str | None:
        """Have a file (a random one) lose its end. Returns its name; None when all are empty."""
        chosen = self._choose(name)
        if chosen is None:
            return None
        name, inode = chosen
        size_bytes = int(self.random() * len(inode.data))
        self.used_bytes -= len(inode.data) - size_bytes
        del inode.data[size_bytes:], inode.durable[size_bytes:]
        inode.version += 1
        self.world.note("tear", self.name, name)
        return name

    def _choose(self, name: str | None) -> tuple[str, Inode] | None:
        fitting = [each for each in self.seen if each[1].data and name in (None, each[0])]
        return fitting[int(self.random() * len(fitting))] if fitting else None

    # -- for the port ----------------------------------------------------------------------------
    def new_inode(self, mode: int = NEW_MODE) -> Inode:
        self._inodes += 1
        return Inode(self._inodes, mode, used_s=self.world.now_s)

    def need_room(self, size_bytes: int, name: str) -> None:
        """Raises StoreFull."""
        limits = (self.config.quota_bytes, self.troubles.least("full"))
        if any(most is not None and self.used_bytes + size_bytes > most for most in limits):
            raise StoreFull(path=str(self.root / name))

    def put_bytes(self, name: str, inode: Inode, offset: int, data: bytes) -> None:
        """Write what there is room for."""
        grown = max(0, offset + len(data) - len(inode.data))
        inode.data.extend(bytes(max(0, offset - len(inode.data))))
        inode.data[offset : offset + len(data)] = data
        self.used_bytes += grown
        self._changed(inode, Write(inode, offset, data, name))

    def resize(self, name: str, inode: Inode, size_bytes: int) -> None:
        self.used_bytes += size_bytes - len(inode.data)
        resize(inode.data, size_bytes)
        self._changed(inode, Cut(inode, size_bytes, name))

    def put_name(self, name: str, inode: Inode) -> None:
        """Name a new file; what had the name is gone."""
        self._drop(self.seen.get(name))
        self.seen.put(name, inode)
        self.journal.add(Name(inode, name))

    def rename(self, old: str, new: str) -> None:
        inode = self.seen.pop(old)
        assert inode is not None
        self._drop(self.seen.get(new))
        self.seen.put(new, inode)
        self.journal.add(Rename(old, new))

    def remove(self, name: str) -> None:
        inode = self.seen.pop(name)
        if inode is not None:
            self._drop(inode)
            self.journal.add(Remove(name))

    def _drop(self, inode: Inode | None) -> None:
        self.used_bytes -= len(inode.data) if inode is not None else 0

    def _changed(self, inode: Inode, operation: Operation) -> None:
        inode.version += 1
        inode.used_s = self.world.now_s
        self.journal.add(operation)
