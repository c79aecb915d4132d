"""One replica of the simulated mesh: a key, a disk and a wall clock that outlive its processes.

Rules: a process ends in one moment; what it wrote and did not sync is the disk's to lose. Batches
are made durable every COMMIT_S. A frozen process reads its mail and its timers when it is thawed. A
process that learns that it is out keeps its roster and has no replica, until it is in again.
Deliberately not here: what happens to it (`stage`, `kinds`), what it writes (`workload`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from zlib import crc32

from mesh.errors import EnvironmentFault
from mesh.identity.records import ref_of
from mesh.identity.roster import Roster
from mesh.identity.trust import MeshIdentity
from mesh.log.frame import Frame
from mesh.log.segments import Segments
from mesh.log.sync import Blame, Send
from mesh.log.waiting import Room
from mesh.node.state.replica import Act, Replica, ReplicaConfig
from mesh.state.changes import Changes
from mesh.types import Address, Digest, NodeId
from mesh.wire.errors import WireError
from mesh.wire.schema import decode_message, encode_message
from sim.disk import SimDisk
from sim.kernel.world import Event
from sim.machine.clock import HardwareClock
from sim.state.identities import MESH, certificate_of, key_of
from sim.state.rosters import roster_from

if TYPE_CHECKING:
    from sim.state.stage import StateStage

COMMIT_S = 0.1
RETRY_S = 2.0
"""After the disk has refused."""
SLICE_ROWS = 2
ROOM = Room(bytes_max=5_000, others_bytes_max=3_000)
"""What may wait for a disk: some four frames."""
SUM_BYTES = 4
Twist = Callable[[NodeId, object], object | None]
"""(to, message) -> what a liar sends instead; None: nothing."""


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
        self.identity: MeshIdentity | None = None
        """While a process runs."""
        self._port = self.disk.open()
        self._mail: list[tuple[bytes, Address]] = []
        self._timer: Event | None = None
        self._due_s = 0.0
        self._commit: Event | None = None

    @property
    def is_up(self) -> bool:
        return self.replica is not None

    @property
    def now_s(self) -> float:
        return self.clock.monotonic()

    # -- lives -----------------------------------------------------------------------------------
    def start(self) -> None:
        if self.identity is not None:
            return  # it runs, and is out of the mesh
        self.frozen = False
        self._port = self.disk.open()
        roster = roster_from(self._port, self.stage.size)
        self.identity = MeshIdentity(self._port, self.key, certificate_of(self.index), roster)
        self.stand()

    def _begin(self, identity: MeshIdentity) -> None:
        """The replica of this process."""
        self.lives += 1
        self.store = Segments(self._port, room=ROOM)
        self.replica = Replica(self.config(identity.roster), self.store, self.now_s)
        self.replica.on_sealed.append(self._sealed)
        self.replica.on_changes.append(self._changed)
        self.load_states()
        self.stage.network.attach(self.address, self._arrived)
        self._arm()
        self._commit_soon()

    def config(self, roster: Roster) -> ReplicaConfig:
        dice = self.world.rng(f"replica {self.index} life {self.lives}")
        me = roster.member(self.node_id)
        admission = me.admission if me is not None else roster.admissions_of(self.node_id)[0].digest
        return ReplicaConfig(
            mesh=MESH,
            me=self.node_id,
            sign=self.key.sign,
            admission=ref_of(admission),
            wall_ms=lambda: int(self.clock.wall() * 1000),
            token=lambda size: dice.getrandbits(8 * size).to_bytes(size, "big"),
            draw=dice.random,
            standing=roster.standing(),
            slice_rows=SLICE_ROWS,
        )

    def end(self) -> None:
        """The process is gone, whatever it was doing."""
        assert self.identity is not None
        if self.replica is not None:
            self._end_replica()
        self.identity = None
        self._port.detach()

    def _end_replica(self) -> None:
        self.replica = self.store = None
        self.stage.network.detach(self.address)
        for event in (self._timer, self._commit):
            if event is not None:
                event.cancel()
        self._timer = self._commit = None
        self._mail.clear()

    # -- the roster ------------------------------------------------------------------------------
    def holds_for_member(self, node: NodeId) -> bool:
        """Whether its roster says so."""
        return self.identity is not None and self.identity.roster.member(node) is not None

    def roster_digest(self) -> Digest | None:
        return self.identity.roster.digest() if self.identity is not None else None

    def hear_records(self, records: Sequence[bytes]) -> None:
        if self.identity is not None and self.identity.merge(records):
            self.stand()

    def stand(self) -> None:
        """Its roster may say something else than before."""
        assert self.identity is not None
        is_in = self.holds_for_member(self.node_id)
        if is_in and self.replica is None:
            self._begin(self.identity)
        elif is_in and self.replica is not None:
            self.replica.stand(self.identity.roster.standing())
            self.act(())
        elif self.replica is not None:
            self.world.note("out", self.index)
            self._end_replica()

    def skip(self, duration_s: float) -> None:
        """So much time goes by in which nothing happens."""
        self.clock.skip(duration_s)
        self.commit()
        if self.is_up and not self.frozen:
            self._fire()

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
        self._arm()
        self._commit_soon()

    def _arm(self) -> None:
        if self.replica is None:
            return  # what it has just said has ended it
        due_s = max(self.replica.next_timer_s, self.now_s)
        if self._timer is not None:
            if due_s == self._due_s:
                return
            self._timer.cancel()
            self._timer = None
        if due_s < float("inf"):
            self._due_s = due_s
            self._timer = self.world.at_ns(self.clock.world_ns(due_s), self._fire)

    def _fire(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.replica is None or self.frozen:
            return
        self.act(self.replica.handle_timer(self.now_s))
        self._arm()

    def _commit_soon(self) -> None:
        if self._commit is None and self.store is not None and self.store.has_pending:
            self._commit = self.world.after(COMMIT_S, self._commit_now)

    def _commit_now(self) -> None:
        self._commit = None
        if not self.frozen:
            self.commit()
        if self.store is not None and self.store.has_pending:
            self._commit = self.world.after(RETRY_S, self._commit_now)

    def commit(self) -> None:
        """Make durable what is not; a disk that refuses is asked again later."""
        if self.store is None or self.replica is None:
            return
        had_room = self.store.has_room()
        try:
            self.store.commit(self.now_s)
        except (EnvironmentFault, OSError):
            self.stage.watch.not_written += 1
        else:
            if not had_room:
                self.act(self.replica.look_for_gaps(self.now_s))

    # -- blobs, which are somebody else's business -------------------------------------------------
    def _changed(self, changes: Changes) -> None:
        if changes.wanted:
            self.world.after(0.0, self.load_states)

    def load_states(self) -> None:
        """The blobs of checkpoints are there at once."""
        if self.replica is not None:
            for digest in self.replica.state.wanted():
                self.replica.load_state(digest, self.stage.blobs[digest])
            self._arm()

    def _sealed(self, frame: Frame) -> None:
        self.stage.sealed(self, frame)
