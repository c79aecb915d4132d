"""What must not be offered because it was made from something that no longer counts.

A removal withdraws what its cut leaves out. But others have built from it: an object file of the
removed node was linked by an honest one. So:

- A **seed** is a result (action, outputs) that only withdrawn events attest, or that an admin who
  removed somebody lists (`withdrawals`) and nothing that counts attests. As soon as anybody
  whose word counts has got the same outputs, it is none: those bytes are right.
- An action is **tainted** when a seed, or what came out of a tainted action, is among its inputs.
  What it consumed is said by `Derivation` events, by the first 16 bytes of the outputs' digests.
- Nothing that came out of a tainted action is offered, whoever built it.
- What a checkpoint covers is no seed and came out of nothing: a node that comes later never sees
  it, one that was here may have thrown it away. What of that is still to be withheld is what admins
  have listed. Neither is what a checkpoint repeats a seed; its state is not loaded, or forgotten,
  where the checkpoint does not count.

The closure goes once over the edges; it is made anew only after something that could change it, and
there is nothing to do while nobody was cut. It can be made in slices. Until it is made nothing is
offered of an action that has consumed others' outputs: that is a miss, and never wrong.

Content addresses make this a second line: an action whose poisoned input nobody produces any more
is not asked for. It matters where the poisoned file is already in somebody's tree.

Not here: deleting the blobs (whoever holds them asks for `closure`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from typing import TypeVar, cast

import attrs

from mesh.state.actions import ActionView
from mesh.state.events import CONSUMED_BYTES, Derivation
from mesh.state.ledger import Entry, Ledger
from mesh.state.strands import Strand, Strands
from mesh.state.windows import Moved, Windows
from mesh.state.withdrawals import Pair
from mesh.types import Digest, NodeId

T = TypeVar("T")
_AT_ONCE = 1 << 62
LOOK_ROWS = 8
"""What all that is known of one action costs to look at, in rows of a slice."""
Consumed = bytes
"""The first CONSUMED_BYTES of an `outputs` digest."""


@attrs.frozen
class Withdrawn:
    """A result that only events outside a cut attest."""

    action: Digest
    outputs: Digest
    records: tuple[Digest, ...]
    nodes: tuple[NodeId, ...]


@attrs.frozen
class Taint:
    """What is withheld."""

    withdrawn: tuple[Withdrawn, ...] = ()
    """By action and outputs."""
    derived: tuple[Digest, ...] = ()
    """Actions that were made from it, in order."""


@attrs.frozen
class Closure:
    """All actions that consumed a seed, or what came out of such an action, and so on."""

    tainted: set[Digest]
    consumed: set[Consumed]
    """By what they are: an action that consumes one of these is one of them."""


def closing(
    seeds: Iterable[Consumed],
    consumers: Mapping[Consumed, Collection[Digest]],
    outputs_of: Callable[[Digest], Iterable[Digest]],
    actions_max: int,
) -> Generator[None, None, Closure]:
    """Each action and each edge is looked at once, about so many in each piece."""
    tainted: set[Digest] = set()
    queue, room = list(dict.fromkeys(seeds)), actions_max
    seen = set(queue)
    while queue:
        if room <= 0:
            yield
            room = actions_max
        for action in consumers.get(queue.pop(), ()):
            if action in tainted:
                continue
            tainted.add(action)
            for outputs in outputs_of(action):
                consumed = outputs[:CONSUMED_BYTES]
                if consumed not in seen:
                    seen.add(consumed)
                    queue.append(consumed)
            room -= 1
            if room <= 0:
                yield
                room = actions_max
        room -= 1
    return Closure(tainted, seen)


def closure(
    seeds: Iterable[Consumed],
    consumers: Mapping[Consumed, Collection[Digest]],
    outputs_of: Callable[[Digest], Iterable[Digest]],
) -> set[Digest]:
    """The actions, all at once."""
    return finished(closing(seeds, consumers, outputs_of, _AT_ONCE)).tainted


def finished(work: Generator[None, None, T]) -> T:
    """What comes of it in the end."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return cast("T", done.value)


NOTHING = Closure(set(), set())


