"""What one shard costs beyond its work: 1000 runs of /bin/true, two at a time.

    ours   two loopback peers with one slot each; the whole command `vitte dist run bench`: start of
           the command line, planning, hashing 1000 inputs, TLS between the peers, one sandboxed
           process and one signed result per shard, the summary
    xargs  the whole command `xargs -P2 -n1 /bin/true`, the least any program could do
    Dask   `client.map` to `gather` on a warm cluster of two worker processes with one thread each,
           each task a `subprocess.run(["/bin/true"])`; not its start-up, no encryption

Nothing is cached: steps of kind `bench` are not. Keys: ratio_xargs = ours / xargs,
ratio_dask = ours / Dask, per shard.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from common import Cluster, finish, interleave, medians, print_table, timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="vitte-bench-") as directory,
        Cluster(nodes=2, slots=1) as cluster,
        DaskCluster() as dask,
    ):
        project = write_project(Path(directory), options.shards)
        items = project / "items.txt"
        cluster.run("bench", project)  # warm: history, scan of the tree, connections
        dask.run(options.shards)
        seconds = interleave(
            options.rounds,
            {
                "vitte": lambda: cluster.run("bench", project),
                "xargs": lambda: timed(
                    ["xargs", "-a", str(items), "-P2", "-n1", "/bin/true"], project
                ),
                "dask": lambda: dask.run(options.shards),
            },
        )
        check(cluster.view("bench", project), options.shards)
    report(medians(seconds), options.shards, options.rounds)


def write_project(directory: Path, shards: int) -> Path:
    """One step per file, so that every shard is an action of its own."""
    (directory / "items").mkdir()
    names = [f"{number:04}" for number in range(shards)]
    for name in names:
        (directory / "items" / name).write_text(name)
    (directory / "items.txt").write_text("\n".join(names) + "\n")
    (directory / "vitte-dist.toml").write_text(
        '[[step]]\nname = "true"\nkind = "bench"\nforeach = "items/*"\nrun = ["/bin/true"]\n'
    )
    return directory


def check(view: dict[str, Any], shards: int) -> None:
    """The comparison is void if ours did not really run them all, on both peers."""
    assert view["ok"], view
    assert view["shards"] == shards, view
    assert view["cached"] == 0, view
    assert view["local"] + view["remote"] == shards, view
    assert view["remote"] > 0, view


def run_true(_: int) -> int:
    return subprocess.run(["/bin/true"]).returncode


class DaskCluster:
    """A warm Dask cluster on loopback."""

    def __enter__(self) -> DaskCluster:
        from distributed import Client, LocalCluster

        self._cluster = LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=40,
        )
        self._client = Client(self._cluster)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._cluster.close()

    def run(self, shards: int) -> float:
        started = time.perf_counter()
        futures = self._client.map(run_true, range(shards), pure=False)
        codes = self._client.gather(futures)
        seconds = time.perf_counter() - started
        assert codes == [0] * shards
        return seconds


def report(seconds: dict[str, float], shards: int, rounds: int) -> None:
    rows = [
        [name, f"{value:.3f}", f"{1000 * value / shards:.3f}", f"{value / seconds['xargs']:.2f}"]
        for name, value in seconds.items()
    ]
    title = f"{shards} x /bin/true, two at a time, median of {rounds} rounds"
    print_table(title, ["", "s", "ms/shard", "x xargs"], rows)
    finish(
        "dispatch",
        {
            "ratio_xargs": seconds["vitte"] / seconds["xargs"],
            "ratio_dask": seconds["vitte"] / seconds["dask"],
            "ms_per_shard": 1000 * seconds["vitte"] / shards,
        },
        shards=shards,
        rounds=rounds,
    )


if __name__ == "__main__":
    main()
