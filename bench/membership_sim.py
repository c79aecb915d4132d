"""The simulated half of `membership.py`: large meshes, loss, starvation, cuts; repeatable.

All with the production core and its seal on 2 ms +- 1 ms links (`sim.swim_world`); signatures are
keyed hashes of the same size, and what two nodes would compute alike is computed once
(`sim.crypto`). Keys:

    sim_rounds_N         gossip rounds (50 ms) from the first verdict on a killed process until all
                         N know it
    sim_bytes_N          bytes per node and second of a calm mesh, IP and UDP headers (28) included
    sim_silent_*         a machine vanishes at N = 100 with 1 % loss: seconds until all know
    sim_heal_S_*         two halves cut for S seconds: seconds from healing until all agree
    sim_starved_*        runs of a minute in which some nodes read their mail 0.5 to 2.5 s late, in
                         order: 50 and 200 nodes, 1, 5 and 10 % of them starved, 1, 3 and 5 % loss;
                         runs with a false death, scaled to 3600, and false deaths per node-day
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import attrs
from common import print_table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mesh.swim.config import LAN, SwimConfig
from mesh.swim.effects import State
from sim.crypto import crypto
from sim.net import Link
from sim.net.network import HEADERS_BYTES
from sim.swim_world import SwimNode, SwimWorld

GONE = (State.DEAD, State.UNREACHABLE)
LATENCY_S, JITTER_S = 0.001, 0.002
JOIN_WITHIN_S, SETTLE_S, KNOWN_WITHIN_S = 60.0, 5.0, 120.0
SETTLE_PER_NODE_S = 0.04
"""Of hundreds who join at once each is still told of when all know it."""
STARVED_FOR_S = 60.0
FULL_SEEDS = 200
DAY_S = 86_400.0
GRID_RUNS = 3600
SHARES = (0.01, 0.05, 0.1)
LOSSES = (0.01, 0.03, 0.05)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--full", action="store_true", help="all 200 seeds of each starved cell")
    parser.add_argument("--seeds", type=int, default=3, help="of each starved cell, otherwise")
    parser.add_argument("--starved-nodes", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--crashes", type=int, default=20, help="silent ones, at N = 100")
    parser.add_argument("--cuts", type=int, default=10, help="of each length")
    parser.add_argument("--large", type=int, default=1000, help="nodes of the largest mesh")


def describe(options: argparse.Namespace) -> dict[str, object]:
    cells = len(options.starved_nodes) * len(LOSSES) * len(SHARES)
    return {"starved_runs": cells * seeds_of(options), "large": options.large}


def measure(options: argparse.Namespace) -> dict[str, float]:
    sizes = sorted({min(size, options.large) for size in (16, 64, options.large)})
    fork = multiprocessing.get_context("fork")  # so that the workers remember as we do
    with crypto("remembered"):
        with ProcessPoolExecutor(len(os.sched_getaffinity(0)), fork) as pool:
            calm = {size: pool.submit(calm_and_rounds, size) for size in reversed(sizes)}
            silent = pool.map(silent_crash, range(options.crashes))
            heals = {cut_s: pool.map(heal, *_cuts(cut_s, options.cuts)) for cut_s in (20, 75)}
            values: dict[str, float] = {}
            for size, done in calm.items():
                values[f"sim_bytes_{size}"], values[f"sim_rounds_{size}"] = done.result()
            values |= _spread_of("sim_silent", silent)
            for cut_s, took in heals.items():
                values |= _spread_of(f"sim_heal_{cut_s}", took)
        _report(values)
        return values | starved_grid(options)


def seeds_of(options: argparse.Namespace) -> int:
    return FULL_SEEDS if options.full else int(options.seeds)


def _cuts(cut_s: int, count: int) -> tuple[list[int], list[int]]:
    return [cut_s] * count, list(range(count))


def _spread_of(name: str, values: Iterable[float]) -> dict[str, float]:
    took = sorted(values)
    late = took[min(len(took) - 1, int(0.99 * len(took)))]
    return {f"{name}_s": median(took), f"{name}_p99_s": late}


# -- worlds ----------------------------------------------------------------------------------------
def a_mesh(seed: int, nodes: int, loss: float = 0.0, config: SwimConfig = LAN) -> SwimWorld:
    """Joined through node 0, and quiet."""
    mesh = SwimWorld(seed, nodes, config, Link(LATENCY_S, JITTER_S, loss=loss))
    mesh.start_all()
    assert mesh.run_until(mesh.converged, JOIN_WITHIN_S), "no convergence"
    mesh.run(max(SETTLE_S, SETTLE_PER_NODE_S * nodes))
    return mesh


def gone_for_all(mesh: SwimWorld, subject: SwimNode) -> bool:
    running = [node for node in mesh.nodes if node is not subject and node.host.running]
    return all(node.sees(subject) in GONE for node in running)


def seconds_until(mesh: SwimWorld, reached: Callable[[], bool]) -> float:
    start_s = mesh.world.now_s
    return mesh.world.now_s - start_s if mesh.run_until(reached, KNOWN_WITHIN_S) else KNOWN_WITHIN_S


# -- what is measured ------------------------------------------------------------------------------
def calm_and_rounds(nodes: int) -> tuple[float, float]:
    """Bytes per node and second, then rounds until all know of a death, in one mesh: joining a
    thousand costs more than both."""
    mesh = a_mesh(1, nodes)
    return calm_bytes(mesh), rounds_to_all(mesh)


def calm_bytes(mesh: SwimWorld, window_s: float = 20.0) -> float:
    before = _carried_bytes(mesh)
    mesh.run(window_s)
    return (_carried_bytes(mesh) - before) / len(mesh.nodes) / window_s


def _carried_bytes(mesh: SwimWorld) -> int:
    sent = mesh.network.counters
    return sent["sent-bytes"] + HEADERS_BYTES * sent["sent"]


def rounds_to_all(mesh: SwimWorld) -> float:
    nodes = len(mesh.nodes)
    victim = mesh[nodes // 2]
    victim.kill()
    known: dict[int, float] = {}
    already = len(mesh.changes)

    def all_know() -> bool:
        nonlocal already
        for change in mesh.changes[already:]:
            if change.subject == victim.index and change.view.state == State.DEAD:
                known.setdefault(change.observer, change.at_s)
        already = len(mesh.changes)
        return len(known) == nodes - 1

    assert mesh.run_until(all_know, KNOWN_WITHIN_S), "not everybody came to know"
    times = sorted(known.values())
    return (times[-1] - times[0]) / mesh.config.gossip_interval_s


def silent_crash(
    seed: int, nodes: int = 100, loss: float = 0.01, config: SwimConfig = LAN
) -> float:
    mesh = a_mesh(seed, nodes, loss, config)
    victim = mesh[1 + seed % (nodes - 1)]
    victim.crash()
    return seconds_until(mesh, lambda: gone_for_all(mesh, victim))


def heal(cut_s: float, seed: int, nodes: int = 16) -> float:
    mesh = a_mesh(seed, nodes)
    half = [node.address[0] for node in mesh.nodes[: nodes // 2]]
    fault = mesh.network.partition([half])
    mesh.run(cut_s)
    fault.undo()
    return seconds_until(mesh, mesh.converged)


@attrs.frozen
class Cell:
    """One of the eighteen kinds of starved run."""

    nodes: int
    starved_share: float
    loss: float


def starve(mesh: SwimWorld, nodes: Sequence[SwimNode]) -> None:
    """Their mail is read 0.5 to 2.5 s late, in order."""
    random = mesh.world.rng("starvation").random
    for node in nodes:
        node.host.starved = lambda: 0.5 + 2 * random()


def starved_run(mesh: SwimWorld, share: float, seed: int) -> int:
    """False deaths of a minute: members declared dead that run, by anybody, each time."""
    mesh.world.reseed(f"starved {seed}")
    count = max(1, round(len(mesh.nodes) * share))
    starve(mesh, mesh.nodes[1 : 1 + count])
    before = len(mesh.deaths())
    mesh.run(STARVED_FOR_S)
    return len(mesh.deaths()) - before


class Base:
    """A joined mesh in this process, and its futures, each in a fork of it with other dice."""

    mesh: SwimWorld

    @classmethod
    def future(cls, share_and_seed: tuple[float, int]) -> tuple[float, int]:
        share, seed = share_and_seed
        return share, starved_run(cls.mesh, share, seed)


def starved_grid(options: argparse.Namespace) -> dict[str, float]:
    """All cells; the joined mesh is made once for each size and loss."""
    done: list[tuple[Cell, int]] = []
    context = multiprocessing.get_context("fork")
    for nodes in options.starved_nodes:
        for loss in LOSSES:
            Base.mesh = a_mesh(1, nodes, loss)
            gc.collect()
            gc.freeze()  # or every collection in a fork copies the whole mesh
            futures = [(share, seed) for seed in range(seeds_of(options)) for share in SHARES]
            with context.Pool(len(os.sched_getaffinity(0)), maxtasksperchild=1) as pool:
                for share, deaths in pool.imap_unordered(Base.future, futures, chunksize=1):
                    done.append((Cell(nodes, share, loss), deaths))
            print(f"  {nodes} nodes, {loss:.0%} loss: {len(futures)} runs", flush=True)
            del Base.mesh
            gc.unfreeze()
    return grid(done)


# -- what is said ----------------------------------------------------------------------------------
def _report(values: dict[str, float]) -> None:
    rows = [[name, f"{value:.2f}"] for name, value in values.items()]
    print_table("simulated: 2 ms links, 1 % loss where said", ["", "value"], rows)


def grid(done: list[tuple[Cell, int]]) -> dict[str, float]:
    """`done`: (cell, false deaths) of every run."""
    rows: list[list[str]] = []
    for cell in sorted({cell for cell, _ in done}, key=attrs.astuple):
        deaths = [count for of, count in done if of == cell]
        days = len(deaths) * cell.nodes * STARVED_FOR_S / DAY_S
        bad = sum(count > 0 for count in deaths)
        name = f"{cell.nodes} nodes, {cell.starved_share:.0%} starved, {cell.loss:.0%} loss"
        rows.append([name, str(len(deaths)), str(bad), f"{sum(deaths) / days:.2f}"])
    head = ["starved for a minute", "runs", "with a false death", "false deaths/node-day"]
    print_table("false deaths", head, rows)
    bad = sum(count > 0 for _, count in done)
    node_days = sum(cell.nodes for cell, _ in done) * STARVED_FOR_S / DAY_S
    figures: dict[str, Any] = {
        "sim_starved_bad_of_3600": bad * GRID_RUNS / len(done),
        "sim_starved_per_node_day": sum(count for _, count in done) / node_days,
    }
    return figures
