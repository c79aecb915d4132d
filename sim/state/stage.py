"""`sim.stage.base.Stage` over replicas, so that scenarios play on them like on everything else.

The links between replicas are streams in the real mesh. Here each message is a datagram of
`sim.net`, and a link is there while both ends are up and nothing is cut between them (LINK_LOOK_S
late, as a connection that breaks). Rosters spread by a gossip of their own.
Deliberately not here: membership; its questions have no answers here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mesh.log.frame import Frame
from mesh.log.model import Lane
from mesh.log.sync import Blame
from mesh.swim.effects import MemberView
from mesh.types import Address, Digest, NodeId, digest_of
from sim.kernel.findings import Livelock
from sim.net.link import Link
from sim.net.network import Network
from sim.net.roads import DATAGRAMS
from sim.scenario.bounds import CONFIGS
from sim.scenario.model import Scenario
from sim.stage.base import CannotDo, Listener, Stage
from sim.state.leaf import Leaf
from sim.state.node import StateNode
from sim.state.rosters import Rosters
from sim.state.watch import Watch
from sim.state.workload import Workload
from sim.world import World

LINK_LOOK_S = 1.0
APART_SHARE = 0.5


class StateStage(Stage):
    """See the module's head."""

    def __init__(self, scenario: Scenario) -> None:
        options = scenario.options
        self.scenario = scenario
        self.world = World(scenario.seed)
        self.network = Network(self.world, Link(options.latency_s, options.jitter_s))
        self.network.link = Link(options.latency_s, options.jitter_s, loss=options.loss)
        self.swim = CONFIGS[options.swim]
        self.size = scenario.nodes
        self.listeners: list[Listener] = []
        self.watch = Watch()
        self.blobs: dict[Digest, bytes] = {}
        """States of checkpoints, for everybody."""
        self.rosters = Rosters(self)
        self.nodes = [StateNode(self, index) for index in range(scenario.nodes)]
        self.workload = Workload(self)
        self.leaf = Leaf(self)
        self._by_id = {node.node_id: node for node in self.nodes}
        self._by_address = {node.address: node for node in self.nodes}
        self._links: dict[tuple[int, int], tuple[int, int]] = {}
        """Pairs with a stream, and the lives at its ends."""
        self.apart = self._draw_apart()
        """Two that never reach each other, so that what they know goes through others."""

    # -- running ---------------------------------------------------------------------------------
    def run(self, until_s: float, stop: Callable[[], bool]) -> None:
        self.world.on_error = lambda error: self.world.found("replica", error)
        try:
            self.world.run_while(lambda: not stop(), until_s)
        except Livelock as error:
            self.world.found("replica", error)

    def start_all(self) -> None:
        for node in range(self.size):
            self.nodes[node].start()
            self.tell_start(node)
        self._look_at_links()
        self.workload.begin()
        self.leaf.begin()

    # -- links -----------------------------------------------------------------------------------
    def _look_at_links(self) -> None:
        for one in self.nodes:
            for other in self.nodes[one.index + 1 :]:
                self._look_at(one, other)
        self.world.after(LINK_LOOK_S, self._look_at_links)

    def _look_at(self, one: StateNode, other: StateNode) -> None:
        pair, lives = (one.index, other.index), (one.lives, other.lives)
        linked = self._links.get(pair)
        able = one.is_up and other.is_up and self.is_open(one, other)
        able = able and not self.rosters.is_shut_out(one, other)
        if linked is not None and (not able or linked != lives):
            del self._links[pair]
            self._tell_link(one, other, linked[0], up=False)
            self._tell_link(other, one, linked[1], up=False)
        if able and pair not in self._links:
            self._links[pair] = lives
            self._tell_link(one, other, one.lives, up=True)
            self._tell_link(other, one, other.lives, up=True)

    def _tell_link(self, node: StateNode, peer: StateNode, life: int, *, up: bool) -> None:
        if node.replica is None or node.lives != life:
            return
        verb = node.replica.peer_up if up else node.replica.peer_down
        node.act(verb(peer.node_id, node.now_s))

    def _draw_apart(self) -> frozenset[int]:
        dice = self.world.rng("apart")
        one, other = int(dice.random() * self.size), int(dice.random() * self.size)
        happens = self.size > 2 and one != other and dice.random() < APART_SHARE
        return frozenset((one, other) if happens else ())

    def is_open(self, one: StateNode, other: StateNode) -> bool:
        if self.apart == {one.index, other.index}:
            return False
        places = one.address[0], other.address[0]
        there, back = self.network.road(*places), self.network.road(*places[::-1])
        return not (there.blocked & DATAGRAMS or back.blocked & DATAGRAMS)

    def is_linked(self, one: int, other: int) -> bool:
        return (min(one, other), max(one, other)) in self._links

    # -- what nodes ask --------------------------------------------------------------------------
    def at(self, address: Address) -> StateNode | None:
        return self._by_address.get(address)

    def node_of(self, node_id: NodeId) -> StateNode | None:
        return self._by_id.get(node_id)

    # -- what nodes tell -------------------------------------------------------------------------
    def sealed(self, node: StateNode, frame: Frame) -> None:
        self.watch.sealed(node.index, frame)

    def sent(self, node: StateNode, message: object, size_bytes: int) -> None:
        self.watch.sent(node.index, message, size_bytes)

    def blamed(self, node: StateNode, blame: Blame) -> None:
        peer = self._by_id.get(blame.peer)
        if peer is not None:  # a guest has no machine of its own
            self.world.note("blamed", node.index, peer.index, blame.reason)
            self.watch.blamed(node.index, peer.index, blame.reason)

    # -- where nodes are -------------------------------------------------------------------------
    def address(self, node: int) -> Address:
        return self.nodes[node].address

    def node_id(self, node: int) -> NodeId:
        return self.nodes[node].node_id

    # -- lives -----------------------------------------------------------------------------------
    def is_up(self, node: int) -> bool:
        return self.nodes[node].is_up

    def is_frozen(self, node: int) -> bool:
        return self.nodes[node].frozen

    def life(self, node: int) -> int:
        return self.nodes[node].lives

    def start(self, node: int) -> None:
        assert not self.is_up(node), "one process per node"
        self.nodes[node].start()
        self.tell_start(node)

    def _end(self, node: int, how: str) -> None:
        if self.nodes[node].identity is not None:
            self.nodes[node].end()
            self.tell_end(node, how)

    def crash(self, node: int) -> None:
        self._end(node, "crash")

    def host_down(self, node: int) -> None:
        self._end(node, "host_down")

    def leave(self, node: int) -> None:
        self._end(node, "leave")

    def power_cut(self, node: int) -> None:
        self._end(node, "power_cut")
        self.nodes[node].disk.power_cut()

    def wipe(self, node: int) -> None:
        self.nodes[node].disk.wipe()

    def disk(self, node: int) -> Any:
        return self.nodes[node].disk

    def freeze(self, node: int) -> None:
        self.nodes[node].freeze()

    def thaw(self, node: int) -> None:
        self.nodes[node].thaw()

    def starve(
        self, nodes: Sequence[int], late_min_s: float, late_max_s: float
    ) -> Callable[[], None]:
        raise CannotDo(f"starving {list(nodes)} by {late_min_s} to {late_max_s} s")

    def checkpoint(self, node: int, lane: Lane) -> None:
        """A node writes the checkpoint of one of its lanes."""
        replica = self.nodes[node].replica
        if replica is None or self.is_frozen(node):
            return
        kept, acts = replica.checkpoint(lane, self.nodes[node].now_s)
        if kept is not None:
            self.blobs[digest_of(kept.data)] = kept.data
        self.nodes[node].act(acts)

    def clock_step(self, node: int, step_s: float) -> None:
        self.nodes[node].clock.step_wall(step_s)

    # -- what membership would answer ------------------------------------------------------------
    def own_view(self, node: int) -> MemberView | None:  # noqa: ARG002
        return None

    def view(self, observer: int, subject: int) -> MemberView | None:  # noqa: ARG002
        return None

    def table_hash(self, node: int) -> bytes:
        replica = self.nodes[node].replica
        return replica.log.digest() if replica is not None else b""

    def counters(self, node: int) -> dict[str, int]:
        replica = self.nodes[node].replica
        return dict(replica.sync.counters + replica.counters) if replica is not None else {}

    def endpoint(self, node: int) -> Any:
        raise CannotDo(f"membership of node {node}")

    def tap(self, heard: Callable[[bytes, Address, Address], None]) -> Callable[[], None]:
        self.network.taps.append(heard)
        return lambda: self.network.taps.remove(heard)

    def watch_packets(self, sent: Callable[[Address, Address, int, float | None], None]) -> None:
        self.network.observers.append(
            lambda packet: sent(
                packet.source, packet.destination, packet.size_bytes, packet.arrives_s
            )
        )
