"""Running actions: inputs into a slot, the process, outputs into the store.

    async with Executor(exec_port, clock, store, config) as executor:
        execution = await executor.execute(job)

Rules
- At most `slots` actions at once; others wait in order of arrival.
- An action sees its inputs, the machine's system directories and the tool directories; what it
  leaves (processes, files, temporary files) is gone before the next one starts.
- Outputs are collected only after exit status 0. Any exit status is an Execution; what *we* have to
  say (timeout, missing output, memory) is a MeshError.
- Every input blob must be in the store: BlobMissing otherwise, and nothing has run.
- The fast path is short on purpose: one packet each way, no threads, no tasks. Threads come in only
  where much is copied or hashed.

Not here: fetching, signing, leases, deciding whether this machine's tools are right (`toolcheck`).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType

import attrs
import trio

from mesh.action.model import (
    LogBlob,
    Tree,
    TreeEntry,
    check_action,
    check_entries,
)
from mesh.cas.blobs import BlobStore
from mesh.errors import CannotSpawn, MemoryExceeded, PathEscapes, ShardTimedOut
from mesh.executor.outputs import Promise
from mesh.executor.plain import Rewriter
from mesh.executor.sandbox import (
    BWRAP,
    PLAIN,
    View,
    detect_sandbox,
)
from mesh.executor.slot import Ended, LauncherFailed, NotStarted, OnOutput, Request, Slot
from mesh.limits import INLINE_BLOB_BYTES_MAX, MIB
from mesh.ports import Clock, Exec
from mesh.ports.actions import Execution, Job, SandboxChoice, SandboxWarning
from mesh.wire.blobid import blob_id
from mesh.wire.errors import WireError
from mesh.wire.messages import PHASE_RUNNING, PHASE_STORING

_INLINE_ENTRIES_MAX = 16
"""Trees and outputs up to this many entries are handled without a thread: a hop costs 0.1 ms."""
_INLINE_CHECKS_MAX = 500
_INLINE_OUTPUT_BYTES_MAX = 256 * 1024
_FORCED = SandboxWarning("the sandbox was turned off in the settings")


@attrs.frozen
class ExecutorConfig:
    """`root` is a directory of the executor's own: its slots are below, and wiped at the start. On
    the same file system as the store, outputs move instead of being copied."""

    root: Path
    slots: int
    sandbox: str = "auto"
    """"auto", "bwrap" or "plain"."""
    tool_dirs: tuple[str, ...] = ()
    """Absolute directories outside the system's that actions may read: compilers in /home..."""
    node: str = "this machine"
    """Our name in error messages."""


