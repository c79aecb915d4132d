"""Which chunk of one blob is asked of whom.

    swarm.join(source, have, now_s)          a holder of all of it, or of some chunks
    swarm.next_for(source, now_s)            chunks to ask of it now; they count as asked
    swarm.arrived / lacks / leave            what became of them

Rules
- What is asked of nobody comes first: the chunk that the fewest have, of those one at random, so
  that receivers that fetch the same blob soon have something for each other.
- A holder is asked for no more than its window.
- In the end, when everything is asked of somebody, a holder with nothing to do is asked for the
  last chunk of whoever will be done last, one at a time, if it would be quicker: so nobody waits
  for a holder that has stalled. No chunk is asked of more than COPIES holders.
- A holder that leaves loses its window and nothing else: what it was asked for is asked of others.
- Blocks of FETCH_BLOCK_CHUNKS are opened one after the other, so that choosing costs the same for
  a blob of any size.

Sans-IO; `draw` gives floats in [0, 1). Not here: whether a chunk is the right one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable

import attrs

from mesh.cas.fetch.window import Window
from mesh.limits import FETCH_BLOCK_CHUNKS
from mesh.types import NodeId

COPIES = 2
ASK_SHARE = 4
"""A holder is asked again once a quarter of its window is free: a request costs both sides a
message, a record and a wake-up, and one for each chunk would be felt."""
PATIENCE = 2.0
"""Asking twice must promise to be so many times quicker."""
FIRST_GUESS_S = 0.25
"""What a holder that has given nothing yet may take for its first chunk."""
PACE_SHARE = 0.25
"""What the latest chunk counts for in a holder's pace."""


def has_bit(have: bytes, index: int) -> bool:
    """Whether a holder with that bitmap has the chunk."""
    return index >> 3 < len(have) and bool(have[index >> 3] & (0x80 >> (index & 7)))


def bitmap(chunks: int, missing: Iterable[int]) -> bytes:
    """A bit per chunk, set unless it is missing; the first one is the highest of its byte."""
    bits = bytearray(b"\xff" * (chunks >> 3))
    if chunks & 7:
        bits.append(0xFF00 >> (chunks & 7) & 0xFF)
    for index in missing:
        bits[index >> 3] &= ~(0x80 >> (index & 7))
    return bytes(bits)


@attrs.define(eq=False)
class Source:
    """A holder, as far as this blob goes."""

    have: bytes | None
    """None: all of it."""
    joined_s: float
    window: Window = attrs.field(factory=Window)
    asked: dict[int, float] = attrs.field(factory=dict)
    """Chunks under way, and when they were asked for, in order."""
    lacks: set[int] = attrs.field(factory=set)
    """Chunks that it turned out not to have."""
    pace_s: float = 0.0
    """Between two chunks, lately; 0 before the second."""
    heard_s: float = 0.0
    """When it gave the last one, or was first asked since it owed nothing."""
    useful: int = 0
    wasted: int = 0
    """Chunks that somebody else had given already."""

    def holds(self, index: int) -> bool:
        return index not in self.lacks and (self.have is None or has_bit(self.have, index))

    def owes_for_s(self, now_s: float) -> float:
        """How long it will take for what it owes, as far as one can tell."""
        return max(self.pace_s * len(self.asked), now_s - self.heard_s)


