"""Who was ever rightly admitted, and how much of what they wrote counts: what folds of the log ask.

The member list says who is in now. A log is read long after its writer left, so here are all
admissions that stand, ended or not, with the cuts of the removals that ended them.

- An epoch of a log names the admission under which it was opened. Only removals that ended that
  admission cut it, so somebody who was removed and admitted anew can be heard again.
- An epoch that names no admission that stands is cut by every removal of its writer.
- Several cuts hold together: what counts is what all of them keep.

Not here: how a cut applies to a chain of frames (`mesh.state.windows`).
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from mesh.identity.records import FeedPoint
from mesh.identity.roles import Role
from mesh.types import NodeId

Cut = tuple[FeedPoint, ...]
"""The heads that one removal keeps."""


def cut_order(cut: Cut) -> list[tuple[bytes, int, int, bytes]]:
    """So that equal sets of removals make equal values."""
    return [(point.epoch, point.lane, point.count, point.head) for point in cut]


@attrs.frozen
class Life:
    """One admission that was rightly written."""

    ref: bytes
    """How its record is named: REF_BYTES."""
    role: Role
    cuts: tuple[Cut, ...] = ()
    """Of the removals that ended it; none while it is in force."""


@attrs.frozen
class Verdict:
    """What an epoch's events are worth."""

    role: Role | None
    """None: its writer was never a member."""
    cuts: tuple[Cut, ...] = ()


@attrs.frozen
class Standing:
    """See the module's head. Equal for equal sets of records."""

    lives: Mapping[NodeId, tuple[Life, ...]] = attrs.field(factory=dict)
    """By node, in order of `ref`."""
    cuts: Mapping[NodeId, tuple[Cut, ...]] = attrs.field(factory=dict)
    """Of every removal of a node, sorted."""

    def judge(self, node: NodeId, admission: bytes | None) -> Verdict:
        """What is written in an epoch that was opened under `admission` counts as this. None: it is
        not known yet under which."""
        lives = self.lives.get(node, ())
        named = next((life for life in lives if life.ref == admission), None)
        if not lives:
            return Verdict(None)
        if named is None:
            return Verdict(max(life.role for life in lives), self.cuts.get(node, ()))
        if named.cuts:
            return Verdict(named.role, named.cuts)
        return Verdict(max(life.role for life in lives if not life.cuts))

    def differing(self, other: Standing) -> frozenset[NodeId]:
        """Nodes about which the two do not say the same."""
        nodes = self.lives.keys() | other.lives.keys() | self.cuts.keys() | other.cuts.keys()
        return frozenset(node for node in nodes if self._of(node) != other._of(node))

    def _of(self, node: NodeId) -> tuple[tuple[Life, ...], tuple[Cut, ...]]:
        return self.lives.get(node, ()), self.cuts.get(node, ())
