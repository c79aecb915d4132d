"""Membership beside kinship and memberlist: join, kill -9, silent crash, steady cost; and, in the
simulator, what no machine has room for.

    vitte        our membership alone, as the rivals are: `mesh.node.gossip` on real sockets
    vitte-node   whole nodes, which also hold TLS links to each other (`node_host`); its bytes and
                 processor time are those of membership, links and load reports together
    kinship      PyPI, its LAN preset with a key
    memberlist   Debian's golang-github-hashicorp-memberlist-dev, its LAN profile with a key

Several nodes to a process, in a network namespace of their own each; the one that dies has a
process of its own (`membership_lab`). Joining is measured one system after the other, everything
else at the same time for all of them. "Everybody knows" means each of the others: dead, or for
ours *unreachable* where too few judges are left. Bytes are those of the loopback interface, all
headers included. A system that is not installed is said to be missing.

`--only sim` and `--only real` do half of it; `--full` runs all 3600 cells of starvation (hours).
Keys: METRIC_SYSTEM_NODES; `kill_ratio_*` = rival / ours; sim_* are of `membership_sim`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import attrs
import membership_sim
from common import finish, print_table
from membership_lab import Mesh, Namespace, System, Wait, can_drop, in_parallel

HERE = Path(__file__).resolve().parent
GO_PATH = "/usr/share/gocode"
"""Where Debian puts Go libraries, unless GOPATH says otherwise."""
SETTLE_S, AFTER_JOIN_S = 8.0, 2.0
WITHIN_S = 120.0
"""Whoever needs longer is counted with this."""
OURS = ("vitte", "vitte-node")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=("real", "sim"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--whole-max", type=int, default=32, help="largest mesh of whole nodes")
    parser.add_argument("--joins", type=int, default=5, help="fresh meshes per system and size")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--silent", type=int, default=5)
    parser.add_argument("--steady-s", type=float, default=60.0)
    membership_sim.add_arguments(parser)
    options = parser.parse_args()
    values: dict[str, float] = {}
    facts: dict[str, object] = {}
    if options.only != "sim":
        with tempfile.TemporaryDirectory(prefix="vitte-bench-") as folder:
            systems, missing = find_systems(Path(folder))
            facts["missing"] = missing
            for nodes in options.sizes:
                chosen = [s for s in systems if s.name != OURS[1] or nodes <= options.whole_max]
                values |= measure_size(chosen, nodes, options)
    if options.only != "real":
        values |= membership_sim.measure(options)
        facts |= membership_sim.describe(options)
    finish("membership", values, **facts)


# -- who there is ----------------------------------------------------------------------------------
def find_systems(folder: Path) -> tuple[list[System], list[str]]:
    """Those that can run here, and the names of those that cannot."""
    systems = [
        System(OURS[0], (sys.executable, str(HERE / "membership_host.py"))),
        System(OURS[1], (sys.executable, str(HERE / "node_host.py"))),
    ]
    missing: list[str] = []
    if find_spec("kinship") is not None:
        systems.append(System("kinship", (sys.executable, str(HERE / "kinship_host.py"))))
    else:
        missing.append("kinship")
        print("kinship is missing: uv pip install kinship")
    binary = build_memberlist(folder)
    if binary is not None:
        systems.append(System("memberlist", (str(binary),)))
    else:
        missing.append("memberlist")
    return systems, missing


def build_memberlist(folder: Path) -> Path | None:
    go_path = os.environ.get("GOPATH", GO_PATH)
    source = Path(go_path) / "src/github.com/hashicorp/memberlist"
    if shutil.which("go") is None or not source.is_dir():
        print("memberlist is missing: apt install golang golang-github-hashicorp-memberlist-dev")
        return None
    binary = folder / "memberlist_host"
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": go_path, "GOFLAGS": ""}
    said = subprocess.run(
        ["go", "build", "-o", str(binary), "."],
        cwd=HERE / "memberlist",
        env=env,
        capture_output=True,
        text=True,
    )
    if said.returncode != 0:
        print(f"memberlist does not build here:\n{said.stderr}")
        return None
    return binary


# -- one size --------------------------------------------------------------------------------------
@attrs.define
class Measured:
    """Of one system at one size; all times in seconds."""

    joins: list[float] = attrs.field(factory=list)
    again: list[float] = attrs.field(factory=list)
    """One more node joins."""
    kills: list[float] = attrs.field(factory=list)
    silent: list[float] = attrs.field(factory=list)
    steady: dict[str, float] = attrs.field(factory=dict)
    false_deaths: int = 0


def measure_size(
    systems: Sequence[System], nodes: int, options: argparse.Namespace
) -> dict[str, float]:
    victims = 1 + options.kills + options.silent
    measured = {system.name: Measured() for system in systems}
    for _ in range(options.joins - 1):
        for system in systems:
            with Namespace() as where, closing(Mesh(system, nodes, where)) as mesh:
                measured[system.name].joins.append(seconds(mesh.join(WITHIN_S)))
    with ExitStack() as stack:
        meshes: dict[str, Mesh] = {}
        for system in systems:
            where = stack.enter_context(Namespace())
            mesh = stack.enter_context(closing(Mesh(system, nodes, where, victims)))
            measured[system.name].joins.append(seconds(mesh.join(WITHIN_S)))
            meshes[system.name] = mesh
        time.sleep(SETTLE_S)
        for_all(meshes, lambda name: steady(measured[name], meshes[name], options.steady_s))
        rounds = [False] * options.kills + [True] * (options.silent if can_drop() else 0)
        for at, silently in enumerate(rounds):
            last = at + 1 == len(rounds)
            for_all(
                meshes,
                lambda name, s=silently, e=last: one_death(measured[name], meshes[name], s, e),
            )
            print(f"  {nodes} nodes, death {at + 1}/{len(rounds)}", flush=True)
        for name, mesh in meshes.items():
            measured[name].false_deaths = mesh.false_deaths()
    return report(measured, nodes)


class closing:  # noqa: N801 - as contextlib's
    """`with closing(mesh)`: its processes end whatever happens."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    def __enter__(self) -> Mesh:
        return self._mesh

    def __exit__(self, *_: object) -> None:
        self._mesh.close()


