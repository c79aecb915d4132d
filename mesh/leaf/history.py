"""All events of one leaf that the mesh has: the union of what gateways took, in any order.

    History().add(segment) -> the parts of it that are new; Contradicts when the chain disagrees
    History.of(claims, signed) -> the same from everything at once, also when somebody lies

Merging is a set union: gateways that saw the same leaf in turn, or tell each other late or twice,
end with the same events, each once. What is missing between segments was dropped by the leaf, or
let go since, or is with a gateway that has not been heard.

Nobody can take back what the leaf has signed. `sign` is its own word about a place of its chain;
what leads there is true, whoever told it, and what says otherwise is not (`of`). Among what the
leaf has not signed yet the first wins, in the order in which `of` is given it. As long as nobody
contradicts, `add` in any order comes to the same as `of`.

Pure. Deliberately not here: whose word counts (`mesh.state`), the disk, messages.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

import attrs

from mesh.leaf.events import Stream
from mesh.leaf.segment import Segment

NOBODY_SAID = 2**32
"""In place of the order of a start: above every order."""


class Contradicts(ValueError):
    """The chain of a segment is not that of the events we have."""


@attrs.frozen
class SignedHead:
    """A leaf's word: after `number` events of this start its chain is at `head`."""

    boot_nonce: bytes
    number: int
    head: bytes


@attrs.frozen
class Gap:
    """Events `first` to below `end` are not here."""

    first: int
    end: int
    let_go: bool
    """They were here, and are older than what is kept."""
    signed: bool
    """The leaf has signed the chain that goes on behind them: nobody else has left them out."""

    @property
    def count(self) -> int:
        return self.end - self.first


