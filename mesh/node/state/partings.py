"""When peers were last linked, and how much has been written since that they cannot have.

While a peer is linked, what is new goes to it at once. What waits for it afterwards is everything
that came into the log since: the number of events now, less the number when the link ended. The
same for ourselves while nobody is linked.

Rules
- Kept over restarts in one small file, so that "since" is when it happened. Losing it, or a crash
  before it is written, makes the counts begin at the next start: too low, never wrong upwards.
- For people; decides nothing.

Not here: what is missing at a peer that is linked (`mesh.log.sync`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import attrs

from mesh.errors import EnvironmentFault
from mesh.limits import LOG_NODES_MAX
from mesh.log.segments import FOLDER
from mesh.ports import Env, Timer
from mesh.types import DIGEST_BYTES, NodeId
from mesh.wire.errors import WireError
from mesh.wire.schema import array, c_struct, decode_struct, encode_struct, fixed, struct, uint

SAVE_AFTER_S = 0.5
FILE = f"{FOLDER}/partings"
logger = logging.getLogger(__name__)


@struct
class Parting:
    """The end of the last link with a peer; of ourselves, of the last one with anybody."""

    node: NodeId = fixed(DIGEST_BYTES)
    wall_ms: int = uint()
    events: int = uint()
    """In the log then."""


@struct
class PartingsFile:
    """What FILE holds."""

    partings: tuple[Parting, ...] = array(c_struct(Parting), LOG_NODES_MAX)


@attrs.frozen
class Away:
    """A peer that is not linked."""

    since_unix_s: float
    waiting_events: int


Work = Callable[[], None]


def at_once(work: Work) -> None:
    """Without a thread."""
    work()


class Partings:
    """See the module's head. `events` counts what is in the log now; `aside` has work done in a
    thread, one after the other, because the disk may be slow and nobody should wait for it."""

    def __init__(
        self,
        env: Env,
        me: NodeId,
        events: Callable[[], int],
        aside: Callable[[Work], None] = at_once,
    ) -> None:
        self._env = env
        self._aside = aside
        self._me = me
        self._events = events
        self._linked: set[NodeId] = set()
        self._partings = self._read()
        self._begun = self._now(me)
        self._timer: Timer | None = None

    def link_up(self, peer: NodeId) -> None:
        self._linked.add(peer)
        self._partings.pop(peer, None)
        self._partings.pop(self._me, None)

    def link_down(self, peer: NodeId) -> None:
        self._linked.discard(peer)
        self._partings[peer] = self._now(peer)
        if not self._linked:
            self._partings[self._me] = self._now(self._me)
        if self._timer is None:  # when a network breaks, many links end at once
            due_s = self._env.clock.monotonic() + SAVE_AFTER_S
            self._timer = self._env.clock.call_at(due_s, self._save_aside)

    def away(self, node: NodeId) -> Away | None:
        """None while it is linked; for ourselves, while anybody is."""
        if node in self._linked or (node == self._me and self._linked):
            return None
        parting = self._partings.get(node, self._begun)
        waiting = max(0, self._events() - parting.events)
        return Away(parting.wall_ms / 1000, waiting)

    def _now(self, node: NodeId) -> Parting:
        return Parting(node, int(self._env.clock.wall() * 1000), self._events())

    # -- the file ----------------------------------------------------------------------------------
    def _read(self) -> dict[NodeId, Parting]:
        try:
            data = self._env.disk.read(FILE)
            file = decode_struct(PartingsFile, data) if data is not None else PartingsFile(())
        except (OSError, WireError):
            return {}
        return {each.node: each for each in file.partings}

    def save(self) -> None:
        """Write it down, now, if it has changed."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._write(self._encoded())

    def _save_aside(self) -> None:
        self._timer = None
        self._aside(partial(self._write, self._encoded()))

    def _encoded(self) -> bytes:
        newest = sorted(self._partings.values(), key=lambda each: -each.wall_ms)[:LOG_NODES_MAX]
        return encode_struct(PartingsFile(tuple(newest)))

    def _write(self, data: bytes) -> None:
        try:
            self._env.disk.write(FILE, data)
        except (OSError, EnvironmentFault) as error:
            logger.warning("who left when could not be written down: %s", error)
