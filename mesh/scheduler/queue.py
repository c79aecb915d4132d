"""Shards that are ready and wait for a slot, longest way to the end first.

Longest-known-first is LPT (Graham 1969): it keeps the end of a run short. Among the few longest, a
thief gets the one whose inputs it already holds.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator

from mesh.scheduler.model import Shard, ShardKey

WARM_LOOKAHEAD = 8
"""How far from the front a warmer shard may be taken: locality must not undo longest-first."""


class ReadyQueue:
    """A sorted list; ready queues are short next to the work their shards are."""

    def __init__(self, may_leave: Callable[[Shard], bool]) -> None:
        self._may_leave = may_leave
        self.stealable = 0
        """How many of the shards a peer might run."""
        self._places: list[tuple[float, int, ShardKey]] = []  # (-rank, arrival, key)
        self._shards: dict[ShardKey, tuple[Shard, tuple[float, int, ShardKey]]] = {}
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: ShardKey) -> bool:
        return key in self._shards

    def __iter__(self) -> Iterator[Shard]:
        return (self._shards[key][0] for _, _, key in self._places)

    def push(self, shard: Shard) -> None:
        assert shard.key not in self._shards, "a shard waits once"
        self._arrivals += 1
        place = (-shard.rank_s, self._arrivals, shard.key)
        insort(self._places, place)
        self._shards[shard.key] = (shard, place)
        self.stealable += self._may_leave(shard)

    def take(
        self, fits: Callable[[Shard], bool], warmth: Callable[[Shard], float] | None = None
    ) -> Shard | None:
        """Remove and return the best shard that `fits`, or None.

        `warmth` (0..1) breaks near-ties among the first WARM_LOOKAHEAD that fit and whose rank is
        within a tenth of the best's.
        """
        best: Shard | None = None
        best_warmth = -1.0
        seen = 0
        for shard in self:
            if not fits(shard):
                continue
            if warmth is None:
                best = shard
                break
            if best is not None and shard.rank_s < 0.9 * best.rank_s:
                break
            score = warmth(shard)
            if score > best_warmth:
                best, best_warmth = shard, score
            seen += 1
            if seen >= WARM_LOOKAHEAD or score >= 1.0:
                break
        if best is not None:
            self.remove(best.key)
        return best

    def remove(self, key: ShardKey) -> Shard | None:
        found = self._shards.pop(key, None)
        if found is None:
            return None
        del self._places[bisect_left(self._places, found[1])]
        self.stealable -= self._may_leave(found[0])
        return found[0]
