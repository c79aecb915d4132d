"""What was done to a disk and is not durable yet, in order, and what a power cut makes of it.

Rules, the adversary of journalling file systems (Pillai et al., "All File Systems Are Not Created
Equal", OSDI 2014; Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020)
- A sync makes the file's bytes durable. Is the file new, then its name too, and with it all names
  before (ext4 and xfs commit their journal for that); nothing else.
- Operations become durable by themselves after WRITEBACK_S, oldest first.
- A power cut keeps a random prefix of the rest. The next one is torn when it is a write: a part of
  its bytes is there, or its length with zeros. Later names (new, renamed, removed) may have
  overtaken it, later bytes have not.

Deliberately not here: what programs see (`disk`).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from sim.disk.tree import Inode, Tree

WRITEBACK_S = 30.0
PENDING_MAX = 20_000
"""Operations; beyond, the oldest are written back early."""

Draw = Callable[[], float]


@attrs.frozen(eq=False)
class Write:
    """Bytes at a place in a file."""

    inode: Inode
    offset: int
    data: bytes
    name: str

    def happen(self, durable: Tree) -> None:  # noqa: ARG002 (one shape for all)
        _put(self.inode.durable, self.offset, self.data)

    def happen_torn(self, random: Draw) -> str:
        """A part of it. Says what that is."""
        kept = int(random() * len(self.data))
        if random() < 0.5:  # the length reached the disk, the bytes did not
            data = self.data[:kept] + bytes(len(self.data) - kept)
        else:
            data = self.data[:kept]
        _put(self.inode.durable, self.offset, data)
        return f"{self.name}: {kept} of {len(self.data)} bytes written"


@attrs.frozen(eq=False)
class Cut:
    """A file becomes shorter, or longer with zeros."""

    inode: Inode
    size_bytes: int
    name: str

    def happen(self, durable: Tree) -> None:  # noqa: ARG002
        resize(self.inode.durable, self.size_bytes)


@attrs.frozen(eq=False)
class Name:
    """A new file has a name, perhaps that of another one."""

    inode: Inode
    name: str

    def happen(self, durable: Tree) -> None:
        durable.put(self.name, self.inode)


@attrs.frozen(eq=False)
class Rename:
    old: str
    name: str

    def happen(self, durable: Tree) -> None:
        inode = durable.pop(self.old)
        if inode is not None:
            durable.put(self.name, inode)


@attrs.frozen(eq=False)
class Remove:
    name: str

    def happen(self, durable: Tree) -> None:
        durable.pop(self.name)


Operation = Write | Cut | Name | Rename | Remove


class Journal:
    """Pending operations over the durable tree."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.durable = Tree()
        self._pending: list[tuple[float, Operation]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, operation: Operation) -> None:
        self._pending.append((self._now_s(), operation))
        self._write_back()

    def _write_back(self) -> None:
        pending, count = self._pending, 0
        old_s = self._now_s() - WRITEBACK_S
        while count < len(pending) and (
            pending[count][0] <= old_s or len(pending) - count > PENDING_MAX
        ):
            pending[count][1].happen(self.durable)
            count += 1
        del pending[:count]

    def sync(self, inode: Inode, name: str | None = None) -> None:
        """Make the file's bytes durable, and its name if that is new; with `name`, as one does by
        syncing the folder, also that it was renamed to that."""
        named = [
            index
            for index, (_, each) in enumerate(self._pending)
            if (isinstance(each, Name) and each.inode is inode)
            or (name is not None and isinstance(each, Rename) and each.name == name)
        ]
        names_until = named[-1] if named else -1
        rest = []
        for index, entry in enumerate(self._pending):
            operation = entry[1]
            bytes_of_it = isinstance(operation, Write | Cut) and operation.inode is inode
            earlier_name = index <= names_until and isinstance(operation, Name | Rename | Remove)
            if bytes_of_it or earlier_name:
                operation.happen(self.durable)
            else:
                rest.append(entry)
        self._pending = rest

    def forget(self, inode: Inode) -> None:
        """A failed sync: the system believes these bytes to be written, and they never will be."""
        self._pending = [
            (at_s, each)
            for at_s, each in self._pending
            if not (isinstance(each, Write | Cut) and each.inode is inode)
        ]

    def all_happened(self) -> None:
        """An orderly end: everything is durable."""
        for _, operation in self._pending:
            operation.happen(self.durable)
        self._pending.clear()

    def power_cut(self, random: Draw) -> list[str]:
        """Be what the disk is after it. Returns what was lost, in words."""
        self._write_back()
        operations = [each for _, each in self._pending]
        self._pending.clear()
        kept = int(random() * (len(operations) + 1))
        lost: list[str] = []
        for operation in operations[:kept]:
            operation.happen(self.durable)
        for index, operation in enumerate(operations[kept:]):
            if index == 0 and isinstance(operation, Write):
                lost.append(operation.happen_torn(random))
            elif isinstance(operation, Name | Rename | Remove) and random() < 0.5:
                operation.happen(self.durable)
            else:
                lost.append(f"{operation.name}: {type(operation).__name__.lower()} lost")
        return lost


def resize(data: bytearray, size_bytes: int) -> None:
    """Shorten, or lengthen with zeros."""
    del data[size_bytes:]
    data.extend(bytes(size_bytes - len(data)))


def _put(data: bytearray, offset: int, what: bytes) -> None:
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(what)] = what
