"""The names of the log: feeds, places in them, version vectors.

Rules
- A **feed** is what one node writes in one epoch on one lane. An epoch is 8 random bytes chosen
  when the process starts, and nothing is ever appended to an old one: a disk restored from a copy,
  or a copied key, forks nothing (Riak's actor epochs, riak_kv#1094).
- A **lane** is one class of retention: what is in one body goes together.
- Events are counted from 0 within a feed. A **head** says how many there are and what the newest
  header's digest is; two logs with equal heads hold the same history, because each header names the
  one before it.

Not here: what events say (`mesh.state`), and how they travel (`frame`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import attrs

from mesh.types import DIGEST_BYTES, Digest, NodeId, short
from mesh.wire.straight import quick

EPOCH_BYTES = 8
MESH_BYTES = 8
"""Of the mesh id, in every header: a frame of another mesh is refused before its signature."""
SEEN_BYTES = 8
"""Of the digest of the writer's version vector, in every header: what it knew, as a witness."""
NO_PARENT = bytes(DIGEST_BYTES)
"""What the first header of a feed names as the one before it."""


class Lane(IntEnum):
    """Classes of retention."""

    CTL = 0
    """Epochs, checkpoints, registers, policy: small, and always wanted whole."""
    AC = 1
    """Results of actions."""
    EXEC = 2
    """Runs and executions: who did what, for the audit."""
    DEP = 3
    """Deployments."""
    LEAF = 4
    """What leaves have said."""


LANES = len(Lane)


@quick
@attrs.frozen(order=True)
class FeedId:
    """One writer, one epoch, one lane. Ordered by node, then epoch, then lane."""

    node: NodeId
    epoch: bytes
    """EPOCH_BYTES random bytes."""
    lane: int

    def __str__(self) -> str:
        return f"{short(self.node)}.{short(self.epoch)}.{Lane(self.lane).name.lower()}"


@quick
@attrs.frozen(order=True)
class Dot:
    """One event."""

    feed: FeedId
    seq: int
    """Its place in the feed, from 0."""


@quick
@attrs.frozen
class Head:
    """How far a feed has come."""

    count: int
    """Events so far: the place of the next one."""
    digest: Digest
    """Of the newest frame's header and signature (`SignedHeader.digest`)."""


EMPTY = Head(0, Digest(NO_PARENT))
"""The head of a feed without events."""

VersionVector = Mapping[FeedId, Head]
