"""`mesh.ports.Exec` of a simulated machine: no threads and no processes, but the time they take.

A blocking function runs in place, at the virtual moment at which its thread would have ended. What
it does to the simulated disk may take longer; then its result comes later. As with a real thread, a
task that is cancelled meanwhile has to wait for it; a process that is killed does not.
Programs are those of a table, and none is a launcher; all others are not there, because a real
process would answer in real time.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import trio

from mesh.errors import CannotSpawn
from mesh.ports import LauncherPort, ProcessEnd, SpawnRequest
from sim.machine.clock import SimClock
from sim.machine.processor import Processor

T = TypeVar("T")

THREAD_S = 0.0002
"""To start a thread, run a short function and come back."""
NOT_HERE = "the simulated machine has no such program"

Program = Callable[[SpawnRequest], Awaitable[ProcessEnd]]
"""What a process does. It may sleep; it is cancelled when the process is killed."""


class Killed(Exception):
    """The process is no more: nothing of the function may happen. Nobody hears of it."""


class _NoLauncher(AbstractAsyncContextManager[LauncherPort]):
    """It is not there."""

    def __init__(self, program: str) -> None:
        self._program = program

    async def __aenter__(self) -> LauncherPort:
        await trio.lowlevel.checkpoint()
        raise FileNotFoundError(errno.ENOENT, NOT_HERE, self._program)

    async def __aexit__(self, *_: object) -> None:
        """Nobody has come in."""


class SimExec:
    """See `mesh.ports.Exec`."""

    def __init__(
        self, clock: SimClock, processor: Processor, programs: Mapping[str, Program]
    ) -> None:
        self._clock = clock
        self._processor = processor
        self._programs = programs
        self._blocked_s: float | None = None

    async def run_sync(self, fn: Callable[..., T], *args: Any) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        await self._pass(THREAD_S)
        before_s, self._blocked_s = self._blocked_s, 0.0
        try:
            return fn(*args)
        finally:
            blocked_s, self._blocked_s = self._blocked_s, before_s
            if blocked_s:
                await self._pass(blocked_s)

    def stall(self, duration_s: float) -> None:
        """A blocking call takes so long: in the thread that makes it, or the whole event loop."""
        if self._blocked_s is not None:
            self._blocked_s += duration_s
        else:
            self._processor.busy_for(duration_s)

    async def run_process(self, request: SpawnRequest) -> ProcessEnd:
        program = self._programs.get(request.argv[0])
        if program is None:
            raise CannotSpawn(argv0=request.argv[0], node="this machine", why=NOT_HERE)
        return await program(request)

    def launcher(
        self, argv: Sequence[str], env: Mapping[str, str]
    ) -> AbstractAsyncContextManager[LauncherPort]:
        """Nobody needs one here: `sim.machine.actions` has slots of its own."""
        del env
        return _NoLauncher(argv[0])

    async def _pass(self, duration_s: float) -> None:
        with trio.CancelScope(shield=True):
            await self._clock.sleep_until(self._clock.monotonic() + duration_s)
        if not self._processor.alive:
            raise Killed  # (waiting to be cancelled would be for ever behind a caller's shield)
