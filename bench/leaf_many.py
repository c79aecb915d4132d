"""A hundred leaves in one process, joined to one node: processor time and memory of both.

The leaves are the firmware's own core on boards made of memory, each behind a unix socket of its
own; the node is a real one, started as a user would. Each leaf is provisioned, attended to and
given a program that reports twice a second; then everybody is left alone for a while. What the
leaves have sent must have arrived, once, or be counted as missing: nothing is, here.

Keys: leaves, join_s, deploy_s (trial included), node_cpu_percent, node_rss_mib, leaves_cpu_percent,
leaf_kib, alive, events_per_s, events_missing.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from functools import partial
from pathlib import Path
from typing import Any

import trio
from common import Cluster, finish

from cli.client import Call
from cli.daemon import owner_pid
from mesh.rules.program import BoardKind
from sim.leaves.library import library
from sim.leaves.serve import BoardServer

SOURCE = """
@every("500ms")
def count(n: int = 0):
    n += 1
    emit(1, n)
"""
STEP_S = 0.02
"""Looking at each five hundred times a second would be all that this machine does."""
JOINS_AT_ONCE, DEPLOYS_AT_ONCE = 8, 100
"""Commands of users at the same time; most of a deploy is waiting for the end of the trial."""
PATIENCE_S = 120.0


def ask(home: str, op: str, **params: object) -> dict[str, Any]:
    with Call(home, op, **params) as call:
        return call.result()


async def all_at_once(leaves: int, what: Any, at_once: int) -> float:
    """`what(number)` for each leaf, in threads; seconds that took."""
    begun_s, limiter = time.perf_counter(), trio.CapacityLimiter(at_once)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for number in range(leaves):
                nursery.start_soon(partial(trio.to_thread.run_sync, what, number, limiter=limiter))
    return time.perf_counter() - begun_s


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


async def measure(home: str, folder: Path, leaves: int, watch_s: float) -> dict[str, float]:
    ports = [f"unix:{folder / f'{number}.sock'}" for number in range(leaves)]
    names = [f"leaf-{number}" for number in range(leaves)]

    def join(number: int) -> None:
        ask(home, "leaf_provision", port=ports[number], name=names[number])
        ask(home, "leaf_attach", port=ports[number])

    def deploy(number: int) -> None:
        ask(home, "leaf_deploy", leaf=names[number], names=["r.py"], sources=[SOURCE])

    async with trio.open_nursery() as nursery:
        for port in ports:
            server = BoardServer(Path(port.removeprefix("unix:")), BoardKind.STM32F405)
            server.step_s, server.tells_pins = STEP_S, False
            await nursery.start(server.run)
        values: dict[str, float] = {"leaves": leaves}
        values["join_s"] = await all_at_once(leaves, join, JOINS_AT_ONCE)
        values["deploy_s"] = await all_at_once(leaves, deploy, DEPLOYS_AT_ONCE)
        pid, before = owner_pid(home), total_events(home)
        assert pid is not None, "the node runs"
        node_s, leaves_s, begun_s = cpu_s(pid), time.process_time(), time.perf_counter()
        await trio.sleep(watch_s)
        passed_s = time.perf_counter() - begun_s
        values["node_cpu_percent"] = 100 * (cpu_s(pid) - node_s) / passed_s
        values["leaves_cpu_percent"] = 100 * (time.process_time() - leaves_s) / passed_s
        values["node_rss_mib"] = rss_mib(pid)
        values["leaf_kib"] = library().board_bytes() / 1024
        view = ask(home, "leaf_list")["leaves"]
        values["alive"] = sum(leaf["state"] == "alive" for leaf in view)
        values["events_per_s"] = (total_events(home) - before) / passed_s
        values["events_missing"] = sum(leaf["missing_events"] for leaf in view)
        nursery.cancel_scope.cancel()
    return values


def total_events(home: str) -> int:
    return sum(leaf["events"] for leaf in ask(home, "leaf_list")["leaves"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--leaves", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with Cluster(nodes=1, slots=1) as cluster:
        home = str(cluster.mesh / "node-1")
        folder = cluster.path / "leaves"
        folder.mkdir()
        values = trio.run(measure, home, folder, options.leaves, options.seconds)
    for key, value in values.items():
        print(f"{key:20} {value:10.1f}")
    finish("leaf_many", values)
    assert values["alive"] == options.leaves, "every leaf is there, and well"
    assert values["events_missing"] == 0
    assert values["events_per_s"] > options.leaves, "two a second from each"


if __name__ == "__main__":
    main()
