"""Network namespaces by name, and clearing up after chaos that could not do it itself.

Names are `vtc<pid>x<what>`, those of folders too: whoever starts next removes those whose process
is gone, with what runs and is mounted in them. Nothing is ever made in the machine's own network.
Deliberately not here: what is put into a namespace (`cables`, `bridge`).
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mesh.errors import ChaosFailed
from sim.chaos.commands import attempt, run

PREFIX = "vtc"
NAMESPACES = Path("/run/netns")
_NAME = re.compile(PREFIX + r"([0-9]+)x[-\w]+")
_CLONE_NEWNET = 0x40000000
KILL_TIMEOUT_S = 3.0
POLL_S = 0.01


def name_of(what: str) -> str:
    """A name that only this process uses."""
    return f"{PREFIX}{os.getpid()}x{what}"


def add(name: str) -> None:
    """Make it, with its loopback up and without IPv6. Raises ChaosFailed."""
    run("ip", "netns", "add", name)
    run("ip", "-n", name, "link", "set", "lo", "up")
    with suppress(OSError), inside(name):
        Path("/proc/thread-self/net").stat()
        for device in ("all", "default"):
            Path(f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6").write_text("1")


def remove(name: str) -> None:
    """Kill what runs in it and delete it; harmless when it is not there."""
    if not (NAMESPACES / name).exists():
        return
    end_all(name)
    attempt("ip", "netns", "del", name)


def pids(name: str) -> list[int]:
    """The processes in it."""
    try:
        wanted = (NAMESPACES / name).stat()
    except OSError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                own = (entry / "ns/net").stat()
                if (own.st_dev, own.st_ino) == (wanted.st_dev, wanted.st_ino):
                    found.append(int(entry.name))
    return found


def signal_all(name: str, number: int) -> None:
    """Send a signal to every process in it."""
    for pid in pids(name):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def end_all(name: str) -> None:
    """SIGKILL everything in it, and wait until it is gone (zombies have no namespace)."""
    deadline_s = time.monotonic() + KILL_TIMEOUT_S
    while pids(name) and time.monotonic() < deadline_s:
        signal_all(name, signal.SIGKILL)
        time.sleep(POLL_S)


def stale(folder: Path) -> list[str]:
    """Names in a folder that were made by processes that are gone."""
    if not folder.is_dir():
        return []
    found = [_NAME.fullmatch(entry.name) for entry in sorted(folder.iterdir())]
    return [each[0] for each in found if each and not _lives(each[1])]


def _lives(pid: str) -> bool:
    """Whether there is such a process, and not just its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def sweep() -> int:
    """Remove what chaos that was killed has left: processes, namespaces, mounts, folders."""
    names = stale(NAMESPACES)
    for name in names:
        remove(name)
    folders = stale(Path(tempfile.gettempdir()))
    for name in folders:
        folder = Path(tempfile.gettempdir(), name)
        for mounted in sorted(folder.glob("node-*/disk")):
            attempt("umount", "--lazy", mounted)
        shutil.rmtree(folder, ignore_errors=True)
    return len(names) + len(folders)


@contextmanager
def inside(name: str) -> Iterator[None]:
    """This thread is in that namespace meanwhile. Raises ChaosFailed."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(NAMESPACES / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(own)


def _enter(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, _CLONE_NEWNET) != 0:
        raise ChaosFailed(what="setns", why=os.strerror(ctypes.get_errno()))
