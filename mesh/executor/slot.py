"""One slot: a work tree and the launcher that shows it to actions.

Rules
- A launcher serves actions of one View (mounts and tool directories); another view, a trace it
  could not clean or any misbehaviour replaces it.
- One action at a time. `run` returns or raises only when nothing of the action is running any more,
  also when it is cancelled.

Not here: choosing slots, preparing inputs, collecting outputs (`mesh.executor.executor`).
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable
from pathlib import Path

import attrs
import trio

from mesh.cas.blobs import BlobStore
from mesh.executor.launcher import REASONS, REPLY, REQUEST
from mesh.executor.outputs import Collector
from mesh.executor.sandbox import SlotPaths, View, launcher_argv, write_etc
from mesh.executor.worktree import WorkTree
from mesh.limits import KILL_GRACE_S, LAUNCHER_PACKET_BYTES_MAX, OUTPUT_LOG_BYTES_MAX
from mesh.ports import Clock, Exec, LauncherPort
from mesh.ports.real.files import write_all

_START_TIMEOUT_S = 10.0
_CANCEL_TIMEOUT_S = 3.0
_SLACK_S = 5.0
"""Beyond timeout and grace, a launcher that has not answered is broken."""

_LIGHT_S = 0.1
_LIGHT_ENTRIES_MAX = 16

OnOutput = Callable[[int, bytes], None]


class LauncherFailed(Exception):
    """The launcher could not do its work; the text says why, for people."""


@attrs.frozen
class Request:
    """One process to run, as the launcher gets it."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    timeout_s: float
    memory_bytes: int
    """0: not watched."""
    live: bool
    grace_s: float = KILL_GRACE_S
    log_bytes_max: int = OUTPUT_LOG_BYTES_MAX

    def encode(self) -> bytes:
        """As `mesh.executor.launcher` reads it. Raises ValueError when a text holds a zero byte,
        which no process can be given."""
        head = REQUEST.pack(
            self.timeout_s,
            self.grace_s,
            self.memory_bytes,
            self.log_bytes_max,
            self.live,
            len(self.argv),
        )
        words = [self.cwd, *self.argv, *[f"{name}={value}" for name, value in self.env.items()]]
        text = "\0".join(words)
        if text.count("\0") != len(words) - 1:
            raise ValueError("a zero byte in the command or its environment")
        if not self.env:
            text += "\0"
        return b"A" + head + text.encode("utf-8", "surrogateescape")


@attrs.frozen
class Ended:
    """What the launcher said about the end of an action."""

    status: int
    """Exit status, or minus the signal."""
    why: str
    """"" by itself; "timeout", "memory" or "cancelled" by us."""
    seconds: float
    cpu_s: float
    maxrss_bytes: int
    lost: tuple[int, int]
    stdout: bytes
    stderr: bytes


@attrs.frozen
class NotStarted:
    """The program could not be executed."""

    why: str


