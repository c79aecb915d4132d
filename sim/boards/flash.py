"""Flash memory: bits go from 1 to 0 by programming and back by erasing, and power may fail.

A part's controller says what is allowed (word size, unlocking, how often) and calls `program` and
`erase`; here is what they do to the bits, how many there were, and the cut. A cut is at one
operation: `clean` before it did anything, `torn` in the middle of it (any bits may have changed),
`half` with half the sector erased. Every program operation of one word of the part counts.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from enum import Enum

import attrs

ERASED = 0xFF


class Tear(Enum):
    CLEAN = "clean"
    TORN = "torn"
    HALF = "half"


@attrs.frozen
class Cut:
    """Power fails at this operation, counted from 1 since the machine was made."""

    operation: int
    tear: Tear = Tear.CLEAN
    seed: int = 0
    """Which bits a torn operation has changed."""


class FlashMemory:
    """The cells. `put` writes them where the processor reads them."""

    def __init__(self, base: int, image: bytes, put: Callable[[int, bytes], None]) -> None:
        self.base, self.size = base, len(image)
        self.data = bytearray(image)
        self.operations = 0
        self.mistakes: Counter[str] = Counter()
        """Rules of the part that the firmware broke: what -> how often. Stays empty."""
        self.cut: Cut | None = None
        self.on_cut: Callable[[], None] = lambda: None
        self.dark = False
        self.written: set[int] = set()
        """Addresses of words programmed since they were erased; for parts that care. What stood in
        the image counts as written where it is not erased."""
        self._put = put

    def holds(self, at: int) -> bool:
        return self.base <= at < self.base + self.size

    def read(self, at: int, size: int) -> bytes:
        offset = at - self.base
        return bytes(self.data[offset : offset + size])

    def is_erased(self, at: int, size: int) -> bool:
        return at not in self.written and self.read(at, size) == bytes([ERASED]) * size

    def program(self, at: int, word: bytes) -> None:
        """Clear the bits that are 0 in `word`."""
        tear = self._operation()
        before = self.read(at, len(word))
        after = bytes(old & new for old, new in zip(before, word, strict=True))
        if tear is not None:
            after = before if tear is Tear.CLEAN else self._mixed(before, after)
        self._store(at, after)
        if after != before:
            self.written.add(at)
        self._end(tear)

    def erase(self, at: int, size: int) -> None:
        """Set all bits of a sector."""
        tear = self._operation()
        before, after = self.read(at, size), bytes([ERASED]) * size
        if tear is Tear.CLEAN:
            after = before
        elif tear is Tear.HALF:
            after = after[: size // 2] + before[size // 2 :]
        elif tear is Tear.TORN:
            after = self._mixed(before, after)
        self._store(at, after)
        if tear is None:
            self.written = {each for each in self.written if not at <= each < at + size}
        self._end(tear)

    def _operation(self) -> Tear | None:
        assert not self.dark, "no power"
        self.operations += 1
        cut = self.cut
        return cut.tear if cut is not None and cut.operation == self.operations else None

    def _mixed(self, before: bytes, after: bytes) -> bytes:
        assert self.cut is not None
        bits = random.Random(self.cut.seed).randbytes(len(before))  # noqa: S311 - to be repeatable
        return bytes(
            old & mix | new & ~mix & 0xFF for old, new, mix in zip(before, after, bits, strict=True)
        )

    def _store(self, at: int, data: bytes) -> None:
        offset = at - self.base
        self.data[offset : offset + len(data)] = data
        self._put(at, data)

    def _end(self, tear: Tear | None) -> None:
        if tear is not None:
            self.dark = True
            self.on_cut()
