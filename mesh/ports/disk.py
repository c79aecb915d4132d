"""`Disk`: the one directory that holds everything a node keeps, by relative names.

Rules every implementation keeps
- A name is a relative path without `..`; folders are made when something is put into them.
- `write` is atomic and durable when it returns. All else (`append`, `create`, `rename`, `remove`,
  `take`) may be lost or torn by a crash of the machine until `sync` or `persist`, and survives one
  of the process.
- A full disk is StoreFull; damaged hardware is any other OSError. Methods raise nothing else
  beyond what they name.
- Everything may be called from several threads at once.

Not here: the user's project, work trees, sockets. Those are real files of this machine; `path`,
`take` and `DiskFile.copy_to` are the bridges to them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, Self

import attrs


class NotPlainFile(OSError):
    """What has that name is a link, a device, a pipe, a socket or a directory."""


class AlreadyLocked(Exception):
    """Another process, or another user of the same directory, holds the lock."""


@attrs.frozen
class FileInfo:
    """How a file is at this moment."""

    size_bytes: int
    used_s: float
    """When it was last read or written, as far as the file system keeps book; only for order."""
    state: tuple[int, ...]
    """Stays equal as long as nobody writes to the file or puts another in its place."""


class DiskFile(Protocol):
    """A file that is open: for reading (`Disk.open`, `Disk.take`) or for both (`Disk.create`,
    `Disk.reopen`)."""

    def info(self) -> FileInfo: ...

    def read(self, max_bytes: int) -> bytes:
        """The next bytes, at most that many; b"" at the end."""
        ...

    def read_at(self, offset: int, max_bytes: int) -> bytes:
        """Up to that many bytes from there, as many as there are; `read` goes on where it was."""
        ...

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """As `read_at`, into memory of the caller's, as much as fits; how many bytes."""
        ...

    def write(self, data: bytes) -> None:
        """Append all of it. Raises StoreFull."""
        ...

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Put all of it there; a gap before it reads as zeros. Raises StoreFull."""
        ...

    def copy_to(self, fd: int) -> None:
        """Write the rest of it to a real file of this machine. Raises OSError of that file."""
        ...

    def close(self) -> None:
        """Closing twice is harmless."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Disk(Protocol):
    """See the module's head."""

    # -- small files, whole ----------------------------------------------------------------------
    def read(self, name: str) -> bytes | None:
        """The whole file, or None when there is none."""
        ...

    def write(self, name: str, data: bytes, *, private: bool = False) -> None:
        """Replace atomically and durably (write aside, fsync, rename). `private` is mode 0600."""
        ...

    # -- logs --------------------------------------------------------------------------------------
    def append(self, name: str, data: bytes) -> None:
        """Append; durable only after `sync`. Creates the file and its folders."""
        ...

    def sync(self, name: str) -> None: ...

    def persist(self, name: str) -> None:
        """Make a whole file durable under this name, as it is now, however it came by it. Raises
        FileNotFoundError, NotPlainFile."""
        ...

    def truncate(self, name: str, size_bytes: int) -> None: ...

    # -- large files -------------------------------------------------------------------------------
    def open(self, name: str) -> DiskFile:
        """Open for reading. Raises FileNotFoundError, NotPlainFile."""
        ...

    def create(self, name: str) -> DiskFile:
        """A new empty file, read-only for everybody but the one returned. Raises FileExistsError,
        StoreFull."""
        ...

    def reopen(self, name: str) -> DiskFile:
        """A file that was made by `create`, to go on writing it. Raises FileNotFoundError,
        NotPlainFile."""
        ...

    def take(self, path: str, name: str) -> DiskFile | None:
        """Move a real file of this machine in as `name` and open it for reading, when that needs
        no copy: same file system, and no other name through which it could still be changed. None
        when it cannot be had so; nothing has happened then. Raises NotPlainFile, OSError."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Atomically, also over an existing file. Raises FileNotFoundError without `old`."""
        ...

    # -- names -------------------------------------------------------------------------------------
    def exists(self, name: str) -> bool:
        """Whether anything has that name."""
        ...

    def info(self, name: str) -> FileInfo | None:
        """How a regular file is now; None when there is none."""
        ...

    def names(self, folder: str) -> list[str]:
        """Sorted names in a folder; empty when there is no such folder."""
        ...

    def files(self, folder: str) -> list[tuple[str, FileInfo]]:
        """The regular files in a folder, as (name in it, info), sorted; see `names`."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file if present."""
        ...

    def remove_tree(self, folder: str) -> None:
        """Remove a folder and all below it, if present, as far as it can be removed."""
        ...

    # -- the directory as a whole ------------------------------------------------------------------
    def lock(self, name: str, note: bytes) -> AbstractContextManager[None]:
        """Be the only user of this directory while the context lasts; the file `name` says `note`
        meanwhile and is empty afterwards. Freed when the process ends, however it ends. Raises
        AlreadyLocked on entering."""
        ...

    def path(self, name: str) -> Path:
        """Where it is among this machine's real files, for what must live there (work trees).
        Raises ValueError for a name that is not a plain relative path."""
        ...
