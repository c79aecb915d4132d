"""The headers outside the project that a system header leads to, found by their directives.

    SystemHeaders(outside, memory).find("stdio.h", folders) -> (path, ...)
    SystemHeaders(outside, memory).reach(path, folders) -> Reach

One for a run: what is outside the project is looked at once per run. `IncludeMemory` lasts longer,
because it knows texts by their content.

Deliberately not here: files of the project (`mesh.planners.closure`).
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator

import attrs

from mesh.limits import INCLUDE_FILE_BYTES_MAX, INCLUDE_TEXTS_MAX, SCAN_READS_MAX
from mesh.planners.includes import Directives, directives
from mesh.planners.outside import OutsideFiles
from mesh.planners.searchpath import SearchPaths
from mesh.types import Digest
from mesh.wire.blobid import blob_id

Folders = tuple[str, ...]


class AskCompiler(Exception):
    """Reading the directives is not enough: only the compiler can tell."""


class IncludeMemory:
    """What is remembered between runs: directives by content, and the compilers' folders."""

    def __init__(self) -> None:
        self.paths = SearchPaths()
        self._texts: dict[Digest, Directives | None] = {}

    def directives(self, digest: Digest, host: str) -> Directives:
        """Those of the file with this content. Raises OSError, AskCompiler."""
        if digest not in self._texts:
            with open(host, "rb") as file:  # noqa: PTH123
                text = file.read(INCLUDE_FILE_BYTES_MAX + 1)
            if len(self._texts) >= INCLUDE_TEXTS_MAX:
                self._texts.clear()
            if len(text) > INCLUDE_FILE_BYTES_MAX or blob_id(text) != digest:
                raise AskCompiler  # too large, or another text by now
            self._texts[digest] = directives(text)
        found = self._texts.get(digest)
        if found is None:
            raise AskCompiler
        return found


@attrs.frozen
class Reach:
    """Everything that a system header leads to, itself included, and every name on the way."""

    files: frozenset[str]
    names: frozenset[str]


class SystemHeaders:
    """See the module's head. Two threads may find out the same twice, and nothing worse."""

    def __init__(self, outside: OutsideFiles, memory: IncludeMemory) -> None:
        self._outside = outside
        self._memory = memory
        self._places: dict[tuple[str, Folders], Folders] = {}
        self._direct: dict[tuple[str, Folders], tuple[Folders, Folders]] = {}
        self._reach: dict[tuple[str, Folders], Reach | None] = {}

    def find(self, name: str, folders: Folders) -> Folders:
        """The files that the name might mean. Raises AskCompiler."""
        known = self._places.get((name, folders))
        if known is None:
            known = tuple(self._present(name, folders))
            self._places[name, folders] = known
        return known

    def reach(self, root: str, folders: Folders) -> Reach:
        """Raises AskCompiler, OSError, InputChanged."""
        if (root, folders) not in self._reach:
            try:
                self._reach[root, folders] = self._walk(root, folders)
            except AskCompiler:
                self._reach[root, folders] = None
        known = self._reach[root, folders]
        if known is None:
            raise AskCompiler
        return known

    def _walk(self, root: str, folders: Folders) -> Reach:
        files = {root}
        names: set[str] = set()
        todo = [root]
        while todo:
            found, mentioned = self._step(todo.pop(), folders)
            names.update(mentioned)
            todo += [path for path in found if path not in files]
            files.update(found)
            if len(files) > SCAN_READS_MAX:
                raise AskCompiler
        return Reach(frozenset(files), frozenset(names))

    def _step(self, path: str, folders: Folders) -> tuple[Folders, Folders]:
        """The files that one header mentions, and the names by which it does."""
        known = self._direct.get((path, folders))
        if known is not None:
            return known
        said = self._memory.directives(self._outside.look(path)[0], path)
        names = (*said.quoted, *said.bracketed)
        beside = (posixpath.dirname(path),)
        found = [each for name in said.quoted for each in self._present(name, beside)]
        found += [each for name in names for each in self.find(name, folders)]
        direct = (tuple(dict.fromkeys(found)), names)
        self._direct[path, folders] = direct
        return direct

    def _present(self, name: str, folders: Folders) -> Iterator[str]:
        if name.startswith("/"):
            raise AskCompiler
        for folder in folders:
            written = f"{folder}/{name}"
            if os.path.isfile(written):  # noqa: PTH113
                path = os.path.normpath(written)
                if ".." in name and not os.path.samefile(written, path):  # noqa: PTH121
                    raise AskCompiler
                yield path
