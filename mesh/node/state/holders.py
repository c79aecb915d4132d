"""Copies of blobs, driven: `mesh.cas.copies` with a store, links, timers and fetches around it.

What is needed is read from the action cache and the pins, a few rows at a time. A timer runs only
while there is something to look at: a mesh in which nothing changes is silent.

Not here: who decides (`mesh.cas.copies.care`), how a blob is fetched (`mesh.node.blobs`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import trio

from mesh.action.model import EXECUTABLE, FILE, Result
from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.cas.copies.care import Blame, CareConfig, CopyCare, Effect, FetchCopy, Tell
from mesh.cas.copies.needs import Needs
from mesh.errors import InputChanged, StoreBroken, StoreFull
from mesh.limits import COPIES_LOOK_EVERY_S, COPIES_MAX, GIB, OUTPUT_LOG_BYTES_MAX
from mesh.node.blobs import BlobExchange, Expected
from mesh.node.config import NodeConfig
from mesh.node.counters import Counters
from mesh.node.links import Links
from mesh.node.state.results import ActionResults
from mesh.node.workshop import Workshop
from mesh.ports import Env, Timer
from mesh.types import Digest, NodeId
from mesh.wire.blob_messages import Holdings, Keep

ROWS_PER_LOOK = 64
"""Results opened at a time: about ten milliseconds."""
ROWS_EVERY_S = 0.1
"""Between two such slices while the machine has nothing else to do."""
ROWS_WAITING_MAX = 4096
"""While it has, results wait to be opened, up to so many."""
SYNC_AGAIN_S = 30.0
"""After a disk has refused to make durable what it has."""
NEEDED_SHARE = 2
"""What is needed may be so much of the cache's bound: 1/2."""
logger = logging.getLogger(__name__)


@attrs.frozen
class CopiesParts:
    """What the driver needs of the node."""

    env: Env
    me: NodeId
    workshop: Workshop
    results: ActionResults
    links: Links
    blobs: BlobExchange
    config: NodeConfig

    @property
    def store(self) -> BlobStore:
        return self.workshop.store


@attrs.frozen
class _Disk:
    """`mesh.cas.copies.care.Held`: what survives this process."""

    store: BlobStore

    def has(self, blob: Digest) -> bool:
        return self.store.is_on_disk(blob)

    def is_durable(self, blob: Digest) -> bool:
        return self.store.is_durable(blob)

    def size_bytes(self, blob: Digest) -> int | None:
        try:
            return self.store.size(blob)
        except BlobMissing:
            return None


