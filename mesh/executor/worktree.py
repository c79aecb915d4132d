"""The work tree of a slot: exactly the inputs of the next action, by the least work.

Rules
- After `prepare` the tree holds the entries, the directories they and the outputs need, and nothing
  else, whatever the action before has done.
- An entry stays when the action before had the same one and its stat signature is what we left;
  otherwise it is removed and made anew. A file made so recently that a write could have left the
  same signature is hashed before it is trusted (see `mesh.cas.filehash`).
- A directory that looks as it did when it was listed, and whose last change then was not so recent
  that the next one could look the same, is not listed again.
- Files are copied from the store: a hard link could be written through.
- Modes are 0644 and 0755. The mtime of every input file is INPUT_MTIME_NS: a constant, so that no
  action depends on when its inputs were copied, and the past, so that whatever it makes is newer.

Blocking; no process of the action may be running. Not here: finding missing blobs.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable
from pathlib import Path

import attrs

from mesh.action.model import DIRECTORY, EXECUTABLE, SYMLINK, Tree, TreeEntry
from mesh.cas.blobs import BlobStore
from mesh.cas.filehash import RACY_NS, hash_fd
from mesh.errors import CannotPlace
from mesh.executor.trash import Trash
from mesh.ports.real.disk import full_disk_as_error
from mesh.ports.real.files import file_time_ns, open_plain

INPUT_MTIME_NS = 1_000_000_000 * 10**9
"""2001-09-09: after 1980, which zip files cannot go before."""

_FOLDER_MODE = 0o755
_LISTINGS_MAX = 256
_LISTED_MAX = 1024
"""Directories kept in mind, and names in one."""

_Look = tuple[int, int, int, int, int]
_Plan = dict[str, dict[str, TreeEntry | None]]
"""Directory -> name -> the entry there, None for a directory."""


@attrs.frozen
class _Record:
    """What we made at a path, and how it looked right then."""

    entry: TreeEntry
    look: _Look
    settled: bool = False


@attrs.frozen
class _Listing:
    """What was in a directory that nobody had changed for a while, and how it looked: as long as it
    looks the same it holds the same names."""

    look: _Look
    items: list[tuple[str, bool]]


class WorkTree:
    """See the module's head. `root` mirrors the sandbox's root directory."""

    def __init__(self, root: Path, trash: Path, store: BlobStore) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = os.fspath(root)
        self._folder = root
        self._store = store
        self._trash = Trash(trash)
        self._records: dict[str, _Record] = {}
        self._listings: dict[str, _Listing] = {}
        self._planned: tuple[Tree, tuple[str, ...], _Plan] | None = None

    def __len__(self) -> int:
        """Entries made by `prepare` so far that are not known to be gone."""
        return len(self._records)

    def prepare(self, tree: Tree, folders: Iterable[str]) -> None:
        """Make the tree hold `tree` and the empty `folders` (mounts, cwd, parents of outputs).

        The entries must have passed `check_entries`. Raises BlobMissing, InputChanged, StoreFull,
        CannotPlace; calling it again, then or later, is always right.
        """
        plan = self._plan(tree, tuple(folders))
        todo = [("", True)]
        try:
            with full_disk_as_error(self._folder):
                while todo:
                    folder, exists = todo.pop()
                    todo += self._settle(folder, plan[folder or "/"], exists)
        except OSError as error:
            where = getattr(error, "filename", None) or self._root
            raise CannotPlace(path=str(where), why=error.strerror or str(error)) from None
        finally:
            self._trash.empty()

    def _plan(self, tree: Tree, folders: tuple[str, ...]) -> _Plan:
        if self._planned and self._planned[0] is tree and self._planned[1] == folders:
            return self._planned[2]
        plan: _Plan = {"/": {}}
        for entry in tree.entries:
            if entry.kind == DIRECTORY:
                _add_folder(plan, entry.path)
            else:
                parent, _, name = entry.path.rpartition("/")
                if parent not in plan:
                    _add_folder(plan, parent or "/")
                plan[parent or "/"][name] = entry
        for folder in folders:
            _add_folder(plan, folder)
        self._planned = (tree, folders, plan)
        return plan

    def _settle(
        self, folder: str, wanted: dict[str, TreeEntry | None], exists: bool
    ) -> list[tuple[str, bool]]:
        """Make one directory right; returns its subdirectories and whether each was there."""
        found = self._sweep(folder, wanted) if exists else set()
        below: list[tuple[str, bool]] = []
        for name, entry in wanted.items():
            path = f"{folder}/{name}"
            if entry is None:
                if name not in found:
                    os.mkdir(self._root + path)
                    os.chmod(self._root + path, _FOLDER_MODE)  # whatever the umask
                below.append((path, name in found))
            elif name not in found:
                self._make(path, entry)
        return below

    def _sweep(self, folder: str, wanted: dict[str, TreeEntry | None]) -> set[str]:
        """Remove from a directory what must not stay; returns the names that may."""
        stay: set[str] = set()
        for name, is_folder in self._list(folder):
            path = f"{folder}/{name}"
            if name in wanted:
                entry = wanted[name]
                if entry is None and is_folder:
                    stay.add(name)
                    continue
                if entry is not None and self._is_as_left(path, entry):
                    stay.add(name)
                    continue
            self._records.pop(path, None)
            if is_folder:
                self._trash.throw(self._root + path)
            else:
                os.unlink(self._root + path)
        return stay

    def _list(self, folder: str) -> Iterable[tuple[str, bool]]:
        """Names in a directory, and whether each is a directory itself."""
        host = self._root + folder
        info = os.lstat(host)
        if stat.S_IMODE(info.st_mode) != _FOLDER_MODE:
            os.chmod(host, _FOLDER_MODE)
        look, known = _look(info), self._listings.get(folder)
        if known is not None and known.look == look:
            return known.items
        with os.scandir(host) as found:
            items = [(item.name, item.is_dir(follow_symlinks=False)) for item in found]
        if len(items) <= _LISTED_MAX and file_time_ns() - look[-1] >= RACY_NS:
            self._listings[folder] = _Listing(look, items)
            while len(self._listings) > _LISTINGS_MAX:
                del self._listings[next(iter(self._listings))]
        return items

    def _is_as_left(self, path: str, entry: TreeEntry) -> bool:
        record = self._records.get(path)
        if record is None or not (record.entry is entry or record.entry == entry):
            return False
        now = _look(os.lstat(self._root + path))
        if now != record.look:
            return False
        return record.settled or entry.kind == SYMLINK or self._settles(path, record)

    def _settles(self, path: str, record: _Record) -> bool:
        """Hash once what was made just before the last action began: had it been rewritten in the
        same tick of the clock, and its mtime set back, it would look the same."""
        fd = open_plain(self._root + path)
        try:
            same = hash_fd(fd) == record.entry.digest
        finally:
            os.close(fd)
        if same and file_time_ns() - record.look[-1] >= RACY_NS:
            self._records[path] = attrs.evolve(record, settled=True)
        return same

    def _make(self, path: str, entry: TreeEntry) -> None:
        host = self._root + path
        if entry.kind == SYMLINK:
            os.symlink(entry.link, host)
        else:
            self._store.copy_out(entry.digest, host, executable=entry.kind == EXECUTABLE)
            os.utime(host, ns=(INPUT_MTIME_NS, INPUT_MTIME_NS))
        self._records[path] = _Record(entry, _look(os.lstat(host)))


def _add_folder(plan: _Plan, folder: str) -> None:
    """Make sure that `folder` and the way to it are in the plan."""
    absent: list[str] = []
    while folder not in plan:
        absent.append(folder)
        folder = posixpath.dirname(folder)
    for path in reversed(absent):
        parent, name = posixpath.split(path)
        if plan[parent].get(name) is not None:
            raise CannotPlace(path=path, why="an input file is where a directory must be")
        plan[parent][name] = None
        plan[path] = {}


def _look(info: os.stat_result) -> _Look:
    return (info.st_ino, info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
