"""Events kept under a key, of which those are shown that count now.

What the small views share: an entry is the event's own bytes, where it stands or fell (the strand
and place whose window decides), and its dot. The two differ for what came in a checkpoint: it
counts as long as the checkpoint does, and is still the event it was.

Not here: what entries of one key make together; each view has its own rule for that.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

import attrs

from mesh.log.model import Dot
from mesh.state.events import Event, decode_event
from mesh.state.strands import Strand
from mesh.state.windows import Moved

K = TypeVar("K", bound=Hashable)


@attrs.frozen
class Entry:
    """One event that is kept."""

    data: bytes
    """Decoded once before, so it is well formed."""
    strand: Strand
    seq: int
    """Where it counts: its own place, or that of the checkpoint that holds it."""
    dot: Dot

    @property
    def event(self) -> Event:
        return decode_event(self.data, self.dot.feed.lane)

    @property
    def counts(self) -> bool:
        return self.strand.counts(self.seq)


class Ledger(Generic[K]):
    """See the module's head."""

    def __init__(self) -> None:
        self._entries: dict[K, list[Entry]] = {}
        self._keys: dict[int, dict[K, None]] = {}
        """By the number of a strand, what it has entries of."""

    def __len__(self) -> int:
        return sum(map(len, self._entries.values()))

    def add(self, key: K, entry: Entry) -> None:
        self._entries.setdefault(key, []).append(entry)
        self._keys.setdefault(entry.strand.index, {})[key] = None

    def __iter__(self) -> Iterator[K]:
        """All keys."""
        return iter(self._entries)

    def has(self, key: K) -> bool:
        """Whether there is any, also one that does not count."""
        return key in self._entries

    def counting(self, key: K) -> list[Entry]:
        """Those that count, by dot, each once."""
        found = {entry.dot: entry for entry in self._entries.get(key, ()) if entry.counts}
        return [found[dot] for dot in sorted(found)]

    def counting_on(self, strand: Strand) -> list[tuple[K, Entry]]:
        """Those on one strand that count, with their keys."""
        return [
            (key, entry)
            for key in self._keys.get(strand.index, ())
            for entry in self._entries[key]
            if entry.strand is strand and entry.counts
        ]

    def of(self, key: K) -> list[Entry]:
        """All of them, in the order in which they came."""
        return self._entries.get(key, [])

    def moved(self, moved: Iterable[Moved]) -> set[K]:
        """Keys with an entry that counts and did not, or the other way round."""
        return {
            key
            for each in moved
            for key in self._keys.get(each.strand.index, ())
            if any(
                entry.strand is each.strand and each.affects(entry.seq)
                for entry in self._entries[key]
            )
        }

    def compact(self) -> None:
        """Throw away what is covered, or was forgotten."""
        kept: Ledger[K] = Ledger()
        for key, entries in self._entries.items():
            for entry in entries:
                if entry.seq >= entry.strand.low:
                    kept.add(key, entry)
        self._entries, self._keys = kept._entries, kept._keys
