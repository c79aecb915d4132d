"""Scheduler cores against each other: several nodes in one virtual time, no network, no threads.

The little world delivers every message after a delay, runs shards for their true duration, and can
freeze or kill a node. What is asserted is what users rely on: every shard is accepted exactly once,
whatever happens to the thieves.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.scheduler import model as m
from mesh.scheduler.config import SchedulerConfig
from mesh.scheduler.core import Scheduler
from mesh.types import Digest, NodeId, RunId
from mesh.wire.messages import GrantedShard, Load

RUN = RunId(b"run-0001")
TOOLS = Digest(b"t" * 32)
DELAY_S = 0.001


def node(index: int) -> NodeId:
    return NodeId(bytes([index]) * 32)


@attrs.define
class Peer:
    core: Scheduler
    frozen: bool = False
    dead: bool = False


class World:
    """N scheduler cores; node 0 is the origin."""

    def __init__(
        self, slots: list[int], durations_s: list[float], delay_s: float = DELAY_S
    ) -> None:
        self.now_s = 0.0
        self.delay_s = delay_s
        self.durations_s = durations_s
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.count = itertools.count()
        self.peers = {
            node(i): Peer(Scheduler(node(i), SchedulerConfig(slots=n))) for i, n in enumerate(slots)
        }
        self.accepted: dict[int, m.Accepted] = {}
        self.accepted_times: list[int] = []
        self.gave_up: list[m.GaveUp] = []
        self.duplicates = 0
        self.ran: dict[NodeId, int] = dict.fromkeys(self.peers, 0)
        self.aborted: set[tuple[NodeId, NodeId, int]] = set()
        self.refuse: set[NodeId] = set()
        self.messages = 0

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self.heap, (self.now_s + delay_s, next(self.count), action))

    def connect(self) -> None:
        for a, b in itertools.permutations(self.peers, 2):
            load = self.peers[b].core.load()
            self.do(a, self.peers[a].core.peer_up(b, load, may_execute=True, now_s=0.0))
        for each in self.peers:
            self.tick(each)

    def tick(self, who: NodeId) -> None:
        peer = self.peers[who]
        if not peer.dead and not peer.frozen:
            self.do(who, peer.core.handle_timer(self.now_s))
        self.at(0.1, lambda: self.tick(who))

    def submit(self, shards: list[m.Shard], policy: m.RunPolicy) -> None:
        origin = self.peers[node(0)].core
        origin.open_run(RUN, policy)
        self.do(node(0), origin.submit(shards, self.now_s))

    def run(self, until_s: float) -> None:
        while self.heap and self.now_s < until_s:
            if len(self.accepted) + len(self.gave_up) >= len(self.durations_s):
                return
            self.now_s, _, action = heapq.heappop(self.heap)
            action()

    def kill(self, who: NodeId) -> None:
        self.peers[who].dead = True
        for other, peer in self.peers.items():
            if other != who and not peer.dead:
                self.do(other, peer.core.peer_down(who, self.now_s))

    # -- what the drivers would do ---------------------------------------------------------------
    def send(self, source: NodeId, to: NodeId, what: Callable[[Scheduler], list[m.Effect]]) -> None:
        self.messages += 1

        def deliver() -> None:
            peer = self.peers[to]
            if peer.frozen:
                self.at(0.05, deliver)
            elif not peer.dead and not self.peers[source].dead:
                self.do(to, what(peer.core))

        self.at(self.delay_s, deliver)

    def do(self, who: NodeId, effects: list[m.Effect]) -> None:
        for effect in effects:
            self.one(who, effect)

    def one(self, who: NodeId, effect: m.Effect) -> None:  # noqa: C901, PLR0912 - an arm each
        match effect:
            case m.GrantOut(peer, leases):
                shards = tuple(
                    GrantedShard(each.id, RUN, each.shard.name, b"", 0, 0, 0) for each in leases
                )
                self.send(who, peer, lambda c: c.granted(who, shards, self.now_s))
            case m.SendSteal(peer, shards_wanted):
                load = self.peers[who].core.load()
                self.send(
                    who, peer, lambda c: c.steal_requested(who, shards_wanted, load, self.now_s)
                )
            case m.SendRenew(peer, lease_ids):
                self.send(who, peer, lambda c: c.renewed(who, lease_ids, self.now_s))
            case m.SendSettled(peer, lease_ids):
                self.send(who, peer, lambda c: c.settled(who, lease_ids, self.now_s))
            case m.SendLoad(load):
                for other in self.peers:
                    if other != who:
                        self.send(who, other, lambda c: c.peer_load(who, load, self.now_s))
            case m.StartOwn(lease, shard):
                self.at(self.duration(shard.name), lambda: self.own_done(who, lease))
            case m.StartStolen(victim, granted):
                self.start_stolen(who, victim, granted)
            case m.AbortOwn(lease):
                self.aborted.add((who, who, lease))
            case m.AbortStolen(victim, lease):
                self.aborted.add((who, victim, lease))
            case m.Accepted(key):
                self.accepted[key[1]] = effect
                self.accepted_times.append(key[1])
            case m.GaveUp():
                self.gave_up.append(effect)
            case m.Duplicate():
                self.duplicates += 1
            case m.Trace():
                pass

    def duration(self, name: str) -> float:
        return self.durations_s[int(name)]

    def own_done(self, who: NodeId, lease: int) -> None:
        if (who, who, lease) in self.aborted:
            return
        self.ran[who] += 1
        core = self.peers[who].core
        self.do(who, core.finished(who, lease, m.Verdict.OK, self.now_s, duration_s=0.01))

    def start_stolen(self, who: NodeId, victim: NodeId, granted: GrantedShard) -> None:
        if who in self.refuse:

            def refuse() -> None:
                core = self.peers[who].core
                self.do(who, core.stolen_ended(victim, granted.lease, None, self.now_s))
                self.send(
                    who,
                    victim,
                    lambda c: c.declined(
                        who, granted.lease, "cc differs", unfit=True, now_s=self.now_s
                    ),
                )

            self.at(0.0, refuse)
            return
        duration_s = self.duration(granted.name)

        def done() -> None:
            peer = self.peers[who]
            if peer.frozen:
                self.at(0.05, done)
                return
            if peer.dead or (who, victim, granted.lease) in self.aborted:
                return
            self.ran[who] += 1
            self.do(who, peer.core.stolen_ended(victim, granted.lease, duration_s, self.now_s))
            self.send(
                who,
                victim,
                lambda c: c.finished(
                    who, granted.lease, m.Verdict.OK, self.now_s, duration_s=duration_s
                ),
            )

        self.at(duration_s, done)


def shards_of(durations_s: list[float], *, known: bool = False, **extra: object) -> list[m.Shard]:
    return [
        attrs.evolve(
            m.Shard((RUN, i), str(i), TOOLS, weight_s=d if known else 0.0, rank_s=d * known),
            **extra,  # type: ignore[arg-type]
        )
        for i, d in enumerate(durations_s)
    ]


def started(
    slots: list[int], durations_s: list[float], delay_s: float = DELAY_S, **extra: object
) -> World:
    world = World(slots, durations_s, delay_s)
    world.connect()
    known = bool(extra.pop("known", False))
    policy = extra.pop("policy", m.RunPolicy())
    assert isinstance(policy, m.RunPolicy)
    world.submit(shards_of(durations_s, known=known, **extra), policy)
    return world


def test_every_shard_is_accepted_exactly_once_and_all_slots_share_the_work() -> None:
    world = started([1, 1, 2], [0.2] * 40)
    world.run(60)
    assert sorted(world.accepted_times) == list(range(40))
    assert world.now_s < 2.6, "40 x 0.2 s on 4 slots is 2 s"
    assert all(world.ran[each] >= 5 for each in world.peers)


def test_longest_known_shard_starts_first_even_when_it_is_last_in_the_file() -> None:
    durations_s = [0.1] * 40 + [1.0]
    world = started([2, 2], durations_s, known=True)
    world.run(60)
    assert world.now_s < 1.05 * 5.0 / 4 + 0.1


def test_trivial_shards_travel_in_batches() -> None:
    world = started([1, 1], [0.001] * 1000, known=True)
    world.run(60)
    assert len(world.accepted) == 1000
    results = world.ran[node(1)]
    assert results > 200
    assert world.messages - results < 0.2 * results, "steals, grants and renewals per result"


def test_a_frozen_thief_does_not_hang_the_run() -> None:
    world = started([1, 1, 1], [0.5] * 12)
    world.at(0.7, lambda: setattr(world.peers[node(1)], "frozen", True))
    world.run(60)
    assert len(world.accepted) == 12
    assert world.now_s < 6.5


def test_what_a_thawed_thief_finishes_late_is_a_duplicate_not_an_error() -> None:
    world = started([1, 1], [0.5] * 40)
    thief = world.peers[node(1)]
    world.at(0.7, lambda: setattr(thief, "frozen", True))
    world.at(4.0, lambda: setattr(thief, "frozen", False))
    world.run(60)
    assert sorted(world.accepted_times) == list(range(40))
    assert world.ran[node(1)] > 5, "it got work again after it thawed"


def test_a_killed_thief_costs_only_what_it_held() -> None:
    world = started([1, 1, 1], [0.5] * 12)
    world.at(0.7, lambda: world.kill(node(1)))
    world.run(60)
    assert len(world.accepted) == 12
    assert world.now_s < 4.0


def test_a_straggler_is_run_a_second_time_when_slots_are_idle() -> None:
    world = started([1, 1], [0.1] * 6)
    slow = world.peers[node(1)]
    world.at(0.05, lambda: setattr(slow, "frozen", True))
    # Renewals go on from a node that is merely slow, so that only speculation can help.
    core = world.peers[node(0)].core

    def renew() -> None:
        world.do(node(0), core.renewed(node(1), tuple(range(1, 200)), world.now_s))
        world.at(0.5, renew)

    world.at(0.5, renew)
    world.run(30)
    assert len(world.accepted) == 6
    assert any(each.speculative for each in world.accepted.values())
    assert world.now_s < 3.0


def test_a_second_copy_goes_to_nobody_who_asks_only_for_its_next() -> None:
    victim = Scheduler(node(0), SchedulerConfig(slots=1, first_lease=1))
    load = Load(slots=1, busy=0, queued=0, cpu_percent=0, memory_free_mib=0)
    victim.peer_up(node(1), load, may_execute=True, now_s=0.0)
    victim.open_run(RUN, m.RunPolicy())
    victim.submit([m.Shard((RUN, i), f"s{i}", TOOLS) for i in range(2)], 0.0)
    assert _grants(victim.steal_requested(node(1), 1, load, 0.0))
    busy = attrs.evolve(load, busy=1)
    victim.steal_requested(node(1), 1, busy, 0.1)
    assert not _grants(victim.renewed(node(1), (2,), 600.0)), "its slot is taken"
    effects = victim.finished(node(1), 2, m.Verdict.OK, 600.5, duration_s=1.0)
    (grant,) = _grants(effects)
    assert [(each.shard.key, each.speculative) for each in grant.leases] == [((RUN, 0), True)]


def test_local_mode_keeps_everything_here() -> None:
    world = started([1, 4], [0.1] * 10, policy=m.RunPolicy(mode=m.Mode.LOCAL))
    world.run(30)
    assert world.ran[node(0)] == 10


def test_cluster_mode_runs_nothing_here() -> None:
    world = started([4, 1], [0.1] * 10, policy=m.RunPolicy(mode=m.Mode.CLUSTER))
    world.run(30)
    assert world.ran[node(1)] == 10


def test_cluster_mode_gives_up_with_reasons_when_every_peer_refuses() -> None:
    world = World([4, 1], [0.1] * 3)
    world.refuse.add(node(1))
    world.connect()
    world.submit(shards_of([0.1] * 3), m.RunPolicy(mode=m.Mode.CLUSTER))
    world.run(30)
    assert len(world.gave_up) == 3
    assert dict(world.gave_up[0].reasons) == {node(1): "cc differs"}


def test_hybrid_mode_runs_here_what_peers_refuse() -> None:
    world = World([1, 1], [0.1] * 5)
    world.refuse.add(node(1))
    world.connect()
    world.submit(shards_of([0.1] * 5), m.RunPolicy())
    world.run(30)
    assert world.ran[node(0)] == 5


def test_jobs_bounds_how_many_run_at_once() -> None:
    world = started([2, 2], [0.1] * 12, policy=m.RunPolicy(jobs=1))
    world.run(30)
    assert len(world.accepted) == 12
    assert world.now_s >= 1.2


def test_a_node_cannot_finish_a_lease_that_another_holds() -> None:
    world = started([1, 1, 1], [5.0] * 3)
    world.now_s = 0.0
    for _ in range(60):
        world.now_s, _, action = heapq.heappop(world.heap)
        action()
    core = world.peers[node(0)].core
    held = [i for i in range(1, 10) if core.key_of(node(1), i)]
    assert held
    assert core.finished(node(2), held[0], m.Verdict.OK, world.now_s) == []


def test_repeated_faults_end_in_giving_up_with_every_nodes_reason() -> None:
    core = Scheduler(node(0), SchedulerConfig(slots=1, attempts_max=2))
    core.open_run(RUN, m.RunPolicy())
    effects = core.submit(shards_of([1.0]), 0.0)
    start = next(each for each in effects if isinstance(each, m.StartOwn))
    effects = core.finished(node(0), start.lease, m.Verdict.RETRY, 1.0, reason="disk full")
    assert [each.reasons for each in effects if isinstance(each, m.GaveUp)] == [
        ((node(0), "disk full"),)
    ]


def test_closing_a_run_stops_it_everywhere() -> None:
    world = started([1, 1], [5.0] * 6)
    while world.now_s < 0.5:
        world.now_s, _, action = heapq.heappop(world.heap)
        action()
    core = world.peers[node(0)].core
    world.do(node(0), core.close_run(RUN, world.now_s))
    while world.now_s < 1.0:
        world.now_s, _, action = heapq.heappop(world.heap)
        action()
    assert {who for who, _, _ in world.aborted} == {node(0), node(1)}
    assert core.load().busy == 0
    assert world.peers[node(1)].core.load().busy == 0


def test_a_load_without_slots_is_never_offered_more_than_it_asked() -> None:
    core = Scheduler(node(0), SchedulerConfig(slots=0))
    core.open_run(RUN, m.RunPolicy())
    none = Load(slots=0, busy=0, queued=0, cpu_percent=0, memory_free_mib=0)
    core.peer_up(node(1), none, may_execute=True, now_s=0.0)
    assert not [e for e in core.submit(shards_of([1.0] * 5), 0.0) if isinstance(e, m.GrantOut)]
    effects = core.steal_requested(node(1), 2, none, 0.0)
    granted = [each for each in effects if isinstance(each, m.GrantOut)]
    assert sum(len(each.leases) for each in granted) <= 2


@settings(max_examples=40, deadline=None)
@given(
    slots=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    durations=st.lists(st.sampled_from([0.001, 0.05, 0.3, 1.0]), min_size=1, max_size=40),
    faults=st.lists(
        st.tuples(st.floats(0, 3), st.integers(1, 3), st.sampled_from(["freeze", "thaw", "kill"])),
        max_size=6,
    ),
    known=st.booleans(),
)
def test_nothing_is_lost_and_nothing_counts_twice_whatever_happens_to_thieves(
    slots: list[int],
    durations: list[float],
    faults: list[tuple[float, int, str]],
    known: bool,
) -> None:
    world = started(slots, durations, known=known)
    for when, index, what in faults:
        if index >= len(slots):
            continue
        who = node(index)

        def strike(who: NodeId = who, what: str = what) -> None:
            if what == "kill":
                world.kill(who)
            else:
                world.peers[who].frozen = what == "freeze"

        world.at(when, strike)
    world.run(400)
    assert sorted(world.accepted_times) == list(range(len(durations)))


@pytest.mark.parametrize("skew", [0.5, 2.0])
def test_known_durations_reach_nine_tenths_of_the_ideal_makespan(skew: float) -> None:
    durations = [0.05 + (i % 7) * 0.05 * skew for i in range(63)] + [2.0]
    world = started([2, 2, 2, 2], durations, known=True)
    world.run(60)
    ideal = max(sum(durations) / 8, *durations)
    assert ideal / world.now_s > 0.9


def test_at_the_end_a_thief_does_not_sit_on_more_than_its_part() -> None:
    victim = Scheduler(node(0), SchedulerConfig(slots=1))
    load = Load(slots=1, busy=0, queued=0, cpu_percent=0, memory_free_mib=0)
    victim.peer_up(node(1), load, may_execute=True, now_s=0.0)
    victim.open_run(RUN, m.RunPolicy())
    shards = [m.Shard((RUN, i), f"s{i}", TOOLS, weight_s=0.001) for i in range(21)]
    victim.submit(shards, 0.0)  # one starts here at once, 20 wait

    def granted() -> int:
        effects = victim.steal_requested(node(1), 20, load, 0.0)
        return sum(len(each.leases) for each in effects if isinstance(each, m.GrantOut))

    assert granted() == 10, "half of what waits, for one slot of two"
    assert granted() == 0, "it has its part, whatever it asks for"


def test_a_slot_of_a_thief_does_not_wait_for_the_round_trip() -> None:
    world = started([1, 1], [0.5] * 40, delay_s=0.2)
    world.run(60)
    assert world.now_s < 40 * 0.5 / 2 + 1.0, "12.9 s when every shard of the thief is asked for"
    assert world.duplicates == 0


def test_what_waits_at_a_thief_is_taken_back_for_a_slot_that_is_free() -> None:
    world = started([1, 1], [0.1, 3.0, 3.0, *[0.1] * 10])
    world.run(60)
    assert 3.0 < world.now_s < 4.5, "6 s when the second long one waits for the first"
    assert sorted(world.accepted_times) == list(range(13))
    assert world.duplicates == 0
    assert world.ran[node(1)] == 1


def test_what_waits_at_a_thief_is_taken_back_for_another_one() -> None:
    durations_s = [9.0, 3.0, 3.0, 0.2, 0.2, *[0.1] * 8]
    world = started([1, 1, 1], durations_s)
    world.run(60)
    assert world.now_s < 9.2
    assert sorted(world.accepted_times)[:13] == list(range(13))
    assert world.ran[node(1)] + world.ran[node(2)] == 12


def _holding_ahead() -> Scheduler:
    """Node 1 has begun lease 2 and holds lease 3; eight more wait."""
    victim = Scheduler(node(0), SchedulerConfig(slots=1, first_lease=1))
    load = Load(slots=1, busy=0, queued=0, cpu_percent=0, memory_free_mib=0)
    victim.peer_up(node(1), load, may_execute=True, now_s=0.0)
    victim.open_run(RUN, m.RunPolicy())
    victim.submit([m.Shard((RUN, i), f"s{i}", TOOLS) for i in range(11)], 0.0)
    for wanted, lease in ((1, 2), (1, 3)):
        (grant,) = _grants(victim.steal_requested(node(1), wanted, load, 0.0))
        assert [each.id for each in grant.leases] == [lease]
    return victim


def _grants(effects: list[m.Effect]) -> list[m.GrantOut]:
    return [each for each in effects if isinstance(each, m.GrantOut)]


def _drain_here(victim: Scheduler) -> list[m.Effect]:
    """Run everything that waits in our own slot; the effects of the last end."""
    effects: list[m.Effect] = []
    for lease in (1, *range(4, 12)):
        effects = victim.finished(node(0), lease, m.Verdict.OK, 1.0, duration_s=0.1)
    return effects


def test_one_is_held_ahead_and_no_more() -> None:
    victim = _holding_ahead()
    load = Load(slots=1, busy=1, queued=0, cpu_percent=0, memory_free_mib=0)
    assert not _grants(victim.steal_requested(node(1), 1, load, 0.0))


def test_nothing_is_held_ahead_when_the_end_is_near() -> None:
    victim = Scheduler(node(0), SchedulerConfig(slots=1))
    load = Load(slots=1, busy=0, queued=0, cpu_percent=0, memory_free_mib=0)
    victim.peer_up(node(1), load, may_execute=True, now_s=0.0)
    victim.open_run(RUN, m.RunPolicy())
    victim.submit([m.Shard((RUN, i), f"s{i}", TOOLS) for i in range(5)], 0.0)
    assert _grants(victim.steal_requested(node(1), 1, load, 0.0))
    assert not _grants(victim.steal_requested(node(1), 1, load, 0.0)), "three wait for two slots"


def test_what_has_begun_is_not_taken_back() -> None:
    waiting = _drain_here(_holding_ahead())
    assert m.SendSettled(node(1), (3,)) in waiting
    assert any(isinstance(each, m.StartOwn) for each in waiting)
    victim = _holding_ahead()
    victim.begun(node(1), 3)
    begun = _drain_here(victim)
    assert not any(isinstance(each, (m.SendSettled, m.StartOwn)) for each in begun)


def test_the_end_of_one_is_the_begin_of_the_next() -> None:
    victim = _holding_ahead()
    victim.finished(node(1), 2, m.Verdict.OK, 0.5, duration_s=0.5)
    effects = _drain_here(victim)
    assert not any(isinstance(each, (m.SendSettled, m.StartOwn)) for each in effects)


def test_a_slot_that_became_free_is_told_to_whom_the_next_was_asked_of() -> None:
    """Two slots: the victim's last word of us is that both are taken."""
    thief = Scheduler(node(1), SchedulerConfig(slots=2))
    load = Load(slots=1, busy=1, queued=9, cpu_percent=0, memory_free_mib=0)
    asked = _steals(thief.peer_up(node(0), load, may_execute=True, now_s=0.0))
    assert asked == [2]
    shards = tuple(GrantedShard(lease, RUN, "s", b"", 0, 0, 0) for lease in (1, 2))
    assert _steals(thief.granted(node(0), shards, 0.0)) == [1], "the next one"
    assert _steals(thief.stolen_ended(node(0), 1, 1.0, 1.0)) == [1], "and now for a free slot"


def _steals(effects: list[m.Effect]) -> list[int]:
    return [each.shards for each in effects if isinstance(each, m.SendSteal)]
