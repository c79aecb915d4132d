"""How fast the simulator is: node-seconds of virtual time per second of processor time.

    ping, callbacks   every node pings a random other one each second, 2 % lost: callbacks and
    ping, tasks       timers of a port, or a trio task with a sleep, for each node
    membership        the production core, sealed, signatures of a keyed hash (`sim.swim_world`)
    whole nodes       the production `Node` with everything (`sim.mesh_world`), idle
    an hour of 50     membership of 50 nodes for one virtual hour (`--hour-s`)

The ping workload is also run by simloop and simloom (PyPI), each as callbacks and as tasks, in the
same rounds; they need Python 3.12, so a venv is made for them from an interpreter that is found on
PATH or of pyenv. Crypto: `real` everything, `none` a keyed hash instead of the seal, and as a
simulation is run, `remembered` (`sim.crypto`). Joining is not counted, only what comes after; it
costs a thousand nodes minutes, so that all rounds and modes of membership go on with one mesh.
Keys: node_s_per_cpu_s_WHAT_NODES; ratio_RIVAL_NODES = our callbacks / the rival's faster style;
cpu_s_hour_of_50, the least of the rounds (others on the machine only add to it), joining included.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from statistics import median

import trio
from common import finish, print_table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mesh.types import Address
from sim.crypto import crypto
from sim.kernel.run import run_world
from sim.mesh_world import MeshWorld, MeshWorldConfig, simulate
from sim.net import Link, Network
from sim.swim_world import SwimWorld
from sim.world import World

RIVALS = ("simloop", "simloom")
STYLES = ("callbacks", "tasks")
PING, ANSWER = b"p" * 64, b"a" * 64
PING_LINK = Link(latency_s=0.001, jitter_s=0.002, loss=0.02)
ANSWERED_MIN = 0.9
SETTLE_PER_NODE_S = 0.04
"""Of hundreds who join at once each is still told of when all know it."""
CHANGED_S = 1.0
"""Datagrams under way when the mode changes are lost; this long after, that is over."""
INSTALL_TIMEOUT_S = 120.0
RUN_TIMEOUT_S = 300.0
PYTHONS = ("python3.14", "python3.13", "python3.12")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--whole", type=int, nargs="+", default=[10, 30], help="whole nodes")
    parser.add_argument("--work", type=int, default=10_000, help="node-seconds of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hour-s", type=float, default=3600.0, help="virtual; 0: not at all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitte-bench-") as folder:
        rivals = install_rivals(Path(folder))
        speeds = measure(options, rivals)
    values = {f"node_s_per_cpu_s_{name}": speed for name, speed in speeds.items()}
    for rival in RIVALS if rivals else ():
        for size in options.sizes:
            best = max(speeds[f"ping_{rival}_{style}_{size}"] for style in STYLES)
            values[f"ratio_{rival}_{size}"] = speeds[f"ping_callbacks_{size}"] / best
    if options.hour_s:
        hours = [an_hour(options.hour_s) for _ in range(options.rounds)]
        values["cpu_s_hour_of_50"] = min(hours)
        print(f"an hour of 50 nodes: {', '.join(f'{each:.1f}' for each in hours)} CPU-s")
    print_table(
        f"node-seconds per CPU-second, median of {options.rounds} rounds",
        ["", "node-s/s", "us per node-s"],
        [[name, f"{speed:.0f}", f"{1e6 / speed:.0f}"] for name, speed in speeds.items()],
    )
    finish("sim_speed", values, rounds=options.rounds, missing=[] if rivals else list(RIVALS))


def measure(options: argparse.Namespace, rivals: Path | None) -> dict[str, float]:
    """Name -> node-seconds per CPU-second. One joined mesh after the other: a run of the
    simulator may begin with a look through all that there is in memory."""
    speeds = in_rounds(dict(all_subjects(options, rivals)), options.rounds)
    for nodes in options.sizes:
        speeds |= in_rounds(dict(memberships(options, nodes)), options.rounds)
        a_mesh.cache_clear()
        gc.unfreeze()
    return speeds


def in_rounds(subjects: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of each, which takes turns with the others."""
    speeds: dict[str, list[float]] = {name: [] for name in subjects}
    names = list(subjects)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            gc.collect()
            speeds[name].append(subjects[name]())
            print(f"  round {turn + 1} {name}: {speeds[name][-1]:.0f}", flush=True)
    return {name: median(values) for name, values in speeds.items()}


Subject = tuple[str, Callable[[], float]]


def all_subjects(options: argparse.Namespace, rivals: Path | None) -> Iterator[Subject]:
    for nodes in options.sizes:
        seconds = max(2.0, options.work / nodes)
        yield f"ping_callbacks_{nodes}", partial(ping_by_callbacks, nodes, seconds)
        yield f"ping_tasks_{nodes}", partial(ping_by_tasks, nodes, seconds)
        for rival in RIVALS if rivals is not None else ():
            assert rivals is not None
            for style in STYLES:
                ping = partial(ping_by_rival, rivals, rival, style, nodes, seconds)
                yield f"ping_{rival}_{style}_{nodes}", ping
    for nodes in options.whole:
        for mode in ("remembered", "real", "none"):
            seconds = max(2.0, options.work / 5 / nodes)
            yield f"whole_{mode}_{nodes}", partial(whole, mode, nodes, seconds)


def memberships(options: argparse.Namespace, nodes: int) -> Iterator[Subject]:
    for mode in ("remembered", "real", "none"):
        seconds = max(2.0, options.work / nodes)
        yield f"membership_{mode}_{nodes}", partial(membership, mode, nodes, seconds)


