"""`mesh.ports.actions.Actions` of a simulated machine: virtual programs in virtual time.

It raises what the real one raises, and in the same order: bad paths, missing inputs, then what the
program does (time, memory), then what it leaves. Only the slots are real: so many at once, others
wait in order of arrival.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from mesh.action.model import (
    EXECUTABLE,
    FILE,
    LogBlob,
    Toolchain,
    TreeEntry,
    check_action,
    check_entries,
)
from mesh.cas.blobs import BlobMissing
from mesh.errors import (
    CannotSpawn,
    MemoryExceeded,
    OutputMissing,
    PathEscapes,
    ShardTimedOut,
)
from mesh.limits import INLINE_BLOB_BYTES_MAX, MIB
from mesh.ports.actions import (
    ActionSetup,
    ActionStore,
    Execution,
    FileDigests,
    Job,
    SandboxChoice,
)
from mesh.types import Digest
from mesh.wire.blobid import blob_id
from mesh.wire.errors import WireError
from mesh.wire.messages import PHASE_RUNNING, PHASE_STORING
from sim.machine.clock import SimClock
from sim.machine.program import Behaviour, behaviour_of, output_bytes, paths_of
from sim.machine.readings import Body

SANDBOX = "bwrap"
"""What results say: a simulated action sees nothing but its inputs."""
START_S = 0.003
"""To make a work tree and start a process in a sandbox."""
NODE = "this machine"


class SimActions:
    """See `mesh.ports.actions.Actions`."""

    def __init__(self, clock: SimClock, body: Body) -> None:
        self._clock = clock
        self._body = body
        self.on_busy: Callable[[Callable[[], int]], None] = lambda _: None
        """Told, once there are slots, how to ask how many work."""

    @asynccontextmanager
    async def open(
        self, setup: ActionSetup, store: ActionStore, digests: FileDigests
    ) -> AsyncIterator[SimRunner]:
        del digests  # of this host's real tools, which say nothing about a simulated machine
        await trio.lowlevel.checkpoint()
        runner = SimRunner(setup, store, self._clock, self._body)
        self.on_busy(lambda: runner.busy)
        yield runner


class SimRunner:
    """See `mesh.ports.actions.ActionRunner`."""

    def __init__(self, setup: ActionSetup, store: ActionStore, clock: SimClock, body: Body) -> None:
        self._slots = setup.slots
        self._room = trio.Semaphore(setup.slots)
        self._store = store
        self._clock = clock
        self._body = body
        self.sandbox = SandboxChoice(SANDBOX)
        self.performed = 0
        """Actions that ran to their end."""

    @property
    def busy(self) -> int:
        return self._slots - self._room.value

    def tools_reason(self, toolchain: Toolchain, now_s: float, digest: Digest | None) -> str | None:
        del toolchain, now_s, digest
        return self._body.tools_problem or None

    def tools_still(self, toolchain: Toolchain, digest: Digest) -> bool:
        del toolchain, digest
        return not self._body.tools_problem

    async def execute(self, job: Job) -> Execution:
        self._check(job)
        async with self._room:
            return await self._run(job, behaviour_of(job.action))

    # -- one action ------------------------------------------------------------------------------
    def _check(self, job: Job) -> None:
        try:
            check_action(job.action)
            check_entries(job.tree.entries, job.action.mounts)
        except WireError as error:
            raise PathEscapes(path=str(error), root=", ".join(job.action.mounts)) from None

    async def _run(self, job: Job, behaviour: Behaviour) -> Execution:
        self._read_inputs(job)
        if self._body.tools_problem:
            raise CannotSpawn(argv0=job.action.argv[0], node=NODE, why=self._body.tools_problem)
        await self._pass(START_S)
        if job.on_phase is not None:
            job.on_phase(PHASE_RUNNING)
        await self._work(job, behaviour)
        outputs: tuple[TreeEntry, ...] = ()
        if behaviour.exit_status == 0 and job.action.outputs:
            if job.on_phase is not None:
                job.on_phase(PHASE_STORING)
            outputs = self._leave(job, behaviour)
        self.performed += 1
        took_ms = round(1000 * behaviour.duration_s / self._body.speed)
        return Execution(
            exit_status=behaviour.exit_status,
            outputs=outputs,
            stdout=self._log(behaviour.stdout),
            stderr=self._log(behaviour.stderr),
            duration_ms=took_ms,
            sandbox=SANDBOX,
            cpu_ms=took_ms,
            memory_peak_bytes=behaviour.memory_bytes,
        )

    def _read_inputs(self, job: Job) -> None:
        for entry in job.tree.entries:
            if entry.kind in (FILE, EXECUTABLE) and not self._store.has(entry.digest):
                raise BlobMissing(entry.digest)

    async def _work(self, job: Job, behaviour: Behaviour) -> None:
        """Take the time. What it writes comes when it has half done its work."""
        if 0 < job.memory_bytes < behaviour.memory_bytes:
            limit = f"{job.memory_bytes // MIB} MiB"
            raise MemoryExceeded(name=job.name, limit=limit, node=NODE)
        takes_s = behaviour.duration_s / self._body.speed
        if takes_s > job.timeout_s:
            await self._pass(job.timeout_s)
            raise ShardTimedOut(name=job.name, seconds=f"{job.timeout_s:g}", node=NODE)
        await self._pass(takes_s / 2)
        if job.on_output is not None:
            for stream, data in ((1, behaviour.stdout), (2, behaviour.stderr)):
                if data:
                    job.on_output(stream, data)
        await self._pass(takes_s / 2)

    def _leave(self, job: Job, behaviour: Behaviour) -> tuple[TreeEntry, ...]:
        sources = [entry.path for entry in job.tree.entries if entry.kind in (FILE, EXECUTABLE)]
        entries = []
        for spec in job.action.outputs:
            paths = paths_of(behaviour, spec)
            if not paths and not spec.optional:
                raise OutputMissing(name=job.name, path=spec.path)
            for path in paths:
                data = output_bytes(behaviour, path, sources)
                entries.append(TreeEntry(path, FILE, self._store.put(data), len(data)))
        return tuple(sorted(entries, key=lambda entry: entry.path))

    def _log(self, data: bytes) -> LogBlob:
        if not data:
            return LogBlob()
        if len(data) <= INLINE_BLOB_BYTES_MAX:
            return LogBlob(blob_id(data), len(data), 0, data)
        return LogBlob(self._store.put(data), len(data))

    async def _pass(self, duration_s: float) -> None:
        await self._clock.sleep_until(self._clock.monotonic() + duration_s)
