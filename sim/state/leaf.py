"""One leaf at the lines of several gateways, and what the mesh keeps of what it says.

The leaf counts its events in a chain of hashes and keeps the newest LEAF_KEEPS; now and then it
starts anew. A gateway that reads it takes a list from where it thinks that it is (`Stream`), and
keeps what is new (`History`). Lists come late, twice and out of order; gateways tell each other
what they have, whole or in part, and in the end all of it. `said` is the truth, for the oracle.

Deliberately not here: lines, proofs of who speaks, disks (`mesh.node.leaves`, and its tests).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import TYPE_CHECKING

from mesh.leaf.history import Contradicts, History, Segment
from mesh.leaf.messages import Event, EventKind, Events, chain, chain_start

if TYPE_CHECKING:
    from sim.state.node import StateNode
    from sim.state.stage import StateStage

EVERY_S = 1.5
READ_EVERY_S = 0.7
TELL_EVERY_S = 1.1
LEAF_KEEPS = 12
STARTS_ANEW = 0.03
MESSAGE_EVENTS = 5
LIST_MAX = 6
TELL_ALL_EVERY_S = 6.0
TELL_ALL_ROUNDS = 4


class Leaf:
    """See the module's head."""

    def __init__(self, stage: StateStage) -> None:
        self._stage = stage
        self._dice = stage.world.rng("leaf").random
        self.histories = {node.index: History() for node in stage.nodes}
        """What each node keeps, as if its disk forgot nothing."""
        self.said: dict[bytes, list[Event]] = {}
        """By the boot nonce of a start, in order."""
        self.contradictions = 0
        self._heads: list[bytes] = []
        """Of the chain, before each event of this start."""
        self._under_way: list[tuple[int, bytes, Events]] = []
        """Lists on their way from the line to a node."""
        self._start()

    def begin(self) -> None:
        for every_s, turn in (
            (EVERY_S, self._say),
            (READ_EVERY_S, self._read),
            (TELL_EVERY_S, self._tell),
        ):
            self._again(every_s, turn)
        heal_s = self._stage.scenario.phases.heal_s
        for round_number in range(TELL_ALL_ROUNDS):
            self._stage.world.at(heal_s + (1 + round_number) * TELL_ALL_EVERY_S, self._tell_all)

    def _again(self, every_s: float, turn: Callable[[], None]) -> None:
        def act() -> None:
            if self._stage.world.now_s < self._stage.scenario.phases.heal_s:
                turn()
                self._again(every_s, turn)

        self._stage.world.after(2 * every_s * self._dice(), act)

    # -- the leaf --------------------------------------------------------------------------------
    def _start(self) -> None:
        self.boot = len(self.said).to_bytes(16, "big")
        self.said[self.boot] = []
        self._heads = [chain_start(self.boot)]

    def _say(self) -> None:
        if self._dice() < STARTS_ANEW:
            self._start()
        said = self.said[self.boot]
        for _ in range(1 + int(self._dice() * 3)):
            event = Event(len(said), EventKind.EMITTED, 1, 2, len(said), 0)
            said.append(event)
            self._heads.append(chain(self._heads[-1], event))

    def _list(self, since: int) -> Events:
        """What it answers when it is asked for its events from there on."""
        said = self.said[self.boot]
        first = min(max(since, len(said) - LEAF_KEEPS, 0), len(said))
        events = tuple(said[first : first + LIST_MAX])
        return Events(first, max(0, first - since), self._heads[first], events)

    # -- gateways --------------------------------------------------------------------------------
    def _read(self) -> None:
        """One gateway reads; lists that were read before may come only now, or again."""
        node = self._one_of(self._stage.nodes)
        if not node.is_up or node.frozen:
            return
        since = self.histories[node.index].stream(self.boot).next
        listed = self._list(max(0, since - int(self._dice() * 4)))
        self._under_way.append((node.index, self.boot, listed))
        while self._under_way and self._dice() < 0.7:
            at = int(self._dice() * len(self._under_way))
            index, boot, events = self._under_way[at]
            if self._dice() < 0.7:
                del self._under_way[at]
            self._arrived(index, boot, events)

    def _arrived(self, index: int, boot: bytes, events: Events) -> None:
        history = self.histories[index]
        taken = history.stream(boot).take(events)
        if taken.new and not taken.broken:
            started_ms = int(self._stage.nodes[index].clock.wall() * 1000)
            self._keep(index, Segment(boot, taken.first, taken.head, started_ms, taken.new))

    def _keep(self, index: int, segment: Segment) -> None:
        try:
            self.histories[index].add(segment)
        except Contradicts:
            self.contradictions += 1

    # -- gateways among each other ---------------------------------------------------------------
    def _tell(self) -> None:
        """One tells another what that lacks, or a part of it, or something it has."""
        one, other = self._one_of(self._stage.nodes), self._one_of(self._stage.nodes)
        if one is not other and self._stage.is_linked(one.index, other.index):
            self._exchange(one.index, other.index, share=self._dice())

    def _tell_all(self) -> None:
        for one, other in permutations(range(self._stage.size), 2):
            if self._stage.is_linked(one, other):
                self._exchange(one, other)

    def _exchange(self, source: int, to: int, share: float = 1.0) -> None:
        """`share`: how much of it arrives, in any order."""
        theirs, ours = self.histories[to], self.histories[source]
        has = [(start.boot_nonce, start.ranges()) for start in theirs.starts()]
        if self._dice() < 0.3:
            has = []  # it has not heard yet what the other has
        segments = list(ours.lacking(has, MESSAGE_EVENTS))
        while segments:
            segment = segments.pop(int(self._dice() * len(segments)))
            if self._dice() <= share:
                self._keep(to, segment)

    def _one_of(self, nodes: list[StateNode]) -> StateNode:
        return nodes[int(self._dice() * len(nodes))]
