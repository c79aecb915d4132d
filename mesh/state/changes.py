"""What came of giving something to the state: one difference for all who listen.

Not here: the state (`views`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import attrs

from mesh.state.registers import RegisterKey
from mesh.state.runs import RunKey
from mesh.state.strands import Strand
from mesh.state.windows import Moved
from mesh.types import Digest, NodeId

T = TypeVar("T")


@attrs.frozen
class Changes:
    """Everything here names what to look at again; the views say how it is now."""

    actions: Sequence[Digest] = ()
    """Of which results came in, count now, or count no more."""
    diverged: tuple[Digest, ...] = ()
    """Of which different outputs count now, and did not before: an alarm."""
    settled: tuple[Digest, ...] = ()
    """Of which they do no more."""
    registers: tuple[RegisterKey, ...] = ()
    programs: tuple[str, ...] = ()
    runs: tuple[RunKey, ...] = ()
    leaves: tuple[NodeId, ...] = ()
    """Of whose events other ones count now."""
    policy: bool = False
    disputed: tuple[NodeId, ...] = ()
    """Nodes that are newly known to have signed two histories."""
    wanted: tuple[Digest, ...] = ()
    """States of checkpoints that are newly wanted (`State.wanted` has all)."""
    again: tuple[NodeId, ...] = ()
    """Nodes whose events must be given anew (`State.refold`): a checkpoint over them counts no
    more, and what it covered is not kept here."""
    refused: Mapping[NodeId, Mapping[str, int]] = attrs.field(factory=dict)
    """Events that nobody can take for anything, by writer and reason."""

    def __bool__(self) -> bool:
        return self != Changes()


def merged(parts: Sequence[Changes]) -> Changes:
    """One difference instead of several that follow each other."""
    if len(parts) == 1:
        return parts[0]
    refused: dict[NodeId, Counter[str]] = {}
    for part in parts:
        for node, counts in part.refused.items():
            refused.setdefault(node, Counter()).update(counts)
    return Changes(
        actions=[action for part in parts for action in part.actions],
        diverged=_union(part.diverged for part in parts),
        settled=_union(part.settled for part in parts),
        registers=_union(part.registers for part in parts),
        programs=_union(part.programs for part in parts),
        runs=_union(part.runs for part in parts),
        leaves=_union(part.leaves for part in parts),
        policy=any(part.policy for part in parts),
        disputed=_union(part.disputed for part in parts),
        wanted=tuple(dict.fromkeys(state for part in parts for state in part.wanted)),
        again=_union(part.again for part in parts),
        refused={node: dict(counts) for node, counts in refused.items()},
    )


def _union(parts: Iterable[Sequence[T]]) -> tuple[T, ...]:
    return tuple(sorted({each for part in parts for each in part}))  # type: ignore[type-var]


class Collected:
    """Gathers what one call did, until the views look at it."""

    def __init__(self, rows: int | None = None) -> None:
        self.rows = rows
        """How much was looked at for it; None: as much as one slice may."""
        self.actions: list[Digest] = []
        self.judge: set[Digest] = set()
        """Actions that had other rows."""
        self.moved: dict[int, Moved] = {}
        self.registers: set[RegisterKey] = set()
        self.noted: set[NodeId] = set()
        self.programs: set[str] = set()
        self.runs: set[RunKey] = set()
        self.policy = False
        self.disputed: list[NodeId] = []
        self.refused: dict[NodeId, Counter[str]] = {}

    def window(self, moved: Moved, *, is_new: bool) -> None:
        """A strand has moved; of one that is new no row can have counted before."""
        if not is_new:
            self.moved.setdefault(moved.strand.index, moved)

    def refuse(self, strand: Strand, reason: str) -> None:
        self.refused.setdefault(strand.feed.node, Counter())[reason] += 1