def for_all(meshes: dict[str, Mesh], act: Callable[[str], None]) -> None:
    in_parallel([lambda name=name: act(name) for name in meshes])  # type: ignore[misc]


def steady(measured: Measured, mesh: Mesh, window_s: float) -> None:
    measured.steady = mesh.steady(window_s)


def one_death(measured: Measured, mesh: Mesh, silently: bool, last: bool) -> None:
    """The victim dies; then another one takes its place."""
    took = measured.silent if silently else measured.kills
    took.append(seconds(mesh.kill(silently, WITHIN_S)))
    if not last:
        measured.again.append(seconds(mesh.replace_victim(WITHIN_S)))
        time.sleep(AFTER_JOIN_S)


def seconds(wait: Wait) -> float:
    return min(wait.last_s, WITHIN_S)


# -- what is said ----------------------------------------------------------------------------------
HEAD = (
    "s until everybody knows",
    "join",
    "worst",
    "one more",
    "worst",
    "kill -9",
    "p99",
    "silent",
    "worst",
    "B/node/s",
    "pkt",
    "ms CPU",
    "false deaths",
)


def report(measured: dict[str, Measured], nodes: int) -> dict[str, float]:
    values: dict[str, float] = {}
    rows: list[list[str]] = []
    for name, one in measured.items():
        figures = figures_of(one)
        values |= {f"{key}_{name}_{nodes}": value for key, value in figures.items()}
        rows.append([name, *(f"{value:.2f}" for value in figures.values())])
    for rival, one in measured.items():
        for ours in OURS:
            if rival not in OURS and ours in measured and one.kills:
                ratio = median(one.kills) / median(measured[ours].kills)
                values[f"kill_ratio_{rival}_{ours}_{nodes}"] = ratio
    some = next(iter(measured.values()))
    counts = f"{len(some.joins)} joins, {len(some.kills)} kills, {len(some.silent)} silent crashes"
    print_table(f"{nodes} real nodes: {counts}", HEAD, rows)
    return values


def figures_of(one: Measured) -> dict[str, float]:
    """In the order of HEAD; NaN where nothing was asked for."""
    nothing = [float("nan")]
    return {
        "join_s": median(one.joins),
        "join_worst_s": max(one.joins),
        "again_s": median(one.again or nothing),
        "again_worst_s": max(one.again or nothing),
        "kill_s": median(one.kills or nothing),
        "kill_p99_s": percentile(one.kills or nothing, 0.99),
        "silent_s": median(one.silent or nothing),
        "silent_worst_s": max(one.silent or nothing),
        "bytes": one.steady["bytes"],
        "packets": one.steady["packets"],
        "cpu_ms": one.steady["cpu_ms"],
        "false_deaths": float(one.false_deaths),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; of few values it is the greatest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    main()
