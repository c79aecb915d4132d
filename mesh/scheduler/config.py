"""Constants of the scheduler, each with its reason."""

from __future__ import annotations

import attrs

from mesh.limits import GRANT_SHARDS_MAX


@attrs.frozen
class SchedulerConfig:
    """One node's scheduling policy. All durations in seconds."""

    slots: int = 1
    """Shards run at once on this node."""

    lease_s: float = 2.0
    """A thief that has not renewed for this long is taken for dead or frozen and its shards run
    elsewhere. Two seconds: a frozen peer costs a run little, and a loaded peer's renewals (four
    per lease) survive three losses or a 1.5 s stall."""

    renew_s: float = 0.5
    """How often a thief renews."""

    batch_window_s: float = 0.10
    """A grant beyond the thief's free slots may hold this much work per slot: enough to hide the
    round trip for trivial shards, too little to matter at the tail of a run."""

    ahead_queue_per_slot: int = 2
    """While so many shards wait for every slot, a thief that runs one holds one more, so that its
    slot does not wait for a round trip and for files. With fewer, the end of the run is near."""

    unknown_weight_s: float = 1.0
    """What a never-seen shard counts for until the run has finished some: long enough that nobody
    hoards shards of unknown length."""

    speculate_after_s: float = 1.5
    """A lease younger than this is never run twice."""

    speculate_factor: float = 2.0
    """A lease older than this many times its expected duration is a straggler."""

    victims_max: int = 3
    """Peers at which a hungry node leaves a standing request: enough to find work, few enough that
    64 idle nodes do not drown one origin."""

    first_lease: int = 1
    """Number of the first lease. Different for every start of a node, so that a message about a
    lease of an earlier one is about nothing."""

    held_per_victim_max: int = 2 * GRANT_SHARDS_MAX
    """Shards of one victim taken in; what is granted beyond is declined. Twice what we ever ask
    for, because a grant and a withdrawal may cross."""

    expiries_max: int = 3
    """Times a thief may let leases of one shard expire before it is not offered that one again."""

    attempts_max: int = 4
    """Tries of one shard that ended in the environment's fault before it counts as failed."""

    retired_leases_max: int = 4096
    """Ended leases remembered so that a late result can still be used."""

    warm_digests_max: int = 65_536
    """Per peer: inputs it is known to hold."""

    def __attrs_post_init__(self) -> None:
        assert 0 < self.renew_s * 3 < self.lease_s, "a lease must survive two lost renewals"
        assert self.slots >= 0
