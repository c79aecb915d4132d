"""N sealed membership cores in one world, with the words in which scenarios are told.

    mesh = SwimWorld(seed=1, nodes=8)
    mesh.start_all()
    mesh.run(5)
    mesh[3].crash()

Keys are derived from the seed; the seal is the real one. Deliberately not here: assertions, which
belong to the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from hashlib import sha256

import attrs
from nacl import bindings

from mesh.swim.config import LAN, SwimConfig
from mesh.swim.core import Swim
from mesh.swim.effects import AskStream, MemberChanged, MemberView, SelfInfo, State
from mesh.swim.endpoint import Endpoint, Transmit
from mesh.swim.evidence import Signatures
from mesh.swim.sealed import COUNTER_START_BITS, Sealer, SealerConfig
from mesh.types import Address, NodeId
from sim.host import Host
from sim.net import Link, Network
from sim.signatures import CheapSignatures
from sim.world import World

FIRST_EPOCH = 1_790_000_000_000
"""Wall-clock milliseconds at which all simulated nodes start first."""


@cache
def node_key(index: int) -> tuple[NodeId, bytes]:
    """(node id, X25519 private key) of the simulated node `index`; the same in every world."""
    seed = sha256(f"simulated node {index}".encode()).digest()
    public, secret = bindings.crypto_sign_seed_keypair(seed)
    return NodeId(public), bindings.crypto_sign_ed25519_sk_to_curve25519(secret)


@attrs.frozen
class Change:
    """One MemberChanged, as it happened."""

    at_s: float
    observer: int
    subject: int
    previous: State | None
    view: MemberView


class SwimNode:
    """One node of a SwimWorld; it keeps its address, key and index across restarts."""

    def __init__(self, mesh: SwimWorld, index: int) -> None:
        self._mesh = mesh
        self.index = index
        self.node_id, self._curve_private = node_key(index)
        self.address: Address = (f"10.0.{index >> 8}.{index & 255}", 7946)
        self.epoch = FIRST_EPOCH
        self._send = mesh.network.send
        self.endpoint: Endpoint
        self.host: Host
        self._boot()

    def _boot(self) -> None:
        mesh = self._mesh
        rng = mesh.world.rng(f"node {self.index} epoch {self.epoch}")
        info = SelfInfo(self.node_id, self.epoch, self.address[0], self.address[1], 1, 2)
        start = rng.getrandbits(COUNTER_START_BITS)
        sealer = Sealer(SealerConfig(self.node_id, self._curve_private, self.epoch, start))
        signatures = mesh.signatures(self.node_id)
        self.endpoint = Endpoint(Swim(mesh.config, info, signatures, rng.random), sealer)
        self.host = Host(mesh.world, mesh.network, self.address, self.endpoint, self._perform)
        self.host.drains = mesh.config.drain_first
        self.set_roster(mesh.roster)

    def _perform(self, output: object) -> None:
        if isinstance(output, Transmit):
            self._send(output.data, self.address, output.address)
            return
        if isinstance(output, AskStream):
            self._mesh.ask_stream(self, output.node)
            return
        assert isinstance(output, MemberChanged)
        self._mesh.record(self.index, output)

    # -- what can happen to a node ---------------------------------------------------------------
    def set_roster(self, ids: Iterable[NodeId]) -> None:
        self.host.act(self.endpoint.set_roster(ids, self._mesh.world.now_s))

    def join(self, *seeds: SwimNode) -> None:
        known = [(seed.node_id, seed.address) for seed in seeds]
        self.host.act(self.endpoint.join(known, self._mesh.world.now_s))

    def leave(self) -> None:
        self.host.act(self.endpoint.leave(self._mesh.world.now_s))

    def crash(self) -> None:
        self.host.crash()

    def kill(self) -> None:
        self.host.kill()

    def freeze(self) -> None:
        self.host.freeze()

    def thaw(self) -> None:
        self.host.thaw()

    def restart(self) -> None:
        """Start anew with a higher epoch and no memory."""
        self.host.crash()
        self.epoch += 1 + int(self._mesh.world.now_s * 1000)
        self._boot()

    # -- what it thinks --------------------------------------------------------------------------
    def view_of(self, other: SwimNode) -> MemberView | None:
        return self.endpoint.view(other.node_id)

    def sees(self, other: SwimNode) -> State | None:
        """The state in which this node sees the other; None when it does not know it."""
        view = self.view_of(other)
        return view.state if view is not None else None


class SwimWorld:
    """A mesh of simulated nodes, all on one roster."""

    def __init__(
        self,
        seed: int,
        nodes: int,
        config: SwimConfig = LAN,
        link: Link | None = None,
        signatures: Callable[[NodeId], Signatures] = CheapSignatures,
    ) -> None:
        self.world = World(seed)
        self.network = Network(self.world, link or Link())
        self.config = config
        self.signatures = signatures
        self.roster = [node_key(index)[0] for index in range(nodes)]
        self._index = {node: index for index, node in enumerate(self.roster)}
        self.changes: list[Change] = []
        self.streams: Callable[[SwimNode, SwimNode], bool] | None = None
        """Whether the stream between two nodes would carry a question and its answer."""
        self.nodes = [SwimNode(self, index) for index in range(nodes)]
        self._odd = self.nodes[0]
        """Whose table was seen last to be another than that of the first."""

    def __getitem__(self, index: int) -> SwimNode:
        return self.nodes[index]

    def start_all(self) -> None:
        """All nodes join through the first one."""
        for node in self.nodes[1:]:
            node.join(self.nodes[0])

    def run(self, duration_s: float) -> None:
        self.world.run_until(self.world.now_s + duration_s)

    def run_until(self, reached: Callable[[], bool], within_s: float) -> bool:
        """Run until `reached()`; False when that takes longer than `within_s`."""
        end_s = self.world.now_s + within_s
        return self.world.run_while(lambda: not reached(), end_s)

    def ask_stream(self, asker: SwimNode, node: NodeId) -> None:
        """There are no streams here, unless a test says so."""
        if self.streams is not None and self.streams(asker, self.nodes[self._index[node]]):
            answer = partial(asker.endpoint.heard, node)
            self.world.after(0.002, lambda: asker.host.act(answer(self.world.now_s)))

    def record(self, observer: int, change: MemberChanged) -> None:
        subject = self._index[change.view.node_id]
        now_s = self.world.now_s
        seen = Change(now_s, observer, subject, change.previous_state, change.view)
        self.changes.append(seen)
        self.world.note(observer, subject, change.previous_state, change.view.state)

    def agree(self, state: State, subject: SwimNode, *observers: SwimNode) -> bool:
        """Whether all observers (all other running nodes when none are named) see it so."""
        others = observers or tuple(n for n in self.nodes if n is not subject and n.host.running)
        return all(observer.sees(subject) == state for observer in others)

    def converged(self) -> bool:
        """Whether every running node sees every running node alive and all tables are equal."""
        if self._differs(self._odd):
            return False  # asked after every event, it is the same one nearly always
        running = [node for node in self.nodes if node.host.running]
        for node in running:
            if self._differs(node):
                self._odd = node
                return False
        return all(self.agree(State.ALIVE, node) for node in running)

    def _differs(self, node: SwimNode) -> bool:
        """Whether it runs and its table is not that of the first that runs."""
        first = next((each for each in self.nodes if each.host.running), node)
        return node.host.running and node.endpoint.table_hash != first.endpoint.table_hash

    def deaths(self) -> list[Change]:
        """Every time anybody was declared dead."""
        return [change for change in self.changes if _died(change)]


def _died(change: Change) -> bool:
    return change.view.state == State.DEAD and change.previous != State.DEAD
