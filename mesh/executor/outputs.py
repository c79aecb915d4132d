"""Collecting what an action promised to make: checked, hashed, moved into the store.

Rules
- No symbolic link is followed, neither at a path nor on the way to it: an action could otherwise
  have us read any file of this machine into its result.
- A link as an output may only lead to a path inside the mounts; an absolute one is made relative.
- Sizes are checked before anything is read. Pipes, sockets and devices are refused.
- Files are moved, not copied: the work tree loses them, which the next `prepare` would do anyway.

Blocking; no process of the action may be running.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Callable
from pathlib import Path

import attrs

from mesh.action.model import (
    DIRECTORY,
    EXECUTABLE,
    FILE,
    PROJECT_MOUNT,
    SYMLINK,
    OutputSpec,
    TreeEntry,
    check_entries,
    check_links,
    inside,
)
from mesh.cas.blobs import BlobStore
from mesh.errors import OutputMissing, OutputTooLarge, OutputUnusable, PathEscapes
from mesh.limits import MIB, OUTPUT_FILES_BYTES_MAX, TREE_ENTRIES_MAX
from mesh.wire.errors import WireError

DEPFILE_BYTES_MAX = 4 * MIB


@attrs.frozen
class Promise:
    """What to collect. `name` is the shard's, for messages; `rewrite` maps the text of depfiles
    (plain mode: scratch paths back to mount paths), None when there is nothing to map."""

    name: str
    specs: tuple[OutputSpec, ...]
    mounts: tuple[str, ...]
    rewrite: Callable[[bytes], bytes] | None = None
    size_bytes_max: int = OUTPUT_FILES_BYTES_MAX


@attrs.frozen
class _Found:
    path: str
    info: os.stat_result


class Collector:
    """Collects below `root`, which mirrors the sandbox's root directory."""

    def __init__(self, root: Path, store: BlobStore) -> None:
        self._root = os.fspath(root)
        self._store = store

    def survey(self, promise: Promise) -> Survey:
        """Look at everything without reading it.

        Raises OutputMissing, OutputTooLarge, OutputUnusable, PathEscapes.
        """
        survey = Survey(promise)
        for spec in promise.specs:
            self._look_at(spec, survey)
        return survey

    def collect(self, survey: Survey) -> tuple[TreeEntry, ...]:
        """Move what was found into the store; entries sorted by path. Raises StoreFull too."""
        entries = tuple(
            self._take(found, survey.promise) for _, found in sorted(survey.found.items())
        )
        try:
            check_entries(entries, survey.promise.mounts)
            check_links(entries)
        except WireError as error:
            raise self._escapes(str(error), survey.promise) from None
        return entries

    def _look_at(self, spec: OutputSpec, survey: Survey) -> None:
        self._check_way(spec.path, survey)
        try:
            info = os.lstat(self._root + spec.path)
        except (FileNotFoundError, NotADirectoryError):
            if spec.optional:
                return
            raise OutputMissing(name=survey.promise.name, path=_shown(spec.path)) from None
        if spec.directory and not stat.S_ISDIR(info.st_mode):
            raise OutputMissing(name=survey.promise.name, path=_shown(spec.path) + "/")
        self._add(spec.path, info, survey)

    def _check_way(self, path: str, survey: Survey) -> None:
        """Refuse a path that goes through a link."""
        folder = posixpath.dirname(path)
        while folder != "/" and folder not in survey.plain_folders:
            survey.plain_folders.add(folder)
            if os.path.islink(self._root + folder):
                raise self._escapes(f"{folder} (a symbolic link)", survey.promise)
            folder = posixpath.dirname(folder)

    def _add(self, path: str, info: os.stat_result, survey: Survey) -> None:
        todo = [_Found(path, info)]
        while todo:
            found = todo.pop()
            mode = found.info.st_mode
            if stat.S_ISDIR(mode):
                below = self._below(found)
                todo += below
                if not below:
                    survey.add(found)
            elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                survey.add(found)
            else:
                raise OutputUnusable(name=survey.promise.name, path=found.path)

    def _below(self, folder: _Found) -> list[_Found]:
        host = self._root + folder.path
        if folder.info.st_mode & 0o700 != 0o700:
            os.chmod(host, 0o700)
        with os.scandir(host) as items:
            return [
                _Found(f"{folder.path}/{item.name}", item.stat(follow_symlinks=False))
                for item in items
            ]

    def _take(self, found: _Found, promise: Promise) -> TreeEntry:
        mode = found.info.st_mode
        host = self._root + found.path
        if stat.S_ISDIR(mode):
            return TreeEntry(found.path, DIRECTORY)
        if stat.S_ISLNK(mode):
            return TreeEntry(found.path, SYMLINK, link=self._link(found, promise))
        if not mode & stat.S_IRUSR:
            os.chmod(host, 0o600)
        kind = EXECUTABLE if mode & stat.S_IXUSR else FILE
        if promise.rewrite and _is_depfile(found):
            data = promise.rewrite(Path(host).read_bytes())
            return TreeEntry(found.path, kind, self._store.put(data), len(data))
        digest, size = self._store.put_file(Path(host), move=True)
        return TreeEntry(found.path, kind, digest, size)

    def _link(self, found: _Found, promise: Promise) -> str:
        target = os.readlink(self._root + found.path)
        if promise.rewrite:
            target = os.fsdecode(promise.rewrite(os.fsencode(target)))
        if not target.startswith("/"):
            return target
        target = posixpath.normpath(target)
        if not any(inside(target, mount) for mount in promise.mounts):
            raise self._escapes(f"{found.path} -> {target}", promise)
        return posixpath.relpath(target, posixpath.dirname(found.path))

    def _escapes(self, path: str, promise: Promise) -> PathEscapes:
        return PathEscapes(path=path, root=", ".join(promise.mounts))


class Survey:
    """What `Collector.survey` found: path -> how it looks."""

    def __init__(self, promise: Promise) -> None:
        self.promise = promise
        self.found: dict[str, _Found] = {}
        self.plain_folders: set[str] = set()
        self.size_bytes = 0

    def add(self, found: _Found) -> None:
        if found.path in self.found:
            return
        self.found[found.path] = found
        self.size_bytes += found.info.st_size if stat.S_ISREG(found.info.st_mode) else 0
        limit = self.promise.size_bytes_max
        if self.size_bytes > limit:
            raise OutputTooLarge(name=self.promise.name, limit=f"{limit // MIB} MiB")
        if len(self.found) > TREE_ENTRIES_MAX:
            raise OutputTooLarge(name=self.promise.name, limit=f"{TREE_ENTRIES_MAX} files")


def _shown(path: str) -> str:
    """As people know it: what is in the project, relative to it."""
    return path.removeprefix(f"{PROJECT_MOUNT}/")


def _is_depfile(found: _Found) -> bool:
    return found.path.endswith(".d") and found.info.st_size <= DEPFILE_BYTES_MAX
