"""Values that go into and come out of the scheduler's cores."""

from __future__ import annotations

import math
from enum import Enum

import attrs

from mesh.types import Digest, NodeId, RunId
from mesh.wire.messages import GrantedShard, Load

ShardKey = tuple[RunId, int]
"""A shard's run and its index in that run's plan."""


class Mode(Enum):
    """Where a run's shards may run."""

    LOCAL = "local"
    CLUSTER = "cluster"
    HYBRID = "hybrid"


class Verdict(Enum):
    """What came of one lease."""

    OK = "ok"
    FAILED = "failed"
    """The shard's own fault: the same everywhere."""
    RETRY = "retry"
    """The executor's fault: try elsewhere."""


@attrs.frozen
class RunPolicy:
    """What the user allowed for one run."""

    mode: Mode = Mode.HYBRID
    jobs: int = 0
    """At most this many of the run's shards at once; 0: as many as there are slots."""


@attrs.frozen
class Shard:
    """One action that is ready to run."""

    key: ShardKey
    name: str
    toolchain: Digest
    weight_s: float = 0.0
    """Duration last time; 0 when never seen."""
    rank_s: float = 0.0
    """Longest known way from here to the end of the run, itself included: longest first."""
    warmth: tuple[Digest, ...] = ()
    """Inputs worth having already."""
    local_only: bool = False
    may_speculate: bool = True
    held_s_max: float = math.inf
    """A thief that has held it for longer than this has lost it, however often it renews."""
    refused_by: tuple[tuple[NodeId, str], ...] = ()
    """Who must not get it, and why: what they made of it before was not usable."""


@attrs.frozen
class Lease:
    """A shard in somebody's hands. `holder` is ourselves for our own slots."""

    id: int
    shard: Shard
    holder: NodeId
    since_s: float
    expires_s: float
    """Infinite for our own slots."""
    speculative: bool = False


# -- effects ------------------------------------------------------------------------------------
@attrs.frozen
class StartOwn:
    """Run one of our own shards in a slot of ours."""

    lease: int
    shard: Shard


@attrs.frozen
class StartStolen:
    """Run a stolen shard in a slot of ours."""

    victim: NodeId
    granted: GrantedShard


@attrs.frozen
class AbortOwn:
    lease: int


@attrs.frozen
class AbortStolen:
    victim: NodeId
    lease: int


@attrs.frozen
class GrantOut:
    """Send these to a thief; the driver adds actions and small inputs."""

    peer: NodeId
    leases: tuple[Lease, ...]


@attrs.frozen
class SendSteal:
    peer: NodeId
    shards: int


@attrs.frozen
class SendRenew:
    peer: NodeId
    leases: tuple[int, ...]


@attrs.frozen
class SendSettled:
    """Tell a thief to forget these."""

    peer: NodeId
    leases: tuple[int, ...]


@attrs.frozen
class SendDecline:
    """Tell a victim that we will not run these."""

    peer: NodeId
    leases: tuple[int, ...]
    reason: str


@attrs.frozen
class SendLoad:
    """Tell every linked peer how loaded we are: there is work to steal, or no more."""

    load: Load


@attrs.frozen
class Accepted:
    """This finish is the one that counts; every other lease of the shard has been ended."""

    key: ShardKey
    lease: int
    holder: NodeId
    verdict: Verdict
    speculative: bool


@attrs.frozen
class Duplicate:
    """The shard was settled before; the work was wasted, nothing else."""

    key: ShardKey
    holder: NodeId


@attrs.frozen
class GaveUp:
    """No node could run the shard. `reasons` names each that was tried."""

    key: ShardKey
    reasons: tuple[tuple[NodeId, str], ...]


@attrs.frozen
class Trace:
    """One line of a shard's story, for `explain`. `peer` is the node it is about."""

    key: ShardKey
    what: str
    peer: NodeId | None = None
    detail: str = ""


Effect = (
    StartOwn
    | StartStolen
    | AbortOwn
    | AbortStolen
    | GrantOut
    | SendSteal
    | SendRenew
    | SendSettled
    | SendDecline
    | SendLoad
    | Accepted
    | Duplicate
    | GaveUp
    | Trace
)
