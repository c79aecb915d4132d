"""Who says what came out of which action: the packed table behind the action cache's view.

A result of an action is the one event of which there are millions, so nothing is made of it here.
Its bytes have fixed places,

    86 0a | 58 20 action 32 | 58 20 outputs 32 | 58 20 record 32 | source 1 | duration 1, 2, 3 or 5

and a row is what begins with the action, filled up with zeros to ROW_BYTES. One regular expression
checks and splits a whole body; it accepts exactly the bytes that `decode_event` makes an
`ActionResult` of.

Rules
- Rows are never changed. Those of one action are chained, newest first; the index, open addressing
  with linear probing, holds the newest of each action beside 32 bits of its hash. The hash is
  Python's of bytes, which is salted, so nobody can choose actions that collide.
- Where a row comes from is kept by **runs**: rows of one strand whose places follow each other.
- Whether a row counts is its strand's affair. Rows that do not are thrown away by `compact` only.
- About 140 bytes a row, all included.

Not here: policy, builders, divergence (`actions`).
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import attrs

from mesh.state.events import ActionResult
from mesh.state.windows import Moved
from mesh.types import DIGEST_BYTES, Digest

ROW_BYTES = 106
_SLOTS_MIN = 1 << 10
_CHUNK_ROWS = 4096
_HASH, _ROW = 0xFFFFFFFF_00000000, 0xFFFFFFFF
"""The two halves of a slot."""

_RESULT = rb".{32}\x58\x20.{32}\x58\x20.{32}[\x00\x01]"
_HEAD = rb"\x86\x0a\x58\x20" + _RESULT
_DURATIONS = (
    (rb"\x6a", rb"[\x00-\x17]", 4),
    (rb"\x6b", rb"\x18[\x18-\xff]", 3),
    (rb"\x6c", rb"\x19[\x01-\xff].", 2),
    (rb"\x6e", rb"\x1a(?:\x00[\x01-\xff]..|[\x01-\x7f]...)", 0),
)
"""How long the event is then, the duration, and how many zeros fill the row up."""
_in_body = re.compile(
    rb"\x58(" + b"|".join(size + _HEAD + form for size, form, _ in _DURATIONS) + b")", re.DOTALL
)
_in_rows = re.compile(
    _RESULT + b"(?:" + b"|".join(form + rb"\x00" * fill for _, form, fill in _DURATIONS) + b")",
    re.DOTALL,
)
_FIRST = b"\x86\x0a\x58\x20"
_ACTION_IN_FOUND = slice(5, 37)
_ROW_IN_FOUND = 5


@attrs.frozen
class Attestation:
    """One row."""

    result: ActionResult
    strand: int
    seq: int
    is_event: bool
    """It is an event at that place; else a checkpoint there repeats it."""


@attrs.frozen
class Taken:
    """What came in."""

    actions: Sequence[Digest] = ()
    known: Sequence[Digest] = ()
    """Those of them that had rows before."""


def split_results(body: bytes, first: int) -> list[bytes] | None:
    """The events of a body whose items begin at `first`, each behind its length byte; None when
    they are not all results of actions."""
    found: list[bytes] = _in_body.findall(body, first)
    whole = sum(map(len, found)) + len(found) == len(body) - first
    return found if whole else None


def is_result(event: bytes) -> bool:
    """Whether the event is a result of an action."""
    return _in_body.fullmatch(b"\x58" + len(event).to_bytes(2, "big")[1:] + event) is not None


class Attestations:
    """See the module's head."""

    def __init__(self) -> None:
        self._rows = bytearray()
        self._next = array("I", (0,))
        """By the number of a row, from 1: the row of the same action before it, 0 for none."""
        self._slots = array("Q", bytes(8 * _SLOTS_MIN))
        self._actions = 0
        self._run_first = array("I")
        self._run_strand = array("I")
        self._run_seq = array("Q")
        self._run_step = array("B")
        """1: each row is one place further; 0: all are at one place, a checkpoint's."""

    def __len__(self) -> int:
        return len(self._next) - 1

    @property
    def actions(self) -> int:
        """How many different ones there are."""
        return self._actions

    @property
    def size_bytes(self) -> int:
        """Memory, as far as it grows with the rows."""
        arrays = (
            self._next,
            self._slots,
            self._run_first,
            self._run_strand,
            self._run_seq,
            self._run_step,
        )
        return self._rows.__sizeof__() + sum(each.__sizeof__() for each in arrays)

    # -- in ----------------------------------------------------------------------------------------
    def add_found(self, found: Sequence[bytes], strand: int, seq: int) -> Taken:
        """Take in what `split_results` has found, the first event being at `seq`."""
        self._run(strand, seq, 1)
        rows = [event[_ROW_IN_FOUND:].ljust(ROW_BYTES, b"\0") for event in found]
        return self._insert([Digest(event[_ACTION_IN_FOUND]) for event in found], rows)

    def add_events(self, events: Sequence[bytes], strand: int, seq: int) -> Taken:
        """Take in events that are results of actions (`is_result`), the first being at `seq`."""
        self._run(strand, seq, 1)
        rows = [event[len(_FIRST) :].ljust(ROW_BYTES, b"\0") for event in events]
        return self._insert([Digest(row[:DIGEST_BYTES]) for row in rows], rows)

    def add_packed(self, packed: bytes, strand: int, seq: int) -> Taken:
        """Take in the rows of a checkpoint (`is_packed`), all at its place."""
        self._run(strand, seq, 0)
        actions: list[Digest] = []
        known: list[Digest] = []
        for start in range(0, len(packed), ROW_BYTES * _CHUNK_ROWS):
            rows = split_rows(packed[start : start + ROW_BYTES * _CHUNK_ROWS])
            taken = self._insert([Digest(row[:DIGEST_BYTES]) for row in rows], rows)
            actions += taken.actions
            known += taken.known
        return Taken(actions, known)

    def _run(self, strand: int, seq: int, step: int) -> None:
        """The next row is at this place. Goes on with the newest run if that leads here."""
        row = len(self._next)
        if self._run_first and step and self._run_step[-1] and self._run_strand[-1] == strand:
            next_seq = self._run_seq[-1] + row - self._run_first[-1]
            if next_seq == seq:
                return
        self._run_first.append(row)
        self._run_strand.append(strand)
        self._run_seq.append(seq)
        self._run_step.append(step)

    def _insert(self, actions: Sequence[Digest], rows: Sequence[bytes]) -> Taken:
        while 2 * (self._actions + len(actions)) > len(self._slots):
            self._widen()
        number = len(self._next)
        self._rows += b"".join(rows)
        slots, nexts, known = self._slots, [], []
        mask = len(slots) - 1
        for action, salted in zip(actions, map(hash, actions), strict=True):
            key = salted & _HASH
            slot = key >> 32 & mask
            row = 0
            while entry := slots[slot]:
                if entry & _HASH == key and self._is_of(entry & _ROW, action):
                    row = entry & _ROW
                    known.append(action)
                    break
                slot = slot + 1 & mask
            nexts.append(row)
            slots[slot] = key | number
            number += 1
        self._next.extend(nexts)
        self._actions += len(actions) - len(known)
        return Taken(actions, known)

    def _is_of(self, row: int, action: bytes) -> bool:
        at = (row - 1) * ROW_BYTES
        return self._rows[at : at + DIGEST_BYTES] == action

    def _newest(self, action: bytes) -> int:
        """The newest row of an action; 0 when there is none."""
        mask, key = len(self._slots) - 1, hash(action) & _HASH
        slot = key >> 32 & mask
        while entry := self._slots[slot]:
            if entry & _HASH == key and self._is_of(entry & _ROW, action):
                return entry & _ROW
            slot = slot + 1 & mask
        return 0

    def _widen(self) -> None:
        old = self._slots
        slots = self._slots = array("Q", bytes(16 * len(old)))
        mask = len(slots) - 1
        for entry in filter(None, old):
            slot = entry >> 32 & mask
            while slots[slot]:
                slot = slot + 1 & mask
            slots[slot] = entry

    # -- out ---------------------------------------------------------------------------------------
    def of(self, action: Digest) -> list[Attestation]:
        """All rows of one action, whether they count or not."""
        row, found = self._newest(action), []
        while row:
            found.append(Attestation(read_row(self.row(row)), *self._place(row)))
            row = self._next[row]
        return found

    def outputs_of(self, action: Digest, among: bytearray | None = None) -> set[Digest]:
        """What came out of one action by any row, whether it counts or not; or by those `among`
        some (`marking`), and none that came after those were marked."""
        row, found = self._newest(action), set()
        while row:
            if among is None or (row < len(among) and among[row]):
                at = (row - 1) * ROW_BYTES
                found.add(Digest(bytes(self._rows[at + 34 : at + 66])))
            row = self._next[row]
        return found

    def runs(self, strand: int | None = None) -> Iterator[tuple[range, int, int, int]]:
        """Rows that belong together: their numbers, strand, first place and step."""
        for at, first in enumerate(self._run_first):
            if strand is None or self._run_strand[at] == strand:
                last = self._run_first[at + 1 : at + 2]
                rows = range(first, last[0] if last else len(self._next))
                yield rows, self._run_strand[at], self._run_seq[at], self._run_step[at]

    def marking(
        self, low_of: Callable[[int], int], counts: Callable[[int, int], bool], runs_max: int
    ) -> Generator[None, None, bytearray]:
        """By the number of a row 1 if it is an event not below the `low` of its strand, or repeated
        by a checkpoint at a place that `counts`. About so many runs of rows in each piece; what is
        added meanwhile is not in it."""
        marks, end = bytearray(len(self._next)), len(self._next)
        for number, (rows, strand, seq, step) in enumerate(self.runs(), 1):
            if rows.start >= end:
                break
            if step:
                rows = rows[min(max(low_of(strand) - seq, 0), len(rows)) :]  # noqa: PLW2901
            elif not counts(strand, seq):
                rows = rows[:0]  # noqa: PLW2901
            stop = min(rows.stop, end)
            if rows and rows.start < stop:
                marks[rows.start : stop] = b"\1" * (stop - rows.start)
            if number % runs_max == 0:
                yield
        return marks

    def actions_at(
        self, strands: Container[int], wanted: Callable[[int, int], bool]
    ) -> Iterator[Digest | None]:
        """Actions of which an event of one of these strands is at a place that is `wanted`, perhaps
        several times; for each other row or run None, so that whoever asks can count."""
        for rows, strand, seq, step in self.runs():
            if not step or strand not in strands:
                yield None
                continue
            for row in rows:
                yield self.action(row) if wanted(strand, seq + row - rows.start) else None

    def between(self, strand: int, low: int, high: int) -> Iterator[bytes]:
        """Rows of a strand at the places from `low` below `high`, those of one run together."""
        for rows, _, seq, step in self.runs(strand):
            if step:
                rows = rows[min(max(low - seq, 0), len(rows)) : max(high - seq, 0)]  # noqa: PLW2901
            elif not low <= seq < high:
                continue
            yield bytes(self._rows[(rows.start - 1) * ROW_BYTES : (rows.stop - 1) * ROW_BYTES])

    def moved(self, windows: Mapping[int, Moved], rows_max: int) -> Iterator[list[Digest]]:
        """Actions that have a row in what these strands' windows have moved over; by the number of
        a strand. About so many rows at a time, also when none of them is one."""
        found: list[Digest] = []
        room = rows_max
        for at, first in enumerate(self._run_first):
            room -= 1
            moved = windows.get(self._run_strand[at])
            if moved is not None:
                end = self._run_first[at + 1] if at + 1 < len(self._run_first) else len(self._next)
                for row in _rows_over(moved, first, end, self._run_seq[at], self._run_step[at]):
                    found.append(self.action(row))
                    room -= 1
                    if room <= 0:
                        yield found
                        found, room = [], rows_max
            if room <= 0:
                yield found
                found, room = [], rows_max
        if found:
            yield found

    def action(self, row: int) -> Digest:
        at = (row - 1) * ROW_BYTES
        return Digest(bytes(self._rows[at : at + DIGEST_BYTES]))

    def row(self, row: int) -> bytes:
        at = (row - 1) * ROW_BYTES
        return bytes(self._rows[at : at + ROW_BYTES])

    def _place(self, row: int) -> tuple[int, int, bool]:
        at = bisect_right(self._run_first, row) - 1
        step = self._run_step[at]
        seq = self._run_seq[at] + step * (row - self._run_first[at])
        return self._run_strand[at], seq, bool(step)

    # -- less --------------------------------------------------------------------------------------
    def dead(self, low_of: Callable[[int], int]) -> int:
        """How many rows are below the `low` of their strand."""
        return sum(len(rows) - len(kept) for rows, kept in self._kept(low_of))

    def compacting(
        self, low_of: Callable[[int], int], rows_max: int
    ) -> Iterator[Attestations | None]:
        """A table without those rows, which comes last; before it None after about `rows_max` rows
        each. Costs as much as adding the others anew. What is added here meanwhile is in it."""
        fresh, row, at = Attestations(), 1, 0
        while row < len(self._next):
            while at + 1 < len(self._run_first) and self._run_first[at + 1] <= row:
                at += 1
            end = self._run_first[at + 1] if at + 1 < len(self._run_first) else len(self._next)
            end = min(end, row + rows_max)
            self._copy(fresh, range(row, end), at, low_of(self._run_strand[at]))
            row = end
            if row < len(self._next):
                yield None
        yield fresh

    def _copy(self, fresh: Attestations, rows: range, run: int, low: int) -> None:
        """Add rows of one run that are not below `low` to another table."""
        step = self._run_step[run]
        seq = self._run_seq[run] + step * (rows.start - self._run_first[run])
        kept = rows[min(max(low - seq, 0), len(rows)) :] if step or seq >= low else rows[:0]
        if kept:
            fresh._run(self._run_strand[run], seq + step * (kept.start - rows.start), step)
            chunk = bytes(self._rows[(kept.start - 1) * ROW_BYTES : (kept.stop - 1) * ROW_BYTES])
            contents = split_rows(chunk)
            fresh._insert([Digest(row[:DIGEST_BYTES]) for row in contents], contents)

    def _kept(self, low_of: Callable[[int], int]) -> Iterator[tuple[range, range]]:
        """Of each run all rows, and those that are not below the `low` of their strand."""
        for rows, strand, seq, step in self.runs():
            low = low_of(strand)
            if step:
                yield rows, rows[min(max(low - seq, 0), len(rows)) :]
            else:
                yield rows, rows if seq >= low else rows[len(rows) :]


