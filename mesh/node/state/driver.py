"""The replicated state, driven: `Replica` with links, timers, a disk and a nursery around it.

    roster --standing--> replica <--messages--> links
                         |     |
                segments on disk  views --changes--> whoever listens

Rules
- Frames leave at once; they are on the disk COMMIT_S later, many with one sync. Nothing waits for
  that: a lost frame comes back from others, and who wrote it goes on in another epoch.
- A disk that is full or broken stops no build. It is counted and said, and tried again. What it
  does not take waits in memory, up to a bound (`Replica`).
- What a peer says wrong is counted by reason and peer.
- A mesh in which nothing changes is quiet: our digest goes to one peer every DIGEST_IDLE_S, and
  every DIGEST_LATELY_S for a while after something was new.

Not here: protocols (`replica`), what is kept and dropped (`upkeep`), actions (`results`).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, get_args

import attrs
import trio

from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.cas.files import broken_disk_as_error
from mesh.errors import EnvironmentFault, InputChanged, LogFull
from mesh.identity.records import FeedPoint, ref_of
from mesh.identity.trust import MeshIdentity
from mesh.limits import LEAVE_CUT_MAX, STATE_BLOB_BYTES_MAX, STATE_RUNS_KEPT
from mesh.log.model import Lane
from mesh.log.retention import RetentionConfig
from mesh.log.segments import Segments
from mesh.log.sync import SyncConfig
from mesh.log.sync.effects import Blame, Send
from mesh.log.sync.messages import Message, StateDigest
from mesh.node.blobs import BlobExchange, Expected
from mesh.node.counters import Counters
from mesh.node.links import Links
from mesh.node.periodic import Periodic
from mesh.node.state.partings import Partings
from mesh.node.state.replica import Act, Replica, ReplicaConfig
from mesh.node.state.shelf import make_place
from mesh.node.state.upkeep import Upkeep
from mesh.ports import Env, Timer
from mesh.state.changes import Changes
from mesh.state.events import ActionResult, Event
from mesh.state.runs import RunKey
from mesh.types import Digest, NodeId

COMMIT_S = 0.1
"""How long frames wait for others on their way to the disk."""
DISK_RETRY_S = 5.0
DIGEST_IDLE_S = 30.0
DIGEST_LATELY_S = 1.0
LATELY_ROUNDS = 8
"""Digests told after the last change: each goes to one peer, who tells the next."""
STATE_RETRY_S = 15.0
_MESSAGES = get_args(Message)
logger = logging.getLogger(__name__)


@attrs.frozen
class StateParts:
    """What the driver needs of the node."""

    env: Env
    identity: MeshIdentity
    links: Links
    blobs: BlobExchange
    store: BlobStore
    retention: RetentionConfig
    host: str = ""
    """For people."""


class SharedState:
    """See the module's head. `open`, then `run` in a task; links may come once it is open."""

    def __init__(self, parts: StateParts) -> None:
        self._parts = parts
        self.counters = Counters()
        self.trouble = ""
        """What the disk said when frames could not be written last; empty when all is well."""
        self.on_changes: list[Callable[[Changes], None]] = []
        """Called with everything that became different in the views."""
        self.before_seal: list[Callable[[], None]] = []
        """Called to have written what waits to be written with more of its kind."""
        self.brought: list[ActionResult] = []
        """Our own results of the mesh that we were in before."""
        self.replica: Replica
        self.segments: Segments
        self.upkeep: Upkeep
        self.partings: Partings
        self.recent_runs: OrderedDict[RunKey, None] = OrderedDict()
        """Of which we have spoken, oldest first."""
        self._nursery: trio.Nursery | None = None
        self._timer: Timer | None = None
        self._timer_s = 0.0
        self._to_write = trio.Event()
        self._writing = trio.Lock()
        self._digest: bytes = b""
        self._rounds_left = 0
        self._told = Periodic(parts.env.clock, DIGEST_LATELY_S, self._tell_digest)
        self._bringing: set[Digest] = set()

    @property
    def is_open(self) -> bool:
        return hasattr(self, "replica")

    # -- life ------------------------------------------------------------------------------------
    async def open(self) -> None:
        """Read what the disk has, in a worker thread, and begin a new epoch. Raises StoreBroken."""
        if self.is_open:
            return
        with broken_disk_as_error():
            self.segments, self.replica = await self._parts.env.exec.run_sync(self._load)
        self.replica.on_changes.append(self._changed)
        self.roster_changed()  # it may have, meanwhile
        log, me = self.replica.log, self._parts.identity.node_id
        self.partings = Partings(self._parts.env, me, log.event_count, self._aside)
        self.upkeep = Upkeep(self._parts, self.segments, self.replica, self._do)
        self.upkeep.keep_run = self._keep_run

    def _load(self) -> tuple[Segments, Replica]:
        env, identity = self._parts.env, self._parts.identity
        me = identity.me()
        assert me is not None, "only a member has a share of the state"
        self.brought = make_place(env.disk, identity.mesh_id, identity.node_id)
        segments = Segments(env.disk)
        config = ReplicaConfig(
            mesh=identity.mesh_id,
            me=identity.node_id,
            sign=identity.key.sign,
            admission=ref_of(me.admission),
            wall_ms=lambda: int(env.clock.wall() * 1000),
            token=env.entropy.token,
            draw=env.entropy.random,
            standing=identity.roster.standing(),
            host=self._parts.host,
            sync=SyncConfig(identity.node_id, digest_every_s=DIGEST_IDLE_S),
        )
        return segments, Replica(config, segments, env.clock.monotonic())

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep up with others until cancelled; then what waits is sealed and written."""
        await self.open()
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._keep_durable)
                self._nursery.start_soon(self.upkeep.run)
                self._told.start()
                self._bring_states()
                self._arm()
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None
            self._told.stop()
            if self._timer is not None:
                self._timer.cancel()
            self._close()

    def _keep_run(self, run: RunKey) -> bool:
        return run in self.recent_runs or len(self.recent_runs) < STATE_RUNS_KEPT

    def _close(self) -> None:
        """What waits is ours alone: without this the next start would have to say it again."""
        now_s = self._now()
        self.seal()
        self.partings.save()
        try:
            self.segments.commit(now_s)
        except (OSError, EnvironmentFault):
            logger.warning("the end of the log could not be written", exc_info=True)

    # -- verbs -----------------------------------------------------------------------------------
    def write(self, event: Event, lane: Lane | None = None) -> None:
        """Say something to the mesh; everybody linked has it a moment later. While the log has no
        room it is not said, and counted (`Replica.unlogged`); who cannot bear that asks before."""
        self._do(self.replica.write(event, self._now(), lane))

    def require_room(self) -> None:
        """Before something is said that must not go unsaid. Raises LogFull."""
        if not self.replica.has_room:
            raise LogFull

    def saw_run(self, run: RunKey) -> None:
        """A run of which our next checkpoint should speak."""
        self.recent_runs[run] = None
        self.recent_runs.move_to_end(run)
        if len(self.recent_runs) > STATE_RUNS_KEPT:
            self.recent_runs.popitem(last=False)

    def roster_changed(self) -> None:
        """Members came or went, perhaps by our own hand. Cheap when they did not."""
        if not self.is_open:
            return
        standing = self._parts.identity.roster.standing()
        if standing is not self.replica.standing:
            self.replica.stand(standing)
            self._arm()

    def cut_of(self, node: NodeId) -> tuple[FeedPoint, ...]:
        """All that a node has written, as far as it is known here: what its removal keeps when
        nothing is to be withdrawn. The newest when there are more than a removal can name."""
        log = self.replica.log
        points = [point for lane in Lane for point in log.points_to_cover(node, lane)]
        in_force = {(feed.epoch, feed.lane) for feed in log.heads if feed.node == node}
        points.sort(key=lambda point: (point.epoch, point.lane) not in in_force)
        return tuple(sorted(points[:LEAVE_CUT_MAX], key=lambda each: (each.epoch, each.lane)))

    def seal(self) -> None:
        """Have all that waits signed and sent now."""
        for call in self.before_seal:
            call()
        self._do(self.replica.flush(self._now()))

    # -- links -----------------------------------------------------------------------------------
    def link_up(self, peer: NodeId) -> None:
        if self.is_open:
            self.partings.link_up(peer)
            self._do(self.replica.peer_up(peer, self._now()))

    def link_down(self, peer: NodeId) -> None:
        if self.is_open:
            self.partings.link_down(peer)
            self._do(self.replica.peer_down(peer, self._now()))

    def receive(self, peer: NodeId, message: Any) -> bool:
        """Whether it was for us."""
        if not isinstance(message, _MESSAGES):
            return False
        if self.is_open:
            self._do(self.replica.receive(peer, message, self._now()))
        return True

    def _tell_digest(self) -> None:
        """While something was new lately: who missed a push finds out within a second."""
        if not self.is_open:
            return
        digest = self.replica.log.digest()
        if digest != self._digest:
            self._digest, self._rounds_left = digest, LATELY_ROUNDS
        elif self._rounds_left:
            self._rounds_left -= 1
            peers = sorted(self.replica.sync.sessions)
            if peers:
                chosen = peers[int(self._parts.env.entropy.random() * len(peers))]
                self._parts.links.post(chosen, StateDigest(digest))

    # -- doing -----------------------------------------------------------------------------------
    def _do(self, acts: Iterable[Act]) -> None:
        for act in acts:
            if isinstance(act, Send):
                self._parts.links.post(act.to, act.message)
            else:
                assert isinstance(act, Blame)
                self.counters.add(f"state.refused.{act.reason}.{act.peer.hex()[:16]}")
        if self.segments.has_pending:
            self._to_write.set()
        self._arm()

    def _arm(self) -> None:
        due_s = max(self.replica.next_timer_s, self._now())
        if self._timer is not None:
            if due_s == self._timer_s or (self.replica.state.is_behind and due_s > self._timer_s):
                return
            self._timer.cancel()
            self._timer = None
        if due_s < float("inf") and self._nursery is not None:
            self._timer_s = due_s
            self._timer = self._parts.env.clock.call_at(due_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._do(self.replica.handle_timer(self._now()))

    def _now(self) -> float:
        return self._parts.env.clock.monotonic()

    # -- the disk --------------------------------------------------------------------------------
    async def _keep_durable(self) -> None:
        clock = self._parts.env.clock
        while True:
            await self._to_write.wait()
            await clock.sleep_until(self._now() + (DISK_RETRY_S if self.trouble else COMMIT_S))
            self._to_write = trio.Event()
            with trio.CancelScope(shield=True):
                await self._commit()
            if self.segments.has_pending:
                self._to_write.set()

    def _aside(self, work: Callable[[], None]) -> None:
        """Do it in a thread; after we have ended, at once."""
        if self._nursery is None:
            work()
        else:
            self._nursery.start_soon(self._in_thread, work)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        with trio.CancelScope(shield=True):
            async with self._writing:  # in the order in which it was asked for
                await self._parts.env.exec.run_sync(work)

    async def _commit(self) -> None:
        batch = self.segments.batch(self._now())
        if batch is None:
            return
        had_room = self.replica.log.has_room
        try:
            await self._parts.env.exec.run_sync(batch.write, self._parts.env.disk)
        except (OSError, EnvironmentFault) as error:
            self.segments.failed(batch)
            self.counters.add("state.not-written")
            if not self.trouble:
                logger.warning("the log could not be written: %s", error)
            self.trouble = str(error) or type(error).__name__
        else:
            self.segments.written(batch)
            self.trouble = ""
            if not had_room and self.replica.log.has_room:  # what was refused is asked for again
                self._do(self.replica.look_for_gaps(self._now()))

    # -- the views -------------------------------------------------------------------------------
    def _changed(self, changes: Changes) -> None:
        for node, reasons in changes.refused.items():
            for reason, count in reasons.items():
                self.counters.add(f"state.bad-event.{reason}.{node.hex()[:16]}", count)
        for call in self.on_changes:
            call(changes)
        if changes.wanted:
            self._bring_states()

    def _bring_states(self) -> None:
        """Fetch what checkpoints name, one after the other: the first may make others needless."""
        if self._nursery is None:
            return
        for state in self.replica.state.wanted():
            if state not in self._bringing:
                self._bringing.add(state)
                self._nursery.start_soon(self._bring_state, state)

    async def _bring_state(self, state: Digest) -> None:
        clock = self._parts.env.clock
        try:
            while state in self.replica.state.wanted():
                data = await self._fetch_state(state)
                if data is not None:
                    self.replica.load_state(state, data)
                    self._arm()
                    return
                self.counters.add("state.checkpoint-not-found")
                await clock.sleep_until(self._now() + STATE_RETRY_S)
        finally:
            self._bringing.discard(state)

    async def _fetch_state(self, state: Digest) -> bytes | None:
        parts, expected = self._parts, Expected(max_bytes=STATE_BLOB_BYTES_MAX)
        try:
            await parts.blobs.fetch([state], sorted(parts.links.by_node), None, expected)
            return parts.store.read(state, STATE_BLOB_BYTES_MAX)
        except (BlobMissing, InputChanged, ValueError, EnvironmentFault, OSError):
            return None
