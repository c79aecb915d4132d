"""The disks of this world: what a node's home lies on, and what can happen to it.

    MemoryDisk   tmpfs: quick, and as full as one likes
    ImageDisk    ext4 in a file: it can lose power, and turn read-only under open files

Both have the verbs of `sim.disk.SimDisk` that `sim.faults.disk` uses, where the kernel can do them.
Read-only is the immutable flag on everything, not a remount: a node keeps files open for writing,
and the kernel does not remount under them. Deliberately not here: failing, slow and lying disks;
they need a device mapper or FUSE (`kinds` says so).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sim.chaos.commands import attempt, run
from sim.stage.base import CannotDo
from sim.undo import Fault

MIB = 1024 * 1024
SIZE_BYTES = 96 * MIB
HOME = "home"
_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS, _FS_IMMUTABLE_FL = 0x80086601, 0x40086602, 0x10
SPARED = frozenset({"node.pid", "control.sock"})
"""The process's own, not data."""


class MountedDisk(ABC):
    """A filesystem of its own below a folder, and a node's home on it."""

    def __init__(self, folder: Path, random: Callable[[], float]) -> None:
        self.folder = folder
        self.home = folder / "disk" / HOME
        self.mounted_at = folder / "disk"
        self._random = random

    @abstractmethod
    def mount(self) -> None:
        """Raises ChaosFailed."""

    def unmount(self) -> None:
        """Harmless when it is not mounted."""
        if os.path.ismount(self.mounted_at):
            attempt("umount", "--lazy", self.mounted_at)

    # -- faults ----------------------------------------------------------------------------------
    @abstractmethod
    def fill(self, free_bytes: int = 0) -> Fault:
        """Only so much room is left."""

    def read_only(self) -> Fault:
        """Raises CannotDo where `kinds.missing`, which is asked before a run, says so too."""
        raise CannotDo(f"read-only {type(self).__name__}")

    def rot(self, bits: int = 1) -> str | None:
        """Flip bits in a random file. Returns its name; None when all are empty."""
        path = self._choose()
        if path is None:
            return None
        with path.open("r+b") as file:
            data = bytearray(file.read())
            for _ in range(bits):
                bit = int(self._random() * len(data) * 8)
                data[bit // 8] ^= 1 << bit % 8
                file.seek(bit // 8)
                file.write(data[bit // 8 : bit // 8 + 1])
        return path.name

    def tear(self) -> str | None:
        """Have a random file lose its end. Returns its name; None when all are empty."""
        path = self._choose()
        if path is None:
            return None
        os.truncate(path, int(self._random() * path.stat().st_size))
        return path.name

    def _choose(self) -> Path | None:
        found = [
            path
            for path in sorted(self.home.rglob("*"))
            if path.is_file() and path.name not in SPARED and path.stat().st_size
        ]
        return found[int(self._random() * len(found))] if found else None

    # -- whole disks -----------------------------------------------------------------------------
    def wipe(self) -> None:
        """Everything is gone. No process may be using it."""
        if self.home.exists():
            shutil.rmtree(self.home)

    def snapshot(self) -> Path:
        """A copy of the home as it is now, for `restore`."""
        copy = Path(tempfile.mkdtemp(prefix="old-", dir=self.folder))
        shutil.copytree(self.home, copy / HOME, symlinks=True, ignore=_live_files)
        return copy

    def restore(self, copy: Path) -> None:
        """The home is as it was. No process may be using it."""
        self.wipe()
        shutil.copytree(copy / HOME, self.home, symlinks=True)


class MemoryDisk(MountedDisk):
    """A tmpfs."""

    def mount(self) -> None:
        """Raises ChaosFailed."""
        self.mounted_at.mkdir(parents=True)
        run("mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=700", "tmpfs", self.mounted_at)

    def fill(self, free_bytes: int = 0) -> Fault:
        """Only so much room is left, rounded up to whole pages."""
        now = os.statvfs(self.mounted_at)
        used = (now.f_blocks - now.f_bfree) * now.f_frsize
        self._resize(max(now.f_frsize, used + free_bytes))
        return Fault(lambda: self._resize(SIZE_BYTES))

    def _resize(self, size_bytes: int) -> None:
        if os.path.ismount(self.mounted_at):
            run("mount", "-o", f"remount,size={size_bytes}", self.mounted_at)


class ImageDisk(MountedDisk):
    """ext4 in a file, on a loop device."""

    def __init__(self, folder: Path, random: Callable[[], float]) -> None:
        super().__init__(folder, random)
        self._cuts = 0

    @property
    def _image(self) -> Path:
        return self.folder / f"image-{self._cuts}"

    def mount(self) -> None:
        """Raises ChaosFailed."""
        self.mounted_at.mkdir(parents=True)
        with self._image.open("wb") as file:
            file.truncate(SIZE_BYTES)
        run("mkfs.ext4", "-q", "-F", "-m", "0", self._image)
        run("mount", "-o", "loop", self._image, self.mounted_at)

    def fill(self, free_bytes: int = 0) -> Fault:
        """Only so much room is left: something else has taken the rest."""
        now = os.statvfs(self.mounted_at)
        ballast = self.mounted_at / "ballast"
        taken = max(1, now.f_bavail * now.f_frsize - free_bytes)
        descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, taken)
        finally:
            os.close(descriptor)
        return Fault(lambda: ballast.unlink(missing_ok=True))

    def read_only(self) -> Fault:
        self._set_immutable(wanted=True)
        return Fault(lambda: self._set_immutable(wanted=False))

    def _set_immutable(self, *, wanted: bool) -> None:
        """The home's folders and files, each by its flag."""
        for path in [self.home, *sorted(self.home.rglob("*"))]:
            if path.is_dir() or path.is_file():
                with suppress(FileNotFoundError):
                    _set_immutable(path, wanted=wanted)

    def cut_power(self) -> None:
        """Only what was written through is there; the journal is replayed by the next mount.

        The file below is copied as it is, without a sync, and the copy is the disk from now on. All
        processes on it must have been stopped before, and are killed after (see `node`).
        """
        before = self._image
        self._cuts += 1
        run("cp", "--sparse=always", before, self._image)

    def after_power_cut(self) -> None:
        """Bring the copy to its place. No process may be using the disk."""
        self.unmount()
        run("mount", "-o", "loop", self._image, self.mounted_at)


def _set_immutable(path: Path, *, wanted: bool) -> None:
    """chattr +i or -i: linux/fs.h."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, bytes(8)))
        changed = flags | _FS_IMMUTABLE_FL if wanted else flags & ~_FS_IMMUTABLE_FL
        fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, struct.pack("l", changed))
    finally:
        os.close(descriptor)


def _live_files(folder: str, names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if name in SPARED or not (Path(folder, name).is_file() or Path(folder, name).is_dir())
    ]
