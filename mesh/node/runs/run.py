"""One run: plan, then for every step resolve -> look up -> (run somewhere) -> place -> next.

    ready --resolve--> action --lookup--> hit ------------------+
                          \\--miss--> submitted --settled--> outputs fetched --placed--> done

Steps become ready as the steps they need are *placed*, because only then can their inputs be
hashed. Nothing polls: a few resolver tasks wait for ready steps, the work driver calls back when a
shard is settled.

Not here: who runs a shard (the scheduler), what a project means (planners), how events look
(record).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import attrs
import trio

from mesh.action.model import Result
from mesh.cas.blobs import BlobMissing
from mesh.cas.place import Placer
from mesh.control.requests import error_view, to_mesh_error
from mesh.control.views import FailureView, RunView
from mesh.errors import BlobLost, InputChanged, MeshError, NoNodeFits, RunTimedOut, catalogue
from mesh.node.grants import ShardJob
from mesh.node.runs.after import DoneStep, ProjectTree
from mesh.node.runs.buildlogs import BuildLogs
from mesh.node.runs.chunks import Answers, Chunks, ChunksConfig
from mesh.node.runs.failure import (
    exit_code_of,
    failure_of_error,
    failure_of_process,
    failure_of_result,
    gave_up,
    rerun_from,
)
from mesh.node.runs.inplace import InPlace
from mesh.node.runs.jobs import Active, ShardRequest, ToolDirs, shard_job
from mesh.node.runs.known import Hit, KnownActions, is_whole
from mesh.node.runs.lineage import Lineage
from mesh.node.runs.parts import RunOptions, RunParts
from mesh.node.runs.record import RunRecord
from mesh.node.work import Outcome
from mesh.planners.base import Plan, PlanRequest, Step
from mesh.planners.registry import make_plan
from mesh.planners.resolve import Resolver
from mesh.scheduler import model as m
from mesh.scheduler.graph import RunGraph, indices, ranks
from mesh.types import NodeId, RunId

CORES_PER_RESOLVER = 2
"""Steps are resolved in worker threads, which mostly wait for the compiler to list headers. One per
two cores stays ahead of the slots without taking the cores from them."""
CHUNK_MAX = 64
"""Steps resolved in one go: one thread hop and one question to the neighbours for all of them."""
FLUSH_S = 0.1
"""Phases reach the command line at most this much late."""
REFETCH_MAX = 2
"""Times a shard is run anywhere again because its outputs vanished before they were fetched; after
so many it is run here, and fails only when they vanish here as often."""

_ERRORS = {cls.code: cls for cls in catalogue()}


class Run:
    """Implements `RunSide`. `execute` runs it to the end and returns the final view."""

    def __init__(
        self,
        parts: RunParts,
        run: RunId,
        request: PlanRequest,
        options: RunOptions,
        record: RunRecord,
    ) -> None:
        self._parts = parts
        self._id = run
        self._request = request
        self._options = options
        self._record = record
        self._ready: deque[int] = deque()
        self._active: dict[int, Active] = {}
        self._wake = trio.Event()
        self._ready_since_s = 0.0
        self._over = trio.Event()
        self._resolved_count = 0
        self._command_status: int | None = None
        self._bug: Exception | None = None
        self._logs: BuildLogs | None = None
        self._dirs = ToolDirs()
        self._known = KnownActions(parts)
        self._nursery: trio.Nursery

    # -- the whole way --------------------------------------------------------------------------
    async def execute(self) -> RunView:
        """Never raises a MeshError: it is in the view. Cancellation closes the run everywhere."""
        error: MeshError | None = None
        cancelled = True
        try:
            with trio.fail_after(self._options.timeout_s or math.inf), self._parts.store.in_use():
                await self._plan_and_run()
            cancelled = False
        except trio.TooSlowError:
            cancelled = False
            error = RunTimedOut(seconds=f"{self._options.timeout_s:g}")
        except Exception as raised:  # noqa: BLE001 - whatever went wrong is shown, not lost
            cancelled = False
            error = to_mesh_error(raised)
            if error.code == "VM999":
                self._parts.log_bug(raised)
        finally:
            self._parts.work.close_run(self._id)
            with trio.CancelScope(shield=True):
                await self._wind_up()
            self._close_record(error, cancelled=cancelled)
        assert self._record.view is not None
        return self._record.view

    def _close_record(self, error: MeshError | None, *, cancelled: bool) -> None:
        kind, status = self._request.kind, self._command_status
        code = 130 if cancelled else exit_code_of(kind, self._record, error, status)
        view = None if error is None else error_view(error)
        self._record.finish(self._now(), code, view, cancelled=cancelled)

    async def _plan_and_run(self) -> None:
        plan = await self._parts.env.exec.run_sync(make_plan, self._request)
        self._prepare(plan)
        if not plan.steps:
            return
        if self._options.policy.mode is m.Mode.CLUSTER and not self._parts.near_first():
            raise NoNodeFits(name=plan.steps[0].name, why="no other node is connected")
        self._parts.work.open_run(self._id, self, self._options.policy)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._enqueue(self._graph.start())
            for _ in range(max(1, self._parts.env.readings.cores // CORES_PER_RESOLVER)):
                nursery.start_soon(self._resolve_ready)
            nursery.start_soon(self._flush_phases)
            try:
                await self._over.wait()
            finally:
                self._over.set()  # also when cancelled: nothing may start in a closing nursery
            nursery.cancel_scope.cancel()
        if self._bug is not None:
            raise self._bug

    def _prepare(self, plan: Plan) -> None:
        self._plan = plan
        needs = indices({step.name: step.needs for step in plan.steps})
        project = str(plan.root)
        history = self._parts.history
        self._weights_s = [history.weight_s(project, step.name) for step in plan.steps]
        self._ranks_s = ranks(needs, self._weights_s)
        self._graph = RunGraph(needs, keep_going=self._options.keep_going)
        self._lineage = Lineage(needs, self._parts.results.derive)
        self._resolver = Resolver(self._parts.resolver_config(plan))
        mounts = {mount.inside: mount.host for mount in plan.mounts}
        placer = Placer(self._parts.store, mounts, self._parts.hasher)
        self._tree = ProjectTree(plan, placer)
        self._logs = BuildLogs(self._parts.env.exec, self._tree, self._record.warn)
        self._in_place = InPlace(self._parts.env, plan)
        self._record.planned(plan.planner, plan.explanation, [_display(s) for s in plan.steps])
        for warning in self._parts.warnings():
            self._record.warn(warning)

    async def _wind_up(self) -> None:
        if self._logs is not None:
            await self._logs.write()

    async def _flush_phases(self) -> None:
        while True:
            await self._parts.env.clock.sleep_until(self._now() + FLUSH_S)
            self._record.flush()

    # -- resolving and looking up ---------------------------------------------------------------
    def _enqueue(self, ready: Sequence[int]) -> None:
        if ready:
            self._ready.extend(sorted(ready, key=lambda index: -self._ranks_s[index]))
            self._ready_since_s = self._now()
            self._wake.set()

    async def _resolve_ready(self) -> None:
        config = ChunksConfig(self._resolver, self._plan, self._parts.env.exec, self._over.is_set)
        chunks = Chunks(config)
        while True:
            while not self._ready:
                self._wake = wake = trio.Event()
                await wake.wait()
            # Small chunks first, so that the first shards start at once.
            size = min(CHUNK_MAX, 1 + self._resolved_count // 2)
            chunk = [self._ready.popleft() for _ in range(min(size, len(self._ready)))]
            chunk = [index for index in chunk if self._graph.activate(index)]
            for index in chunk:
                self._record.phase(index, "hashing", self._now())
            resolved = await chunks.resolve(chunk, self._ready_since_s, self._now())
            self._resolved_count += len(chunk)
            await self._look_up(self._take_in(resolved))

    def _take_in(self, answers: Answers) -> list[int]:
        good = []
        for index, answer in answers:
            if isinstance(answer, MeshError):
                self._fail(index, failure_of_error(self._step(index), "", answer), 0.0)
                continue
            self._active[index] = Active(answer)
            for digest, path in answer.sources.items():
                self._parts.store.add_source(digest, path)
            for content in answer.inline.values():
                self._parts.store.put(content)
            if self._step(index).local:
                self._nursery.start_soon(self._run_in_place, index)
            else:
                good.append(index)
        return good

    async def _look_up(self, chunk: list[int]) -> None:
        """Take what is known, submit the rest."""
        misses = chunk
        if self._options.use_cache:
            misses = [index for index in chunk if not await self._known_here(index)]
            misses = await self._known_elsewhere(misses)
        if misses:
            self._parts.work.submit([self._job(index) for index in misses])

    async def _known_here(self, index: int) -> bool:
        hit = await self._known.here(self._active[index].resolved)
        return hit is not None and await self._use(index, hit)

    async def _known_elsewhere(self, chunk: list[int]) -> list[int]:
        wanted = [self._active[index].resolved for index in chunk]
        hits = await self._known.elsewhere(wanted)
        return [
            index
            for index, hit in zip(chunk, hits, strict=True)
            if hit is None or not await self._use(index, hit)
        ]

    async def _use(self, index: int, hit: Hit) -> bool:
        why = f"its result was known from {hit.builder}: same command, same inputs, same tools"
        self._record.trace(index, "cache", self._now(), hit.builder, why)
        return await self._complete(index, hit.result, self._parts.me, "cached")

    # -- RunSide: what the work driver tells us -------------------------------------------------
    def shard_phase(self, index: int, phase: str, where: NodeId | None, detail: str) -> None:
        name = self._parts.name_of(where) if where is not None else ""
        if phase == "stolen":
            self._record.totals.stolen += 1
        self._record.phase(index, phase, self._now(), name, detail)

    def shard_trace(self, index: int, trace: m.Trace) -> None:
        name = self._parts.name_of(trace.peer) if trace.peer is not None else ""
        if trace.what != "queued":  # a phase of its own, below
            self._record.trace(index, trace.what, self._now(), name, trace.detail)
        if trace.what in ("declined", "retry") and name:
            self._record.shards[index].refusals[name] = trace.detail
        if trace.what in ("expired", "lost", "declined", "retry", "queued"):
            self._record.phase(index, "queued", self._now())

    def shard_output(self, index: int, node: NodeId, stream: int, data: bytes) -> None:
        self._record.output(index, self._parts.name_of(node), stream, data)

    def shard_duplicate(self, index: int) -> None:  # noqa: ARG002 - all count alike
        self._record.totals.duplicates += 1

    def shard_gave_up(self, index: int, reasons: tuple[tuple[NodeId, str], ...]) -> None:
        named = [(self._parts.name_of(node), reason) for node, reason in reasons]
        self._record.shards[index].refusals.update(named)
        self._fail(index, gave_up(self._step(index), named), 0.0)

    def crashed(self, bug: Exception) -> None:
        self._bug = bug
        self._over.set()

    def shard_settled(self, index: int, outcome: Outcome) -> None:
        if self._over.is_set():
            return
        result = outcome.result
        if result is not None and result.exit_status == 0 and is_whole(result):
            self._finished(index, result, outcome.holder, self._source(index, outcome))
        else:
            self._nursery.start_soon(self._settled, index, outcome)

    # -- settling -------------------------------------------------------------------------------
    async def _settled(self, index: int, outcome: Outcome) -> None:
        node = self._parts.name_of(outcome.holder)
        seconds = outcome.finished.duration_ms / 1000
        step = self._step(index)
        if outcome.result is None:
            error = _ERRORS.get(outcome.finished.error_code)
            self._fail(index, failure_of_error(step, node, error, outcome.finished.error_text), 0.0)
            return
        if outcome.result.exit_status != 0:
            await self._known.bring_logs(outcome.result, [outcome.holder])
            self._command_status = outcome.result.exit_status
            self._record.dropped(index, outcome.result)
            self._fail(index, failure_of_result(step, node, outcome.result, self._text), seconds)
            return
        if outcome.holder != self._parts.me:
            self._record.phase(index, "fetching", self._now(), node)
            if not await self._known.bring(outcome.result, [outcome.holder]):
                self._run_again(index, outcome.holder)
                return
        source = self._source(index, outcome)
        if not await self._complete(index, outcome.result, outcome.holder, source):
            self._run_again(index, outcome.holder)

    def _source(self, index: int, outcome: Outcome) -> str:
        """Where a good result is from; a peer's is remembered."""
        if outcome.holder == self._parts.me:
            return "local"
        job, signed = self._active[index].job, outcome.finished.result
        if job is not None and job.cacheable and signed is not None and outcome.result is not None:
            self._known.remember(signed, outcome.result, job.digest)
        return "remote"

    def _run_again(self, index: int, holder: NodeId) -> None:
        """The outputs are gone: the work is done anew rather than the build failed."""
        active, node = self._active[index], self._parts.name_of(holder)
        active.refetched += 1
        here = active.refetched > REFETCH_MAX and self._parts.may_build(self._parts.me)
        if active.job is None or active.refetched > REFETCH_MAX * (1 + here):
            error = BlobLost(digest=_display(self._step(index)))
            self._fail(index, failure_of_error(self._step(index), node, error), 0.0)
            return
        why = "its outputs could not be fetched"
        self._record.trace(index, "refetch", self._now(), node, why)
        self._record.phase(index, "queued", self._now())
        if holder != self._parts.me:
            refused_by = (*active.job.shard.refused_by, (holder, why))
            shard = attrs.evolve(active.job.shard, refused_by=refused_by)
            active.job = attrs.evolve(active.job, shard=attrs.evolve(shard, local_only=here))
        self._parts.work.submit([active.job])

    async def _complete(self, index: int, result: Result, builder: NodeId, source: str) -> bool:
        """Place the outputs and go on. False for a hit whose outputs turn out not to be usable."""
        step = self._step(index)
        if result.outputs:
            resolved, run_sync = self._active[index].resolved, self._parts.env.exec.run_sync
            try:
                await run_sync(self._tree.place, step, resolved, result.outputs)
            except (InputChanged, BlobMissing):
                return False
            except MeshError as error:
                self._fail(index, failure_of_error(step, "", error), 0.0)
                return True
        self._finished(index, result, builder, source)
        return True

    def _finished(self, index: int, result: Result, builder: NodeId, source: str) -> None:
        """It is here and in place."""
        self._record.dropped(index, result)
        self._lineage.done(index, result, is_new=source != "cached")
        if not self._options.live or source == "cached":
            self._show_logs(index, result)
        self._step_done(index, source, builder, result.duration_ms)

    def _step_done(self, index: int, source: str, builder: NodeId, duration_ms: int) -> None:
        step, now_s = self._step(index), self._now()
        end_ms = round((now_s - self._record.head.started_s) * 1000)
        if source != "cached":
            learnt_ms = min(duration_ms, end_ms)  # whatever its builder says
            self._parts.history.learn(str(self._plan.root), step.name, learnt_ms)
        self._command_status = 0
        resolved = self._active.pop(index).resolved
        begin_ms = max(0, end_ms - duration_ms)
        assert self._logs is not None, "steps are done after planning only"
        if self._logs.add(DoneStep(step, resolved, begin_ms, end_ms)) and not self._over.is_set():
            self._nursery.start_soon(self._logs.write)
        name = self._parts.name_of(builder)
        self._record.done(index, now_s, source, name, duration_ms / 1000)
        self._enqueue(self._graph.done(index))
        self._check_over()

    async def _run_in_place(self, index: int) -> None:
        step, here = self._step(index), self._parts.name_of(self._parts.me)
        self._record.trace(index, "forced", self._now(), here, "the step must run in place, here")
        async with self._in_place.turn:
            self._record.phase(index, "running", self._now(), here)
            end = await self._in_place.run(step, here)
        if end.process is None:
            self._fail(index, failure_of_error(step, here, end.error), end.seconds)
            return
        if end.process.exit_status != 0:
            self._command_status = end.process.exit_status
            self._fail(index, failure_of_process(step, here, end.process), end.seconds)
            return
        self._tree.in_place(step)
        self._record.output(index, here, 1, end.process.stdout)
        self._record.output(index, here, 2, end.process.stderr)
        self._step_done(index, "local", self._parts.me, round(end.seconds * 1000))

    def _show_logs(self, index: int, result: Result) -> None:
        node = self._parts.name_of(result.builder)
        for stream, log in ((1, result.stdout), (2, result.stderr)):
            if log.size_bytes:
                self._record.output(index, node, stream, self._parts.log_text(log) or b"")

    def _text(self, result: Result, stream: int) -> bytes:
        return self._parts.log_text(result.stdout if stream == 1 else result.stderr) or b""

    def _fail(self, index: int, failure: FailureView, seconds: float) -> None:
        self._active.pop(index, None)
        step, now_s = self._step(index), self._now()
        told = rerun_from(failure, step, self._plan, self._request.cwd)
        self._record.failed(index, now_s, told, seconds)
        for skipped in self._graph.failed(index):
            self._record.skipped(skipped, now_s, f"it needs `{_display(step)}`, which failed")
        if self._graph.stopped:
            self._over.set()
        self._check_over()

    def _check_over(self) -> None:
        if self._graph.finished:
            self._over.set()

    # -- small parts ----------------------------------------------------------------------------
    def _job(self, index: int) -> ShardJob:
        active, step = self._active[index], self._step(index)
        request = ShardRequest(
            key=(self._id, index),
            kind=self._request.kind,
            weight_s=self._weights_s[index],
            rank_s=self._ranks_s[index],
            live=self._options.live,
            tool_dirs=self._dirs.of(active.resolved.toolchain, active.resolved.action.toolchain),
        )
        active.job = shard_job(request, step, active.resolved)
        return active.job

    def _step(self, index: int) -> Step:
        return self._plan.steps[index]

    def _now(self) -> float:
        return self._parts.env.clock.monotonic()


def _display(step: Step) -> str:
    return step.display or step.name
