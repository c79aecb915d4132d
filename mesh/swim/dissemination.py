"""The queue of rumours: what is still to be told, fewest tellings first.

One entry per kind, subject and author (a newer statement replaces an older one), so the roster
bounds the queue. A rumour is told `limit` times and then dropped; anti-entropy catches the few that
this misses. Deliberately not here: whom to tell, and when.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

import attrs

from mesh.swim.messages import FACTS_BYTES_MAX, FACTS_MAX, Statement, size_bytes

RESERVED = 4
"""Places of a packet that are for what its receiver must hear about itself, and our own record."""

Topic = tuple[bytes, bytes]
"""(subject, author); of a record both are the subject's."""


@attrs.define
class _Rumour:
    topic: Topic
    statement: Statement
    size_bytes: int
    order: int
    told: int = 0

    @property
    def ranked(self) -> _Ranked:
        """Its place in the queue: few tellings first, then new before old."""
        return (self.told, -self.order, self)


_Ranked = tuple[int, int, _Rumour]
"""No two rumours are of the same order, so that rumours themselves are never compared."""


class Rumours:
    """Statements on their way out."""

    def __init__(self) -> None:
        self.queue: dict[Topic, _Rumour] = {}
        """To be looked at only: empty when there is nothing to tell."""
        self._ranked: list[_Ranked] = []
        """The same, in the order in which they are told. While hundreds join at once the queue is
        as long as the roster, and every packet asks for its first."""
        self.added = 0
        """How many there ever were: as long as it stays, no new one has come."""

    def __len__(self) -> int:
        return len(self.queue)

    def add(self, subject: bytes, author: bytes, statement: Statement) -> None:
        """Tell it from now on, instead of what that author said about that subject before."""
        topic = (subject, author)
        self._drop(topic)
        self.added += 1
        size = size_bytes(statement)
        rumour = self.queue[topic] = _Rumour(topic, statement, size, self.added)
        insort(self._ranked, rumour.ranked)

    def drop(self, subject: bytes, authors: Iterable[bytes]) -> None:
        """Say nothing more of what these said about it."""
        for author in authors:
            self._drop((subject, author))

    def _drop(self, topic: Topic) -> None:
        rumour = self.queue.pop(topic, None)
        if rumour is not None:
            del self._ranked[bisect_left(self._ranked, rumour.ranked)]

    def _told(self, rumour: _Rumour, limit: int) -> None:
        """Once more; it is told after the others now, or never again."""
        self._drop(rumour.topic)
        rumour.told += 1
        if rumour.told < limit:
            self.queue[rumour.topic] = rumour
            insort(self._ranked, rumour.ranked)

    def take(self, limit: int, used_bytes: int = 0, skip: bytes = b"") -> list[Statement]:
        """Statements for one packet that already holds `used_bytes` of them; counts them as told.

        `skip` is a subject that must not be repeated (it is in the packet, or is the receiver).
        """
        if not self.queue:
            return []
        room = FACTS_BYTES_MAX - used_bytes
        chosen: list[Statement] = []
        for _, _, rumour in self._ranked[:FACTS_MAX]:
            if len(chosen) >= FACTS_MAX - RESERVED:
                break
            if rumour.size_bytes > room or rumour.topic[0] == skip:
                continue
            room -= rumour.size_bytes
            chosen.append(rumour.statement)
            self._told(rumour, limit)
        return chosen
