"""Which blobs are needed, and in how many copies.

    rows     what a live entry of the action cache refers to
    pins     what a user wants to keep
    asked    what another member has asked us to keep a copy of

Rules
- A row lives as long as there is room: rows hold `budget_bytes` of blobs, the least recently used
  ones die first. So what must not be thrown away never fills the disk, and a cache that is full
  forgets whole results, not pieces of them.
- The same for what others ask, with a budget of its own: nobody can fill our disk.
- A pin lives until it is removed.

Sans-IO. Not here: what is on the disk.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import attrs

from mesh.limits import COPIES_DEFAULT, COPIES_NEEDED_MAX, COPIES_PINNED
from mesh.types import Digest


@attrs.define
class _Row:
    blobs: tuple[Digest, ...]


@attrs.define
class _Need:
    """One blob."""

    size_bytes: int
    rows: int = 0


class Needs:
    """See the module's head."""

    def __init__(self, budget_bytes: int, copies: int = COPIES_DEFAULT) -> None:
        self._budget_bytes = budget_bytes
        self.copies_of_rows = copies
        """Of what the action cache refers to; a policy."""
        self._rows: OrderedDict[Digest, _Row] = OrderedDict()
        self._needs: dict[Digest, _Need] = {}
        self._held_bytes = 0
        self._asked: OrderedDict[Digest, tuple[int, int]] = OrderedDict()
        self._asked_bytes = 0
        self._pins: frozenset[Digest] = frozenset()

    def __len__(self) -> int:
        return len(self._needs) + len(self._asked) + len(self._pins)

    def copies(self, blob: Digest) -> int:
        """How many there should be; 0 for a blob that nobody needs. Safe in any thread."""
        asked = self._asked.get(blob, (0, 0))[1]
        of_rows = self.copies_of_rows if blob in self._needs else 0
        return max(asked, of_rows, COPIES_PINNED if blob in self._pins else 0)

    def size_bytes(self, blob: Digest) -> int | None:
        """As far as it is known."""
        need = self._needs.get(blob)
        if need is not None:
            return need.size_bytes
        return self._asked[blob][0] if blob in self._asked else None

    def all(self) -> list[Digest]:
        """Every blob that is needed."""
        return list(dict.fromkeys((*self._needs, *self._asked, *sorted(self._pins))))

    # -- rows ------------------------------------------------------------------------------------
    def row(self, action: Digest, blobs: Mapping[Digest, int]) -> list[Digest]:
        """The cache has a result with these blobs, and their sizes; what nobody needed so far."""
        self.drop_row(action)
        fresh = []
        for blob, size_bytes in blobs.items():
            need = self._needs.get(blob)
            if need is None:
                need = self._needs[blob] = _Need(size_bytes)
                self._held_bytes += size_bytes
                fresh.append(blob)
            need.rows += 1
        self._rows[action] = _Row(tuple(blobs))
        while self._is_over() and len(self._rows) > 1:
            self.drop_row(next(iter(self._rows)))
        return [blob for blob in fresh if blob in self._needs]

    def used(self, action: Digest) -> None:
        """The row was of use: others die before it."""
        if action in self._rows:
            self._rows.move_to_end(action)

    def drop_row(self, action: Digest) -> None:
        """The cache has it no more."""
        row = self._rows.pop(action, None)
        for blob in row.blobs if row is not None else ():
            need = self._needs[blob]
            need.rows -= 1
            if not need.rows:
                del self._needs[blob]
                self._held_bytes -= need.size_bytes

    def _is_over(self) -> bool:
        return self._held_bytes > self._budget_bytes or len(self._needs) > COPIES_NEEDED_MAX

    # -- others' and the user's ------------------------------------------------------------------
    def ask(self, blob: Digest, size_bytes: int, copies: int) -> None:
        """A member asks us to keep it."""
        if size_bytes > self._budget_bytes:
            return
        self.unask(blob)
        self._asked[blob] = (size_bytes, copies)
        self._asked_bytes += size_bytes
        too_many = COPIES_NEEDED_MAX
        while self._asked_bytes > self._budget_bytes or len(self._asked) > too_many:
            self.unask(next(iter(self._asked)))

    def unask(self, blob: Digest) -> None:
        size_bytes, _ = self._asked.pop(blob, (0, 0))
        self._asked_bytes -= size_bytes

    def pin(self, blobs: Iterable[Digest]) -> list[Digest]:
        """All pins there are now; those that are new."""
        before, self._pins = self._pins, frozenset(blobs)
        return sorted(self._pins - before)
