"""The thin driver of membership: one socket, one timer, one sealed core.

    socket -> everything that waits -> core -> socket          timer -> the same, then the timer

Rules: no protocol decision is made here. Datagrams that wait are handed over before a timer may
fire, with the times at which the machine received them, so that an ack that arrived while we were
starved counts. Commands (join, leave, load, roster) may come from any task: what they want sent is
sent at once. One task waits for the socket, and another has a thread write down who is where: a
disk that takes ten seconds for that would else have us taken for dead.
Deliberately not here: the protocol (`mesh.swim`), who is a member (identity),
discovery (whoever browses calls `join`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import attrs
import trio

from mesh.errors import EnvironmentFault
from mesh.limits import SWIM_SEEDS_MAX
from mesh.node.epoch import store_epoch
from mesh.node.peers_file import load_peers, save_peers
from mesh.ports import Arrived, DatagramPort, Env, Refused, Timer
from mesh.swim.config import SwimConfig
from mesh.swim.core import Swim
from mesh.swim.dossier import Dossier
from mesh.swim.effects import NO_LOAD, MemberChanged, MemberView, SelfInfo
from mesh.swim.endpoint import Endpoint, Output, Transmit
from mesh.swim.evidence import Signatures
from mesh.swim.sealed import COUNTER_START_BITS, Sealer, SealerConfig
from mesh.types import Address, NodeId
from mesh.wire.messages import Load

LEAVE_ROUNDS = 3
"""Gossip intervals for which a leaving node keeps talking."""
REMEMBER_S = 5.0
"""Addresses of members are stored at most this often."""


class GossipIdentity(Signatures, Protocol):
    """What membership needs of the node's identity; `mesh.identity.trust.Identity` has it."""

    @property
    def node_id(self) -> NodeId: ...

    def curve_private(self) -> bytes:
        """X25519 private key, 32 bytes."""
        ...

    def member_ids(self) -> Iterable[NodeId]:
        """Everybody admitted, ourselves included or not."""
        ...


@attrs.frozen
class GossipSetup:
    """Where we listen and what we tell others about ourselves."""

    bind: Address
    """Port 0 chooses one."""
    peer_port: int
    join_port: int
    epoch: int
    """From `mesh.node.epoch.next_epoch`."""
    advertise_host: str = ""
    """IP literal for others; empty: where they see our datagrams come from."""


