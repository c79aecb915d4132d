"""Bringing signed programs to leaves, wherever they are attached; and telling how it went.

    this node has the line       transfer, trial, confirmation
    another gateway has it       LeafProgram there; LeafProgramNews come back

The gateway is a pipe: what it is handed it hands on, and the leaf judges. Stages: `trial` (it runs;
the old program is still there), then one end: `done`, `refused` (with the leaf's error), `silent`,
`away` (no such leaf here), `reverted` (it went back to the old program, or runs another).
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha512

import attrs
import trio

from mesh.leaf.messages import DIGEST_BYTES, LeafError
from mesh.leaf.transfer import Deployed, DeployFailed
from mesh.limits import LEAF_DEPLOYS_MAX
from mesh.node.leaves.gateway import Leaves
from mesh.node.leaves.line import TRIAL_S, Line
from mesh.types import NodeId
from mesh.wire.leaf_messages import LeafProgram, LeafProgramNews

TRIAL_STAGE, DONE, REFUSED, SILENT, AWAY, REVERTED = (
    "trial",
    "done",
    "refused",
    "silent",
    "away",
    "reverted",
)
ENDS = frozenset({DONE, REFUSED, SILENT, AWAY, REVERTED})
DEPLOY_TIMEOUT_S = 120.0
"""For the whole way to the trial: a bad line is slow, not endless."""
HEALTH_S = 20.0
"""For the first status of a leaf with its new program; a gateway of many lines may be busy."""
CONFIRM_TIMEOUT_S = 3 * TRIAL_S
ATTEMPTS_MAX = 3
"""A session that breaks in the middle is no end: the transfer resumes in the next one."""
SESSION_S = 10.0


@attrs.define
class _Waiting:
    peer: NodeId
    told: trio.MemorySendChannel[LeafProgramNews]


class Deployer:
    """See the module's head. Implements `gateway.Programs`; `run` until cancelled."""

    def __init__(self, leaves: Leaves) -> None:
        self._leaves = leaves
        self._nursery: trio.Nursery | None = None
        self._requests = 0
        self._waiting: dict[int, _Waiting] = {}
        self._under_way = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    async def deploy(
        self, leaf: NodeId, package: bytes, tell: Callable[[LeafProgramNews], None]
    ) -> LeafProgramNews:
        """Bring it there; `tell` hears of each stage. Returns the end."""
        if self._leaves.line_of(leaf) is not None:
            return await self._bring(leaf, package, 0, tell)
        seen = self._leaves.seen().get(leaf)
        if seen is None or seen.gateway == self._leaves.identity.node_id:
            return LeafProgramNews(0, AWAY)
        return await self._send(seen.gateway, leaf, package, tell)

    # -- a leaf of ours --------------------------------------------------------------------------
    async def _bring(
        self, leaf: NodeId, package: bytes, request: int, tell: Callable[[LeafProgramNews], None]
    ) -> LeafProgramNews:
        with trio.move_on_after(DEPLOY_TIMEOUT_S):
            for _ in range(ATTEMPTS_MAX):
                line = self._leaves.line_of(leaf)
                if line is None and not await self._comes_back(leaf):
                    return LeafProgramNews(request, AWAY)
                line = self._leaves.line_of(leaf)
                if line is None:
                    continue
                outcome = _runs_already(line, package) or await line.deploy(package)
                if isinstance(outcome, Deployed):
                    return await self._on_trial(line, outcome.counter, request, tell)
                if outcome.error:
                    return _refused(request, outcome)
        return LeafProgramNews(request, SILENT)

    async def _comes_back(self, leaf: NodeId) -> bool:
        with trio.move_on_after(SESSION_S):
            while self._leaves.line_of(leaf) is None:  # noqa: ASYNC110 - any of the lines may be it
                await trio.sleep(0.1)
        return self._leaves.line_of(leaf) is not None

    async def _on_trial(
        self, line: Line, counter: int, request: int, tell: Callable[[LeafProgramNews], None]
    ) -> LeafProgramNews:
        """The line confirms it by itself; here one waits for that."""
        tell(LeafProgramNews(request, TRIAL_STAGE, counter=counter))

        def ended() -> bool:
            health = line.health
            return health is not None and (not health.trial or health.counter != counter)

        with trio.move_on_after(CONFIRM_TIMEOUT_S):
            # What is known of its health may be from before the program.
            await line.until(
                lambda: line.health is not None and line.health.counter == counter, HEALTH_S
            )
            await line.until(ended, CONFIRM_TIMEOUT_S)
        health = line.health
        good = health is not None and health.counter == counter and not health.trial
        return LeafProgramNews(request, DONE if good else REVERTED, counter=counter)

    # -- a leaf of another gateway ---------------------------------------------------------------
    async def _send(
        self,
        gateway: NodeId,
        leaf: NodeId,
        package: bytes,
        tell: Callable[[LeafProgramNews], None],
    ) -> LeafProgramNews:
        self._requests += 1
        request = self._requests
        if len(self._waiting) >= LEAF_DEPLOYS_MAX:
            return LeafProgramNews(request, SILENT)
        told, news = trio.open_memory_channel[LeafProgramNews](8)
        self._waiting[request] = _Waiting(gateway, told)
        try:
            if not self._leaves.links.post(gateway, LeafProgram(request, leaf, package)):
                return LeafProgramNews(request, AWAY)
            with trio.move_on_after(DEPLOY_TIMEOUT_S + CONFIRM_TIMEOUT_S):
                async for each in news:
                    if each.stage in ENDS:
                        return each
                    tell(each)
            return LeafProgramNews(request, SILENT)
        finally:
            self._waiting.pop(request, None)
            told.close()
            news.close()

    def told(self, peer: NodeId, message: LeafProgramNews) -> None:
        waiting = self._waiting.get(message.request)
        if waiting is None or waiting.peer != peer:
            self._leaves.counters.add("leaf.unasked-program-news")
            return
        try:
            waiting.told.send_nowait(message)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            self._leaves.counters.add("leaf.bad-input.program-news")

    def peer_down(self, peer: NodeId) -> None:
        for waiting in self._waiting.values():
            if waiting.peer == peer:
                waiting.told.close()

    def asked(self, peer: NodeId, message: LeafProgram) -> None:
        links = self._leaves.links
        if self._under_way >= LEAF_DEPLOYS_MAX or self._nursery is None:
            links.post(peer, LeafProgramNews(message.request, SILENT))
            return
        self._under_way += 1
        self._nursery.start_soon(self._carry_out, peer, message)

    async def _carry_out(self, peer: NodeId, message: LeafProgram) -> None:
        def tell(news: LeafProgramNews) -> None:
            self._leaves.links.post(peer, news)

        try:
            tell(await self._bring(message.leaf, message.package, message.request, tell))
        finally:
            self._under_way -= 1


def _runs_already(line: Line, package: bytes) -> Deployed | None:
    """When the answer to its commit was lost together with the session."""
    proof = line.proof
    if proof is None or proof.program != sha512(package).digest()[:DIGEST_BYTES]:
        return None
    return Deployed(proof.counter, 0)


def _refused(request: int, failed: DeployFailed) -> LeafProgramNews:
    assert failed.error != LeafError.NONE
    return LeafProgramNews(request, REFUSED, failed.error, failed.detail)
