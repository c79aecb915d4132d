"""`Exec` on a real machine: worker threads, and helper processes on a socket pair.

Rules
- A launcher gets one end of a SOCK_SEQPACKET pair as its fd 3 and nothing else of ours: every
  other descriptor is close-on-exec. So when this process dies, however it dies, the launcher reads
  an end of file; that is what ends it and its children (not PDEATHSIG, which follows the *thread*
  that forked).
- posix_spawn, not fork: the node's process is large and its page tables are not worth copying.
- Leaving the context first closes the socket, which lets the launcher kill its own children, and
  after EXIT_GRACE_S kills its process group. No cancel scope is open while the context lasts, so it
  may be entered by one task and left by another.
"""

from __future__ import annotations

import array
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import trio

from mesh.limits import EXEC_THREADS_MAX, LAUNCHER_PACKET_BYTES_MAX
from mesh.ports import LauncherPort, ProcessEnd, SpawnRequest
from mesh.ports.real.process import run_process

T = TypeVar("T")

EXIT_GRACE_S = 2.0
_LAUNCHER_FD = 3
_LAST_WORDS_BYTES = 4096


class RealExec:
    """See `mesh.ports.Exec`. At most `threads` blocking calls run at once; others queue."""

    def __init__(self, threads: int = EXEC_THREADS_MAX) -> None:
        self._limiter = trio.CapacityLimiter(threads)

    async def run_sync(self, fn: Callable[..., T], *args: Any) -> T:
        return await trio.to_thread.run_sync(fn, *args, limiter=self._limiter)

    async def run_process(self, request: SpawnRequest) -> ProcessEnd:
        return await run_process(request)

    def launcher(
        self, argv: Sequence[str], env: Mapping[str, str]
    ) -> AbstractAsyncContextManager[LauncherPort]:
        """Raises OSError on entering when argv[0] cannot be executed."""
        return _launch(argv, env)


@contextlib.asynccontextmanager
async def _launch(argv: Sequence[str], env: Mapping[str, str]) -> AsyncIterator[LauncherPort]:
    process = _start(argv, env)
    try:
        yield process
    finally:
        await process.end()


def _start(argv: Sequence[str], env: Mapping[str, str]) -> RealLauncher:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    words = os.memfd_create("launcher-stderr", os.MFD_CLOEXEC)
    try:
        with theirs, open(os.devnull, "rb+", buffering=0) as null:  # noqa: PTH123
            # dup2 of a descriptor onto itself would keep it close-on-exec: move it out of the way.
            high = os.dup(theirs.fileno()) if theirs.fileno() == _LAUNCHER_FD else -1
            source = high if high >= 0 else theirs.fileno()
            pid = os.posix_spawn(
                argv[0],
                list(argv),
                dict(env),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, null.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, null.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, words, 2),
                    (os.POSIX_SPAWN_DUP2, source, _LAUNCHER_FD),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=(signal.SIGPIPE, signal.SIGINT),
            )
            if high >= 0:
                os.close(high)
    except BaseException:
        ours.close()
        os.close(words)
        raise
    return RealLauncher(pid, ours, words)


class RealLauncher:
    """Our end of a launcher; see `mesh.ports.LauncherPort`."""

    def __init__(self, pid: int, sock: socket.socket, words: int) -> None:
        self._pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._sock = sock
        self._words = words
        self._buffer = bytearray(LAUNCHER_PACKET_BYTES_MAX)
        self._reaped = False
        sock.setblocking(False)

    @property
    def pid(self) -> int:
        return self._pid

    async def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send at once when there is room, without a checkpoint. Raises BrokenPipeError."""
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        while True:
            try:
                self._sock.sendmsg([data], control)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._sock)
            else:
                return

    async def receive(self) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                size = self._sock.recv_into(self._buffer)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                return b""
            return bytes(memoryview(self._buffer)[:size])

    def kill(self) -> None:
        if self._reaped:
            return  # the number may belong to somebody else by now
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)

    def last_words(self) -> str:
        return os.pread(self._words, _LAST_WORDS_BYTES, 0).decode("utf-8", "replace").strip()

    async def end(self) -> None:
        """Close, wait a moment, kill, reap. Shielded: no zombie and no descriptor stays."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        try:
            with trio.CancelScope(shield=True):
                with trio.move_on_after(EXIT_GRACE_S):
                    await trio.lowlevel.wait_readable(self._pidfd)
                self.kill()
                await trio.lowlevel.wait_readable(self._pidfd)
                self._reap()
        finally:
            self._sock.close()
            os.close(self._pidfd)
            os.close(self._words)

    def _reap(self) -> None:
        pid, _ = os.waitpid(self._pid, os.WNOHANG)
        assert pid == self._pid, "its pidfd was readable, so it has ended"
        self._reaped = True
