"""The queue of rumours: what is still to be told, fewest tellings first.

One entry per subject (a newer fact replaces an older one), so the roster bounds the queue. A fact
is told `limit` times and then dropped; anti-entropy catches the few that this misses. Load reports
are second-class: told twice, only in space that is left over, never worth a packet of their own.
Deliberately not here: whom to tell, and when.
"""

from __future__ import annotations

import attrs

from mesh.swim.messages import FACTS_BYTES_MAX, FACTS_MAX, Fact, size_bytes

LOAD_TELLINGS = 2


@attrs.define
class _Rumour:
    fact: Fact
    size_bytes: int
    order: int
    load_only: bool
    told: int = 0


class Rumours:
    """Facts on their way out."""

    def __init__(self) -> None:
        self._queue: dict[bytes, _Rumour] = {}
        self._order = 0
        self._urgent = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def urgent(self) -> bool:
        """Whether there is anything worth a packet of its own."""
        return self._urgent > 0

    def add(self, fact: Fact, *, load_only: bool = False) -> None:
        """Tell `fact` from now on, instead of what was told about its subject before."""
        old = self._queue.get(fact.node)
        if old is not None and load_only and not old.load_only:
            old.fact, old.size_bytes = fact, size_bytes(fact)  # keeps its rank and its count
            return
        self.drop(fact.node)
        self._order += 1
        self._queue[fact.node] = _Rumour(fact, size_bytes(fact), self._order, load_only)
        self._urgent += not load_only

    def drop(self, subject: bytes) -> None:
        old = self._queue.pop(subject, None)
        if old is not None:
            self._urgent -= not old.load_only

    def take(self, limit: int, used_bytes: int = 0, skip: bytes = b"") -> list[Fact]:
        """Facts for one packet that already holds `used_bytes` of them; counts them as told.

        `skip` is a subject that must not be repeated (it is in the packet, or is the receiver).
        """
        room = FACTS_BYTES_MAX - used_bytes
        chosen: list[Fact] = []
        ranked = sorted(self._queue.values(), key=_rank)
        for rumour in ranked:
            if len(chosen) >= FACTS_MAX - 2:  # two places are for the receiver's and our own fact
                break
            if rumour.size_bytes > room or rumour.fact.node == skip:
                continue
            room -= rumour.size_bytes
            chosen.append(rumour.fact)
            rumour.told += 1
            if rumour.told >= (LOAD_TELLINGS if rumour.load_only else limit):
                self.drop(rumour.fact.node)
        return chosen


def _rank(rumour: _Rumour) -> tuple[bool, int, int]:
    return (rumour.load_only, rumour.told, -rumour.order)
