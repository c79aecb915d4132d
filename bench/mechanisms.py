"""Each switch of membership on and off, and what that does to the figure it is there for.

One row per mechanism: the same simulated story with it and without it, over the same seeds. Lower
is better in every row, and a mechanism whose absence does not show (the mean is less than a tenth
worse) is named in the closing line as `no_effect`. The seal is real, signatures are keyed hashes of
the same size (`sim.swim_world`).

Keys: with_NAME, without_NAME.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

import attrs
from common import finish, print_table
from membership_sim import a_mesh, gone_for_all, seconds_until, silent_crash

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "swim"))

from attackers import a_vote, gossip, inject, judges_of

from mesh.swim.config import LAN, WAN, SwimConfig
from mesh.swim.effects import State
from mesh.types import Address
from sim.crypto import crypto
from sim.net import ANY, DATAGRAMS, Link
from sim.net.refusals import QUOTE_BYTES
from sim.swim_world import SwimNode, SwimWorld

ROUND_TRIP_S = 0.004
SHOWS = 1.1
"""Without the mechanism the figure must be at least this many times as high."""


@attrs.frozen
class Story:
    """What is measured with and without a mechanism."""

    name: str
    metric: str
    """What `play` returns, with its unit."""
    play: Callable[[int, SwimConfig], float]
    without: SwimConfig
    with_it: SwimConfig = LAN
    seeds: int = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--more", type=int, default=1, help="times as many seeds")
    parser.add_argument("--only", nargs="+", help="names of mechanisms")
    options = parser.parse_args()
    chosen = [s for s in STORIES if not options.only or s.name in options.only]
    rows: list[list[str]] = []
    values: dict[str, float] = {}
    no_effect: list[str] = []
    fork = get_context("fork")  # so that the workers remember as we do
    with crypto("remembered"), ProcessPoolExecutor(len(os.sched_getaffinity(0)), fork) as pool:
        for story in chosen:
            seeds = range(story.seeds * options.more)
            on = mean(pool.map(story.play, seeds, [story.with_it] * len(seeds)))
            off = mean(pool.map(story.play, seeds, [story.without] * len(seeds)))
            values |= {f"with_{story.name}": on, f"without_{story.name}": off}
            shows = off > on * SHOWS
            if not shows:
                no_effect.append(story.name)
            row = [story.name, story.metric, str(len(seeds)), f"{on:.2f}", f"{off:.2f}"]
            rows.append([*row, "" if shows else "none"])
            print(f"  {story.name}: {on:.2f} with, {off:.2f} without", flush=True)
    head = ["mechanism", "figure", "seeds", "with", "without", "effect"]
    print_table("what each mechanism is worth", head, rows)
    finish("mechanisms", values, no_effect=no_effect)


# -- detection -------------------------------------------------------------------------------------
def crash(seed: int, config: SwimConfig) -> float:
    return silent_crash(seed, 8, 0.01, config)


def kill(seed: int, config: SwimConfig) -> float:
    mesh = a_mesh(seed, 16, 0.0, config)
    victim = mesh[1 + seed % 15]
    victim.kill()
    return seconds_until(mesh, lambda: gone_for_all(mesh, victim))


# -- starvation ------------------------------------------------------------------------------------
def starved(mesh: SwimWorld, nodes: list[SwimNode], low_s: float, high_s: float) -> None:
    random = mesh.world.rng("starvation").random
    for node in nodes:
        node.host.starved = lambda: low_s + (high_s - low_s) * random()


def late_readers(seed: int, config: SwimConfig) -> SwimWorld:
    """Three of twelve read their mail 1 to 4 s late, which patience alone does not allow for."""
    mesh = a_mesh(seed, 12, 0.01, config)
    starved(mesh, mesh.nodes[2:5], 1.0, 4.0)
    mesh.run(40)
    return mesh


def accusations_of_late(seed: int, config: SwimConfig) -> float:
    mesh = late_readers(seed, config)
    return float(sum(node.endpoint.counters["accused"] for node in mesh.nodes))


def distance_of_punctual(seed: int, config: SwimConfig) -> float:
    """Milliseconds that the late readers take for the round trip to those who answer at once: what
    timeouts, coordinates and the order in which peers get work go by. Really it is 4."""
    mesh = late_readers(seed, config)
    late, punctual = mesh.nodes[2:5], {node.node_id for node in mesh.nodes[5:]}
    views = [view for node in late for view in node.endpoint.snapshot() if view.node_id in punctual]
    return 1000 * mean(view.rtt_s for view in views if view.rtt_s is not None)


# -- paths -----------------------------------------------------------------------------------------
def deaths_behind_a_filter(seed: int, config: SwimConfig) -> float:
    """Datagrams of one node are blocked, its streams are not."""
    mesh = a_mesh(seed, 8, 0.0, config)
    mesh.streams = lambda _asker, _asked: True
    mesh.network.isolate(mesh[3].address[0], DATAGRAMS)
    before = len(mesh.deaths())
    mesh.run(30)
    return float(len(mesh.deaths()) - before)


def deaths_behind_a_reject(seed: int, config: SwimConfig) -> float:
    """A firewall refuses what three of its judges send to a live node, whose machine is busy: it
    reads the accusations, which others pass on, 50 to 150 ms late."""
    mesh = a_mesh(seed, 8, 0.0, config)
    victim = mesh[2]
    judges = {judge.address for judge in judges_of(mesh, victim)[:3]}
    starved(mesh, [victim], 0.05, 0.15)
    for host, _ in judges:
        mesh.network.cut(host, victim.address[0], DATAGRAMS)

    def refuse(data: bytes, source: Address, to: Address) -> None:
        if source in judges and to == victim.address:
            notice = partial(mesh.network.forge_refusal, source, to, data[:QUOTE_BYTES])
            mesh.world.after(ROUND_TRIP_S, notice)

    mesh.network.taps.append(refuse)
    before = len(mesh.deaths())
    mesh.run(20)
    return float(len(mesh.deaths()) - before)


def accusations_by_mute(seed: int, config: SwimConfig) -> float:
    """What a node says whose own datagrams do not get out."""
    mesh = a_mesh(seed, 8, 0.0, config)
    mesh.network.cut(mesh[3].address[0], ANY)
    mesh.run(30)
    return float(mesh[3].endpoint.counters["accused"])


def accusations_of_a_pair(seed: int, config: SwimConfig) -> float:
    """Two nodes cannot talk; all others can talk to both."""
    mesh = a_mesh(seed, 8, 0.0, config)
    one, other = mesh[2].address[0], mesh[5].address[0]
    mesh.network.cut(one, other)
    mesh.network.cut(other, one)
    mesh.run(60)
    return float(sum(node.endpoint.counters["accused"] for node in mesh.nodes))


def events_of_flapping(seed: int, config: SwimConfig) -> float:
    """What one application hears of a node that is 12 s there and 6 s away, six times."""
    mesh = a_mesh(seed, 8, 0.0, config)
    flapping = mesh[3]
    before = len(mesh.changes)
    for _ in range(6):
        fault = mesh.network.isolate(flapping.address[0])
        mesh.run(6)
        fault.undo()
        mesh.run(12)
    seen = [change for change in mesh.changes[before:] if change.subject == flapping.index]
    return float(sum(c.observer == 0 and c.previous != c.view.state for c in seen))


def unknown_round_trips(seed: int, config: SwimConfig) -> float:
    """Percent of pairs that have no idea how far they are, half a minute after half of thirty-two
    nodes have moved behind lines of 20 ms."""
    mesh = a_mesh(seed, 32, 0.0, config)
    for node in mesh.nodes[::2]:
        mesh.network.degrade(node.address[0], ANY, latency_s=0.02)
    mesh.run(25)
    views = [view for node in mesh.nodes for view in node.endpoint.snapshot()[1:]]
    return 100 * sum(view.rtt_s is None for view in views) / len(views)


# -- what there is for the rest --------------------------------------------------------------------
def reunited(seed: int, config: SwimConfig, nodes: int = 8, cut_s: float = 20.0) -> float:
    """Seconds from the end of a cut through the middle until all tables are equal again."""
    mesh = a_mesh(seed, nodes, 0.0, config)
    fault = mesh.network.partition([[node.address[0] for node in mesh.nodes[: nodes // 2]]])
    mesh.run(cut_s)
    fault.undo()
    return seconds_until(mesh, mesh.converged)


def unknown_pairs(seed: int, config: SwimConfig) -> float:
    """Percent of pairs, half a minute after sixteen joined through one of them."""
    mesh = SwimWorld(seed, 16, config, Link(0.001, 0.002, loss=0.01))
    mesh.start_all()
    mesh.run(30.0)
    views = [one.view_of(other) for one in mesh.nodes for other in mesh.nodes if one is not other]
    return 100 * sum(view is None for view in views) / len(views)


def a_pair_reunited(seed: int, config: SwimConfig) -> float:
    return reunited(seed, config, nodes=2)


def asked_in_vain(seed: int, config: SwimConfig) -> float:
    """How often others were asked about a live member by nodes that, one after the other, stand
    still for 0.24 s: too short for a timer to be called late, and acks need 0.06 s."""
    mesh = a_mesh(seed, 8, 0.0, config)
    for node in mesh.nodes:
        mesh.network.degrade(node.address[0], ANY, latency_s=0.03)
    mesh.run(10.0)
    before = sum(node.endpoint.counters["helpers-asked"] for node in mesh.nodes)
    for turn in range(320):
        node = mesh.nodes[turn % 8]
        node.freeze()
        mesh.run(0.24)
        node.thaw()
        mesh.run(0.02)
    asked = sum(node.endpoint.counters["helpers-asked"] for node in mesh.nodes)
    return float(asked - before)


def vigils_of_busy(seed: int, config: SwimConfig) -> float:
    """How often a live member was watched in a mesh whose machines are busy."""
    mesh = a_mesh(seed, 8, 0.0, config)
    starved(mesh, mesh.nodes, 0.0, 0.2)
    for node in mesh.nodes:
        node.endpoint.machine_felt(1.0, 0.0, mesh.world.now_s)
    mesh.run(30.0)
    return float(sum(node.endpoint.counters["vigils"] for node in mesh.nodes))


def joining(seed: int, config: SwimConfig) -> float:
    """Seconds until 64 that join at once through one of them all know each other."""
    mesh = SwimWorld(seed, 64, config, Link(0.001, 0.002, loss=0.01))
    mesh.start_all()
    return seconds_until(mesh, mesh.converged)


def killed_by_outsiders(seed: int, config: SwimConfig) -> float:
    """How many were deceived by three who are not among the judges of their victim."""
    mesh = a_mesh(seed, 12, 0.0, config)
    victim = mesh[2]
    by_rank = judges_of(mesh, victim)
    liars = [n for n in mesh.nodes if n is not victim and n not in by_rank[:5]][:3]
    before = len(mesh.changes)
    votes = [a_vote(mesh, liar, victim) for liar in liars]
    return _told_to_all(mesh, liars[0], victim, gossip(votes), before)


# -- liars -----------------------------------------------------------------------------------------
def deceived(mesh: SwimWorld, victim: SwimNode, since: int) -> float:
    """How many of the others called the victim dead at any time."""
    seen = mesh.changes[since:]
    lost = {c.observer for c in seen if c.subject == victim.index and c.view.state is State.DEAD}
    return float(len(lost - {victim.index}))


def deceived_by_a_forger(seed: int, config: SwimConfig) -> float:
    """A member passes on three judges' votes, none of which they have signed."""
    mesh = a_mesh(seed, 8, 0.0, config)
    victim, liar = mesh[2], mesh[5]
    before = len(mesh.changes)
    votes = [a_vote(mesh, judge, victim, signer=liar) for judge in judges_of(mesh, victim)[:3]]
    return _told_to_all(mesh, liar, victim, gossip(votes), before)