class Slot:
    """See the module's head. `folder` is the slot's own, emptied by whoever made it."""

    def __init__(
        self, folder: Path, kind: str, exec_port: Exec, clock: Clock, store: BlobStore
    ) -> None:
        self.kind = kind
        self.paths = SlotPaths(folder / "work", folder / "tmp", folder / "etc")
        self.view: View | None = None
        self._exec = exec_port
        self._clock = clock
        self._stack = contextlib.AsyncExitStack()
        self._port: LauncherPort | None = None
        write_etc(self.paths.etc)
        self.paths.tmp.mkdir(parents=True, exist_ok=True)
        self.tree = WorkTree(self.paths.work, folder / "trash", store)
        self.collector = Collector(self.paths.work, store)
        self._last_s = 0.0
        self._overdue_s = self._timer_s = math.inf

    @property
    def is_light(self) -> bool:
        """Whether the next preparation is surely little work: a long action may have left much."""
        return self._last_s < _LIGHT_S and len(self.tree) <= _LIGHT_ENTRIES_MAX

    async def show(self, view: View) -> None:
        """Have a launcher with this view. The mounts' directories must exist.

        Raises LauncherFailed.
        """
        if self._port is not None and self.view == view:
            return
        await self.close()
        try:
            argv = launcher_argv(self.kind, self.paths, view)
            self._port = await self._stack.enter_async_context(self._exec.launcher(argv, {}))
        except (OSError, ValueError) as error:
            raise LauncherFailed(str(error)) from None
        try:
            with trio.move_on_after(_START_TIMEOUT_S):
                if await self._port.receive() == b"H":
                    self.view = view
                    return
        except trio.Cancelled:
            await self.close()  # its greeting is still to come: nobody would expect it
            raise
        raise await self._failed("did not start")

    async def run(self, request: Request, on_output: OnOutput | None) -> Ended | NotStarted:
        """Run one action to its end. Raises LauncherFailed.

        When cancelled it kills the action first; the slot can be used again either way.
        """
        assert self._port is not None, "show() comes first"
        try:
            data = request.encode()
        except ValueError as error:
            return NotStarted(str(error))
        self._last_s = request.timeout_s  # until we know better
        self._expect(self._clock.monotonic() + request.timeout_s + request.grace_s + _SLACK_S)
        try:
            await self._send(data)
            return await self._until_reply(on_output)
        except BaseException:  # cancelled, or on_output raised
            with trio.CancelScope(shield=True):
                await self._cancel()
            raise
        finally:
            self._overdue_s = math.inf

    def _expect(self, overdue_s: float) -> None:
        """Kill the launcher when it has not answered by then. One timer stands for many actions:
        a cancel scope for each would cost more than starting the process."""
        self._overdue_s = overdue_s
        if overdue_s < self._timer_s:
            self._timer_s = overdue_s
            self._clock.call_at(overdue_s, self._look)

    def _look(self) -> None:
        now_s = self._clock.monotonic()
        if self._timer_s <= now_s:
            self._timer_s = math.inf
        if self._overdue_s > now_s:
            self._expect(self._overdue_s)
        elif self._port is not None:
            self._port.kill()

    async def close(self) -> None:
        """End the launcher and whatever runs in it."""
        self._port, self.view = None, None
        with trio.CancelScope(shield=True):
            await self._stack.aclose()

    async def _send(self, data: bytes) -> None:
        assert self._port is not None
        try:
            if len(data) < LAUNCHER_PACKET_BYTES_MAX // 2:
                await self._port.send(data)
                return
            memory = os.memfd_create("request", os.MFD_CLOEXEC)
            try:
                write_all(memory, data)
                os.lseek(memory, 0, os.SEEK_SET)
                await self._port.send(b"M", [memory])
            finally:
                os.close(memory)
        except OSError:
            raise await self._failed("is gone") from None

    async def _until_reply(self, on_output: OnOutput | None) -> Ended | NotStarted:
        assert self._port is not None
        pieces: tuple[list[bytes], list[bytes]] = ([], [])
        while True:
            data = await self._port.receive()
            kind = data[:1]
            if kind in (b"1", b"2"):
                stream = data[0] - ord("0")
                pieces[stream - 1].append(data[1:])
                if on_output is not None:
                    on_output(stream, data[1:])
            elif kind == b"R" and len(data) == 1 + REPLY.size:
                return await self._ended(data, pieces)
            elif kind == b"E":
                return NotStarted(data[1:].decode("utf-8", "replace"))
            else:
                late = self._overdue_s <= self._clock.monotonic()
                raise await self._failed("did not answer in time" if late else "ended unexpectedly")

    async def _ended(self, reply: bytes, pieces: tuple[list[bytes], list[bytes]]) -> Ended:
        status, why, seconds, cpu_s, maxrss_bytes, *lost, dirty = REPLY.unpack_from(reply, 1)
        self._last_s = seconds
        if dirty:
            await self.close()
        return Ended(
            status=os.waitstatus_to_exitcode(status),
            why=REASONS[why],
            seconds=seconds,
            cpu_s=cpu_s,
            maxrss_bytes=maxrss_bytes,
            lost=(lost[0], lost[1]),
            stdout=b"".join(pieces[0]),
            stderr=b"".join(pieces[1]),
        )

    async def _cancel(self) -> None:
        """Have the launcher kill the action; when it does not, kill the launcher."""
        if self._port is None:
            return
        with trio.move_on_after(_CANCEL_TIMEOUT_S), contextlib.suppress(LauncherFailed):
            await self._send(b"C")
            await self._until_reply(None)
            return
        await self.close()

    async def _failed(self, what: str) -> LauncherFailed:
        words = self._port.last_words() if self._port is not None else ""
        await self.close()
        return LauncherFailed(f"the sandbox {what}" + (f": {words}" if words else ""))