class Executor:
    """See the module's head. Slots start their sandboxes when they are first needed."""

    def __init__(
        self, exec_port: Exec, clock: Clock, store: BlobStore, config: ExecutorConfig
    ) -> None:
        assert config.slots > 0, "an executor without slots would wait for ever"
        assert config.sandbox in ("auto", BWRAP, PLAIN), config.sandbox
        self._exec = exec_port
        self._clock = clock
        self._store = store
        self._config = config
        self._room = trio.Semaphore(config.slots)
        self._free: list[Slot] = []
        self._slots: list[Slot] = []
        self._checked: dict[int, tuple[Tree, tuple[str, ...]]] = {}
        self.sandbox = SandboxChoice(PLAIN)
        """What is used; known once the context is entered."""

    async def __aenter__(self) -> Executor:
        self.sandbox = await self._choose_sandbox()
        await self._exec.run_sync(self._make_slots)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for slot in self._slots:
            await slot.close()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The context as a task: `await nursery.start(executor.run)`; ends when cancelled."""
        async with self:
            task_status.started()
            await trio.sleep_forever()

    @property
    def busy(self) -> int:
        """Slots that are working."""
        return self._config.slots - self._room.value

    async def execute(self, job: Job) -> Execution:
        """Run one action.

        Raises PathEscapes (bad paths in action or tree), BlobMissing and InputChanged (inputs),
        CannotPlace, StoreFull, CannotSpawn, ShardTimedOut, MemoryExceeded, OutputMissing,
        OutputTooLarge, OutputUnusable. When cancelled it kills the action before it raises.
        """
        if len(job.tree.entries) <= _INLINE_CHECKS_MAX:
            self._check(job)
        else:
            await self._exec.run_sync(self._check, job)
        try:
            self._room.acquire_nowait()  # usually there is room: no checkpoint then
        except trio.WouldBlock:
            await self._room.acquire()
        try:
            view = View(job.action.mounts, (*self._config.tool_dirs, *job.tool_dirs))
            slot = self._take(view)
            try:
                return await self._execute_in(slot, view, job)
            finally:
                self._free.append(slot)
        finally:
            self._room.release()

    # -- starting --------------------------------------------------------------------------------
    async def _choose_sandbox(self) -> SandboxChoice:
        if self._config.sandbox == PLAIN:
            return SandboxChoice(PLAIN, _FORCED)
        found = await self._exec.run_sync(detect_sandbox)
        if self._config.sandbox == BWRAP and found.kind != BWRAP:
            raise CannotSpawn(argv0="bwrap", node=self._config.node, why=str(found.warning))
        return found

    def _make_slots(self) -> None:
        shutil.rmtree(self._config.root, ignore_errors=True)
        kind = self.sandbox.kind
        for number in range(self._config.slots):
            folder = self._config.root.absolute() / str(number)
            self._slots.append(Slot(folder, kind, self._exec, self._clock, self._store))
        self._free = self._slots[::-1]

    def _take(self, view: View) -> Slot:
        """A free slot that has this view, or else one that has none yet, or else any."""
        for wanted in (view, None):
            for index in range(len(self._free) - 1, -1, -1):
                if self._free[index].view == wanted:
                    return self._free.pop(index)
        return self._free.pop(0)  # the longest idle

    def _check(self, job: Job) -> None:
        """Refuse paths that leave the mounts, once per tree."""
        try:
            check_action(job.action)
            known = self._checked.get(id(job.tree))
            if known is None or known[0] is not job.tree or known[1] != job.action.mounts:
                check_entries(job.tree.entries, job.action.mounts)
        except WireError as error:
            raise PathEscapes(path=str(error), root=", ".join(job.action.mounts)) from None
        if len(self._checked) >= 64:
            del self._checked[next(iter(self._checked))]
        self._checked[id(job.tree)] = (job.tree, job.action.mounts)

    # -- one action ------------------------------------------------------------------------------
    async def _execute_in(self, slot: Slot, view: View, job: Job) -> Execution:
        await self._prepare(slot, job)
        rewriter = None
        if slot.kind == PLAIN:
            rewriter = Rewriter(str(slot.paths.work), job.action.mounts)
        if job.on_phase is not None:
            job.on_phase(PHASE_RUNNING)
        ended = await self._run(slot, view, job, rewriter)
        outputs: tuple[TreeEntry, ...] = ()
        if ended.status == 0 and job.action.outputs:
            if job.on_phase is not None:
                job.on_phase(PHASE_STORING)
            outputs = await self._collect(slot, job, rewriter)
        return Execution(
            exit_status=ended.status,
            outputs=outputs,
            stdout=self._log(ended.stdout, ended.lost[0], rewriter),
            stderr=self._log(ended.stderr, ended.lost[1], rewriter),
            duration_ms=round(ended.seconds * 1000),
            sandbox=slot.kind,
            cpu_ms=round(ended.cpu_s * 1000),
            memory_peak_bytes=ended.maxrss_bytes,
        )

    async def _prepare(self, slot: Slot, job: Job) -> None:
        folders = dict.fromkeys((*job.action.mounts, job.action.cwd))
        for output in job.action.outputs:
            if output.path not in job.action.mounts:
                folders[output.path.rpartition("/")[0]] = None
        if slot.is_light and len(job.tree.entries) + len(folders) <= _INLINE_ENTRIES_MAX:
            slot.tree.prepare(job.tree, folders)
        else:
            await self._exec.run_sync(slot.tree.prepare, job.tree, folders)

    async def _run(self, slot: Slot, view: View, job: Job, rewriter: Rewriter | None) -> Ended:
        request = _request(job, slot, rewriter)
        on_output = job.on_output
        if on_output is not None and rewriter is not None:
            on_output = _rewritten(on_output, rewriter)
        try:
            await slot.show(view)
            ended = await slot.run(request, on_output)
        except LauncherFailed as error:
            raise self._cannot_spawn(job, str(error)) from None
        if isinstance(ended, NotStarted):
            raise self._cannot_spawn(job, ended.why)
        if ended.why == "timeout":
            raise ShardTimedOut(name=job.name, seconds=f"{job.timeout_s:g}", node=self._config.node)
        if ended.why == "memory":
            limit = f"{job.memory_bytes // MIB} MiB"
            raise MemoryExceeded(name=job.name, limit=limit, node=self._config.node)
        return ended

    async def _collect(
        self, slot: Slot, job: Job, rewriter: Rewriter | None
    ) -> tuple[TreeEntry, ...]:
        rewrite = rewriter.back if rewriter else None
        promise = Promise(job.name, job.action.outputs, job.action.mounts, rewrite)
        collector = slot.collector
        simple = len(promise.specs) <= _INLINE_ENTRIES_MAX and not any(
            spec.directory for spec in promise.specs
        )
        if not simple:
            return await self._exec.run_sync(lambda: collector.collect(collector.survey(promise)))
        survey = collector.survey(promise)
        if survey.size_bytes <= _INLINE_OUTPUT_BYTES_MAX:
            return collector.collect(survey)
        return await self._exec.run_sync(collector.collect, survey)

    def _log(self, data: bytes, lost_bytes: int, rewriter: Rewriter | None) -> LogBlob:
        if not data:
            return LogBlob(lost_bytes=lost_bytes)
        if rewriter is not None:
            data = rewriter.back(data)
        if len(data) <= INLINE_BLOB_BYTES_MAX:
            return LogBlob(blob_id(data), len(data), lost_bytes, data)
        return LogBlob(self._store.put(data), len(data), lost_bytes)

    def _cannot_spawn(self, job: Job, why: str) -> CannotSpawn:
        return CannotSpawn(argv0=job.action.argv[0], node=self._config.node, why=why)


def _request(job: Job, slot: Slot, rewriter: Rewriter | None) -> Request:
    argv, cwd = list(job.action.argv), job.action.cwd
    env = {each.name: each.value for each in job.action.env}
    if rewriter is not None:
        argv, cwd = rewriter.argv(argv), rewriter.path(cwd)
        env = rewriter.env(env, str(slot.paths.tmp))
    return Request(
        argv=argv,
        env=env,
        cwd=cwd,
        timeout_s=job.timeout_s,
        memory_bytes=job.memory_bytes,
        live=job.on_output is not None,
    )


def _rewritten(on_output: OnOutput, rewriter: Rewriter) -> OnOutput:
    return lambda stream, data: on_output(stream, rewriter.back(data))
