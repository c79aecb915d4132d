"""The socket file, and the lock that says whose it is.

A node owns its home directory by an exclusive `flock` on `node.pid`, which also holds its process
id. Whoever holds the lock may replace a socket file left by a node that was killed; whoever does
not must not touch it. The kernel frees the lock with the process, however it ends.

A unix socket's path may have 107 bytes only. Longer ones are bound through the directory's file
descriptor: `/proc/self/fd/N/control.sock`.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mesh.errors import NodeAlreadyRunning

SOCKET_NAME = "control.sock"
LOCK_NAME = "node.pid"
SOCKET_PATH_BYTES_MAX = 100
LISTEN_BACKLOG = 128


@contextmanager
def own_home(home: Path) -> Iterator[None]:
    """Hold the home's lock and write our process id into it. Raises NodeAlreadyRunning."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    descriptor = os.open(home / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NodeAlreadyRunning(home=str(home)) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % os.getpid())
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@contextmanager
def listening_socket(path: Path) -> Iterator[socket.socket]:
    """A listening socket at `path`, mode 0600, removed at the end. The lock must be held."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        old_mask = os.umask(0o177)
        try:
            listener.bind(short_address(path, directory))
        finally:
            os.umask(old_mask)
        listener.listen(LISTEN_BACKLOG)
        yield listener
    finally:
        listener.close()
        os.close(directory)
        path.unlink(missing_ok=True)


def short_address(path: Path, directory: int) -> str:
    """An address for `path` that fits, given a descriptor of its directory."""
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
        return str(path)
    return f"/proc/self/fd/{directory}/{path.name}"


def peer_uid(credentials: bytes) -> int:
    """The user id in what SO_PEERCRED gives: pid, uid, gid of the process at the other end."""
    return int.from_bytes(credentials[4:8], sys.byteorder)
