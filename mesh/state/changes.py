"""What came of giving something to the state: one difference for all who listen.

Not here: the state (`views`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from mesh.state.registers import RegisterKey
from mesh.state.runs import RunKey
from mesh.state.strands import Strand
from mesh.state.windows import Moved
from mesh.types import Digest, NodeId


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


class Collected:
    """Gathers what one call did, until the views look at it."""

    def __init__(self) -> None:
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
