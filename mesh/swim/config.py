"""The knobs of membership, and the formulas that depend on them.

Rules: a config is frozen and complete; the profiles state only how they differ from the LAN, with
the reason beside each number. Deliberately not here: anything a user sets in a file (the profile is
chosen by name) and the hard bounds, which are in `mesh.limits`.

Sources: SWIM (Das, Gupta, Motivala, DSN 2002) and Lifeguard (Dadgar, Phillips, Currey,
arXiv:1707.00788); the LAN numbers are memberlist's, which years of production have worn smooth.
"""

from __future__ import annotations

from math import ceil, log, log10

import attrs

from mesh.swim.effects import MemberView


@attrs.frozen
class SwimConfig:
    """One profile. All times in seconds; the defaults are the LAN profile."""

    probe_interval_s: float = 1.0
    """One member is probed per interval; first detection takes 1.6 intervals on average."""
    probe_timeout_s: float = 0.5
    """Direct ping without ack for this long: ask others. Must leave room for their answer."""
    indirect_probes: int = 3
    """Members asked to probe for us: three independent paths make loss of 2 % harmless."""
    suspicion_multiplier: float = 4.0
    """Shortest suspicion, in probe intervals times log10(members)."""
    suspicion_max_factor: float = 6.0
    """Longest suspicion over shortest: how long a lone accuser waits before it believes itself."""
    confirmations: int = 3
    """Independent accusers, beyond the first, that bring suspicion down to its shortest."""
    awareness_max: int = 8
    """Worst score of our own health: timeouts and intervals grow up to 1 + this many times."""
    retransmit_multiplier: int = 4
    """Sends of one rumour, times ceil(log10(members + 1))."""
    gossip_interval_s: float = 0.2
    gossip_fanout: int = 3
    """Members that get pending rumours at each gossip interval."""
    reconnect_interval_s: float = 1.0
    """Budget: at most one attempt to reach a dead member per this time, over all dead members."""
    reconnect_backoff_max_s: float = 15.0
    """Attempts at one dead member back off to this, forever; it bounds how long two halves of a
    healed partition stay apart when each half is one node."""
    load_refresh_s: float = 10.0
    """Our changed load is given to gossip at most this often (and rides on every ping anyway)."""

    def __attrs_post_init__(self) -> None:
        assert 0 < self.probe_timeout_s < self.probe_interval_s, "no time left for indirect probes"
        assert self.indirect_probes >= 0
        assert self.confirmations >= 0
        assert self.suspicion_max_factor >= 1
        assert self.gossip_interval_s > 0
        assert 0 < self.reconnect_interval_s <= self.reconnect_backoff_max_s

    def suspicion_min_s(self, members: int) -> float:
        """Shortest suspicion in a mesh of `members` (ourselves included)."""
        scale = max(1.0, log10(max(1, members)))
        return self.suspicion_multiplier * scale * self.probe_interval_s

    def suspicion_timeout_s(self, members: int, confirmed: int) -> float:
        """Lifeguard's LHA-Suspicion: from max down to min with the log of independent accusers.

        `confirmed` counts accusers beyond the first. With fewer than two other members nobody could
        confirm, so the wait is the shortest at once.
        """
        low = self.suspicion_min_s(members)
        expected = min(self.confirmations, members - 2)
        if expected < 1:
            return low
        high = low * self.suspicion_max_factor
        return max(low, high - (high - low) * log(confirmed + 1) / log(expected + 1))

    def subject_suspicion_s(self, _subject: MemberView, members: int, confirmed: int) -> float:
        """How long `_subject` may stay suspected: the one question membership asks about timing."""
        return self.suspicion_timeout_s(members, confirmed)

    def refutation_window_s(self, members: int) -> float:
        """How long hard evidence waits for a refutation: about twice what a rumour takes to reach
        everybody (the first of its log N rounds starts at once)."""
        rounds = ceil(log(max(2, members), self.gossip_fanout + 1)) - 1
        return 2 * self.gossip_interval_s * max(1, rounds)

    def retransmit_limit(self, members: int) -> int:
        """How often one rumour is sent by each node: lambda * log(N) of the SWIM paper."""
        return self.retransmit_multiplier * ceil(log10(members + 1))

    def load_interval_s(self, members: int) -> float:
        """Stretched in big meshes, so that load rumours cost each node a constant rate."""
        return self.load_refresh_s * max(1.0, members / 32)


LAN = SwimConfig()
"""Machines of one building: round trips of a few milliseconds."""

WAN = SwimConfig(
    probe_interval_s=5.0,  # a probe costs more and silence means less across the internet
    probe_timeout_s=3.0,  # a satellite round trip and one lost Wi-Fi beacon fit in
    suspicion_multiplier=6.0,  # routes flap for tens of seconds; a wrong death costs reruns
    gossip_interval_s=0.5,  # fewer wake-ups; a rumour may take seconds anyway
    gossip_fanout=4,  # fewer rounds, since each round is slower
    reconnect_interval_s=5.0,  # same share of traffic as in the LAN profile
    reconnect_backoff_max_s=60.0,
    load_refresh_s=30.0,
)

LOOPBACK = SwimConfig(
    probe_interval_s=0.5,  # nothing is lost on loopback: only a stopped process is silent
    probe_timeout_s=0.25,  # not lower: all nodes share the cores with the builds they run
    gossip_interval_s=0.1,
    reconnect_interval_s=0.5,
    reconnect_backoff_max_s=5.0,  # a demo restarts nodes and wants to see them
    load_refresh_s=2.0,
)