def _rows_over(moved: Moved, first: int, end: int, seq: int, step: int) -> Iterator[int]:
    """Rows of one run, from `first` below `end`, whose places a window has moved over."""
    if not step:
        yield from range(first, end) if moved.affects(seq) else ()
        return
    for places in moved.affected(seq, seq + end - first):
        yield from range(first + places.start - seq, first + places.stop - seq)


def read_row(row: bytes) -> ActionResult:
    """What a row says."""
    duration = row[101]
    if duration >= 24:
        duration = int.from_bytes(row[102 : 102 + _WIDTHS[duration]], "big")
    action, outputs, record = row[:32], row[34:66], row[68:100]
    return ActionResult(Digest(action), Digest(outputs), Digest(record), row[100], duration)


_WIDTHS = {0x18: 1, 0x19: 2, 0x1A: 4}


def pack(rows: Iterable[bytes]) -> bytes:
    """Rows for a checkpoint: sorted, each once."""
    return b"".join(sorted(set(rows)))


def split_rows(packed: bytes) -> list[bytes]:
    return [packed[at : at + ROW_BYTES] for at in range(0, len(packed), ROW_BYTES)]


def in_slices(packed: bytes, rows_max: int) -> Iterator[bytes]:
    """So many rows each, the last ones fewer."""
    for at in range(0, len(packed), ROW_BYTES * rows_max):
        yield packed[at : at + ROW_BYTES * rows_max]


def is_packed(packed: bytes, after: bytes = b"") -> bool:
    """Whether `packed` is what `pack` makes of some rows, all of them higher than `after`."""
    if len(packed) % ROW_BYTES:
        return False
    rows = split_rows(packed)
    in_order = all(one < other for one, other in pairwise([after, *rows]))
    return in_order and all(map(_in_rows.fullmatch, rows))
