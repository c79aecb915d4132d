"""One leaf whose cable is moved between gateways, and what of its events comes into their log.

The leaf counts its events in a chain of hashes, keeps those that nobody has taken, the newest
LEAF_KEEPS of them, and forgets what a gateway says is safe; now and then it starts anew. A gateway
that reads it goes on from where the mesh's state, or its own queue, says that it is; lists come
late, twice and out of order. What it has taken waits in order, as on a disk that keeps its word,
until the gateway's log has it on its own disk. Now and then the leaf signs its chain.

`said` is the truth, `taken` who took what of it, for the oracle. Deliberately not here: lines, and
the driver around the queue (`mesh.node.leaves`, and its tests).
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING

from mesh.identity.keys import NodeKey
from mesh.leaf.events import Stream
from mesh.leaf.history import Contradicts
from mesh.leaf.messages import (
    PROOF_CONTEXT,
    Event,
    EventKind,
    Events,
    Proof,
    chain,
    chain_start,
    proof_text,
)
from mesh.leaf.segment import Segment, joined, segment_of
from mesh.state.events import LeafProof
from mesh.state.leaves import written

if TYPE_CHECKING:
    from sim.state.node import StateNode
    from sim.state.stage import StateStage

EVERY_S = 1.5
READ_EVERY_S = 0.7
ENTER_EVERY_S = 0.9
LEAF_KEEPS = 12
STARTS_ANEW = 0.03
MOVES = 0.15
SIGNS = 0.1
ENTRY_EVENTS = 5
LIST_MAX = 6


class Leaf:
    """See the module's head."""

    def __init__(self, stage: StateStage) -> None:
        self._stage = stage
        self._dice = stage.world.rng("leaf").random
        self._key = NodeKey(sha256(b"leaf").digest())
        self.leaf = self._key.node_id
        self.said: dict[bytes, list[Event]] = {}
        """By the boot nonce of a start, in order."""
        self.taken: dict[int, set[tuple[bytes, int]]] = {node.index: set() for node in stage.nodes}
        """By gateway: what it has told the leaf to forget."""
        self.waiting: dict[int, list[Segment]] = {node.index: [] for node in stage.nodes}
        self.contradictions = 0
        self._entered = {node.index: (0, 0) for node in stage.nodes}
        """Segments at the head of each queue that are in the log, and in which life."""
        self._gateway = 0
        self._heads: list[bytes] = []
        """Of the chain, before each event of this start."""
        self._safe = 0
        self._under_way: list[tuple[int, bytes, Events]] = []
        """Lists on their way from the line to a gateway."""
        self._start()

    def begin(self) -> None:
        heal_s = self._stage.scenario.phases.heal_s
        self._again(EVERY_S, self._say, heal_s)
        self._again(READ_EVERY_S, self._read, heal_s)
        self._again(ENTER_EVERY_S, self._enter_all, float("inf"))

    def _again(self, every_s: float, turn: Callable[[], None], until_s: float) -> None:
        def act() -> None:
            if self._stage.world.now_s < until_s:
                turn()
                self._again(every_s, turn, until_s)

        self._stage.world.after(2 * every_s * self._dice(), act)

    # -- the leaf --------------------------------------------------------------------------------
    def _start(self) -> None:
        self.boot = len(self.said).to_bytes(8, "big")
        self.said[self.boot] = []
        self._heads, self._safe = [chain_start(self.boot)], 0

    def _say(self) -> None:
        if self._dice() < STARTS_ANEW:
            self._start()
        said = self.said[self.boot]
        for _ in range(1 + int(self._dice() * 3)):
            event = Event(len(said), EventKind.EMITTED, 1, 2, len(said), 0)
            said.append(event)
            self._heads.append(chain(self._heads[-1], event))
        self._safe = max(self._safe, len(said) - LEAF_KEEPS)

    def _list(self) -> Events:
        """What it sends: from the last place that a gateway has called safe."""
        events = tuple(self.said[self.boot][self._safe : self._safe + LIST_MAX])
        return Events(self._safe, 0, self._heads[self._safe], events)

    def _signed(self) -> LeafProof:
        nonce, digest = bytes(16), bytes(16)
        number = len(self.said[self.boot])
        proof = Proof(digest, digest, 1, number, self._heads[number], b"")
        text = proof_text(nonce, self.boot, proof)
        signature = self._key.sign(PROOF_CONTEXT, text)
        return LeafProof(
            self.leaf, self.boot, nonce, digest, digest, 1, number, proof.head, signature
        )

    # -- gateways --------------------------------------------------------------------------------
    def _read(self) -> None:
        """The gateway reads; lists that were read before may come only now, or again."""
        if self._dice() < MOVES:
            self._gateway = int(self._dice() * self._stage.size)
        node = self._stage.nodes[self._gateway]
        if not node.is_up or node.frozen:
            return
        self._under_way.append((node.index, self.boot, self._list()))
        while self._under_way and self._dice() < 0.7:
            at = int(self._dice() * len(self._under_way))
            index, boot, events = self._under_way[at]
            if self._dice() < 0.7:
                del self._under_way[at]
            if self._stage.nodes[index].is_up and not self._stage.nodes[index].frozen:
                self._arrived(self._stage.nodes[index], boot, events)
        if self._dice() < SIGNS and self._has_room(node) and node.replica is not None:
            node.act(node.replica.write(self._signed(), node.now_s))

    def _stream(self, node: StateNode, boot: bytes) -> Stream:
        assert node.replica is not None
        known = node.replica.state.leaves.history(self.leaf).stream(boot)
        waiting = [each for each in self.waiting[node.index] if each.boot_nonce == boot]
        if waiting and waiting[-1].end >= known.next:
            return Stream(boot, waiting[-1].end, waiting[-1].tail)
        return known

    def _arrived(self, node: StateNode, boot: bytes, events: Events) -> None:
        stream = self._stream(node, boot)
        taken = stream.take(events)
        if taken.broken:
            self.contradictions += 1
        if taken.new and not taken.broken:
            started_ms = int(node.clock.wall() * 1000)
            order = int.from_bytes(boot, "big")
            piece = segment_of(
                boot, taken.first, taken.head, taken.new, order=order, started_unix_ms=started_ms
            )
            self.waiting[node.index].append(piece)
            self.taken[node.index] |= {(boot, n) for n in range(piece.first, piece.end)}
        if not taken.broken and boot == self.boot:
            self._safe = max(self._safe, min(stream.next, len(self.said[boot])))

    def _has_room(self, node: StateNode) -> bool:
        return node.replica is not None and node.replica.has_room

    # -- the log ---------------------------------------------------------------------------------
    def _enter_all(self) -> None:
        for node in self._stage.nodes:
            if node.is_up and not node.frozen:
                self._enter(node)

    def _enter(self, node: StateNode) -> None:
        """What waits goes into the log; what is on the log's disk waits no more."""
        replica, store, waiting = node.replica, node.store, self.waiting[node.index]
        assert replica is not None
        assert store is not None
        entered, life = self._entered[node.index]
        if life != node.lives:
            entered = 0  # another process, which does not know what that one has said
        elif not replica.writer.waiting and not store.unwritten_bytes:
            del waiting[:entered]
            entered = 0
        if self._has_room(node):
            for whole in joined(waiting[entered:], ENTRY_EVENTS):
                self._write(node, whole)
            entered = len(waiting)
        self._entered[node.index] = (entered, node.lives)

    def _write(self, node: StateNode, whole: Segment) -> None:
        assert node.replica is not None
        try:
            news = node.replica.state.leaves.history(self.leaf).news(whole)
        except Contradicts:
            self.contradictions += 1
            return
        for part in news:
            node.act(node.replica.write(written(self.leaf, part), node.now_s))
