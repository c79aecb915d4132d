"""A stolen shard's way on the thief: understand, check the tools, fetch inputs, run, report.

Nothing in a grant is believed: the action is decoded strictly, its paths are checked by the
executor, its tools are compared with ours, its inputs are fetched by digest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import attrs
import trio

from mesh.action.model import (
    EXECUTABLE,
    FILE,
    Action,
    Toolchain,
    Tree,
    check_action,
    check_entries,
)
from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.errors import EnvironmentFault, InputChanged
from mesh.executor.sandbox import BWRAP
from mesh.executor.tooldirs import hidden_tool, owners_roots, tool_dirs
from mesh.limits import BLOB_CHUNK_BYTES, STRUCT_BYTES_MAX
from mesh.node.blobs import BlobExchange, Expected
from mesh.node.counters import Counters
from mesh.node.facts import KnownTools
from mesh.node.links import Links
from mesh.node.perform import OnExecuted, Performer, plain_text
from mesh.ports import Env
from mesh.ports.actions import ActionRunner, Job, OnOutput
from mesh.types import Digest, NodeId, digest_of
from mesh.wire import messages as wire
from mesh.wire.errors import WireError
from mesh.wire.schema import decode_struct

logger = logging.getLogger(__name__)

PROGRESS_STEP_BYTES = 1024 * 1024
TRIVIAL_MS = 50
"""Below this a shard is over before anybody could read that it runs."""
DONE_BATCH_MAX = 16
"""Trivial results in one message: eight cost a tenth more of the thief's time. A grant holds little
more than `batch_window_s` of work, and none waits once no more shards do."""
TOOLCHAINS_MAX = 1024
TOOLS_KEPT_MAX = 4096
TOOLS_INLINE_MAX = 16
TOOLCHAIN_RECHECK_S = 5.0
REASON_BYTES_MAX = 1000
_STRUCT = Expected(max_bytes=STRUCT_BYTES_MAX)


@attrs.frozen
class StolenParts:
    env: Env
    links: Links
    store: BlobStore
    blobs: BlobExchange
    performer: Performer
    runner: ActionRunner


@attrs.frozen
class _ToolVerdict:
    """What was found about a toolchain; believed until `until_s`."""

    until_s: float
    reason: str | None
    dirs: tuple[str, ...]
    toolchain: Toolchain | None
    """To look again; None when it is too large to be kept."""


async def tools_are_still(parts: StolenParts, toolchain: Toolchain, digest: Digest) -> bool:
    """Look again after an action; a few tools without a thread, because a hop costs more."""
    if len(toolchain.tools) <= TOOLS_INLINE_MAX:
        return parts.runner.tools_still(toolchain, digest)
    return await parts.env.exec.run_sync(parts.runner.tools_still, toolchain, digest)


class _Declined(Exception):
    def __init__(self, reason: str, *, unfit: bool) -> None:
        super().__init__(reason)
        self.reason, self.unfit = reason, unfit


class StolenRunner:
    """Runs what was stolen; reports go to the victim as messages."""

    def __init__(self, parts: StolenParts) -> None:
        self._parts = parts
        self._verdicts: dict[Digest, _ToolVerdict] = {}
        self._roots = owners_roots()
        self._fetching: dict[NodeId, tuple[int, trio.Event]] = {}
        """By victim: the lease whose inputs are fetched ahead, and when they are here."""
        self._waiting: dict[NodeId, tuple[list[wire.Finished], list[wire.InlineBlob]]] = {}
        self.has_more: Callable[[NodeId], bool] = lambda _victim: False
        """Whether more shards of that victim wait here; set by the work driver."""
        self.executed: OnExecuted = lambda _victim, _run, _shard, _result: None
        """Called with every shard that was run to its end; set by the runtime."""
        self.tools = KnownTools()
        self.counters = Counters()

    def hold(self, blobs: Iterable[bytes]) -> None:
        """Inputs that came inline: needed soon, and the victim can send them again."""
        for data in blobs:
            self._parts.store.hold(data)

    def keep(self, blobs: Iterable[bytes]) -> None:
        """Outputs that came inline: store them."""
        for data in blobs:
            try:
                self._parts.store.put(data)
            except EnvironmentFault:  # a full disk: whoever needs the blob will find it missing
                self.counters.add("inline.not-stored")

    async def fetch_ahead(self, victim: NodeId, granted: wire.GrantedShard) -> None:
        """Get what a shard needs while others run; one at a time for each victim. What fails here
        fails again, and is reported, when it is the shard's turn."""
        if victim in self._fetching:
            return
        self._fetching[victim] = granted.lease, trio.Event()
        try:
            with self._parts.store.in_use():
                await self._prepare(victim, granted)
        except (_Declined, EnvironmentFault, WireError):
            self.counters.add("ahead.failed")
        except Exception:
            logger.exception("fetching ahead failed")
        finally:
            self._fetching.pop(victim)[1].set()

    async def run(self, victim: NodeId, granted: wire.GrantedShard) -> float | None:
        """Run to the end and report. Returns the duration in seconds, None when declined."""
        try:
            with self._parts.store.in_use():
                return await self._run(victim, granted)
        except _Declined as declined:
            self._decline(victim, granted, declined.reason, unfit=declined.unfit)
        except EnvironmentFault as fault:
            self._decline(victim, granted, fault.message(), unfit=False)
        except WireError as error:
            self.counters.add(f"grant.{error.reason}")
            self.counters.add(f"lied.{victim.hex()[:16]}")
            self._decline(victim, granted, f"the shard was refused: {error}", unfit=False)
        except Exception as bug:
            # A bug met by one shard must not take the node, and every other run on it, along.
            logger.exception("a stolen shard failed")
            self._decline(victim, granted, f"internal error: {type(bug).__name__}", unfit=False)
        return None

    async def _run(self, victim: NodeId, granted: wire.GrantedShard) -> float:
        fetching = self._fetching.get(victim)
        if fetching is not None and fetching[0] == granted.lease:
            await fetching[1].wait()
        action, tree, dirs = await self._prepare(victim, granted)
        if granted.weight_ms >= TRIVIAL_MS or granted.weight_ms == 0:
            self._report(victim, wire.Progress(granted.lease, wire.PHASE_RUNNING))
        digest = digest_of(granted.action)
        job = Job(
            action=action,
            tree=tree,
            name=granted.name,
            timeout_s=granted.timeout_ms / 1000,
            memory_bytes=granted.memory_bytes,
            on_output=self._live_output(victim, granted),
            tool_dirs=dirs,
        )
        finished, result = await self._parts.performer.perform(granted.lease, digest, job)
        if finished.error_code == InputChanged.code:
            # A file of a project here stood for an input and has changed: our affair, not theirs.
            raise _Declined("an input was lost here", unfit=False)
        blobs: tuple[wire.InlineBlob, ...] = ()
        if result is not None:
            self.executed(victim, granted.run, granted.shard, result)
        if finished.result is not None and result is not None:
            if result.exit_status == 0 and not await self._tools_are_still(victim, action):
                raise _Declined("one of its tools was replaced here while it ran", unfit=False)
            self._parts.performer.remember(digest, finished.result, result, granted.cacheable)
            blobs = self._parts.performer.inline_outputs(result)
        self._done(victim, finished, blobs)
        return finished.duration_ms / 1000

    async def _prepare(
        self, victim: NodeId, granted: wire.GrantedShard
    ) -> tuple[Action, Tree, tuple[str, ...]]:
        """Look at it and have all its inputs here; with the directories of its tools."""
        action = decode_struct(Action, granted.action)
        check_action(action)
        dirs = await self._check_tools(victim, action.toolchain)
        tree = decode_struct(Tree, await self._blob(victim, action.inputs))
        check_entries(tree.entries, action.mounts)
        await self._fetch_inputs(victim, granted.lease, tree)
        return action, tree, dirs

    # -- results on their way back ---------------------------------------------------------------
    def _done(
        self, victim: NodeId, finished: wire.Finished, blobs: tuple[wire.InlineBlob, ...]
    ) -> None:
        """Report a result; trivial ones wait a moment for company, to share a message."""
        waiting = self._waiting.setdefault(victim, ([], []))
        waiting[0].append(finished)
        waiting[1].extend(blobs)
        trivial = finished.duration_ms < TRIVIAL_MS and finished.result is not None and not blobs
        if not trivial or len(waiting[0]) >= DONE_BATCH_MAX or not self.has_more(victim):
            self.flush(victim)

    def flush(self, victim: NodeId) -> None:
        """Send the results that wait for `victim`."""
        done, blobs = self._waiting.pop(victim, ([], []))
        if done:
            try:
                self._report(victim, wire.Done(tuple(done), tuple(blobs)))
            except WireError as error:  # too large for one message
                self.counters.add(f"done.{error.reason}")
                leases = tuple(finished.lease for finished in done)
                self._report(victim, wire.Decline(leases, f"its result cannot be sent: {error}"))

    def forget(self, victim: NodeId) -> None:
        """The victim is gone: what waits for it means nothing to its next life."""
        self._waiting.pop(victim, None)

    def flush_all(self) -> None:
        for victim in list(self._waiting):
            self.flush(victim)

    async def _check_tools(self, victim: NodeId, digest: Digest) -> tuple[str, ...]:
        """Compare the tools with ours; returns the directories to show to the action."""
        now_s = self._parts.env.clock.monotonic()
        known = self._verdicts.get(digest)
        if known is None or known.until_s <= now_s:
            toolchain = decode_struct(Toolchain, await self._blob(victim, digest))
            run_sync = self._parts.env.exec.run_sync
            reason = await run_sync(self._parts.runner.tools_reason, toolchain, now_s, digest)
            dirs = tool_dirs(toolchain, self._roots)
            if reason is None and self._parts.runner.sandbox.kind == BWRAP:
                hidden = hidden_tool(toolchain, dirs)
                reason = (
                    f"{hidden} is in a folder that others' shards cannot see" if hidden else None
                )
            kept = toolchain if len(toolchain.tools) <= TOOLS_KEPT_MAX else None
            known = _ToolVerdict(now_s + TOOLCHAIN_RECHECK_S, reason, dirs, kept)
            self._verdicts[digest] = known
            while len(self._verdicts) > TOOLCHAINS_MAX:
                del self._verdicts[next(iter(self._verdicts))]
        if known.reason is not None:
            self.tools.gone(digest)
            raise _Declined(known.reason, unfit=True)
        self.tools.saw(digest)
        return known.dirs

    async def are_still(self, toolchain: Toolchain, digest: Digest) -> bool:
        """Whether our own tools are still these; looked at anew."""
        still = await tools_are_still(self._parts, toolchain, digest)
        if still:
            self.tools.saw(digest)
        return still

    async def _tools_are_still(self, victim: NodeId, action: Action) -> bool:
        known = self._verdicts.get(action.toolchain)
        toolchain = known.toolchain if known is not None else None
        if toolchain is None:
            toolchain = decode_struct(Toolchain, await self._blob(victim, action.toolchain))
        still = await tools_are_still(self._parts, toolchain, action.toolchain)
        if not still:
            self._verdicts.pop(action.toolchain, None)
            self.tools.gone(action.toolchain)
        return still

    async def _blob(self, victim: NodeId, digest: Digest) -> bytes:
        """A small structural blob (a tree, a toolchain), from the store or the victim."""
        try:
            return self._parts.store.read(digest)  # usually it came with the grant
        except (BlobMissing, InputChanged):
            await self._parts.blobs.fetch([digest], [victim], expected=_STRUCT)
        try:
            return self._parts.store.read(digest)
        except BlobMissing:
            raise _Declined("the list of its inputs could not be fetched", unfit=False) from None

    async def _fetch_inputs(self, victim: NodeId, lease: int, tree: Tree) -> None:
        store = self._parts.store
        wanted = [
            entry
            for entry in tree.entries
            if entry.kind in (FILE, EXECUTABLE) and not store.has(entry.digest)
        ]
        if not wanted:
            return
        total_bytes = sum(entry.size_bytes for entry in wanted)
        done_bytes = told_bytes = 0

        def progress(size_bytes: int) -> None:
            nonlocal done_bytes, told_bytes
            done_bytes += size_bytes
            if done_bytes - told_bytes >= PROGRESS_STEP_BYTES:
                told_bytes = done_bytes
                self._report(
                    victim, wire.Progress(lease, wire.PHASE_FETCHING, done_bytes, total_bytes)
                )

        self._report(victim, wire.Progress(lease, wire.PHASE_FETCHING, 0, total_bytes))
        sizes = {entry.digest: entry.size_bytes for entry in wanted}
        missing = await self._parts.blobs.fetch(sizes, [victim], progress, Expected(sizes))
        if missing:
            raise _Declined(f"{len(missing)} inputs could not be fetched", unfit=False)

    def _live_output(self, victim: NodeId, granted: wire.GrantedShard) -> OnOutput | None:
        if not granted.live_output:
            return None

        def send(stream: int, data: bytes) -> None:
            for start in range(0, len(data), BLOB_CHUNK_BYTES):
                piece = data[start : start + BLOB_CHUNK_BYTES]
                self._report(victim, wire.Output(granted.lease, stream, piece))

        return send

    def _decline(
        self, victim: NodeId, granted: wire.GrantedShard, reason: str, *, unfit: bool
    ) -> None:
        told = plain_text(reason, REASON_BYTES_MAX)
        self._report(victim, wire.Decline((granted.lease,), told, unfit))

    def _report(self, victim: NodeId, message: object) -> None:
        self._parts.links.post(victim, message)
