"""One replica of the simulated mesh: a key, a disk and a wall clock that outlive its processes.

Rules: a process ends in one moment; what it wrote and did not sync is the disk's to lose. Batches
are made durable every COMMIT_S. A frozen process reads its mail and its timers when it is thawed.
Deliberately not here: what happens to it (`stage`, `kinds`), what it writes (`workload`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING
from zlib import crc32

from mesh.identity.keys import NodeKey
from mesh.log.frame import Frame
from mesh.log.segments import Segments
from mesh.log.sync import Blame, Send
from mesh.node.state.replica import Act, Replica, ReplicaConfig
from mesh.state.changes import Changes
from mesh.types import Address, MeshId, NodeId
from mesh.wire.errors import WireError
from mesh.wire.schema import decode_message, encode_message
from sim.disk import SimDisk
from sim.kernel.world import Event
from sim.machine.clock import HardwareClock

if TYPE_CHECKING:
    from sim.state.stage import StateStage

MESH = MeshId(sha256(b"simulated mesh").digest())
COMMIT_S = 0.1
SUM_BYTES = 4
Twist = Callable[[NodeId, object], object | None]
"""(to, message) -> what a liar sends instead; None: nothing."""


def key_of(index: int) -> NodeKey:
    return NodeKey(sha256(f"simulated replica {index}".encode()).digest())


class StateNode:
    """See the module's head."""

    def __init__(self, stage: StateStage, index: int) -> None:
        self.stage = stage
        self.index = index
        self.key = key_of(index)
        self.node_id = self.key.node_id
        self.address: Address = (f"10.1.{index >> 8}.{index & 255}", 7946)
        self.world = stage.world
        self.disk = SimDisk(self.world, f"disk {index}")
        self.clock = HardwareClock(self.world)
        self.lives = 0
        self.frozen = False
        self.replica: Replica | None = None
        self.store: Segments | None = None
        self.twist: Twist | None = None
        self.removed: set[int] = set()
        """Removals that it knows, by number."""
        self._port = self.disk.open()
        self._mail: list[tuple[bytes, Address]] = []
        self._timer: Event | None = None
        self._commit: Event | None = None

    @property
    def is_up(self) -> bool:
        return self.replica is not None

    @property
    def now_s(self) -> float:
        return self.clock.monotonic()

    # -- lives -----------------------------------------------------------------------------------
    def start(self) -> None:
        assert self.replica is None
        self.lives += 1
        self.frozen = False
        self._port = self.disk.open()
        self.store = Segments(self._port)
        self.replica = Replica(self.config(), self.store, self.now_s)
        self.replica.on_sealed.append(self._sealed)
        self.replica.on_changes.append(self._changed)
        self.load_states()
        self.stage.network.attach(self.address, self._arrived)
        self._arm()
        self._commit_soon()

    def config(self) -> ReplicaConfig:
        dice = self.world.rng(f"replica {self.index} life {self.lives}")
        return ReplicaConfig(
            mesh=MESH,
            me=self.node_id,
            sign=self.key.sign,
            admission=self.stage.admission_of(self.node_id),
            wall_ms=lambda: int(self.clock.wall() * 1000),
            token=lambda size: dice.getrandbits(8 * size).to_bytes(size, "big"),
            draw=dice.random,
            standing=self.stage.standing_of(self),
        )

    def end(self) -> None:
        """The process is gone, whatever it was doing."""
        assert self.replica is not None
        self.replica = self.store = None
        self._port.detach()
        self.stage.network.detach(self.address)
        for event in (self._timer, self._commit):
            if event is not None:
                event.cancel()
        self._timer = self._commit = None
        self._mail.clear()

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        mail, self._mail = self._mail, []
        for data, source in mail:
            self._arrived(data, source)
        if self.is_up:
            self._fire()

    # -- mail ------------------------------------------------------------------------------------
    def _arrived(self, data: bytes, source: Address) -> None:
        if self.frozen:
            self._mail.append((data, source))
            return
        body = data[SUM_BYTES:]
        if crc32(body).to_bytes(SUM_BYTES, "big") != data[:SUM_BYTES]:
            return  # a stream would notice, and end
        peer = self.stage.at(source)
        if peer is not None and self.replica is not None:
            self.hear(peer.node_id, body)

    def hear(self, peer: NodeId, body: bytes) -> None:
        """Bytes of an authenticated peer."""
        assert self.replica is not None
        try:
            message = decode_message(body)
        except WireError:
            self.replica.counters["undecodable"] += 1
            return
        self.act(self.replica.receive(peer, message, self.now_s))

    def send(self, to: NodeId, message: object) -> None:
        if self.twist is not None:
            message = self.twist(to, message)
            if message is None:
                return
        body = message if isinstance(message, bytes) else encode_message(message)
        peer = self.stage.node_of(to)
        if peer is not None:
            data = crc32(body).to_bytes(SUM_BYTES, "big") + body
            self.stage.network.send(data, self.address, peer.address)
            self.stage.sent(self, message, len(body))

    # -- what its replica wants ------------------------------------------------------------------
    def act(self, acts: Sequence[Act]) -> None:
        for act in acts:
            if isinstance(act, Send):
                self.send(act.to, act.message)
            else:
                assert isinstance(act, Blame)
                self.stage.blamed(self, act)
        if acts:
            self._arm()
        self._commit_soon()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        assert self.replica is not None
        due_s = self.replica.next_timer_s
        if due_s < float("inf"):
            self._timer = self.world.at_ns(self.clock.world_ns(due_s), self._fire)

    def _fire(self) -> None:
        if self.replica is None or self.frozen:
            return
        self.act(self.replica.handle_timer(self.now_s))
        self._arm()

    def _commit_soon(self) -> None:
        if self._commit is None and self.store is not None and self.store.has_pending:
            self._commit = self.world.after(COMMIT_S, self._commit_now)

    def _commit_now(self) -> None:
        self._commit = None
        if self.store is not None and not self.frozen:
            self.store.commit(self.now_s)

    # -- blobs, which are somebody else's business -------------------------------------------------
    def _changed(self, changes: Changes) -> None:
        if changes.wanted:
            self.world.after(0.0, self.load_states)

    def load_states(self) -> None:
        """The blobs of checkpoints are there at once."""
        if self.replica is not None:
            for digest in self.replica.state.wanted():
                self.replica.load_state(digest, self.stage.blobs[digest])

    def _sealed(self, frame: Frame) -> None:
        self.stage.sealed(self, frame)
