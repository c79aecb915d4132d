"""Blob ids of project files, remembered by their stat signature so that a warm run reads nothing.

Rules
- A digest is remembered under (path, device, inode, size, mtime, ctime); any difference rehashes.
  ctime is part of it because mtime can be set back and ctime cannot.
- A file changed less than RACY_NS before it was hashed is hashed again: a second write in the
  same tick of the kernel clock would leave the same signature (git calls this "racily clean"). It
  takes its place all the same, so that what is remembered depends on no race but in its content.
- A file that changes while it is read has no digest: InputChanged.
- `remember` trusts the caller, who has just put the file there under that digest.

Thread-safe: planners hash in worker threads. Deliberately not here: which files to hash, symbolic
links (followed: the digest is of what a compiler would read), saving (`dump` gives the bytes).
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import threading
from hashlib import sha256
from pathlib import Path

from mesh.errors import InputChanged
from mesh.limits import FILE_HASHES_MAX, MIB, PATH_BYTES_MAX
from mesh.ports.real.files import file_time_ns
from mesh.types import DIGEST_BYTES, Digest
from mesh.wire.blobid import BlobHash

RACY_NS = 20_000_000
"""Above the 10 ms tick of the slowest kernel clock in use (CONFIG_HZ=100)."""

_READ_BYTES = MIB
_MAGIC = b"vitte-filehash 2\n"
_NOT_TO_BE_TRUSTED = (0, 0, 0, -1, -1)
"""A signature that no file has."""
_RECORD = struct.Struct(">QQQqqH32s")

Signature = tuple[int, int, int, int, int]
"""(device, inode, size_bytes, mtime_ns, ctime_ns)"""


def signature(info: os.stat_result) -> Signature:
    """What must be equal for a file to count as unchanged."""
    return (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def is_racy(sig: tuple[int, ...]) -> bool:
    """Whether a write right now could leave this very signature."""
    return file_time_ns() - max(sig[3], sig[4]) < RACY_NS


def hash_fd(fd: int) -> Digest:
    """The blob id of everything from the current position of `fd` to its end."""
    state = BlobHash()
    while chunk := os.read(fd, _READ_BYTES):
        state.update(chunk)
    return state.blob_id()


class FileHasher:
    """See the module's head. `load` is an earlier `dump()`; a damaged one is ignored."""

    def __init__(self, load: bytes | None = None) -> None:
        self._known: dict[str, tuple[Signature, Digest]] = {}
        self._lock = threading.Lock()
        self.hashed_files = 0
        """Files read since the start, for metrics and for tests of warmth."""
        if load is not None:
            self._known = _parse(load)

    def digest(self, path: Path | str) -> Digest:
        """The blob id of the file's content.

        Raises InputChanged when it changes while being read, OSError when it cannot be read.
        """
        name = os.fspath(path)
        known = self._known.get(name)
        if known is not None and known[0] == signature(os.stat(name)):
            return known[1]
        return self._hash(name)

    def remember(self, path: Path, digest: Digest) -> None:
        """Record that the file now at `path` has `digest`; its writer says so. Raises OSError."""
        self._store(os.fspath(path), signature(path.stat()), digest)

    def dump(self) -> bytes:
        """All that is remembered, to be handed to the next process."""
        with self._lock:
            known = list(self._known.items())
        parts = [_MAGIC]
        for name, (sig, digest) in known:
            raw = os.fsencode(name)
            parts += (_RECORD.pack(*sig, len(raw), digest), raw)
        body = b"".join(parts)
        return body + sha256(body).digest()

    def __len__(self) -> int:
        return len(self._known)

    def _hash(self, name: str) -> Digest:
        # Not blocking: a peer's toolchain may name a pipe or a device, which would never end.
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", name)
            before = signature(info)
            digest = hash_fd(fd)
            after = signature(os.fstat(fd))
        finally:
            os.close(fd)
        if before != after:
            raise InputChanged(path=name)
        self.hashed_files += 1
        self._store(name, _NOT_TO_BE_TRUSTED if is_racy(after) else after, digest)
        return digest

    def _store(self, name: str, sig: Signature, digest: Digest) -> None:
        with self._lock:
            self._known.pop(name, None)  # re-inserting moves it to the young end
            self._known[name] = (sig, digest)
            if len(self._known) > FILE_HASHES_MAX:
                for old in list(self._known)[: FILE_HASHES_MAX // 8]:
                    del self._known[old]


def _parse(data: bytes) -> dict[str, tuple[Signature, Digest]]:
    """The inverse of `dump`; empty for anything that is not exactly that."""
    body, checksum = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    if not body.startswith(_MAGIC) or sha256(body).digest() != checksum:
        return {}
    known: dict[str, tuple[Signature, Digest]] = {}
    position = len(_MAGIC)
    while position < len(body) and len(known) < FILE_HASHES_MAX:
        device, inode, size, mtime, ctime, length, digest = _RECORD.unpack_from(body, position)
        position += _RECORD.size
        name = os.fsdecode(body[position : position + length])
        position += length
        assert length <= PATH_BYTES_MAX, "the checksum says that we wrote this"
        known[name] = ((device, inode, size, mtime, ctime), Digest(digest))
    return known
