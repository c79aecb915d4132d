"""Making room: the least recently used blobs go until the store is small enough.

Rules
- What is leased, pinned, or the last copy of something that is needed stays, however old; and so
  does everything that was used since the oldest action began that still runs.
- First go fetches that nobody goes on with, then blobs of which no use is known, in the order of
  the file system's times (small ones: of their pack's), then those that processes before this one
  have used, then the others, oldest use first.
- Removing is one blob at a time under the lock that a new lease takes, so that no lease is ever
  late. Packs are compacted afterwards, as far as it takes.

Blocking: runs in a worker thread. Not here: when (`mesh.node.node`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from mesh.cas.keep import Keep
from mesh.cas.packs import Packs
from mesh.cas.shelf import Shelf
from mesh.cas.uses import Uses
from mesh.limits import PACKED_BLOBS_MAX
from mesh.types import Digest

LastCopy = Callable[[Digest], bool]
"""Whether no other node is known to have a blob that somebody needs."""


@attrs.frozen
class Trimmed:
    """What `trim` did."""

    freed_bytes: int
    dropped: int
    """Blobs."""
    kept: int
    """Blobs that would have gone, were they not leased, pinned or last copies."""


@attrs.frozen
class _Candidate:
    order: tuple[int, int, float, int]
    """By uses of this process, of those before, by the file system's times."""
    digest: Digest
    size_bytes: int
    packed: bool


@attrs.frozen
class Evictor:
    """The parts of a store that making room is about."""

    shelf: Shelf
    packs: Packs
    keep: Keep
    uses: Uses

    def trim(self, keep_bytes: int, last_copy: LastCopy) -> Trimmed:
        """Have at most `keep_bytes` on the disk, if what must stay allows it."""
        before = self.shelf.count() + self.packs.size_bytes
        freed = self.shelf.drop_partial() if before > keep_bytes else 0
        surplus = before - freed - keep_bytes - (self.packs.size_bytes - self.packs.live_bytes)
        many = len(self.packs) - PACKED_BLOBS_MAX
        dropped = kept = 0
        if surplus > 0 or many > 0:
            kept_now, version = self.keep.kept(), self.keep.version
            for each in sorted(self._candidates(), key=lambda one: one.order):
                if surplus <= 0 and many <= 0:
                    break
                if last_copy(each.digest):
                    kept += 1
                    continue
                with self.keep.lock:
                    if self.keep.version != version:
                        kept_now, version = self.keep.kept(), self.keep.version
                    used = self.uses.get(each.digest)
                    in_use = used > self.uses.floor or used != each.order[0]
                    if in_use or each.digest in kept_now:
                        kept += 1
                        continue
                    surplus -= self._remove(each)
                    many -= each.packed
                    dropped += 1
        self.packs.compact(max(0, keep_bytes - self.shelf.size_bytes))
        after = self.shelf.size_bytes + self.packs.size_bytes
        return Trimmed(max(0, before - after), dropped, kept)

    def _remove(self, each: _Candidate) -> int:
        if each.packed:
            return self.packs.drop([each.digest])
        self.shelf.remove(each.digest, each.size_bytes)
        return each.size_bytes

    def _candidates(self) -> Iterator[_Candidate]:
        get, earlier, used_s = self.uses.get, self.uses.earlier, self.packs.used_s()
        for number, item in enumerate(self.packs.entries()):
            order = (get(blob := item.blob), earlier(blob), used_s.get(item.pack, 0.0), number)
            yield _Candidate(order, item.blob, item.size_bytes, packed=True)
        for number, (digest, info) in enumerate(self.shelf.blobs()):
            order = (get(digest), earlier(digest), info.used_s, number)
            yield _Candidate(order, digest, info.size_bytes, packed=False)
