"""The files of the blob store: `ab/cdef...` for blobs, `tmp` for what is being written, `bad` for
what turned out damaged, all below one folder of the node's disk.

Rules: a blob appears by one rename of a complete file; nothing is fsynced, because what a crash
tears is found by its digest: `is_checked` is false until this process has hashed the file in its
present state. Not here: memory, project files, decisions.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator

from mesh.cas.files import pour
from mesh.errors import InputChanged
from mesh.limits import FILE_HASHES_MAX
from mesh.ports import Disk
from mesh.ports.disk import DiskFile, FileInfo
from mesh.types import Digest

_TMP, _BAD = "tmp", "bad"
_FOLDERS = 256

State = tuple[int, ...]
"""See `FileInfo.state`."""


class Shelf:
    """See the module's head. Thread-safe."""

    def __init__(self, disk: Disk, folder: str) -> None:
        self._disk = disk
        self._folder = folder
        self._checked: OrderedDict[Digest, State] = OrderedDict()
        self._lock = threading.Lock()
        self._serial = itertools.count()
        self._size_bytes = 0
        self.damaged = 0
        """Blobs moved to `bad` since the start."""
        disk.remove_tree(f"{folder}/{_TMP}")

    def name(self, digest: Digest) -> str:
        """Where the blob is, or would be, on the disk."""
        name = digest.hex()
        return f"{self._folder}/{name[:2]}/{name[2:]}"

    def has(self, digest: Digest) -> bool:
        return self._disk.exists(self.name(digest))

    def info(self, digest: Digest) -> FileInfo | None:
        return self._disk.info(self.name(digest))

    def open(self, digest: Digest) -> DiskFile:
        """Raises FileNotFoundError, NotPlainFile."""
        return self._disk.open(self.name(digest))

    def files(self) -> Iterator[tuple[str, FileInfo]]:
        """All blobs, as (name on the disk, info)."""
        for byte in range(_FOLDERS):
            folder = f"{self._folder}/{byte:02x}"
            for name, info in self._disk.files(folder):
                yield f"{folder}/{name}", info

    def aside(self) -> Aside:
        """A new file in `tmp`; gone at the end of its context unless `adopt` has made a blob of
        it."""
        name = self._new_name()
        return Aside(self._disk, name, self._disk.create(name))

    def adopt(self, aside: Aside, digest: Digest) -> None:
        """Make the complete file `aside` the blob `digest`."""
        self._disk.rename(aside.name, self.name(digest))
        aside.adopted = True
        info = aside.file.info()
        self.note_checked(digest, info.state)
        self._grow(info.size_bytes)

    def take(self, path: str) -> tuple[Digest, int] | None:
        """Move a real file in; (digest, size_bytes), None when it has to be copied.

        Raises NotPlainFile, InputChanged.
        """
        name = self._new_name()
        file = self._disk.take(path, name)
        if file is None:
            return None
        with Aside(self._disk, name, file) as aside:
            digest, size = _hash_still(path, file)
            self.adopt(aside, digest)
        return digest, size

    def is_checked(self, digest: Digest, state: State) -> bool:
        """Whether a file in this state was found to be that blob."""
        return self._checked.get(digest) == state

    def note_checked(self, digest: Digest, state: State) -> None:
        with self._lock:
            self._checked[digest] = state
            if len(self._checked) > FILE_HASHES_MAX:
                self._checked.popitem(last=False)

    def quarantine(self, digest: Digest) -> None:
        """Move a damaged blob out of the way; it is missing from now on."""
        with self._lock:
            self._checked.pop(digest, None)
        info = self.info(digest)
        with contextlib.suppress(FileNotFoundError):
            self._disk.rename(self.name(digest), f"{self._folder}/{_BAD}/{digest.hex()}")
            self.damaged += 1
            self._grow(-info.size_bytes if info is not None else 0)

    def trim(self, keep_bytes: int) -> int:
        """Remove the least recently used blobs until at most `keep_bytes` stay; bytes freed."""
        files = sorted(self.files(), key=lambda item: (item[1].used_s, item[0]))
        total, freed = sum(info.size_bytes for _, info in files), 0
        for name, info in files:
            if total - freed <= keep_bytes:
                break
            self._disk.remove(name)
            freed += info.size_bytes
        with self._lock:
            self._size_bytes = total - freed
        return freed

    @property
    def size_bytes(self) -> int:
        """Of all blobs, from the last `count` or `trim` on. A blob that is stored again counts
        again: asking whether it is there would cost more than a `trim` too early, which finds out
        and removes nothing."""
        return self._size_bytes

    def count(self) -> int:
        """Walk all files; sets `size_bytes` and returns it."""
        total = sum(info.size_bytes for _, info in self.files())
        with self._lock:
            self._size_bytes = total
        return total

    def _grow(self, by_bytes: int) -> None:
        with self._lock:
            self._size_bytes += by_bytes

    def _new_name(self) -> str:
        return f"{self._folder}/{_TMP}/{next(self._serial)}"


class Aside:
    """A file that is no blob yet."""

    __slots__ = ("_disk", "adopted", "file", "name")

    def __init__(self, disk: Disk, name: str, file: DiskFile) -> None:
        self._disk = disk
        self.name = name
        self.file = file
        self.adopted = False

    def __enter__(self) -> Aside:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        if not self.adopted:
            self._disk.remove(self.name)


def _hash_still(path: str, file: DiskFile) -> tuple[Digest, int]:
    before = file.info()
    digest, size = pour(file, before.size_bytes)
    if file.info().state != before.state:
        raise InputChanged(path=path)
    return digest, size
