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
from mesh.swim.messages import BEAT_MS_MAX
from mesh.types import is_loopback


@attrs.frozen
class SwimConfig:
    """One profile. All times in seconds; the defaults are the LAN profile."""

    probe_interval_s: float = 1.5
    """One member is probed per interval, at random: for spreading, round trips and broken paths.
    Rarer than elsewhere, because who is gone is noticed by its missing beat."""
    beat_interval_s: float = 1.0
    """One beat to our successor on the ring per interval: whoever is gone is missed within it."""
    probe_timeout_s: float = 0.5
    """Direct ping without ack for this long: ask others. With `adaptive_timeouts` the longest such
    wait for a member that does not say it is late."""
    probe_timeout_min_s: float = 0.1
    """The shortest: fifty round trips of a LAN, and what a busy machine takes to schedule us."""
    indirect_probes: int = 5
    """Members asked to probe for us, its observers first: three of them must find it silent, and
    two may be lost or late."""
    patience_s: float = 2.7
    """How long a member must be silent before we accuse it: mail that a starved machine reads 2.5 s
    late is answered within it, also when the first ping of a vigil was lost."""
    patience_factor_max: float = 6.0
    """A member that says it is late, or our own lateness, lengthens patience up to this factor."""
    suspicion_min_s: float = 0.1
    """Accused by `confirmations` more: whoever accuses has waited already (`patience_s`)."""
    suspicion_max_s: float = 4.0
    """How long a lone accuser waits for others before it believes itself."""
    confirmations: int = 2
    """Independent accusers, beyond the first, that bring suspicion down to its shortest."""
    flap_half_life_s: float = 60.0
    """How fast it is forgotten that a member was lost (see `flapping`)."""
    late_timer_s: float = 0.25
    """A timer that fires later than this says that we did not run, and silence meant nothing."""
    retransmit_multiplier: int = 4
    """Sends of one rumour, times ceil(log10(members + 1))."""
    gossip_interval_s: float = 0.05
    """Rumours are counted, not timed: a short interval costs no more datagrams, only less batching.
    Twenty round trips of a LAN, so that a round is over before the next one."""
    gossip_fanout: int = 3
    """Members that get pending rumours at each gossip interval."""
    reconnect_interval_s: float = 1.0
    """Budget: at most one attempt to reach a dead member per this time, over all dead members."""
    reconnect_backoff_max_s: float = 4.0
    """Attempts at one lost member back off to this, for ever; it bounds how long two halves of a
    healed partition stay apart when each half is one node. In larger meshes each member tries more
    rarely, so that a lost one costs all of them together the same."""
    observers: int = 5
    """Judges of each member, by rank; more than there are members: everybody is one."""
    quorum: int = 3
    """Judges that must have voted before anybody is dead (fewer in a mesh of three). 0: one is
    enough, as in SWIM."""

    # -- switches: each mechanism can be taken away, so that its effect can be measured ------------
    beats: bool = True
    """A ring of heartbeats; without, a dead member waits for the first random probe."""
    adaptive_timeouts: bool = True
    """Waits from measured round trips and told lateness; otherwise one constant for everybody."""
    own_lateness: bool = True
    """Our own health as measured lengthens our waits and is told to others."""
    arrival_times: bool = True
    """Acks are judged by the time at which the machine received them, not by when we read them:
    otherwise our own lateness would be their distance."""
    refusals: bool = True
    """Port unreachables that quote a ping of ours count as evidence."""
    stream_probes: bool = True
    """A member that answers on its stream is alive, whatever datagrams say."""
    flap_damping: bool = True
    """Members that come and go are not reported back before they have been stable for a while."""
    one_way: bool = True
    """Directions that carry nothing are named, so are nodes that are mute or deaf, and a mute one
    accuses nobody."""
    coordinates: bool = True
    """Acks carry network coordinates, so that round trips to members never pinged are known."""

    anti_entropy: bool = True
    """Members whose table hashes differ find out where, and mend it."""
    reconnect: bool = True
    """The lost are tried again for ever, by those who remember them."""
    buddy: bool = True
    """A suspect hears what is said against it in the next datagram that it is sent."""
    piggyback: bool = True
    """Rumours ride on pings, acks and beats, too, and not only in datagrams of their own."""
    drain_first: bool = True
    """What waits in the socket is read before a timer fires."""
    pressure: bool = True
    """That its tasks wait for a processor makes a machine expect to be late."""

    signed: bool = True
    """Statements are signed, and checked. Without, any member can say anything."""
    hard_evidence: bool = True
    """Two refusals leave only the time to refute; otherwise they weigh like silence."""

    def __attrs_post_init__(self) -> None:
        assert 0 <= self.quorum <= self.observers
        assert 0 < self.probe_timeout_min_s <= self.probe_timeout_s < self.probe_interval_s
        assert self.probe_timeout_s < self.patience_s, "helpers must have time to answer"
        assert self.patience_factor_max >= 1
        assert 0 < 1000 * self.beat_interval_s <= BEAT_MS_MAX
        assert self.indirect_probes >= 0
        assert self.confirmations >= 0
        assert 0 <= self.suspicion_min_s <= self.suspicion_max_s
        assert self.gossip_interval_s > 0
        assert 0 < self.reconnect_interval_s <= self.reconnect_backoff_max_s

    def suspicion_timeout_s(self, members: int, confirmed: int) -> float:
        """From max down to min with the log of independent accusers, like Lifeguard's
        LHA-Suspicion, but without a factor for the size of the mesh: whoever accuses has been
        silent about it for `patience_s` (see `vigil`), so there is nothing left to wait for but
        the other accusers.

        `confirmed` counts accusers beyond the first. With fewer than two other members nobody could
        confirm, so the wait is the shortest at once.
        """
        low, high = self.suspicion_min_s, self.suspicion_max_s
        expected = min(self.confirmations, members - 2)
        if expected < 1:
            return low
        return max(low, high - (high - low) * log(confirmed + 1) / log(expected + 1))

    def detection_bound_s(self, members: int) -> float:
        """Within this a silent member is dead or unreachable for everybody: it is probed within
        2N-1 intervals (SWIM section 4.3), watched, accused, waited for, and gossiped."""
        probes_s = (2 * (members - 1) + 1) * self.probe_interval_s
        judged_s = self.probe_timeout_s + self.patience_s + self.suspicion_max_s
        return probes_s + judged_s + 10 * self.gossip_interval_s

    def subject_suspicion_s(self, _subject: MemberView, members: int, confirmed: int) -> float:
        """How long `_subject` may stay suspected: the one question membership asks about timing."""
        return self.suspicion_timeout_s(members, confirmed)

    def refutation_window_s(self, members: int) -> float:
        """How long hard evidence waits for a refutation: about twice what a rumour takes to reach
        everybody (the first of its log N rounds starts at once)."""
        rounds = ceil(log(max(2, members), self.gossip_fanout + 1)) - 1
        return max(REFUTATION_S_MIN, 2 * self.gossip_interval_s * max(1, rounds))

    def retransmit_limit(self, members: int) -> int:
        """How often one rumour is sent by each node: lambda * log(N) of the SWIM paper."""
        return self.retransmit_multiplier * ceil(log10(members + 1))


