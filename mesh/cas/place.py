"""Putting a result's outputs into the user's project tree.

Rules
- A file appears by the rename of a complete one in its own directory; nobody sees half of it.
- Nothing outside a mount's host directory is written, whatever the entries say and whatever links
  lie in the tree: the way down is walked with descriptors that follow nothing. A symbolic link on
  the way is resolved by hand and may lead elsewhere *inside* the mount; one that leads out is
  PathEscapes.
- Modes are 0666 or 0777 less the umask, mtimes are the moment of placing, in the entries' order.
- With `keep_unchanged` a file that already has the content keeps its mtime (ninja's `restat`).

Deliberately not here: removing what a result does not mention, owners, extended attributes.
Blocking: run it in a worker thread when there is more than a handful.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import attrs

from mesh.action.model import DIRECTORY, EXECUTABLE, SYMLINK, TreeEntry, check_entries, inside
from mesh.cas.blobs import BlobStore
from mesh.cas.descent import Descent
from mesh.cas.filehash import FileHasher
from mesh.errors import CannotPlace, PathEscapes
from mesh.ports.real.disk import full_disk_as_error
from mesh.wire.errors import WireError

T = TypeVar("T")

_ASIDE_TRIES = 10_000


@attrs.frozen
class Placed:
    """Paths inside the sandbox: those written, and those left alone because they were right."""

    written: tuple[str, ...]
    kept: tuple[str, ...]


class Placer:
    """Places entries below `mounts` (path inside the sandbox -> directory of this machine).

    `hasher` is told the digests of what was placed, so that the next run need not read it.
    """

    def __init__(
        self, store: BlobStore, mounts: Mapping[str, Path], hasher: FileHasher | None = None
    ) -> None:
        self._store = store
        self._mounts = dict(mounts)
        self._hasher = FileHasher() if hasher is None else hasher
        self._numbers = itertools.count()

    def place(self, entries: Sequence[TreeEntry], *, keep_unchanged: bool = False) -> Placed:
        """Make the tree hold `entries`.

        Raises PathEscapes before anything is written when the entries themselves are not right,
        later when a link in the tree leads out; CannotPlace, StoreFull, BlobMissing, InputChanged.
        What was placed until then stays.
        """
        self._check(entries)
        written: list[str] = []
        kept: list[str] = []
        with contextlib.ExitStack() as stack:
            descents = {mount: stack.enter_context(self._enter(mount)) for mount in self._mounts}
            for entry in entries:
                mount = self._mount_of(entry.path)
                where = _Where(descents[mount], entry.path[len(mount) :].lstrip("/"), entry)
                changed = self._place_one(where, keep_unchanged)
                (written if changed else kept).append(entry.path)
        return Placed(tuple(written), tuple(kept))

    def _check(self, entries: Sequence[TreeEntry]) -> None:
        try:
            check_entries(tuple(entries), tuple(self._mounts))
        except WireError as error:
            roots = ", ".join(str(host) for host in self._mounts.values())
            raise PathEscapes(path=str(error), root=roots) from None

    @contextlib.contextmanager
    def _enter(self, mount: str) -> Iterator[Descent]:
        host = self._mounts[mount]
        with contextlib.ExitStack() as stack:
            try:
                descent = stack.enter_context(Descent(host))
            except OSError as error:
                raise CannotPlace(path=str(host), why=error.strerror) from None
            yield descent

    def _mount_of(self, path: str) -> str:
        return max((mount for mount in self._mounts if inside(path, mount)), key=len)

    def _place_one(self, where: _Where, keep_unchanged: bool) -> bool:
        entry = where.entry
        try:
            with full_disk_as_error(where.path):
                if entry.kind == DIRECTORY:
                    return where.make_directory()
                parent, name = where.descend()
                if entry.kind == SYMLINK:
                    return self._place_link(parent, name, entry, keep_unchanged)
                if keep_unchanged and self._is_already(where.path, parent, name, entry):
                    return False
                self._place_file(parent, name, entry)
                self._hasher.remember(where.path, entry.digest)
                return True
        except OSError as error:
            why = error.strerror or str(error)
            raise CannotPlace(path=str(where.path), why=why) from None

    def _place_file(self, parent: int, name: str, entry: TreeEntry) -> None:
        mode = 0o777 if entry.kind == EXECUTABLE else 0o666
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        aside, fd = self._make_aside(lambda each: os.open(each, flags, mode, dir_fd=parent))
        try:
            try:
                self._store.copy_to(entry.digest, fd)
            finally:
                os.close(fd)
            os.rename(aside, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            os.unlink(aside, dir_fd=parent)
            raise

    def _place_link(self, parent: int, name: str, entry: TreeEntry, keep_unchanged: bool) -> bool:
        with contextlib.suppress(OSError):
            if keep_unchanged and os.readlink(name, dir_fd=parent) == entry.link:
                return False
        aside, _ = self._make_aside(lambda each: os.symlink(entry.link, each, dir_fd=parent))
        try:
            os.rename(aside, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            os.unlink(aside, dir_fd=parent)
            raise
        return True

    def _make_aside(self, make: Callable[[str], T]) -> tuple[str, T]:
        """Make something under a name that nothing has: left-overs of a crash, and other runs that
        place in the same directory right now, have theirs."""
        for _ in range(_ASIDE_TRIES):
            aside = f".vitte-{next(self._numbers)}"
            with contextlib.suppress(FileExistsError):
                return aside, make(aside)
        raise FileExistsError(errno.EEXIST, "too many left-over .vitte-* files")

    def _is_already(self, path: Path, parent: int, name: str, entry: TreeEntry) -> bool:
        """Whether the file is there with that content; its executable bit is put right."""
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(found.st_mode) or found.st_size != entry.size_bytes:
            return False
        if self._hasher.digest(path) != entry.digest:
            return False
        executable = entry.kind == EXECUTABLE
        return bool(found.st_mode & stat.S_IXUSR) == executable


@attrs.frozen
class _Where:
    """One entry's place: the walk below its mount and the relative path."""

    descent: Descent
    relative: str
    entry: TreeEntry

    @property
    def path(self) -> Path:
        return self.descent.root / self.relative

    def descend(self) -> tuple[int, str]:
        """(descriptor of the parent directory, name in it); directories on the way are made."""
        folder, _, name = self.relative.rpartition("/")
        if not name:
            raise PathEscapes(path=self.entry.path, root=str(self.descent.root))
        return self.descent.open(folder), name

    def make_directory(self) -> bool:
        existed = self.path.is_dir()
        self.descent.open(self.relative)
        return not existed
