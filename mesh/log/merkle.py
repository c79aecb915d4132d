"""Merkle trees over the events of one frame, as RFC 6962 section 2.1 makes them.

A leaf is SHA-256(0x00 ‖ event), an inner node SHA-256(0x01 ‖ left ‖ right), and the left part of a
split is the largest power of two below the count. So the root commits to number, order and bytes of
the events, and one event can be shown to be among 256 with eight digests.

Not here: headers and signatures (`frame`), proofs that people keep (`audit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

LEAF, INNER = b"\0", b"\1"
_begin_leaf, _begin_inner = sha256(LEAF).copy, sha256(INNER).copy
"""Copying a state that has begun is cheaper than beginning one, in the dearest loop of the log."""


def root_of(events: Sequence[bytes]) -> bytes:
    """The root, 32 bytes. At least one event.

    Pairs level by level and carries an odd last node up: for the left-complete trees of RFC 6962
    that is the same tree, without recursion.
    """
    assert events
    level = []
    for event in events:
        hashed = _begin_leaf()
        hashed.update(event)
        level.append(hashed.digest())
    while len(level) > 1:
        above = []
        pairs = iter(level)
        for left, right in zip(pairs, pairs):  # noqa: B905 - an odd last one is carried up
            hashed = _begin_inner()
            hashed.update(left + right)
            above.append(hashed.digest())
        level = [*above, level[-1]] if len(level) & 1 else above
    return level[0]


def path_of(events: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The digests that lead from event `index` to the root, lowest first (RFC 6962 2.1.1)."""
    assert 0 <= index < len(events)
    if len(events) == 1:
        return ()
    split = 1 << (len(events) - 1).bit_length() - 1
    left, right = events[:split], events[split:]
    if index < split:
        return (*path_of(left, index), root_of(right))
    return (*path_of(right, index - split), root_of(left))


def root_by_path(event: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root that `path` leads to from `event` at `index` of `count`; None when the path has
    another length than such a place has (RFC 9162 section 2.1.3.2)."""
    assert 0 <= index < count
    here, place, last = sha256(LEAF + event).digest(), index, count - 1
    for step in path:
        if last == 0:
            return None
        if place & 1 or place == last:
            here = sha256(INNER + step + here).digest()
            while not place & 1 and place:  # carried up without a partner
                place, last = place >> 1, last >> 1
        else:
            here = sha256(INNER + here + step).digest()
        place, last = place >> 1, last >> 1
    return here if last == 0 else None
