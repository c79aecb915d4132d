"""The thin trio driver of membership: one socket, one task, one sealed core.

    socket -> drain everything that waits -> core -> then timers -> socket

Rules: no protocol decision is made here. Datagrams that wait are handed over before a timer may
fire, so that an ack that arrived while we were starved counts. Commands (join, leave, load, roster)
may come from any task: they go through the core at once, and what it wants sent is queued for the
one task that sends. Deliberately not here: the protocol (`mesh.swim`), who is a member (identity),
discovery (whoever browses calls `join`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Protocol

import attrs
import trio

from mesh.errors import EnvironmentFault
from mesh.limits import DATAGRAM_DRAIN_MAX, SWIM_OUTBOX_MAX, SWIM_SEEDS_MAX
from mesh.node.peers_file import load_peers, save_peers
from mesh.ports import DatagramPort, Env
from mesh.swim.config import SwimConfig
from mesh.swim.core import Swim
from mesh.swim.effects import NO_LOAD, MemberChanged, MemberView, SelfInfo
from mesh.swim.endpoint import Endpoint, Output, Transmit
from mesh.swim.sealed import COUNTER_START_BITS, Sealer, SealerConfig
from mesh.types import Address, NodeId
from mesh.wire.messages import Load

LEAVE_ROUNDS = 3
"""Gossip intervals for which a leaving node keeps talking."""
IDLE_S = 60.0
"""Longest sleep when the core has no timer."""
REMEMBER_S = 5.0
"""Addresses of members are stored at most this often."""


class GossipIdentity(Protocol):
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
        self._early_seeds: list[tuple[NodeId, Address]] = []
        self._endpoint: Endpoint | None = None
        self._port: DatagramPort | None = None
        self._outbox: deque[Transmit] = deque()
        self._waiting: trio.CancelScope | None = None
        self._remember_at_s: float | None = None
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

    # -- commands --------------------------------------------------------------------------------
    def set_load(self, load: Load) -> None:
        """Report this load to others from now on."""
        self._load = load
        if self._endpoint is not None:
            self._endpoint.set_load(load)

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
            task_status.started(self._port.address)
            await self._serve(self._port)
        finally:
            self._remember()
            self._port.close()

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
        self._endpoint = Endpoint(Swim(self._config, info, entropy.random), Sealer(keys))
        self.roster_changed()
        self.join(load_peers(self._env.disk))
        self.join(self._early_seeds)

    async def _serve(self, port: DatagramPort) -> None:
        assert self._endpoint is not None
        while True:
            await self._flush(port)
            got = await self._next_datagram(port)
            for _ in range(DATAGRAM_DRAIN_MAX):
                if got is None:
                    break
                self._act(self._endpoint.receive(*got, self._env.clock.monotonic()))
                got = port.receive_nowait()
            now_s = self._env.clock.monotonic()
            due_s = self._endpoint.next_timer_s()
            if due_s is not None and due_s <= now_s:
                self._act(self._endpoint.handle_timer(now_s))
            if self._remember_at_s is not None and self._remember_at_s <= now_s:
                self._remember()

    async def _next_datagram(self, port: DatagramPort) -> tuple[bytes, Address] | None:
        """Wait for a datagram, a timer or a command; None when it was not a datagram."""
        assert self._endpoint is not None
        due_s = self._endpoint.next_timer_s()
        now_s = self._env.clock.monotonic()
        wait_s = IDLE_S if due_s is None else min(IDLE_S, max(0.0, due_s - now_s))
        got = port.receive_nowait()
        if got is not None or wait_s == 0.0:
            await trio.lowlevel.checkpoint()
            return got
        with trio.move_on_after(wait_s) as self._waiting:
            got = await port.receive()
        self._waiting = None
        return got

    async def _flush(self, port: DatagramPort) -> None:
        while self._outbox:
            transmit = self._outbox.popleft()
            await port.send(transmit.data, transmit.address)

    def _act(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            if isinstance(output, MemberChanged):
                self._changed(output)
            elif len(self._outbox) < SWIM_OUTBOX_MAX:
                self._outbox.append(output)
            else:
                self._counters["outbox-full"] += 1
        if self._waiting is not None:
            self._waiting.cancel()  # timers may have moved and there may be something to send

    def _changed(self, change: MemberChanged) -> None:
        if change.previous_state != change.view.state and self._remember_at_s is None:
            self._remember_at_s = self._env.clock.monotonic() + REMEMBER_S
        self._on_change(change.view)

    def _remember(self) -> None:
        """Store addresses. Losing them costs nothing but a slower return."""
        self._remember_at_s = None
        if self._endpoint is None:
            return
        try:
            save_peers(self._env.disk, self.members(), self._identity.node_id)
        except (OSError, EnvironmentFault):
            self._counters["peers-file-not-written"] += 1
