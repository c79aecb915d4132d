"""The scheduler's driver: turns messages, ends of processes and time into inputs of the core, and
the core's effects into messages and processes.

It knows leases and jobs; it does not know runs (a `RunSide` per run is told what happened),
plans or the project tree. Results are verified here, before the core counts them.
"""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import Protocol

import attrs
import trio

from mesh.action.model import Result
from mesh.limits import GRANT_SHARDS_MAX
from mesh.node.counters import Counters
from mesh.node.grants import GrantPacker, ShardJob
from mesh.node.links import Links
from mesh.node.perform import Performer
from mesh.node.stolen import StolenRunner
from mesh.node.verdicts import Claim, Judged, judge
from mesh.node.workers import End, Workers
from mesh.ports import Env, Timer
from mesh.ports.actions import Job
from mesh.scheduler import model as m
from mesh.scheduler.config import SchedulerConfig
from mesh.scheduler.core import Scheduler
from mesh.types import Digest, NodeId, RunId
from mesh.wire import messages as wire
from mesh.wire.blobid import blob_id

TICK_S, TICK_MAX_S = 0.1, 0.5
"""How late an expiry or a straggler may be noticed."""

logger = logging.getLogger(__name__)


@attrs.frozen
class Outcome:
    """How a shard ended. `result` is None when the executor had no result to sign."""

    holder: NodeId
    finished: wire.Finished
    result: Result | None
    speculative: bool


class RunSide(Protocol):
    """What a run wants to hear."""

    def shard_phase(self, index: int, phase: str, where: NodeId | None, detail: str) -> None: ...

    def shard_trace(self, index: int, trace: m.Trace) -> None: ...

    def shard_output(self, index: int, node: NodeId, stream: int, data: bytes) -> None: ...

    def shard_settled(self, index: int, outcome: Outcome) -> None: ...

    def shard_gave_up(self, index: int, reasons: tuple[tuple[NodeId, str], ...]) -> None: ...

    def shard_duplicate(self, index: int) -> None: ...

    def crashed(self, bug: Exception) -> None:
        """A bug of ours: the run cannot be trusted to end by itself."""
        ...


class Roles(Protocol):
    """Who may do what, asked at the moment it matters."""

    def may_build(self, node: NodeId) -> bool: ...

    def may_submit(self, node: NodeId) -> bool: ...


@attrs.frozen
class WorkParts:
    """What the driver is made of."""

    env: Env
    me: NodeId
    links: Links
    performer: Performer
    stolen: StolenRunner
    roles: Roles
    config: SchedulerConfig


