"""Flash memory: bits go from 1 to 0 by programming and back by erasing, and power may fail.

A part's controller says what is allowed (word size, unlocking, how often) and calls `program` and
`erase`; here is what they do to the bits, how many there were, and the cut. A cut is at one
operation: `clean` before it did anything, `torn` in the middle of it (any bits may have changed),
`half` when its first half was done. Every program operation of one word of the part counts.
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


@attrs.frozen
class Operation:
    """One change: what stood there, and what stands there when power lasts."""

    at: int
    before: bytes
    after: bytes

    def unreadable(self, tear: Tear, word_bytes: int) -> frozenset[int]:
        """Words whose ECC fits nothing when power fails during it: the one that was written, or
        those of a sector that were between two states."""
        words = range(self.at, self.at + len(self.before), word_bytes)
        if tear is Tear.CLEAN or self.before == self.after:
            return frozenset()
        return frozenset(
            words if tear is Tear.TORN or len(words) == 1 else (words[len(words) // 2],)
        )

    def torn(self, tear: Tear, seed: int) -> bytes:
        """What stands there when power fails during it."""
        before, after, half = self.before, self.after, len(self.before) // 2
        if tear is Tear.CLEAN:
            return before
        if tear is Tear.HALF:
            return after[:half] + before[half:]
        bits = random.Random(seed).randbytes(len(before))  # noqa: S311 - to be repeatable
        return bytes(
            old & mix | new & ~mix & 0xFF for old, new, mix in zip(before, after, bits, strict=True)
        )


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
        self.journal: list[Operation] | None = None
        """All operations are noted there, if it is one."""
        self.written: set[int] = set()
        """Addresses of words programmed since they were erased; for parts that care. What stood in
        the image counts as written where it is not erased."""
        self.ecc_bytes: int | None = None
        """Size of the words that carry ECC, on parts that answer a torn one with a bus fault."""
        self.unreadable: set[int] = set()
        """Addresses of such words."""
        self._put = put

    def holds(self, at: int) -> bool:
        return self.base <= at < self.base + self.size

    def read(self, at: int, size: int) -> bytes:
        offset = at - self.base
        return bytes(self.data[offset : offset + size])

    def is_erased(self, at: int, size: int) -> bool:
        return (
            at not in self.written | self.unreadable
            and self.read(at, size) == bytes([ERASED]) * size
        )

    def program(self, at: int, word: bytes) -> None:
        """Clear the bits that are 0 in `word`."""
        before = self.read(at, len(word))
        after = bytes(old & new for old, new in zip(before, word, strict=True))
        if self._carry_out(Operation(at, before, after)) != before:
            self.written.add(at)

    def erase(self, at: int, size: int) -> None:
        """Set all bits of a sector."""
        erased = bytes([ERASED]) * size
        self.unreadable = {each for each in self.unreadable if not at <= each < at + size}
        self._carry_out(Operation(at, self.read(at, size), erased))
        if not self.dark:
            self.written = {each for each in self.written if not at <= each < at + size}

    def _carry_out(self, operation: Operation) -> bytes:
        """Do it, or what power is left for; gives what stands there then."""
        assert not self.dark, "no power"
        self.operations += 1
        if self.journal is not None:
            self.journal.append(operation)
        cut = self.cut
        is_cut = cut is not None and cut.operation == self.operations
        data = operation.torn(cut.tear, cut.seed) if cut and is_cut else operation.after
        offset = operation.at - self.base
        self.data[offset : offset + len(data)] = data
        self._put(operation.at, data)
        if is_cut:
            if cut and self.ecc_bytes:
                self.unreadable |= operation.unreadable(cut.tear, self.ecc_bytes)
            self.dark = True
            self.on_cut()
        return data
