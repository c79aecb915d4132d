"""Builds the input tree of an action from files of this machine.

Rules
- Entries are sorted by path, so that the same files make the same tree everywhere.
- A symbolic link whose target lies in a mount stays a link, made relative, and its target comes
  along. One that leads outside is followed: the tree holds the file itself.
- Nothing ever lies below a link: a path through a linked folder is recorded where it really is.
- Folders named as inputs bring everything below them, without `.git` and without what other steps
  make (`leave_out`): an earlier run's products must not leak in.

Deliberately not here: which paths are inputs; storing the blobs (`sources` says where they are).
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Container
from pathlib import Path

import attrs

from mesh.action.model import DIRECTORY, EXECUTABLE, FILE, SYMLINK, Tree, TreeEntry
from mesh.errors import TooManyFiles
from mesh.limits import LINKS_FOLLOWED_MAX, TREE_ENTRIES_MAX
from mesh.planners.base import Mount
from mesh.planners.toolchain import Hasher
from mesh.planners.validate import host_path, inside_path
from mesh.types import Digest
from mesh.wire.blobid import blob_id


@attrs.define(eq=False)
class Seen:
    """What builders that work at one moment, in one thread, learn of folders and plain files."""

    linked_folders: dict[str, str | None] = attrs.field(factory=dict)
    files: dict[str, tuple[TreeEntry, Path, int]] = attrs.field(factory=dict)
    """Entry, where it is on this machine, mtime in ns."""


class TreeBuilder:
    """Collects entries; used once, by one thread."""

    def __init__(
        self,
        mounts: tuple[Mount, ...],
        hasher: Hasher,
        leave_out: Container[str] = frozenset(),
        seen: Seen | None = None,
    ) -> None:
        self._mounts = mounts
        self._hasher = hasher
        self._leave_out = leave_out
        self._entries: dict[str, TreeEntry] = {}
        self._seen = Seen() if seen is None else seen
        self.sources: dict[Digest, Path] = {}
        """Where the content of each entry can be read."""
        self.inline: dict[Digest, bytes] = {}
        """Content that is in no file."""
        self.newest_ns = 0
        """The latest modification time among the files added."""

    def build(self) -> Tree:
        """The tree; a folder entry stays only where nothing else makes the folder."""
        if all(entry.kind != DIRECTORY for entry in self._entries.values()):
            return Tree(tuple(entry for _, entry in sorted(self._entries.items())))
        implied: set[str] = set()
        for path in self._entries:
            parent = posixpath.dirname(path)
            while parent not in implied and len(parent) > 1:
                implied.add(parent)
                parent = posixpath.dirname(parent)
        kept = [
            entry
            for path, entry in sorted(self._entries.items())
            if entry.kind != DIRECTORY or path not in implied
        ]
        return Tree(tuple(kept))

    def add(self, path: str, depth: int = 0) -> None:
        """Add a file, a link or a folder. Raises FileNotFoundError, InputChanged."""
        if path in self._entries:
            return
        seen = self._seen.files.get(path)
        if seen is not None:
            self._put_file(*seen)
            return
        host = host_path(path, self._mounts)
        assert host is not None, f"{path} is in no mount; plans are checked for that"
        link = self._linked_folder(posixpath.dirname(host))
        if link is not None and self._add_link(link, depth):
            target = os.path.realpath(link) + host[len(link) :]
            inner = inside_path(target, self._mounts)
            assert inner is not None, "_add_link has checked it"
            self.add(inner, depth + 1)
            return
        found = os.lstat(host)
        if stat.S_ISLNK(found.st_mode):
            if self._add_link(host, depth):
                return
            found = os.stat(host)  # noqa: PTH116
        if stat.S_ISDIR(found.st_mode):
            self._add_below(path, host, depth)
        else:
            self._add_file(path, host, found)

    def add_content(self, path: str, content: bytes) -> None:
        """Add a file that exists nowhere yet."""
        digest = blob_id(content)
        self.inline[digest] = content
        self._put(TreeEntry(path, FILE, digest, len(content)))

    def add_folder(self, path: str) -> None:
        """Make sure that the folder exists in the sandbox, if it exists here."""
        host = host_path(path, self._mounts)
        if host is None or not os.path.isdir(host) or os.path.realpath(host) != host:  # noqa: PTH112
            return
        if path not in self._entries and all(path != mount.inside for mount in self._mounts):
            self._put(TreeEntry(path, DIRECTORY))

    def _add_file(self, path: str, host: str, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            return  # sockets, pipes and devices are no inputs
        digest = self._hasher.digest(host)
        kind = EXECUTABLE if found.st_mode & stat.S_IXUSR else FILE
        entry = TreeEntry(path, kind, digest, found.st_size)
        seen = self._seen.files[path] = (entry, Path(host), found.st_mtime_ns)
        self._put_file(*seen)

    def _put_file(self, entry: TreeEntry, source: Path, mtime_ns: int) -> None:
        self.newest_ns = max(self.newest_ns, mtime_ns)
        self.sources[entry.digest] = source
        self._put(entry)

    def _add_link(self, host: str, depth: int) -> bool:
        """Record a link and what it leads to; False when it leads outside and must be followed."""
        target = os.path.normpath(os.path.join(os.path.dirname(host), os.readlink(host)))  # noqa: PTH115, PTH118, PTH120
        inner = inside_path(target, self._mounts)
        path = inside_path(host, self._mounts)
        real = inside_path(os.path.realpath(host), self._mounts)
        if inner is None or path is None or real is None or depth > LINKS_FOLLOWED_MAX:
            return False
        if path not in self._entries:
            relative = posixpath.relpath(inner, posixpath.dirname(path))
            self._put(TreeEntry(path, SYMLINK, link=relative))
            if os.path.lexists(target) and os.path.isfile(target):  # noqa: PTH113
                self.add(inner, depth + 1)
            elif os.path.isdir(target) and not path.startswith(inner + "/"):  # noqa: PTH112
                self._add_folder_target(inner, depth)
        return True

    def _add_folder_target(self, inner: str, depth: int) -> None:
        """A link to a folder: the folder must exist; what of it is read is added by name."""
        host = host_path(inner, self._mounts)
        assert host is not None, "it came from inside_path"
        if os.path.islink(host):  # noqa: PTH114
            self._add_link(host, depth + 1)
        else:
            self.add_folder(inner)

    def _add_below(self, path: str, host: str, depth: int) -> None:
        names = sorted(os.listdir(host))  # noqa: PTH208
        if not names:
            self.add_folder(path)
        for name in names:
            child = f"{path}/{name}"
            if name == ".git" or child in self._leave_out:
                continue
            try:
                self._add_child(child, f"{host}/{name}", depth)
            except FileNotFoundError:
                continue  # a dangling link, or a file that has just gone

    def _add_child(self, path: str, host: str, depth: int) -> None:
        if os.path.isdir(host) and not os.path.islink(host):  # noqa: PTH112, PTH114
            self._add_below(path, host, depth)
            return
        self.add(path, depth)
        if os.path.islink(host) and os.path.isdir(host):  # noqa: PTH112, PTH114
            inner = inside_path(os.path.realpath(host), self._mounts)
            # A link upwards would bring in the folder that is being walked already.
            if inner is not None and not path.startswith(inner + "/"):
                self.add(inner, depth + 1)

    def _linked_folder(self, folder: str) -> str | None:
        """The first component of `folder`, below its mount, that is a link; None usually."""
        if folder in self._seen.linked_folders:
            return self._seen.linked_folders[folder]
        found: str | None = None
        if any(os.fspath(mount.host) == folder for mount in self._mounts) or folder == "/":
            found = None
        else:
            found = self._linked_folder(posixpath.dirname(folder))
            if found is None and os.path.islink(folder):  # noqa: PTH114
                found = folder
        self._seen.linked_folders[folder] = found
        return found

    def _put(self, entry: TreeEntry) -> None:
        self._entries[entry.path] = entry
        if len(self._entries) > TREE_ENTRIES_MAX:
            raise TooManyFiles(
                what="the input tree", count=len(self._entries), limit=TREE_ENTRIES_MAX
            )