class Seeds:
    """What taint begins with; `consumed`: how derivations name it."""

    def __init__(self) -> None:
        self.by_pair: dict[Pair, Withdrawn] = {}
        self.actions: set[Digest] = set()
        self.consumed: set[Consumed] = set()

    def add(self, seed: Withdrawn) -> None:
        self.by_pair[seed.action, seed.outputs] = seed
        self.actions.add(seed.action)
        self.consumed.add(seed.outputs[:CONSUMED_BYTES])

    def because_of(self, node: NodeId | None) -> list[Withdrawn]:
        """By action and outputs; those on account of one node, or all."""
        ordered = (self.by_pair[pair] for pair in sorted(self.by_pair))
        return [seed for seed in ordered if node is None or node in seed.nodes]


class TaintView:
    """See the module's head."""

    def __init__(self, actions: ActionView, strands: Strands, windows: Windows) -> None:
        self._actions = actions
        self._strands = strands
        self._windows = windows
        self._derivations: Ledger[Digest] = Ledger()
        self._seeds = Seeds()
        self._closure = NOTHING
        self._listed: dict[Pair, dict[NodeId, None]] = {}
        """What admins list as withdrawn, and on whose account."""
        self._is_old = False
        self._cut_changes = 0
        self._renewals = 0
        """How often it was begun to find all this anew; the last one is in force."""
        self._meanwhile: tuple[set[Digest], set[Consumed]] | None = None
        """While that is going on: actions with new rows, and what new derivations name."""

    # -- asking ------------------------------------------------------------------------------------
    @property
    def is_old(self) -> bool:
        """Whether it must be made anew, or that is going on."""
        changed = self._cut_changes != self._windows.cut_changes
        return self._is_old or changed or self._meanwhile is not None

    def is_tainted(self, action: Digest) -> bool:
        """Whether nothing of this action is to be offered; while `is_old`, whether that may be."""
        return action in self._closure.tainted or (self.is_old and self._derivations.has(action))

    def of(self, node: NodeId | None = None) -> Taint:
        """All that is withheld; on account of one node, or of all."""
        seeds, found = self._seeds.because_of(node), self._closure
        if node is not None:
            first = {seed.outputs[:CONSUMED_BYTES] for seed in seeds}
            found = finished(self._closing(first, _AT_ONCE))
        return Taint(tuple(seeds), tuple(sorted(found.tainted)))

    # -- folding -----------------------------------------------------------------------------------
    def derived(self, entry: Entry, derivation: Derivation) -> None:
        self._derivations.add(derivation.action, entry)
        if self._meanwhile is not None:
            self._meanwhile[1].update(derivation.consumed)
        self._is_old |= not self._closure.consumed.isdisjoint(derivation.consumed)

    def came(self, strand: Strand, actions: Collection[Digest]) -> None:
        """Results of these actions came in on a strand."""
        if self._meanwhile is not None:
            self._meanwhile[0].update(actions)
        if self._windows.is_strand_cut(strand) or self._watches(actions):
            self._is_old = True

    def list_withdrawn(self, listed: dict[Pair, dict[NodeId, None]]) -> None:
        """All that admins list now."""
        if listed != self._listed:
            self._listed, self._is_old = listed, True

    def moved(self, moved: Iterable[Moved]) -> None:
        """Windows have moved: what vouches for a seed, or says what was consumed, may not count."""
        may_matter = self._windows.has_cuts or bool(self._listed)
        self._is_old |= may_matter and any(True for _ in moved)

    def compact(self) -> None:
        self._derivations.compact()

    def kept(self, node: NodeId) -> list[tuple[Digest, Entry]]:
        """The derivations that a checkpoint of this node keeps with their actions."""
        return [
            each
            for strand in self._strands.of_node(node)
            for each in self._derivations.counting_on(strand)
        ]

    # -- the closure -------------------------------------------------------------------------------
    def renew(self) -> None:
        """Make it anew, if it must be, at once."""
        if self.is_old:
            for _ in self.renewing(_AT_ONCE):
                pass

    def renewing(self, rows_max: int) -> Iterator[None]:
        """The same in pieces of about so many rows or actions. What becomes known meanwhile, and
        would change it, makes it old again; another call makes this one come to nothing."""
        self._renewals += 1
        number = self._renewals
        self._is_old, self._cut_changes = False, self._windows.cut_changes
        self._meanwhile = rows, consumed = set[Digest](), set[Consumed]()
        seeds = Seeds()
        for _ in self._finding_seeds(seeds, rows_max):
            yield
            if number != self._renewals:
                return
        work = self._closing(seeds.consumed, rows_max)
        found: Closure | None = None
        while found is None:
            try:
                next(work)
            except StopIteration as done:
                found = cast("Closure", done.value)
                continue
            yield
            if number != self._renewals:
                return
        self._seeds, self._closure, self._meanwhile = seeds, found, None
        self._is_old |= self._watches(rows) or not found.consumed.isdisjoint(consumed)

    def _watches(self, actions: Collection[Digest]) -> bool:
        """Whether a new row of one of these actions changes something."""
        tainted, of_seeds = self._closure.tainted, self._seeds.actions
        return not (tainted.isdisjoint(actions) and of_seeds.isdisjoint(actions))

    def _finding_seeds(self, seeds: Seeds, rows_max: int) -> Iterator[None]:
        looked_at, room = set[Digest](), rows_max
        for action in self._withdrawn_actions():
            room -= 1
            if action is not None and action not in looked_at:
                looked_at.add(action)
                self._look_at(action, seeds)
                room -= LOOK_ROWS
            if room <= 0:
                yield
                room = rows_max
        for number, (pair, on_account_of) in enumerate(list(self._listed.items()), 1):
            action, outputs = pair
            if pair not in seeds.by_pair and outputs not in self._actions.claims(action):
                seeds.add(Withdrawn(action, outputs, (), tuple(sorted(on_account_of))))
            if number % rows_max == 0:
                yield

    def _look_at(self, action: Digest, seeds: Seeds) -> None:
        """What of an action only withdrawn events attest."""
        counting = self._actions.claims(action)
        records: dict[Digest, dict[Digest, None]] = {}
        nodes: dict[Digest, dict[NodeId, None]] = {}
        for row in self._actions.table.of(action):
            strand, outputs = self._strands[row.strand], row.result.outputs
            is_out = row.is_event and self._windows.is_withdrawn(strand, row.seq)
            if is_out and outputs not in counting:
                records.setdefault(outputs, {})[row.result.record] = None
                nodes.setdefault(outputs, {})[strand.feed.node] = None
        for outputs, each in records.items():
            by = tuple(sorted(nodes[outputs]))
            seeds.add(Withdrawn(action, outputs, tuple(sorted(each)), by))

    def _withdrawn_actions(self) -> Iterator[Digest | None]:
        strands, windows = self._strands, self._windows
        cut = {strand.index for strand in windows.cut_strands()}
        if not cut:
            return iter(())
        return self._actions.table.actions_at(
            cut, lambda strand, seq: windows.is_withdrawn(strands[strand], seq)
        )

    def _closing(self, first: set[Consumed], rows_max: int) -> Generator[None, None, Closure]:
        if not first:
            return NOTHING
        consumers: dict[Consumed, list[Digest]] = {}
        for number, action in enumerate(list(self._derivations), 1):
            for each in _consumed(self._derivations.of(action)):
                consumers.setdefault(each, []).append(action)
            if number % rows_max == 0:
                yield
        strands, table = self._strands, self._actions.table
        known = yield from table.marking(
            lambda strand: strands[strand].low,
            lambda strand, seq: strands[strand].counts(seq),
            rows_max,
        )
        return (
            yield from closing(
                first, consumers, lambda action: table.outputs_of(action, known), rows_max
            )
        )


def _consumed(entries: Iterable[Entry]) -> Iterator[Consumed]:
    """What those name that count. Each has been decoded before, so the places of its items are
    known: kind and action take 36 bytes, the array's head 1 to 3, and each item one before it."""
    for entry in entries:
        if not entry.counts:
            continue
        data = entry.data
        first = 36 + {0x98: 2, 0x99: 3}.get(data[36], 1)
        for at in range(first + 1, len(data), 1 + CONSUMED_BYTES):
            yield data[at : at + CONSUMED_BYTES]