class Gossip:
    """Membership of one node. Make it, then run it in a nursery."""

    def __init__(
        self,
        env: Env,
        config: SwimConfig,
        identity: GossipIdentity,
        setup: GossipSetup,
        on_change: Callable[[MemberView], None],
    ) -> None:
        self._env = env
        self._config = config
        self._identity = identity
        self._setup = setup
        self._on_change = on_change
        self._load = NO_LOAD
        self.ask_stream: Callable[[NodeId], None] = lambda _node: None
        """Asks a member over its stream whether it lives; `stream_alive` hears the answer."""
        self._earlier: dict[NodeId, Address] = {}
        """Whom the last start remembered."""
        self._early_seeds: list[tuple[NodeId, Address]] = []
        self._endpoint: Endpoint | None = None
        self._port: DatagramPort | None = None
        self._timer: Timer | None = None
        self._timer_s = 0.0
        self._to_remember = trio.Event()
        self._epoch = setup.epoch
        """What we have tried to store."""
        self._counters: Counter[str] = Counter()

    # -- what others ask -------------------------------------------------------------------------
    @property
    def address(self) -> Address:
        """Where we listen. Only once `run` has started."""
        assert self._port is not None, "not started"
        return self._port.address

    @property
    def counters(self) -> Counter[str]:
        """Everything dropped, refused, accused or lost: reason -> count."""
        core = self._endpoint.counters if self._endpoint is not None else Counter[str]()
        return self._counters + core

    def members(self) -> tuple[MemberView, ...]:
        """Ourselves first, then everyone known. Empty before `run` has started."""
        return self._endpoint.snapshot() if self._endpoint is not None else ()

    def member(self, node: NodeId) -> MemberView | None:
        """One other member; None when nothing is known of it."""
        return self._endpoint.view(node) if self._endpoint is not None else None

    def round_trips_s(self) -> Iterable[tuple[NodeId, float]]:
        """Of every other member of which one is known, at once."""
        return self._endpoint.round_trips_s() if self._endpoint is not None else ()

    def dossier(self, node: NodeId) -> Dossier | None:
        """All that is known about a member and who said it; None when nothing is."""
        if self._endpoint is None:
            return None
        return self._endpoint.dossier(node, self._env.clock.monotonic())

    # -- commands --------------------------------------------------------------------------------
    def set_load(self, load: Load) -> None:
        """Report this load to others from now on."""
        self._load = load
        if self._endpoint is not None:
            self._endpoint.set_load(load)

    def machine_felt(self, pressure: float, lag_s: float) -> None:
        """How our machine does: the share of time (0 to 1) in which some task waited for a CPU, and
        how late the event loop is."""
        if self._endpoint is not None:
            self._endpoint.machine_felt(pressure, lag_s, self._env.clock.monotonic())

    def stream_alive(self, node: NodeId) -> None:
        """The member answered on its stream."""
        if self._endpoint is not None:
            self._act(self._endpoint.heard(node, self._env.clock.monotonic()))

    def stream_ended(self, node: NodeId) -> None:
        """Its stream is gone; perhaps it is, too."""
        if self._endpoint is not None:
            self._act(self._endpoint.doubt(node, self._env.clock.monotonic()))

    def roster_changed(self) -> None:
        """Take over `identity.member_ids()`."""
        if self._endpoint is not None:
            ids = self._identity.member_ids()
            self._act(self._endpoint.set_roster(ids, self._env.clock.monotonic()))

    def join(self, seeds: Iterable[tuple[NodeId, Address]]) -> None:
        """Try these members (node id, swim address) until each has answered. Before `run` has
        started they are remembered."""
        if self._endpoint is None:
            room = SWIM_SEEDS_MAX - len(self._early_seeds)
            self._early_seeds += list(seeds)[:room]
        else:
            self._act(self._endpoint.join(seeds, self._env.clock.monotonic()))

    async def leave(self) -> None:
        """Tell the others that we go, for a few gossip intervals. `run` goes on until cancelled."""
        if self._endpoint is None:
            return
        now_s = self._env.clock.monotonic()
        self._act(self._endpoint.leave(now_s))
        rounds_s = LEAVE_ROUNDS * self._config.gossip_interval_s
        await self._env.clock.sleep_until(now_s + rounds_s)

    # -- the task --------------------------------------------------------------------------------
    async def run(self, task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED) -> None:
        """Open the port, report its address, and run until cancelled. Raises AddressInUse."""
        self._port = await self._env.datagrams.open(self._setup.bind)
        try:
            self._start(self._port.address)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_remembered)
                task_status.started(self._port.address)
                await self._port.serve(self._received)
                nursery.cancel_scope.cancel()
        finally:
            self._stop(self._port)

    def _start(self, address: Address) -> None:
        setup, entropy = self._setup, self._env.entropy
        info = SelfInfo(
            node_id=self._identity.node_id,
            epoch=setup.epoch,
            host=setup.advertise_host,
            swim_port=address[1],
            peer_port=setup.peer_port,
            join_port=setup.join_port,
            load=self._load,
        )
        start = int.from_bytes(entropy.token(8), "big") >> (64 - COUNTER_START_BITS)
        keys = SealerConfig(info.node_id, self._identity.curve_private(), setup.epoch, start)
        self._endpoint = Endpoint(
            Swim(self._config, info, self._identity, entropy.random), Sealer(keys)
        )
        self.roster_changed()
        self._earlier = dict(load_peers(self._env.disk))
        self.join(self._earlier.items())
        self.join(self._early_seeds)

    def _stop(self, port: DatagramPort) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._forgivingly():
            self._save(*self._known())
        port.close()

    # -- socket and timer ------------------------------------------------------------------------
    def _received(self, batch: Sequence[Arrived | Refused]) -> None:
        self._handle(batch)
        self._arm()

    def _handle(self, batch: Sequence[Arrived | Refused]) -> None:
        endpoint, monotonic = self._endpoint, self._env.clock.monotonic
        assert endpoint is not None
        for each in batch:
            now_s = monotonic()
            if isinstance(each, Arrived):
                self._do(endpoint.receive(each.data, each.source, now_s, each.arrived_s))
            else:
                self._do(endpoint.refused(each.to, each.quoted, now_s))
        if endpoint.epoch > self._epoch:
            self._store_epoch(endpoint.epoch)

    def _fire(self) -> None:
        assert self._endpoint is not None
        assert self._port is not None
        self._timer = None
        if self._config.drain_first and (waiting := self._port.take_waiting()):
            self._handle(waiting)
        self._act(self._endpoint.handle_timer(self._env.clock.monotonic()))

    def _act(self, outputs: Iterable[Output]) -> None:
        self._do(outputs)
        self._arm()

    def _do(self, outputs: Iterable[Output]) -> None:
        assert self._port is not None
        for output in outputs:
            if isinstance(output, Transmit):
                self._port.send(output.data, output.address)
            elif isinstance(output, MemberChanged):
                self._changed(output)
            else:
                self.ask_stream(output.node)

    def _arm(self) -> None:
        """Let the timer be due when the core wants it."""
        assert self._endpoint is not None
        due_s = self._endpoint.next_timer_s()
        if self._timer is not None:
            if due_s == self._timer_s:
                return
            self._timer.cancel()
            self._timer = None
        if due_s is not None:
            self._timer_s = due_s
            self._timer = self._env.clock.call_at(due_s, self._fire)

    def _changed(self, change: MemberChanged) -> None:
        if change.previous_state != change.view.state:
            self._to_remember.set()
        self._on_change(change.view)

    def _store_epoch(self, epoch: int) -> None:
        """An earlier start was ahead of us. If this is lost, the next start is told again."""
        self._epoch = epoch
        try:
            store_epoch(self._env.disk, epoch)
        except (OSError, EnvironmentFault):
            self._counters["epoch-not-stored"] += 1

    # -- who is where ----------------------------------------------------------------------------
    async def _keep_remembered(self) -> None:
        """Store addresses, some time after anything changed."""
        while True:
            await self._to_remember.wait()
            await self._env.clock.sleep_until(self._env.clock.monotonic() + REMEMBER_S)
            self._to_remember = trio.Event()
            with trio.CancelScope(shield=True), self._forgivingly():
                await self._env.exec.run_sync(self._save, *self._known())

    def _known(self) -> tuple[tuple[MemberView, ...], dict[NodeId, Address]]:
        """Members, and where those that the mesh still has were at the last start."""
        mesh = frozenset(self._identity.member_ids())
        return self.members(), {node: each for node, each in self._earlier.items() if node in mesh}

    def _save(self, members: tuple[MemberView, ...], earlier: dict[NodeId, Address]) -> None:
        """In any thread. Raises OSError and EnvironmentFault."""
        if members:
            save_peers(self._env.disk, members, self._identity.node_id, earlier)

    @contextmanager
    def _forgivingly(self) -> Iterator[None]:
        """Losing what is remembered costs nothing but a slower return."""
        try:
            yield
        except (OSError, EnvironmentFault):
            self._counters["peers-file-not-written"] += 1