class Copies:
    """See the module's head. Run `run` in a task; the verbs do nothing before."""

    def __init__(self, parts: CopiesParts) -> None:
        self._parts = parts
        config = parts.config
        needs = Needs(config.cache_bytes_max // NEEDED_SHARE, config.copies)
        self.care = CopyCare(CareConfig(parts.me), needs, _Disk(parts.store))
        self.counters = Counters()
        self.copied_bytes = 0
        """Fetched because somebody asked us to keep it, or because ours was damaged."""
        self._rows: deque[Digest] = deque()
        self._damaged: deque[Digest] = deque()
        self._pins_changed = True
        self._syncing = False
        self._timer: Timer | None = None
        self._due_s = 0.0
        self._nursery: trio.Nursery | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take care until cancelled."""
        self._token = trio.lowlevel.current_trio_token()
        try:
            with self._hooked():
                async with trio.open_nursery() as self._nursery:
                    self._rows.extend(self._parts.results.rows())
                    self._arm(COPIES_LOOK_EVERY_S)
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            self._nursery = None
            if self._timer is not None:
                self._timer.cancel()

    @contextmanager
    def _hooked(self) -> Iterator[None]:
        """Hear of what changes here."""
        store, results, blobs = self._parts.store, self._parts.results, self._parts.blobs
        before = store.last_copy, results.on_row, store.keep.on_pins, blobs.holders
        store.last_copy, blobs.holders = self.care.is_last_copy, self.care.holders
        results.on_row, store.keep.on_pins = self._row_changed, self._pins_are_others
        store.when_damaged(self._is_damaged)
        try:
            yield
        finally:
            store.last_copy, results.on_row, store.keep.on_pins, blobs.holders = before
            store.when_damaged(_say)

    # -- what changes ----------------------------------------------------------------------------
    def _row_changed(self, action: Digest) -> None:
        self._rows.append(action)
        self._arm(COPIES_LOOK_EVERY_S)

    def _pins_are_others(self) -> None:
        """Perhaps in a worker thread."""
        self._pins_changed = True
        self._wake_up()

    def _is_damaged(self, blob: Digest) -> None:
        """Perhaps in a worker thread."""
        _say(blob)
        self._damaged.append(blob)
        self._wake_up()

    def _wake_up(self) -> None:
        if self._token is not None:
            self._token.run_sync_soon(self._arm, 0.0)

    # -- peers -----------------------------------------------------------------------------------
    def link_up(self, peer: NodeId) -> None:
        self._do(self.care.peer_up(peer))
        self._arm_if_due()

    def link_down(self, peer: NodeId) -> None:
        self.care.peer_down(peer)
        self._arm_if_due()

    def receive(self, peer: NodeId, message: Any) -> bool:
        """Whether it was for us."""
        if not isinstance(message, Holdings | Keep):
            return False
        self._do(self.care.receive(peer, message))
        self._arm_if_due()
        return True

    # -- looking ---------------------------------------------------------------------------------
    def _arm_if_due(self) -> None:
        now_s = self._parts.env.clock.monotonic()
        if self._rows or self._pins_changed:
            idle = self._rows and not self._is_busy()
            self._arm(ROWS_EVERY_S if idle else COPIES_LOOK_EVERY_S)
        elif (due_s := self.care.next_look_s(now_s)) is not None:
            self._arm(due_s - now_s)

    def _arm(self, delay_s: float) -> None:
        """Have a look in so much time, at the latest."""
        if self._nursery is None:
            return
        due_s = self._parts.env.clock.monotonic() + delay_s
        if self._timer is not None:
            if self._due_s <= due_s:
                return
            self._timer.cancel()
        self._due_s = due_s
        self._timer = self._parts.env.clock.call_at(due_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._nursery is None:
            return
        parts, care = self._parts, self.care
        while self._damaged:
            self._do(care.damaged(self._damaged.popleft()))
        busy = self._is_busy()
        if not busy or len(self._rows) > ROWS_WAITING_MAX:
            for _ in range(min(ROWS_PER_LOOK, len(self._rows))):
                self._read_row(self._rows.popleft())
        if self._pins_changed:
            self._pins_changed = False
            care.pinned(parts.store.keep.pins)
        wanted = max(parts.config.copies, parts.results.copies)
        care.needs.copies_of_rows = min(wanted, COPIES_MAX)
        free_gib = max(0, parts.config.cache_bytes_max - parts.store.size_bytes) // GIB
        care.room(max(0, free_gib.bit_length() - 1))
        self._do(care.look(parts.env.clock.monotonic(), busy=busy))
        if care.waits_for_sync and not self._syncing:
            self._syncing = True
            self._nursery.start_soon(self._sync)
        self._arm_if_due()

    async def _sync(self) -> None:
        """Have what is here survive a power cut, so that it may be told."""
        parts = self._parts
        try:
            await parts.env.exec.run_sync(parts.store.sync)
        except (StoreFull, StoreBroken) as error:
            self.counters.add("copies.not-synced")
            logger.warning("blobs here are not told of, for the disk cannot keep them: %s", error)
            await parts.env.clock.sleep_until(parts.env.clock.monotonic() + SYNC_AGAIN_S)
        finally:
            self._syncing = False
        self.care.synced()
        self._arm_if_due()

    def _is_busy(self) -> bool:
        return self._parts.workshop.runner.busy > 0

    def _read_row(self, action: Digest) -> None:
        """What is needed for a result whose record is here, the record among it."""
        opened = self._parts.results.here(action)
        if opened is None:
            self.care.drop_row(action)
        else:
            blobs = blobs_of(opened.result) | {opened.record: opened.record_bytes}
            self.care.row(action, blobs)

    # -- doing -----------------------------------------------------------------------------------
    def _do(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Tell(to, message):
                    self._parts.links.post(to, message)
                case FetchCopy():
                    if self._nursery is None:
                        self.care.fetched(effect.blob)
                    else:
                        self._nursery.start_soon(self._fetch, effect)
                case Blame(peer, reason):
                    self.counters.add(f"copies.bad-input.{reason}")
                    self.counters.add(f"copies.blamed.{peer.hex()[:16]}")

    async def _fetch(self, wanted: FetchCopy) -> None:
        parts, blob = self._parts, wanted.blob
        try:
            if await self._bring(wanted):
                self.counters.add("copies.made")
                self.copied_bytes += parts.store.size(blob)
            else:
                self.counters.add("copies.not-found")
        except (StoreFull, StoreBroken, BlobMissing, InputChanged, OSError):
            self.counters.add("copies.not-kept")
        finally:
            self.care.fetched(blob)
            self._arm_if_due()

    async def _bring(self, wanted: FetchCopy) -> bool:
        """Have it on the disk; it may be in memory, or a project file."""
        parts, blob = self._parts, wanted.blob
        sizes = {} if wanted.size_bytes is None else {blob: wanted.size_bytes}
        if await parts.blobs.fetch([blob], wanted.sources, None, Expected(sizes)):
            return False
        if not parts.store.is_on_disk(blob):
            await parts.env.exec.run_sync(parts.store.bring_in, blob)
        return True


def blobs_of(result: Result) -> dict[Digest, int]:
    """What a result refers to, and the sizes: what must be fetched to use it."""
    files = {
        entry.digest: entry.size_bytes
        for entry in result.outputs
        if entry.kind in (FILE, EXECUTABLE)
    }
    logs = {
        log.digest: log.size_bytes
        for log in (result.stdout, result.stderr)
        if len(log.inline) < log.size_bytes <= OUTPUT_LOG_BYTES_MAX
    }
    return files | logs


def _say(blob: Digest) -> None:
    logger.warning("blob %s was damaged on the disk", blob.hex()[:16])
