"""Small blobs in pack files: one append a blob, one sync for as many as wait for it.

Rules
- The index is in memory and made from the packs at the start; `save` writes it down, so that the
  next start reads little. A crash loses no more than what was not on the disk: a torn tail is cut.
- `put` promises nothing after a power cut; `sync` makes everything put before durable. Threads that
  wait for it share one.
- What is dropped leaves a hole. `compact` copies what is left of the emptiest packs to the end of
  the newest and removes them.
- After an error a pack is appended to only when it is as long as it must be.

Thread-safe. Not here: whether a content is the right one (`mesh.cas.blobs` compares), what is to be
dropped (`mesh.cas.evict`).
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Iterable, Sequence

import attrs

from mesh.cas.packfile import BLOB, HEAD_BYTES, MANIFEST, Row, decode_index, encode_index, scan
from mesh.cas.packfile import record as make_record
from mesh.errors import StoreFull
from mesh.limits import MIB, PACK_BYTES_MAX
from mesh.ports import Disk
from mesh.types import Digest

logger = logging.getLogger(__name__)
_NAME = re.compile(r"(\d{8})\.pack")
_INDEX_EVERY_BYTES = 4 * MIB
"""A pack that grew by less since its index was written is not indexed anew."""
_OFFSET_BITS, _SIZE_BITS = 32, 20
assert PACK_BYTES_MAX < 1 << (_OFFSET_BITS - 1)


@attrs.define
class _Pack:
    """One pack file."""

    number: int
    size_bytes: int = 0
    live_bytes: int = 0
    indexed_bytes: int = 0
    """How much of it its index file covers."""
    synced_bytes: int = 0
    """How much of it survives a power cut, as far as this process knows."""
    stale: bool = False
    """Whether the index file names what was dropped."""


@attrs.frozen
class Packed:
    """A small blob in some pack, for lists."""

    blob: Digest
    size_bytes: int
    pack: int


class Packs:
    """See the module's head. `put` and `compact` raise StoreFull, OSError."""

    def __init__(self, disk: Disk, folder: str) -> None:
        self._disk = disk
        self._folder = folder
        self._lock = threading.RLock()
        self._sync_lock = threading.Lock()
        self._where: tuple[dict[Digest, int], dict[Digest, int]] = ({}, {})
        self._packs: dict[int, _Pack] = {}
        self._active: _Pack | None = None
        self._next_number = 0
        self._unsynced: dict[int, None] = {}
        self._appended = self._synced = 0
        self.torn_bytes = 0
        """Cut off at the start because a crash had torn it."""
        self.trouble = ""
        """Why the last attempt to put something failed; empty when it did not."""
        self.damaged = 0
        """Records that were found to be damaged at the start."""
        self._load()

    # -- asking ----------------------------------------------------------------------------------
    def has(self, blob: Digest) -> bool:
        return blob in self._where[BLOB]

    def size(self, blob: Digest) -> int | None:
        """Size in bytes of a blob that is here."""
        where = self._where[BLOB].get(blob)
        return where & ((1 << _SIZE_BITS) - 1) if where is not None else None

    def is_durable(self, blob: Digest) -> bool:
        """Whether it is here and survives a power cut, as far as this process knows."""
        with self._lock:
            where = self._where[BLOB].get(blob)
            if where is None:
                return False
            size, number = _size_and_pack(where)
            return _offset(where) + size <= self._packs[number].synced_bytes

    def __len__(self) -> int:
        return len(self._where[BLOB])

    @property
    def size_bytes(self) -> int:
        """On the disk, holes included."""
        return sum(pack.size_bytes for pack in list(self._packs.values()))

    @property
    def live_bytes(self) -> int:
        """Of what is not dropped, with its heads."""
        return sum(pack.live_bytes for pack in list(self._packs.values()))

    @property
    def count(self) -> int:
        """Of pack files."""
        return len(self._packs)

    def entries(self) -> list[Packed]:
        """All blobs, those that were put first first."""
        with self._lock:
            found = list(self._where[BLOB].items())
        return [Packed(blob, *_size_and_pack(where)) for blob, where in found]

    def used_s(self) -> dict[int, float]:
        """When each pack was last used, as `FileInfo.used_s`."""
        infos = ((number, self._disk.info(self._name(number))) for number in list(self._packs))
        return {number: info.used_s for number, info in infos if info is not None}

    # -- putting and getting ---------------------------------------------------------------------
    def put(self, blob: Digest, data: bytes, kind: int = BLOB) -> None:
        """Keep it, unless it is there already."""
        self.put_all([(blob, data)], kind)

    def put_all(self, blobs: Sequence[tuple[Digest, bytes]], kind: int = BLOB) -> None:
        """Keep all, with one write for each PACK_BYTES_MAX at most."""
        with self._lock:
            known = self._where[kind]
            rest = [each for each in blobs if each[0] not in known]
            while rest:
                count, size = 0, 0
                for _, data in rest:
                    size += HEAD_BYTES + len(data)
                    if count and size > PACK_BYTES_MAX:
                        break
                    count += 1
                self._append(rest[:count], kind)
                rest = rest[count:]

    def get(self, blob: Digest, kind: int = BLOB) -> bytes | None:
        """What was put, unchecked; None when it is not here. Raises OSError."""
        for _ in range(3):  # compacted meanwhile: it is somewhere else
            where = self._where[kind].get(blob)
            if where is None:
                return None
            size, number = _size_and_pack(where)
            try:
                with self._disk.open(self._name(number)) as file:
                    return file.read_at(_offset(where), size)
            except FileNotFoundError:
                if self._where[kind].get(blob) == where:
                    return None
        return None

    def drop(self, blobs: Iterable[Digest]) -> int:
        """Forget blobs; their room comes back with `compact`. Returns how many bytes that is."""
        freed = 0
        with self._lock:
            for blob in blobs:
                for known in self._where:
                    where = known.pop(blob, None)
                    if where is not None:
                        freed += self._hole(where)
        return freed

    def sync(self) -> None:
        """Make everything put before durable. Raises StoreFull, OSError."""
        wanted = self._appended
        with self._sync_lock:
            if self._synced >= wanted:
                return  # whoever had the lock did it for us
            with self._lock:
                upto = self._appended
                sizes = {number: self._packs[number].size_bytes for number in self._unsynced}
                self._unsynced.clear()
            try:
                for number in sizes:
                    self._disk.sync(self._name(number))
            except BaseException:
                with self._lock:
                    self._unsynced.update(dict.fromkeys(sizes))
                raise
            self._synced = upto
            with self._lock:
                for number, size_bytes in sizes.items():
                    if (pack := self._packs.get(number)) is not None:
                        pack.synced_bytes = max(pack.synced_bytes, size_bytes)

    # -- keeping house ---------------------------------------------------------------------------
    def compact(self, keep_bytes: int) -> int:
        """Rewrite packs, the emptiest first, until at most `keep_bytes` are on the disk or there
        are no holes. Returns the bytes freed."""
        freed = 0
        while self.size_bytes > keep_bytes:
            holey = [pack for pack in self._packs.values() if pack.live_bytes < pack.size_bytes]
            if not holey:
                break
            freed += self._rewrite(min(holey, key=lambda pack: pack.live_bytes / pack.size_bytes))
        return freed

    def save(self) -> None:
        """Write down the index of every pack that needs it. Raises StoreFull, OSError."""
        with self._sync_lock:  # nobody removes a pack meanwhile
            for number, (covered, rows) in self._due().items():
                # An index must not know more than the disk after a power cut.
                self._disk.sync(self._name(number))
                self._disk.write(self._index_name(number), encode_index(covered, rows))

    def _due(self) -> dict[int, tuple[int, list[Row]]]:
        """What the packs hold whose index is to be written; they count as indexed from now on."""
        with self._lock:
            due = {
                pack.number: list[Row]()
                for pack in self._packs.values()
                if pack.stale
                or pack.size_bytes - pack.indexed_bytes >= _INDEX_EVERY_BYTES
                or (pack is not self._active and pack.size_bytes > pack.indexed_bytes)
            }
            for kind in (BLOB, MANIFEST) if due else ():
                for blob, where in self._where[kind].items():
                    size, number = _size_and_pack(where)
                    if number in due:
                        due[number].append(Row(blob, kind, _offset(where), size))
            for number, rows in due.items():
                rows.sort(key=lambda row: row.offset)
                pack = self._packs[number]
                pack.indexed_bytes, pack.stale = pack.size_bytes, False
            return {number: (self._packs[number].size_bytes, rows) for number, rows in due.items()}

    # -- inside ----------------------------------------------------------------------------------
    def _name(self, number: int) -> str:
        return f"{self._folder}/{number:08}.pack"

    def _index_name(self, number: int) -> str:
        return f"{self._folder}/{number:08}.index"

    def _append(self, blobs: Sequence[tuple[Digest, bytes]], kind: int) -> None:
        records = [make_record(kind, blob, data) for blob, data in blobs]
        data = records[0] if len(records) == 1 else b"".join(records)
        pack = self._active
        if pack is None or pack.size_bytes + len(data) > PACK_BYTES_MAX:
            pack = self._begin()
        try:
            self._disk.append(self._name(pack.number), data)
        except (OSError, StoreFull) as error:
            self.trouble = str(error)
            self._after_error(pack)
            raise
        self.trouble = ""
        self._unsynced[pack.number] = None
        self._appended += 1
        at, known = pack.size_bytes, self._where[kind]
        for (blob, payload), each in zip(blobs, records, strict=True):
            old = known.get(blob)
            if old is not None:
                self._hole(old)
            known[blob] = _where(pack.number, at + HEAD_BYTES, len(payload))
            at += len(each)
        pack.size_bytes += len(data)
        pack.live_bytes += len(data)

    def _begin(self) -> _Pack:
        pack = _Pack(self._next_number)
        self._next_number += 1
        self._packs[pack.number] = self._active = pack
        return pack

    def _after_error(self, pack: _Pack) -> None:
        try:
            info = self._disk.info(self._name(pack.number))
            size_bytes = info.size_bytes if info is not None else 0
        except OSError:
            size_bytes = -1
        if size_bytes != pack.size_bytes:
            self._active = None

    def _hole(self, where: int) -> int:
        size, number = _size_and_pack(where)
        pack = self._packs[number]
        pack.live_bytes -= HEAD_BYTES + size
        pack.stale = True
        return HEAD_BYTES + size

    def _rewrite(self, pack: _Pack) -> int:
        """Move what is live to the newest pack, durably, and remove this one."""
        with self._lock:
            if pack is self._active:
                self._active = None
            moving = [
                (kind, blob, where)
                for kind in (BLOB, MANIFEST)
                for blob, where in self._where[kind].items()
                if _size_and_pack(where)[1] == pack.number
            ]
            before = self.size_bytes
        for kind, blob, where in moving:
            with self._lock:  # for one at a time: others put meanwhile
                if self._where[kind].get(blob) == where:
                    data = self.get(blob, kind)
                    if data is None:
                        self._hole(self._where[kind].pop(blob))
                    else:
                        self._append([(blob, data)], kind)
        if moving:
            self.sync()
        with self._sync_lock, self._lock:
            self._unsynced.pop(pack.number, None)
            del self._packs[pack.number]
            self._disk.remove(self._index_name(pack.number))
            self._disk.remove(self._name(pack.number))
            return max(0, before - self.size_bytes)

    # -- starting --------------------------------------------------------------------------------
    def _load(self) -> None:
        names = self._disk.names(self._folder)
        numbers = sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))
        for name in names:
            if name.endswith(".index") and name.replace(".index", ".pack") not in names:
                self._forget_index(f"{self._folder}/{name}")
        for number in numbers:
            self._next_number = number + 1
            try:
                self._load_pack(number, newest=number == numbers[-1])
            except OSError as error:
                logger.warning("%s cannot be read: %s", self._name(number), error)

    def _load_pack(self, number: int, *, newest: bool) -> None:
        info = self._disk.info(self._name(number))
        if info is None:
            return
        pack = _Pack(number, info.size_bytes)
        covered, rows = self._load_index(number, info.size_bytes)
        with self._disk.open(self._name(number)) as file:
            rest = scan(file.read_at(covered, info.size_bytes - covered), covered)
        self._packs[number] = pack
        pack.indexed_bytes = pack.synced_bytes = covered
        if info.size_bytes > covered:  # whoever wrote the rest may have died before its sync
            self._unsynced[number] = None
            self._appended = 1
        for row in (*rows, *rest.rows):
            if row.kind not in (BLOB, MANIFEST):
                continue
            known = self._where[row.kind]
            old = known.pop(row.blob, None)
            if old is not None:
                self._hole(old)
            known[row.blob] = _where(number, row.offset, row.size_bytes)
            pack.live_bytes += HEAD_BYTES + row.size_bytes
        self.torn_bytes += info.size_bytes - rest.end
        self.damaged += rest.damaged
        if newest and info.size_bytes < PACK_BYTES_MAX:
            self._go_on(pack, rest.end)

    def _load_index(self, number: int, size_bytes: int) -> tuple[int, list[Row]]:
        data = self._disk.read(self._index_name(number))
        found = decode_index(data) if data is not None else None
        if found is None or found[0] > size_bytes:
            self._forget_index(self._index_name(number))  # it must not fit again one day
            return 0, []
        return found[0], list(found[1])

    def _forget_index(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self._disk.remove(name)

    def _go_on(self, pack: _Pack, end: int) -> None:
        """Append to a pack of the process before, once its torn tail is cut."""
        if end < pack.size_bytes:
            try:
                self._disk.truncate(self._name(pack.number), end)
            except (OSError, StoreFull):
                return
            pack.size_bytes = end
        self._active = pack


def _where(pack: int, offset: int, size_bytes: int) -> int:
    return pack << (_OFFSET_BITS + _SIZE_BITS) | offset << _SIZE_BITS | size_bytes


def _offset(where: int) -> int:
    return where >> _SIZE_BITS & ((1 << _OFFSET_BITS) - 1)


def _size_and_pack(where: int) -> tuple[int, int]:
    return where & ((1 << _SIZE_BITS) - 1), where >> (_OFFSET_BITS + _SIZE_BITS)