REFUTATION_S_MIN = 0.2
"""What a busy machine takes to schedule a process that has to defend itself."""

LAN = SwimConfig()
"""Machines of one building: round trips of a few milliseconds."""

WAN = SwimConfig(
    probe_interval_s=7.5,  # a probe costs more and silence means less across the internet
    beat_interval_s=5.0,  # for the same reason
    probe_timeout_s=3.0,  # a satellite round trip and one lost Wi-Fi beacon fit in
    probe_timeout_min_s=0.5,  # transatlantic, and a retransmission below us
    patience_s=15.0,  # routes flap for tens of seconds; a wrong death costs reruns
    suspicion_max_s=15.0,  # the other accusers probe five times as rarely, too
    gossip_interval_s=0.5,  # fewer wake-ups; a rumour may take seconds anyway
    gossip_fanout=4,  # fewer rounds, since each round is slower
    reconnect_interval_s=5.0,  # same share of traffic as in the LAN profile
    reconnect_backoff_max_s=30.0,
    flap_half_life_s=300.0,  # routes flap for minutes
)

LOOPBACK = SwimConfig(
    probe_interval_s=0.75,  # nothing is lost on loopback: only a stopped process is silent
    beat_interval_s=0.5,  # costs no network
    probe_timeout_s=0.4,  # not lower: all nodes share the cores with the builds they run
    patience_s=2.0,  # nothing to repeat for loss; a killed process is found by its refusals
    suspicion_max_s=2.0,  # the others hear of it at once
    gossip_interval_s=0.1,
    reconnect_interval_s=0.5,
    reconnect_backoff_max_s=2.0,  # a demo restarts nodes and wants to see them
    flap_half_life_s=10.0,  # for the same reason
)

PROFILES = {"lan": LAN, "wan": WAN, "loopback": LOOPBACK}
"""By the names that people use."""


def profile_for(name: str, host: str) -> SwimConfig:
    """The profile of that name; of an unknown one (an old options file), or without, what suits the
    address that the node listens at."""
    return PROFILES.get(name, LOOPBACK if is_loopback(host) else LAN)