class WorkDriver:
    """See the module's head. `run` must be running for anything to start."""

    def __init__(self, parts: WorkParts) -> None:
        self._env = parts.env
        self._me = parts.me
        self._links = parts.links
        self._performer = parts.performer
        self._stolen = parts.stolen
        self._roles = parts.roles
        self._config = parts.config
        self._jobs: dict[m.ShardKey, ShardJob] = {}
        self._runs: dict[RunId, RunSide] = {}
        self._scopes: dict[tuple[NodeId, int], trio.CancelScope] = {}
        self._workers = Workers()
        self._grants = GrantPacker(parts.performer, parts.config.lease_s)
        self._nursery: trio.Nursery | None = None
        self._timer: Timer | None = None
        self.core = Scheduler(parts.me, parts.config)
        self._stolen.has_more = self.core.has_backlog_of
        self.counters = Counters()

    def _now(self) -> float:
        return self._env.clock.monotonic()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run shards and watch leases until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                if self._timer is not None:
                    self._timer.cancel()

    def _arm(self) -> None:
        """See to it that somebody looks at the leases in time. Called after every change, so it
        looks at none of them while a timer is set: that one comes within half a second."""
        if self._timer is not None:
            return
        now_s = self._now()
        due_s = self.core.next_timer_s(now_s)
        if due_s < math.inf:
            at_s = max(now_s + TICK_S, min(due_s, now_s + TICK_MAX_S))
            self._timer = self._env.clock.call_at(at_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            self._stolen.flush_all()
            self._apply(self.core.handle_timer(self._now()))
        except Exception as bug:  # noqa: BLE001 - as in _contain
            self._contain(bug, list(self._runs))
            self._arm()

    # -- runs of ours ---------------------------------------------------------------------------
    def open_run(self, run: RunId, side: RunSide, policy: m.RunPolicy) -> None:
        self._runs[run] = side
        self.core.open_run(run, policy)

    def submit(self, jobs: list[ShardJob]) -> None:
        self._jobs.update((job.shard.key, job) for job in jobs)
        self._apply(self.core.submit([job.shard for job in jobs], self._now()))

    def close_run(self, run: RunId) -> None:
        """Stop everything of the run, everywhere."""
        self._apply(self.core.close_run(run, self._now()))
        self._runs.pop(run, None)
        for key in [key for key in self._jobs if key[0] == run]:
            del self._jobs[key]

    # -- links ----------------------------------------------------------------------------------
    def peer_up(self, node: NodeId, load: wire.Load) -> None:
        may_build = self._roles.may_build(node)
        self._apply(self.core.peer_up(node, load, may_execute=may_build, now_s=self._now()))

    def peer_down(self, node: NodeId) -> None:
        self._grants.forget(node)
        self._stolen.forget(node)
        self._apply(self.core.peer_down(node, self._now()))

    def receive(self, peer: NodeId, message: object) -> bool:
        """Take a message about work; False when it is about something else."""
        now_s = self._now()
        match message:
            case wire.Steal(shards, load):
                self._apply(self.core.steal_requested(peer, shards, load, now_s))
            case wire.LoadChanged(load):
                self._apply(self.core.peer_load(peer, load, now_s))
            case wire.Grant(shards, _, blobs):
                self._granted(peer, shards, blobs)
            case wire.Renew(leases):
                self._apply(self.core.renewed(peer, leases, now_s))
            case wire.Settled(leases):
                self._stolen.flush(peer)
                self._apply(self.core.settled(peer, leases, now_s))
            case wire.Decline():
                self._declined(peer, message)
            case wire.Progress():
                self._progress(peer, message)
            case wire.Output():
                self._output(peer, message)
            case wire.Done():
                self._done(peer, message)
            case _:
                return False
        return True

    def _granted(
        self,
        peer: NodeId,
        shards: tuple[wire.GrantedShard, ...],
        blobs: tuple[wire.InlineBlob, ...],
    ) -> None:
        if not self._roles.may_submit(peer):
            self.counters.add("grant.not-allowed")
            return
        self._stolen.hold(blob.data for blob in blobs)
        effects = self.core.granted(peer, shards, self._now())
        self._apply(effects)
        begun = {each.granted.lease for each in effects if isinstance(each, m.StartStolen)}
        if self._nursery is not None and shards and shards[-1].lease not in begun:
            self._nursery.start_soon(self._stolen.fetch_ahead, peer, shards[-1])

    def _declined(self, peer: NodeId, message: wire.Decline) -> None:
        for lease in message.leases:
            self._apply(
                self.core.declined(
                    peer, lease, message.reason, unfit=message.unfit, now_s=self._now()
                )
            )

    def _progress(self, peer: NodeId, message: wire.Progress) -> None:
        key = self.core.key_of(peer, message.lease)
        if key is None or key[0] not in self._runs:
            return
        if message.phase == wire.PHASE_RUNNING:
            self.core.begun(peer, message.lease)
        phase = {wire.PHASE_FETCHING: "sending", wire.PHASE_RUNNING: "running"}.get(message.phase)
        if phase is not None:
            detail = _share(message.done_bytes, message.total_bytes)
            self._runs[key[0]].shard_phase(key[1], phase, peer, detail)

    def _output(self, peer: NodeId, message: wire.Output) -> None:
        key = self.core.key_of(peer, message.lease)
        if message.stream not in (1, 2):
            self.counters.add("output.stream")
        elif key is not None and key[0] in self._runs:
            self._runs[key[0]].shard_output(key[1], peer, message.stream, message.data)

    # -- results --------------------------------------------------------------------------------
    def _done(self, peer: NodeId, message: wire.Done) -> None:
        judged: list[tuple[wire.Finished, Judged]] = []
        outputs: set[Digest] = set()
        for finished in message.finished:
            key = self.core.key_of(peer, finished.lease)
            job = self._jobs.get(key) if key is not None else None
            if job is None:  # settled before, or the run is over; the core counts it
                self.counters.add("done.not-waited-for")
                judged.append((finished, Judged(None, m.Verdict.OK)))
                continue
            each = self._judge(peer, job, finished)
            judged.append((finished, each))
            outputs.update(entry.digest for entry in (each.result.outputs if each.result else ()))
        wanted = [b.data for b in message.blobs if outputs and blob_id(b.data) in outputs]
        self._stolen.keep(wanted)
        for finished, each in judged:
            self._finish(peer, finished, each.result, each.verdict, each.reason)

    def _judge(self, peer: NodeId, job: ShardJob, finished: wire.Finished) -> Judged:
        claim = Claim(peer, job.action, job.digest, finished)
        judged = judge(claim, self._roles.may_build)
        if judged.lie:
            self.counters.add(f"result.{judged.lie}")
            self.counters.add(f"lied.{peer.hex()[:16]}")
        return judged

    def _finish(
        self,
        node: NodeId,
        finished: wire.Finished,
        result: Result | None,
        verdict: m.Verdict,
        reason: str = "",
    ) -> None:
        effects = self.core.finished(
            node,
            finished.lease,
            verdict,
            self._now(),
            duration_s=finished.duration_ms / 1000,
            reason=reason,
        )
        for effect in effects:
            if isinstance(effect, m.Accepted):
                outcome = Outcome(node, finished, result, effect.speculative)
                self._jobs.pop(effect.key, None)
                self._runs[effect.key[0]].shard_settled(effect.key[1], outcome)
        self._apply(effects)

    # -- effects --------------------------------------------------------------------------------
    def _apply(self, effects: list[m.Effect]) -> None:
        for effect in effects:
            try:
                self._one(effect)
            except Exception as bug:  # noqa: BLE001 - as in _contain
                key: m.ShardKey | None = getattr(effect, "key", None)
                self._contain(bug, [key[0]] if key is not None else [])
        self._arm()

    def _contain(self, bug: Exception, runs: list[RunId]) -> None:
        """A bug met by one shard ends its run, and never the node with everybody else's."""
        logger.error("the work driver failed", exc_info=bug)
        self.counters.add("work.bug")
        for run in runs:
            if (side := self._runs.get(run)) is not None:
                side.crashed(bug)

    def _one(self, effect: m.Effect) -> None:  # noqa: C901, PLR0912 - one arm per effect
        assert self._nursery is not None, "the driver runs before anything happens"
        match effect:
            case m.Trace(key):
                if (side := self._runs.get(key[0])) is not None:
                    side.shard_trace(key[1], effect)
            case m.StartOwn(lease, shard):
                self._workers.start(self._nursery, partial(self._run_own, lease, shard.key))
            case m.StartStolen(victim, granted):
                self._workers.start(self._nursery, partial(self._run_stolen, victim, granted))
            case m.GrantOut(peer, leases):
                self._grant(peer, leases)
            case m.SendSteal(peer, shards):
                self._links.post(peer, wire.Steal(shards, self.core.load()))
            case m.SendRenew(peer, leases_held):
                self._links.post(peer, wire.Renew(leases_held))
            case m.SendSettled(peer, leases_over):
                self._links.post(peer, wire.Settled(leases_over))
            case m.SendDecline(peer, leases_refused, reason):
                self.counters.add("grant.not-asked-for", len(leases_refused))
                for start in range(0, len(leases_refused), GRANT_SHARDS_MAX):
                    some = leases_refused[start : start + GRANT_SHARDS_MAX]
                    self._links.post(peer, wire.Decline(some, reason))
            case m.SendLoad(load):
                self._links.post_all(wire.LoadChanged(load))
            case m.AbortOwn(lease):
                self._cancel(self._me, lease)
            case m.AbortStolen(victim, lease):
                self._cancel(victim, lease)
            case m.Duplicate(key):
                if (side := self._runs.get(key[0])) is not None:
                    side.shard_duplicate(key[1])
            case m.GaveUp(key, reasons):
                self._jobs.pop(key, None)
                self._runs[key[0]].shard_gave_up(key[1], reasons)
            case m.Accepted():
                pass  # told in _finish, with the outcome

    def _cancel(self, victim: NodeId, lease: int) -> None:
        if (scope := self._scopes.get((victim, lease))) is not None:
            scope.cancel()

    async def _run_own(self, lease: int, key: m.ShardKey, scope: trio.CancelScope) -> End:
        job, side = self._jobs.get(key), self._runs.get(key[0])
        if job is None or side is None:
            return _nothing  # the run was closed in this very turn
        self._scopes[self._me, lease] = scope
        try:
            side.shard_phase(key[1], "running", self._me, "")
            finished, result = await self._performer.perform(
                lease, job.digest, self._own_job(job, side), leaves=job.cacheable
            )
            if result is not None:
                self._stolen.executed(self._me, key[0], key[1], result)
            cacheable = job.cacheable and await self._stolen.are_still(
                job.toolchain, job.action.toolchain
            )
        except Exception as bug:  # noqa: BLE001 - as in _contain
            self._contain(bug, [key[0]])
            return _nothing
        finally:
            del self._scopes[self._me, lease]
        return partial(self._end_own, job, finished, result, cacheable=cacheable)

    def _end_own(
        self, job: ShardJob, finished: wire.Finished, result: Result | None, *, cacheable: bool
    ) -> None:
        try:
            if finished.result is not None and result is not None:
                self._performer.remember(job.digest, finished.result, result, cacheable)
            self._finish(self._me, finished, result, *self._own_verdict(finished, result))
        except Exception as bug:  # noqa: BLE001 - as in _contain
            self._contain(bug, [job.shard.key[0]])

    def _own_job(self, job: ShardJob, side: RunSide) -> Job:
        index = job.shard.key[1]

        def on_output(stream: int, data: bytes) -> None:
            side.shard_output(index, self._me, stream, data)

        return Job(
            action=job.action,
            tree=job.tree,
            name=job.shard.name,
            timeout_s=job.timeout_s,
            memory_bytes=job.memory_bytes,
            on_output=on_output if job.live else None,
            tool_dirs=job.tool_dirs,
        )

    @staticmethod
    def _own_verdict(finished: wire.Finished, result: Result | None) -> tuple[m.Verdict, str]:
        if result is None:
            retry = finished.retry_elsewhere
            return (m.Verdict.RETRY if retry else m.Verdict.FAILED), finished.error_text
        return (m.Verdict.OK if result.exit_status == 0 else m.Verdict.FAILED), ""

    async def _run_stolen(
        self, victim: NodeId, granted: wire.GrantedShard, scope: trio.CancelScope
    ) -> End:
        duration_s: float | None = None
        self._scopes[victim, granted.lease] = scope
        try:
            duration_s = await self._stolen.run(victim, granted)
        except Exception as bug:  # noqa: BLE001 - as in _contain
            self._contain(bug, [])
        finally:
            # The victim may have started anew meanwhile, and have used the number again.
            if self._scopes.get((victim, granted.lease)) is scope:
                del self._scopes[victim, granted.lease]
        return partial(self._end_stolen, victim, granted.lease, duration_s)

    def _end_stolen(self, victim: NodeId, lease: int, duration_s: float | None) -> None:
        self._apply(self.core.stolen_ended(victim, lease, duration_s, self._now()))

    # -- grants ---------------------------------------------------------------------------------
    def _grant(self, peer: NodeId, leases: tuple[m.Lease, ...]) -> None:
        leased = []
        for lease in leases:
            key = lease.shard.key
            job, side = self._jobs.get(key), self._runs.get(key[0])
            if job is None or side is None:
                continue  # closed in this very turn; the core has ended the lease
            if not job.fits_a_message:
                self._declined(peer, wire.Decline((lease.id,), "its command is too long to send"))
                continue
            side.shard_phase(key[1], "stolen", peer, "")
            leased.append((lease, job))
        for grant in self._grants.pack(peer, leased):
            self._links.post(peer, grant)


def _nothing() -> None:
    """The end of a shard that never ran: whoever saw to that has told the core."""


def _share(done_bytes: int, total_bytes: int) -> str:
    if not total_bytes:
        return ""
    return f"{done_bytes / 1e6:.1f}/{total_bytes / 1e6:.1f} MB"