class Swarm:
    """See the module's head. `missing` are the chunks to fetch."""

    def __init__(self, missing: Iterable[int], draw: Callable[[], float]) -> None:
        self._missing = dict.fromkeys(missing)
        self._later = deque(sorted(self._missing))
        self._draw = draw
        self._free: list[int] = []
        """Asked of nobody, what is to be asked next at the end."""
        self._sorted = True
        self._askers: dict[int, int] = {}
        """How many were asked for a chunk that is under way."""
        self.sources: dict[NodeId, Source] = {}

    @property
    def missing(self) -> int:
        """Chunks still to come."""
        return len(self._missing)

    # -- holders ---------------------------------------------------------------------------------
    def join(self, node: NodeId, have: bytes | None, now_s: float) -> Source:
        """A holder that may be asked. It must not be one already."""
        assert node not in self.sources
        source = self.sources[node] = Source(have, now_s, heard_s=now_s)
        self._sorted = False
        return source

    def learn(self, node: NodeId, have: bytes | None) -> None:
        """What a holder has now."""
        source = self.sources[node]
        if source.have != have:
            source.have = have
            source.lacks.clear()
            self._sorted = False

    def leave(self, node: NodeId) -> None:
        """It is asked no more; what it owes is asked of others."""
        source = self.sources.pop(node, None)
        if source is None:
            return
        for index in source.asked:
            self._give_back(index)
        self._sorted = False

    # -- chunks ----------------------------------------------------------------------------------
    def next_for(self, node: NodeId, now_s: float) -> list[int]:
        """What to ask of it now, perhaps nothing."""
        source = self.sources[node]
        chosen: list[int] = []
        window = source.window.chunks
        if source.asked and len(source.asked) > window - max(1, window // ASK_SHARE):
            return chosen
        while len(source.asked) < window:
            index = self._choose(source)
            if index is None:
                break
            self._ask(source, index, now_s)
            chosen.append(index)
        if not chosen and not source.asked:
            index = self._again(source, now_s)
            if index is not None:
                self._ask(source, index, now_s)
                chosen.append(index)
        return chosen

    def arrived(self, node: NodeId, index: int, now_s: float) -> bool:
        """A chunk came, and it is the right one: whether it was still missing."""
        source = self.sources[node]
        asked_s = source.asked.pop(index)
        took_s = now_s - source.heard_s
        known = source.pace_s or took_s
        source.pace_s = known + PACE_SHARE * (took_s - known)
        source.heard_s = now_s
        source.window.arrived(asked_s, now_s)
        self._put_down(index)
        if index not in self._missing:
            source.wasted += 1
            return False
        source.useful += 1
        del self._missing[index]
        return True

    def lacks(self, node: NodeId, index: int) -> None:
        """It does not have that one after all."""
        source = self.sources[node]
        del source.asked[index]
        source.lacks.add(index)
        self._give_back(index)

    def is_hopeless(self) -> bool:
        """Whether something is missing that no holder can be asked for."""
        if any(source.have is None and not source.lacks for source in self.sources.values()):
            return False
        return any(
            not any(source.holds(index) for source in self.sources.values())
            for index in self._missing
        )

    # -- inside ----------------------------------------------------------------------------------
    def _ask(self, source: Source, index: int, now_s: float) -> None:
        if not source.asked:
            source.heard_s = now_s
        source.asked[index] = now_s
        self._askers[index] = self._askers.get(index, 0) + 1

    def _put_down(self, index: int) -> None:
        self._askers[index] -= 1
        if not self._askers[index]:
            del self._askers[index]

    def _give_back(self, index: int) -> None:
        self._put_down(index)
        if index in self._missing and index not in self._askers:
            self._free.append(index)

    def _choose(self, source: Source) -> int | None:
        """The next one that nobody was asked for and that it has; it is not free any more."""
        while True:
            if not self._sorted:
                self._sort()
            for at in range(len(self._free) - 1, -1, -1):
                if source.holds(self._free[at]):
                    return self._free.pop(at)
            if not self._later:
                return None
            block = min(FETCH_BLOCK_CHUNKS, len(self._later))
            self._free += [self._later.popleft() for _ in range(block)]
            self._sorted = False

    def _sort(self) -> None:
        """Rarest last, for `pop`; all holders of everything make no difference."""
        partial = [each.have for each in self.sources.values() if each.have is not None]
        draw = self._draw
        order = {
            index: (-sum(has_bit(have, index) for have in partial), draw()) for index in self._free
        }
        self._free.sort(key=order.__getitem__)
        self._sorted = True

    def _again(self, source: Source, now_s: float) -> int | None:
        """A chunk that somebody else was asked for and will be late with."""
        quickest_s = source.window.quickest_s
        own_s = FIRST_GUESS_S if math.isinf(quickest_s) else max(quickest_s, source.pace_s)
        slowest = sorted(
            (each for each in self.sources.values() if each is not source and each.asked),
            key=lambda each: -each.owes_for_s(now_s),
        )
        for other in slowest:
            if other.owes_for_s(now_s) <= PATIENCE * own_s:
                return None
            for index in reversed(other.asked):
                fresh = index in self._missing and self._askers[index] < COPIES
                if fresh and source.holds(index):
                    return index
        return None
