"""One process, run in place to its end. Its group dies with it, or with the wait for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

import trio

from mesh.errors import CannotSpawn
from mesh.limits import OUTPUT_LOG_BYTES_MAX
from mesh.ports import ProcessEnd, SpawnRequest

PIPES_GRACE_S = 1.0
"""For what was written just before the end."""


async def run_process(request: SpawnRequest) -> ProcessEnd:
    """See `mesh.ports.Exec.run_process`. Output beyond OUTPUT_LOG_BYTES_MAX is dropped."""
    try:
        process = await trio.lowlevel.open_process(
            list(request.argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=request.cwd,
            env=dict(request.env),
            start_new_session=True,
        )
    except OSError as error:
        raise CannotSpawn(argv0=request.argv[0], node="this machine", why=error.strerror) from None
    stdout, stderr = bytearray(), bytearray()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_collect, process.stdout, stdout)
            nursery.start_soon(_collect, process.stderr, stderr)
            await process.wait()
            _kill_group(process.pid)  # what it left in the background would hold the pipes
            # A daemon in a session of its own may hold them still: nobody waits for that one.
            nursery.cancel_scope.deadline = trio.current_time() + PIPES_GRACE_S
    finally:
        _kill_group(process.pid)
        with trio.CancelScope(shield=True):
            await process.wait()
    assert process.returncode is not None
    return ProcessEnd(process.returncode, bytes(stdout), bytes(stderr))


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def _collect(stream: trio.abc.ReceiveStream | None, into: bytearray) -> None:
    assert stream is not None
    async with stream:
        async for data in stream:
            into += data[: OUTPUT_LOG_BYTES_MAX - len(into)]
