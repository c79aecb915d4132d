"""Files by name, without time: contents, folders that exist because something is in them.

The same structure serves twice in a disk: for what programs see, and for what is durable.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs


@attrs.define(eq=False)
class Inode:
    """One file, whatever it is called. `durable` is what a power cut leaves of it."""

    number: int
    mode: int
    data: bytearray = attrs.field(factory=bytearray)
    durable: bytearray = attrs.field(factory=bytearray)
    used_s: float = 0.0
    version: int = 0
    """Grows with every change."""


class Tree:
    """Names and their files."""

    def __init__(self) -> None:
        self._files: dict[str, Inode] = {}
        self._inside: dict[str, dict[str, int]] = {}
        """Folder -> name in it -> how many files that stands for."""

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[tuple[str, Inode]]:
        """Sorted by name."""
        return iter(sorted(self._files.items()))

    def get(self, name: str) -> Inode | None:
        return self._files.get(name)

    def is_folder(self, name: str) -> bool:
        return name in self._inside

    def inside(self, folder: str) -> list[str]:
        """Sorted names in a folder; empty when there is no such folder."""
        return sorted(self._inside.get(folder, ()))

    def below(self, folder: str) -> list[str]:
        """Sorted names of all files below a folder."""
        prefix = folder + "/"
        return sorted(name for name in self._files if name.startswith(prefix))

    def put(self, name: str, inode: Inode) -> None:
        """Give a file that name; what had it before is gone."""
        if name not in self._files:
            self._count(name, 1)
        self._files[name] = inode

    def pop(self, name: str) -> Inode | None:
        inode = self._files.pop(name, None)
        if inode is not None:
            self._count(name, -1)
        return inode

    def _count(self, name: str, by: int) -> None:
        child = name
        while child:
            folder, _, last = child.rpartition("/")
            entries = self._inside.setdefault(folder, {})
            entries[last] = entries.get(last, 0) + by
            if not entries[last]:
                del entries[last]
            if not entries:
                del self._inside[folder]
            child = folder


def normal(name: str) -> str:
    """`a//b/./c` as `a/b/c`. Raises ValueError for a name that is not a plain relative path."""
    parts = name.split("/")
    if not name or "\0" in name or name.startswith("/") or ".." in parts:
        raise ValueError(f"not a relative path below the root: {name!r}")
    return "/".join(part for part in parts if part not in ("", "."))
