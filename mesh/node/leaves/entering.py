"""From a gateway's disk into the mesh's log: events of leaves, in order, many in one event.

    keep(leaf, segment) --on disk--> waits --in a moment--> the log --durable--> forgotten here

Rules
- What a leaf may forget is on this disk first. It is dropped from there when the log's own files
  hold it; until then a crash costs nothing, for what is entered twice counts once.
- While the log has no room, or is not there, events wait, in order, and enter later.
- A leaf that says something now and then is heard at once; one that talks all the time has its
  events entered ENTER_MAX_S or ENTER_EVENTS late, in few and large pieces: every frame of the log
  costs memory on every machine for as long as its header is kept.
- The leaf's proofs go along. Where the mesh was told something else than the leaf has said, a fresh
  one is asked for, and decides (`mesh.leaf.history`).
- What is older than LEAF_EVENTS_KEPT_MAX events, or LEAF_STARTS_KEPT_MAX starts, of our own entries
  is let go with a checkpoint, and said to be.

Deliberately not here: lines (`line`), and whose leaf it is (`gateway`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import attrs
import trio

from mesh.errors import EnvironmentFault
from mesh.leaf.events import Stream
from mesh.leaf.history import Contradicts, History
from mesh.leaf.messages import Proof
from mesh.leaf.segment import Segment, joined
from mesh.limits import (
    LEAF_ENTRY_EVENTS_MAX,
    LEAF_EVENTS_KEPT_MAX,
    LEAF_EVENTS_LET_GO,
    LEAF_STARTS_KEPT_MAX,
)
from mesh.log.model import Lane
from mesh.node.counters import Counters
from mesh.node.leaves.waiting import WaitingEvents
from mesh.node.state.driver import SharedState
from mesh.ports import Env
from mesh.state.changes import Changes
from mesh.state.events import LeafLetGo, LeafProof
from mesh.state.leaves import written
from mesh.types import NodeId

ENTER_FIRST_S, ENTER_MAX_S = 0.1, 3.2
"""How long events wait for others: at first, and after they have come all the time."""
ENTER_EVENTS = 32
"""So many of one leaf do not wait any longer: what only a gateway has goes with it."""
DURABLE_LOOK_S = 0.2
LET_GO_LOOK_S = 60.0
logger = logging.getLogger(__name__)


@attrs.frozen
class EnteringParts:
    env: Env
    me: NodeId
    state: SharedState
    waiting: WaitingEvents
    counters: Counters
    is_leaf: Callable[[NodeId], bool]
    """Whether it is a leaf of this mesh: the events of others wait until they are one."""
    contradicted: Callable[[NodeId], None]
    """The mesh was told otherwise than this leaf has said."""


class Entering:
    """See the module's head. `run` until cancelled."""

    def __init__(self, parts: EnteringParts) -> None:
        self._parts = parts
        self._to_enter, self._hurried = trio.Event(), trio.Event()
        self._entered: dict[NodeId, int] = {}
        """Segments at the head of a queue that are in the log, perhaps not on its disk yet."""
        self._fresh: dict[NodeId, int] = {}
        """Events that came since the last round."""
        self._let_go_look_s = float("-inf")
        self._changed: dict[NodeId, trio.Event] = {}
        parts.state.on_changes.append(self._state_changed)

    # -- asking ----------------------------------------------------------------------------------
    def history(self, leaf: NodeId) -> History:
        """What the mesh has, as far as it is known here. Not to be changed."""
        state = self._parts.state
        return state.replica.state.leaves.history(leaf) if state.is_open else History()

    def change(self, leaf: NodeId) -> trio.Event:
        """Set when the mesh knows more of a leaf's events. Take it before reading."""
        return self._changed.setdefault(leaf, trio.Event())

    def stream(self, leaf: NodeId, boot_nonce: bytes) -> Stream:
        """Where to go on with that start: what the mesh has, or what waits, if that is further."""
        known, last = self.history(leaf).stream(boot_nonce), self._last(leaf, boot_nonce)
        if last is None or last.end < known.next:
            return known
        return Stream(boot_nonce, last.end, last.tail)

    def _last(self, leaf: NodeId, boot_nonce: bytes) -> Segment | None:
        return self._parts.waiting.last(leaf, boot_nonce)

    def _state_changed(self, changes: Changes) -> None:
        for leaf in changes.leaves:
            self._changed.pop(leaf, trio.Event()).set()

    def hurry(self) -> None:
        """The leaf may be elsewhere in a moment: its next gateway should know what waits here."""
        self._hurried.set()

    # -- taking ----------------------------------------------------------------------------------
    async def keep(self, leaf: NodeId, segment: Segment) -> tuple[Segment, ...]:
        """Have it on disk; the parts that the mesh does not have. Raises StoreFull, OSError."""
        placed = attrs.evolve(segment, order=self._order(leaf, segment.boot_nonce))
        new = self._news(leaf, placed)
        for part in new:
            await self._parts.waiting.put(leaf, part)
            self._fresh[leaf] = self._fresh.get(leaf, 0) + part.count
        self._to_enter.set()
        if self._fresh.get(leaf, 0) >= ENTER_EVENTS:
            self.hurry()
        return new

    def proved(self, leaf: NodeId, boot_nonce: bytes, nonce: bytes, proof: Proof) -> None:
        """The leaf has signed how far it is. Told to the mesh when it says something new."""
        state = self._parts.state
        start = self.history(leaf).start(boot_nonce)
        known = start.signed if start is not None else {}
        if not state.is_open or not state.replica.has_room or not self._parts.is_leaf(leaf):
            return  # the next session brings another
        if proof.next_event and known.get(proof.next_event) != proof.head:
            state.write(
                LeafProof(
                    leaf,
                    boot_nonce,
                    nonce,
                    proof.firmware,
                    proof.program,
                    proof.counter,
                    proof.next_event,
                    proof.head,
                    proof.signature,
                )
            )

    def _order(self, leaf: NodeId, boot_nonce: bytes) -> int:
        """How many starts were before that one, as far as is known here."""
        last = self._last(leaf, boot_nonce)
        if last is not None:
            return last.order
        waiting = [each.order + 1 for each in self._parts.waiting.segments(leaf)]
        return max([self.history(leaf).order_of(boot_nonce), *waiting])

    def _news(self, leaf: NodeId, segment: Segment) -> tuple[Segment, ...]:
        """What the mesh has not been told; all of it when it was told something else."""
        try:
            return self.history(leaf).news(segment)
        except Contradicts:
            self._parts.counters.add("leaf.contradicted")
            self._parts.contradicted(leaf)
            return (segment,)

    # -- entering --------------------------------------------------------------------------------
    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Bring what waits into the log until cancelled."""
        await self._parts.waiting.load()
        self._to_enter.set()
        task_status.started()
        clock, pause_s = self._parts.env.clock, ENTER_FIRST_S
        entered_s = float("-inf")
        while True:
            await self._to_enter.wait()
            now_s = clock.monotonic()
            busy = now_s - entered_s < pause_s
            pause_s = min(ENTER_MAX_S, 2 * pause_s) if busy else ENTER_FIRST_S
            with trio.move_on_after(pause_s):
                await self._hurried.wait()
            self._to_enter, self._hurried = trio.Event(), trio.Event()
            self._fresh.clear()
            await self.enter()
            entered_s = clock.monotonic()

    async def enter(self) -> None:
        """Everything that waits, as far as the log has room; then forget what is durable."""
        for leaf in self._parts.waiting.leaves():
            if self._parts.is_leaf(leaf):
                self._enter(leaf)
        await self._forget_durable()
        await self._let_go()

    def _enter(self, leaf: NodeId) -> None:
        state, waiting = self._parts.state, self._parts.waiting.segments(leaf)
        fresh = waiting[self._entered.get(leaf, 0) :]
        for whole in joined(fresh, LEAF_ENTRY_EVENTS_MAX):
            if not state.is_open or not state.replica.has_room:
                self._to_enter.set()  # they wait
                return
            for part in self._news(leaf, whole):
                state.write(written(leaf, part))
            self._entered[leaf] = self._until(waiting, whole)

    def _until(self, waiting: Sequence[Segment], whole: Segment) -> int:
        """How many segments of a queue are over when that one, joined of some of them, is."""
        places = [(each.boot_nonce, each.end) for each in waiting]
        return len(places) - places[::-1].index((whole.boot_nonce, whole.end))

    async def _forget_durable(self) -> None:
        """Drop what the log's own disk has. What it has not yet is looked at the next time."""
        entered, self._entered = self._entered, {}
        clock = self._parts.env.clock
        if entered and not self._is_durable():
            await clock.sleep_until(clock.monotonic() + DURABLE_LOOK_S)
        if not entered or not self._is_durable():
            self._entered = entered
            if entered:
                self._to_enter.set()
            return
        for leaf, count in entered.items():
            try:
                await self._parts.waiting.drop(leaf, count)
            except (OSError, EnvironmentFault):
                logger.warning("events of a leaf that are in the log stay on disk", exc_info=True)
                self._parts.counters.add("leaf.events-not-dropped")

    def _is_durable(self) -> bool:
        """Whether all that was written is on the disk."""
        state = self._parts.state
        return not state.replica.writer.waiting and not state.segments.unwritten_bytes

    # -- letting go ------------------------------------------------------------------------------
    async def _let_go(self) -> None:
        """Once in a while: what is too old leaves the mesh's state with a checkpoint."""
        now_s, state = self._parts.env.clock.monotonic(), self._parts.state
        if not state.is_open or now_s - self._let_go_look_s < LET_GO_LOOK_S:
            return
        self._let_go_look_s = now_s
        view = state.replica.state.leaves
        gone = [
            LeafLetGo(leaf, last.boot_nonce, last.order, last.started_unix_ms, last.end)
            for leaf in view.all()
            if view.history(leaf).count > LEAF_EVENTS_KEPT_MAX + LEAF_EVENTS_LET_GO
            or len(view.history(leaf).starts()) > LEAF_STARTS_KEPT_MAX * 5 // 4
            for last in too_old(
                view.own_segments(self._parts.me, leaf), LEAF_EVENTS_KEPT_MAX, LEAF_STARTS_KEPT_MAX
            )
        ]
        for each in gone:
            state.write(each)
        if gone:
            try:
                await state.upkeep.checkpoint(Lane.LEAF)
            except (OSError, EnvironmentFault) as error:
                logger.warning("old events of leaves could not be let go: %s", error)


def too_old(segments: Sequence[Segment], events_max: int, starts_max: int) -> list[Segment]:
    """Of each start the last segment that is to go, so that so much is left of the newest. Given
    oldest first."""
    boots = list(dict.fromkeys(each.boot_nonce for each in segments))
    newest = set(boots[-starts_max:])
    excess = sum(each.count for each in segments) - events_max
    gone: dict[bytes, Segment] = {}
    for each in segments:
        if excess > 0 or each.boot_nonce not in newest:
            gone[each.boot_nonce] = each
            excess -= each.count
    return list(gone.values())