def deceived_by_a_judge(seed: int, config: SwimConfig) -> float:
    """One of the victim's own judges votes for its death."""
    mesh = a_mesh(seed, 8, 0.0, config)
    victim = mesh[2]
    liar = judges_of(mesh, victim)[0]
    before = len(mesh.changes)
    return _told_to_all(mesh, liar, victim, gossip([a_vote(mesh, liar, victim)]), before)


def _told_to_all(
    mesh: SwimWorld, liar: SwimNode, victim: SwimNode, payload: bytes, before: int
) -> float:
    for node in mesh.nodes:
        if node not in (liar, victim):
            inject(mesh, liar, node, payload)
    mesh.run(5.0)
    return deceived(mesh, victim, before)


def without(**changes: object) -> SwimConfig:
    return attrs.evolve(LAN, **changes)  # type: ignore[arg-type]


STORIES = (
    Story(
        "adaptive_timeouts",
        "s to know a silent crash, N=8, 1 % loss",
        crash,
        without(adaptive_timeouts=False),
        seeds=40,
    ),
    Story(
        "beats",
        "s to know a kill -9, N=16",
        kill,
        without(beats=False, probe_interval_s=1.0),
        seeds=12,
    ),
    Story("refusals", "s to know a kill -9, N=16", kill, without(refusals=False), seeds=12),
    Story(
        "hard_evidence",
        "false deaths, live node refused by a firewall",
        deaths_behind_a_reject,
        without(hard_evidence=False),
        seeds=8,
    ),
    Story(
        "own_lateness",
        "false accusations, 3 of 12 read 1-4 s late",
        accusations_of_late,
        without(own_lateness=False),
        seeds=4,
    ),
    Story(
        "arrival_times",
        "ms that these measure to the punctual",
        distance_of_punctual,
        without(arrival_times=False),
        seeds=4,
    ),
    Story(
        "stream_probes",
        "deaths, datagrams of one blocked",
        deaths_behind_a_filter,
        without(stream_probes=False),
    ),
    Story("one_way", "accusations by a mute node", accusations_by_mute, without(one_way=False)),
    Story(
        "indirect_probes",
        "accusations, one pair cannot talk",
        accusations_of_a_pair,
        without(indirect_probes=0),
    ),
    Story(
        "flap_damping",
        "events of a node 12 s up, 6 s down",
        events_of_flapping,
        without(flap_damping=False),
    ),
    Story(
        "coordinates",
        "% of distances unknown, N=32",
        unknown_round_trips,
        without(coordinates=False),
        seeds=2,
    ),
    Story("signed", "of 6 deceived by forged votes", deceived_by_a_forger, without(signed=False)),
    Story(
        "confirmations",
        "s to know a silent crash, N=8, 1 % loss",
        crash,
        without(suspicion_min_s=LAN.suspicion_max_s),
        seeds=12,
    ),
    Story(
        "anti_entropy",
        "% of pairs unknown 30 s after a join",
        unknown_pairs,
        without(anti_entropy=False),
    ),
    Story("reconnect", "s to equal tables after a cut", reunited, without(reconnect=False)),
    Story("buddy", "s to equal tables, a pair cut", a_pair_reunited, without(buddy=False)),
    Story(
        "piggyback",
        "s until 64 have joined, WAN profile",
        joining,
        attrs.evolve(WAN, piggyback=False),
        WAN,
    ),
    Story(
        "drain_first",
        "asked in vain, 8 stand still for 0.24 s",
        asked_in_vain,
        without(drain_first=False),
    ),
    Story("pressure", "vigils, all machines busy", vigils_of_busy, without(pressure=False)),
    Story(
        "observers",
        "of 10 deceived by three who are no judges",
        killed_by_outsiders,
        without(observers=64),
    ),
    Story("quorum", "of 6 deceived by one lying judge", deceived_by_a_judge, without(quorum=0)),
)


if __name__ == "__main__":
    main()