@attrs.define
class Start:
    """One start of the leaf."""

    boot_nonce: bytes
    order: int = NOBODY_SAID
    """Starts that were before it, as far as its gateways knew: the lowest that was said."""
    started_unix_ms: int = 0
    forgotten: int = 0
    """Events below this number were let go by some gateway that had them."""
    lost: int = 0
    """Events that the leaf says it dropped: the highest that was said."""
    pieces: list[Segment] = attrs.Factory(list)
    """By number, never overlapping."""
    signed: dict[int, bytes] = attrs.Factory(dict)

    @property
    def end(self) -> int:
        return max(self.forgotten, self.pieces[-1].end if self.pieces else 0)

    @property
    def count(self) -> int:
        return sum(piece.count for piece in self.pieces)

    @property
    def missing(self) -> int:
        """Those that were let go do not count."""
        return sum(gap.count for gap in self.gaps() if not gap.let_go)

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Of events that follow each other without a gap."""
        found: list[tuple[int, int]] = []
        for piece in self.pieces:
            if found and found[-1][1] == piece.first:
                found[-1] = (found[-1][0], piece.end)
            else:
                found.append((piece.first, piece.end))
        return tuple(found)

    def gaps(self) -> Iterator[Gap]:
        """What is not here, by number."""
        reached = 0
        for first, end in self.ranges():
            signed = any(first <= number <= end for number in self.signed)
            border = min(max(reached, self.forgotten), first)
            if reached < border:
                yield Gap(reached, border, let_go=True, signed=signed)
            if border < first:
                yield Gap(border, first, let_go=False, signed=signed)
            reached = end
        if reached < self.forgotten:
            yield Gap(reached, self.forgotten, let_go=True, signed=False)

    def near(self, segment: Segment) -> list[Segment]:
        """Pieces that share a place with it."""
        at = bisect_left(self.pieces, segment.first, key=lambda piece: piece.end)
        found = []
        for piece in self.pieces[at:]:
            if piece.first > segment.end:
                break
            found.append(piece)
        return found

    def heard(self, order: int, started_unix_ms: int, lost: int = 0) -> None:
        """What a gateway says of the start itself."""
        told = (self.order, self.started_unix_ms)
        self.order, self.started_unix_ms = min(told, (order, started_unix_ms))
        self.lost = max(self.lost, lost)


class History:
    """See the module's head."""

    def __init__(self) -> None:
        self._starts: dict[bytes, Start] = {}
        self.count = 0
        self.refused = 0
        """Segments that `of` has left out: they say otherwise than what is here."""

    @classmethod
    def of(cls, claims: Sequence[Segment], signed: Iterable[SignedHead]) -> History:
        """What these segments come to. Where they contradict each other those win that lead to
        what the leaf has signed, then the first."""
        history = cls()
        points = sorted(signed, key=lambda each: (each.boot_nonce, each.number, each.head))
        for point in points:  # of two heads at one place, which no sound leaf signs, the lower
            history._start(point.boot_nonce).signed.setdefault(point.number, point.head)
        for segment in (*_proven(claims, history._starts.values()), *claims):
            try:
                history.add(segment)
            except Contradicts:
                history.refused += 1
        return history

    # -- merging ---------------------------------------------------------------------------------
    def news(self, segment: Segment) -> tuple[Segment, ...]:
        """The parts that are not here yet, in order. Raises Contradicts; changes nothing."""
        start = self._starts.get(segment.boot_nonce)
        if start is None:
            return (segment,) if segment.count else ()
        near = start.near(segment)
        for piece in near:
            if not piece.agrees(segment):
                raise Contradicts(f"between {segment.first} and {segment.end}")
        for number, head in start.signed.items():
            if segment.first <= number <= segment.end and segment.head_at(number) != head:
                raise Contradicts(f"the leaf has signed another head at {number}")
        return tuple(_without(segment, near))

    def add(self, segment: Segment) -> tuple[Segment, ...]:
        """Merge; gives the parts that were new. Raises Contradicts."""
        new = self.news(segment)
        start = self._start(segment.boot_nonce)
        start.heard(segment.order, segment.started_unix_ms, segment.lost)
        for part in new:
            at = bisect_left(start.pieces, part.first, key=lambda piece: piece.first)
            start.pieces.insert(at, part)
            self.count += part.count
        return new

    def sign(self, signed: SignedHead) -> None:
        """Take the leaf's word. Raises Contradicts when what is here says otherwise."""
        start = self._start(signed.boot_nonce)
        known = start.signed.setdefault(signed.number, signed.head)
        here = [p for p in start.pieces if p.first <= signed.number <= p.end]
        if known != signed.head or any(p.head_at(signed.number) != signed.head for p in here):
            raise Contradicts(f"the leaf has signed another head at {signed.number}")

    def let_go(self, boot_nonce: bytes, order: int, started_unix_ms: int, below: int) -> None:
        """A gateway that had the events below that number has let them go."""
        start = self._start(boot_nonce)
        start.heard(order, started_unix_ms)
        start.forgotten = max(start.forgotten, below)

    def _start(self, boot_nonce: bytes) -> Start:
        return self._starts.setdefault(boot_nonce, Start(boot_nonce))

    # -- reading ---------------------------------------------------------------------------------
    def starts(self) -> list[Start]:
        """Those of which there is something to tell, oldest first."""
        told = [start for start in self._starts.values() if start.pieces or start.forgotten]
        return sorted(told, key=lambda each: (each.order, each.started_unix_ms, each.boot_nonce))

    def start(self, boot_nonce: bytes) -> Start | None:
        return self._starts.get(boot_nonce)

    @property
    def missing(self) -> int:
        return sum(start.missing for start in self._starts.values())

    def order_of(self, boot_nonce: bytes) -> int:
        """How many starts were before that one, as far as is known here."""
        known = self._starts.get(boot_nonce)
        if known is not None and known.order < NOBODY_SAID:
            return known.order
        orders = [each.order for each in self._starts.values() if each.order < NOBODY_SAID]
        return min(max(orders, default=-1) + 1, NOBODY_SAID - 1)

    def stream(self, boot_nonce: bytes) -> Stream:
        """Where a gateway goes on with that start."""
        start = self._starts.get(boot_nonce)
        if start is None or not start.pieces:
            return Stream(boot_nonce)
        last = start.pieces[-1]
        return Stream(boot_nonce, last.end, last.tail, start.missing)

    def segments(self) -> Iterator[Segment]:
        """Everything, oldest start first."""
        for start in self.starts():
            yield from start.pieces


def _without(segment: Segment, pieces: Iterable[Segment]) -> Iterator[Segment]:
    """What of a segment is in none of these pieces, which are by number."""
    at = segment.first
    for piece in pieces:
        if at < min(piece.first, segment.end):
            yield segment.part(at, min(piece.first, segment.end))
        at = max(at, piece.end)
    if at < segment.end:
        yield segment.part(at, segment.end)


def _proven(claims: Sequence[Segment], starts: Iterable[Start]) -> list[Segment]:
    """The parts of claims that lead, one after the other, to a head that the leaf has signed."""
    of_boot: dict[bytes, list[Segment]] = {}
    ending: dict[tuple[bytes, int, bytes], Segment] = {}
    for each in claims:
        of_boot.setdefault(each.boot_nonce, []).append(each)
        ending.setdefault((each.boot_nonce, each.end, each.tail), each)
    todo = [(s.boot_nonce, number, head) for s in starts for number, head in s.signed.items()]
    found: list[Segment] = []
    seen = set(todo)
    while todo:
        boot, number, head = point = todo.pop()
        inside = (
            each
            for each in of_boot.get(boot, ())
            if each.first < number < each.end and each.head_at(number) == head
        )
        claim = ending.get(point) or next(inside, None)
        if claim is None or not claim.count:
            continue
        found.append(claim.part(claim.first, number))
        before = (boot, claim.first, claim.head)
        if before not in seen:
            seen.add(before)
            todo.append(before)
    return found