# -- ours ------------------------------------------------------------------------------------------
class Pings:
    """The ping workload on one world."""

    def __init__(self, world: World, nodes: int, seconds: float) -> None:
        self.world, self.nodes, self.seconds = world, nodes, seconds
        self.network = Network(world, PING_LINK)
        self.sent = self.answers = 0
        self.draws = [world.rng(f"node {index}").random for index in range(nodes)]
        self.addresses = [(f"10.1.{i >> 8}.{i & 255}", 7000) for i in range(nodes)]
        for address in self.addresses:
            self.network.attach(address, partial(self._receive, address))

    def _receive(self, me: Address, data: bytes, source: Address) -> None:
        if data == PING:
            self.network.send(ANSWER, me, source)
        else:
            self.answers += 1

    def ping(self, me: int) -> None:
        other = (me + 1 + int(self.draws[me]() * (self.nodes - 1))) % self.nodes
        self.network.send(PING, self.addresses[me], self.addresses[other])
        self.sent += 1

    def by_callback(self, me: int) -> None:
        self.ping(me)
        self.world.after(1.0, partial(self.by_callback, me))

    async def by_task(self, me: int) -> None:
        await trio.sleep(self.draws[me]())
        while self.world.now_s < self.seconds:
            self.ping(me)
            await trio.sleep(1.0)

    def check(self) -> None:
        assert self.sent >= self.nodes * (self.seconds - 1), "not everybody pinged"
        assert self.answers >= ANSWERED_MIN * self.sent, "not everybody answered"


def ping_by_callbacks(nodes: int, seconds: float) -> float:
    began_s = time.process_time()
    world = World(1)
    pings = Pings(world, nodes, seconds)
    for me in range(nodes):
        world.after(pings.draws[me](), partial(pings.by_callback, me))
    world.run_until(seconds)
    pings.check()
    return nodes * seconds / (time.process_time() - began_s)


def ping_by_tasks(nodes: int, seconds: float) -> float:
    async def story(world: World) -> None:
        pings = Pings(world, nodes, seconds)
        async with trio.open_nursery() as nursery:
            for me in range(nodes):
                nursery.start_soon(pings.by_task, me)
        pings.check()

    began_s = time.process_time()
    run_world(1, story)
    return nodes * seconds / (time.process_time() - began_s)


def membership(mode: str, nodes: int, seconds: float) -> float:
    mesh = a_mesh(nodes)
    with crypto(mode):
        mesh.run(CHANGED_S)
        began_s = time.process_time()
        mesh.run(seconds)
        return nodes * seconds / (time.process_time() - began_s)


@cache
def a_mesh(nodes: int) -> SwimWorld:
    """Joined and quiet, for all who ask for this size."""
    with crypto("remembered"):
        mesh = joined(nodes)
        mesh.run(SETTLE_PER_NODE_S * nodes)
    gc.collect()
    gc.freeze()  # what stands for the whole bench is no garbage to be looked for in each round
    return mesh


def joined(nodes: int) -> SwimWorld:
    mesh = SwimWorld(1, nodes)
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=60), "no convergence"
    mesh.run(2.0)
    return mesh


def whole(mode: str, nodes: int, seconds: float) -> float:
    async def story(mesh: MeshWorld) -> float:
        mesh.start_all()
        assert await mesh.until(lambda: mesh.converged() and mesh.linked(), within_s=60)
        began_s = time.process_time()
        await mesh.sleep(seconds)
        return time.process_time() - began_s

    done = simulate(story, MeshWorldConfig(seed=1, nodes=nodes, crypto=mode))
    assert not done.findings, done.findings[0].detail
    return nodes * seconds / done.value


def an_hour(virtual_s: float) -> float:
    """CPU-seconds of a mesh of fifty, joining included; scaled to an hour if it was less."""
    with crypto("remembered"):
        began_s = time.process_time()
        joined(50).run(virtual_s)
        return (time.process_time() - began_s) * 3600 / virtual_s


# -- rivals ----------------------------------------------------------------------------------------
def install_rivals(folder: Path) -> Path | None:
    """A Python that has them, or None; then it is said why."""
    python = find_python()
    if python is None:
        print(f"{' and '.join(RIVALS)} are missing: they need Python 3.12 or later on PATH")
        return None
    inner = folder / "venv/bin/python"
    commands = [[python, "-m", "venv", str(folder / "venv")]]
    commands.append([str(inner), "-m", "pip", "install", "--quiet", *RIVALS])
    for command in commands:
        said = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
        if said.returncode != 0:
            print(f"{' and '.join(RIVALS)} are missing: {said.stderr.strip()[-300:]}")
            return None
    return inner


def find_python() -> str | None:
    """An interpreter that starts and is new enough (a pyenv shim may be there and not work)."""
    found = [path for name in PYTHONS if (path := shutil.which(name))]
    versions = Path.home() / ".pyenv/versions"
    if versions.is_dir():
        found += [str(path) for path in sorted(versions.glob("3.1[2-9]*/bin/python"), reverse=True)]
    for python in [sys.executable, *found]:
        asked = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 12))"]
        if subprocess.run(asked, capture_output=True).returncode == 0:
            return python
    return None


def ping_by_rival(python: Path, rival: str, style: str, nodes: int, seconds: float) -> float:
    script = Path(__file__).with_name("sim_rival.py")
    said = subprocess.run(
        [str(python), str(script), rival, style, str(nodes), str(seconds)],
        env={"PYTHONHASHSEED": "0"},  # simloom starts itself again without it
        capture_output=True,
        text=True,
        check=True,
        timeout=RUN_TIMEOUT_S,
    )
    done = json.loads(said.stdout)
    assert done["pings"] >= nodes * (seconds - 1), done
    assert done["answers"] >= ANSWERED_MIN * done["pings"], done
    return float(nodes * seconds / done["cpu_s"])


if __name__ == "__main__":
    main()
