"""The large files of the blob store, all below one folder of the node's disk: `ab/cdef...` for
blobs, `tmp` for what is being written, `part` for fetches that can be gone on with, `bad` for what
turned out damaged.

Rules: a blob appears by one rename of a complete file; nothing is fsynced on the way, because what
a crash tears is found by its id: `is_checked` is false until this process has hashed the file in
its present state. `sync` makes durable what was put since the last one. Not here: small blobs,
memory, project files, decisions.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator

from mesh.cas.files import pour
from mesh.cas.uses import Uses
from mesh.errors import InputChanged, StoreFull
from mesh.limits import BAD_BLOBS_MAX, FILE_HASHES_MAX
from mesh.ports import Disk
from mesh.ports.disk import DiskFile, FileInfo, NotPlainFile
from mesh.types import DIGEST_BYTES, Digest
from mesh.wire.blobid import BlobHash

_TMP, _BAD, _PART = "tmp", "bad", "part"
_FOLDERS = 256

State = tuple[int, ...]
"""See `FileInfo.state`."""


class Shelf:
    """See the module's head. Thread-safe."""

    def __init__(self, disk: Disk, folder: str, uses: Uses) -> None:
        self.disk = disk
        self._folder = folder
        self._uses = uses
        self._checked: OrderedDict[Digest, State] = OrderedDict()
        self._lock = threading.Lock()
        self._serial = itertools.count()
        self._size_bytes = 0
        self._open_parts: set[str] = set()
        self._unsynced: dict[Digest, None] = {}
        """Put by this process and perhaps gone after a power cut; no more than there are files."""
        self.damaged = 0
        """Blobs moved to `bad` since the start."""
        disk.remove_tree(f"{folder}/{_TMP}")

    def name(self, digest: Digest) -> str:
        """Where the blob is, or would be, on the disk."""
        name = digest.hex()
        return f"{self._folder}/{name[:2]}/{name[2:]}"

    def part_name(self, digest: Digest) -> str:
        """Where an unfinished fetch of it is, or would be."""
        return f"{self._folder}/{_PART}/{digest.hex()}"

    def has(self, digest: Digest) -> bool:
        return self.disk.exists(self.name(digest))

    def info(self, digest: Digest) -> FileInfo | None:
        return self.disk.info(self.name(digest))

    def open(self, digest: Digest) -> DiskFile:
        """Raises FileNotFoundError, NotPlainFile."""
        return self.disk.open(self.name(digest))

    def blobs(self) -> Iterator[tuple[Digest, FileInfo]]:
        """All blobs, in the order of their ids."""
        for byte in range(_FOLDERS):
            for name, info in self.disk.files(f"{self._folder}/{byte:02x}"):
                with contextlib.suppress(ValueError):
                    digest = bytes.fromhex(f"{byte:02x}{name}")
                    if len(digest) == DIGEST_BYTES:
                        yield Digest(digest), info

    # -- putting ---------------------------------------------------------------------------------
    def aside(self) -> Aside:
        """A new file in `tmp`; gone at the end of its context unless `adopt` has made a blob of
        it."""
        name = self._new_name()
        return Aside(self.disk, name, self.disk.create(name))

    def adopt(self, name: str, file: DiskFile, digest: Digest) -> None:
        """Make the complete file `name`, which is open as `file`, the blob `digest`."""
        self.disk.rename(name, self.name(digest))
        info = file.info()
        self.note_checked(digest, info.state)
        self._uses.touch(digest)
        with self._lock:
            self._unsynced[digest] = None
        self._grow(info.size_bytes)

    def take(self, path: str) -> tuple[Digest, BlobHash] | None:
        """Move a real file in; None when it has to be copied. Raises NotPlainFile, InputChanged."""
        name = self._new_name()
        file = self.disk.take(path, name)
        if file is None:
            return None
        with Aside(self.disk, name, file) as aside:
            state = _hash_still(path, file)
            digest = state.blob_id()
            aside.adopt(self, digest)
        return digest, state

    def is_durable(self, digest: Digest) -> bool:
        """Whether a blob that is here survives a power cut, as far as this process knows."""
        return digest not in self._unsynced

    def sync(self) -> None:
        """Have all blobs that were put before survive a power cut. Raises StoreFull, OSError."""
        for digest in list(self._unsynced):
            with contextlib.suppress(FileNotFoundError, NotPlainFile):  # removed meanwhile
                self.disk.persist(self.name(digest))
            with self._lock:
                self._unsynced.pop(digest, None)

    # -- trusting --------------------------------------------------------------------------------
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
            self._make_room_for_bad()
            self.disk.rename(self.name(digest), f"{self._folder}/{_BAD}/{digest.hex()}")
            self.damaged += 1
            self._grow(-info.size_bytes if info is not None else 0)

    def quarantine_bytes(self, digest: Digest, data: bytes) -> None:
        """Keep what was read instead of a small blob."""
        self.damaged += 1
        name = f"{self._folder}/{_BAD}/{digest.hex()}"
        with contextlib.suppress(OSError, StoreFull):
            self._make_room_for_bad()
            with self.disk.create(name) as file:
                file.write(data)

    # -- unfinished fetches ----------------------------------------------------------------------
    def claim_part(self, name: str) -> bool:
        """Be the only one who writes to this partial file; False when somebody is."""
        with self._lock:
            free = name not in self._open_parts
            self._open_parts.add(name)
            return free

    def release_part(self, name: str) -> None:
        self._open_parts.discard(name)

    # -- removing --------------------------------------------------------------------------------
    def remove(self, digest: Digest, size_bytes: int) -> None:
        """Remove a blob."""
        self.disk.remove(self.name(digest))
        self._grow(-size_bytes)

    def drop_partial(self, keep: int = 0) -> int:
        """Remove unfinished fetches nobody works on but the `keep` newest; bytes freed."""
        folder, freed = f"{self._folder}/{_PART}", 0
        found = sorted(self.disk.files(folder), key=lambda each: each[1].used_s)
        data = [name for name, _ in found if "." not in name]
        gone = set(data[: max(0, len(data) - keep)])
        for name, info in found:
            stem = name.partition(".")[0]
            orphan = stem not in data
            if (stem in gone or orphan) and f"{folder}/{stem}" not in self._open_parts:
                self.disk.remove(f"{folder}/{name}")
                freed += info.size_bytes
        return freed

    @property
    def size_bytes(self) -> int:
        """Of all blobs, from the last `count` on. A blob that is stored again counts again: asking
        whether it is there would cost more than a `count` too early, which finds out."""
        return self._size_bytes

    def count(self) -> int:
        """Walk all files; sets `size_bytes` and returns it."""
        total = sum(info.size_bytes for _, info in self.blobs())
        total += sum(info.size_bytes for _, info in self.disk.files(f"{self._folder}/{_PART}"))
        with self._lock:
            self._size_bytes = total
        return total

    def _make_room_for_bad(self) -> None:
        folder = f"{self._folder}/{_BAD}"
        found = sorted(self.disk.files(folder), key=lambda each: each[1].used_s)
        for name, _ in found[: max(0, len(found) - BAD_BLOBS_MAX + 1)]:
            self.disk.remove(f"{folder}/{name}")

    def _grow(self, by_bytes: int) -> None:
        with self._lock:
            self._size_bytes += by_bytes

    def _new_name(self) -> str:
        return f"{self._folder}/{_TMP}/{next(self._serial)}"


class Aside:
    """A file that is no blob yet."""

    __slots__ = ("_adopted", "_disk", "file", "name")

    def __init__(self, disk: Disk, name: str, file: DiskFile) -> None:
        self._disk = disk
        self.name = name
        self.file = file
        self._adopted = False

    def adopt(self, shelf: Shelf, digest: Digest) -> None:
        """It is complete: make it that blob."""
        shelf.adopt(self.name, self.file, digest)
        self._adopted = True

    def __enter__(self) -> Aside:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        if not self._adopted:
            self._disk.remove(self.name)


def _hash_still(path: str, file: DiskFile) -> BlobHash:
    before = file.info()
    state = pour(file, before.size_bytes)
    if file.info().state != before.state:
        raise InputChanged(path=path)
    return state
