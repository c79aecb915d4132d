"""How well uneven work is spread: 64 sleeps of very different lengths on 8 slots.

The longest one stands last in the file, which is where schedulers that go in file order waste the
most. In the first run nothing is known; in the second, each node knows how long things took.
`xargs -P8` shows what file order costs. Sleeps need no processor, so 8 slots are honest on 2 cores.

The ideal is a lower bound of any schedule: max(sum / slots, longest). Key: efficiency = ideal /
second run, whole command; first_efficiency the same for the first; xargs_efficiency for xargs.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path
from statistics import median

from common import Cluster, finish, print_table, timed

SLOTS = 8
NODES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=2.0, help="multiplies every length")
    options = parser.parse_args()
    lengths = skewed_lengths(options.scale)
    seconds: dict[str, list[float]] = {"first run": [], "second run": [], "xargs -P8": []}
    with tempfile.TemporaryDirectory(prefix="vitte-bench-") as directory:
        project = write_project(Path(directory), lengths)
        for turn in range(options.rounds):
            with Cluster(nodes=NODES, slots=SLOTS // NODES) as cluster:
                seconds["first run"].append(cluster.run("bench", project))
                seconds["second run"].append(cluster.run("bench", project))
            argv = ["xargs", "-a", str(project / "lengths.txt"), f"-P{SLOTS}", "-n1", "sleep"]
            seconds["xargs -P8"].append(timed(argv, project))
            print(f"  round {turn + 1}/{options.rounds} done", flush=True)
    report({name: median(values) for name, values in seconds.items()}, lengths, options.rounds)


def skewed_lengths(scale: float) -> list[float]:
    """Seconds: a heavy tail with a fixed seed, in random order but for the longest, which is last.

    At scale 1 they sum up to about 16 s and the longest takes 2 s.
    """
    rng = random.Random(7)
    short = [0.05 + min(rng.paretovariate(1.6) * 0.09, 1.2) for _ in range(63)]
    factor = 14.2 / sum(short)
    return [round(scale * factor * length, 3) for length in short] + [round(scale * 2.0, 3)]


def write_project(directory: Path, lengths: list[float]) -> Path:
    (directory / "lengths.txt").write_text("".join(f"{length}\n" for length in lengths))
    steps = [
        f'[[step]]\nname = "sleep-{number:02}"\nkind = "bench"\n'
        f'inputs = []\nrun = ["sleep", "{length}"]\n'
        for number, length in enumerate(lengths)
    ]
    (directory / "vitte-dist.toml").write_text("\n".join(steps))
    return directory


def report(seconds: dict[str, float], lengths: list[float], rounds: int) -> None:
    ideal = max(sum(lengths) / SLOTS, *lengths)
    rows = [
        [name, f"{value:.2f}", f"{100 * ideal / value:.0f} %"] for name, value in seconds.items()
    ]
    title = (
        f"{len(lengths)} sleeps, {sum(lengths):.1f} s in all, longest {max(lengths):.1f} s, "
        f"{SLOTS} slots on {NODES} peers: ideal {ideal:.2f} s, median of {rounds}"
    )
    print_table(title, ["", "s", "of ideal"], rows)
    finish(
        "makespan",
        {
            "efficiency": ideal / seconds["second run"],
            "first_efficiency": ideal / seconds["first run"],
            "xargs_efficiency": ideal / seconds["xargs -P8"],
            "ideal_s": ideal,
        },
        rounds=rounds,
    )


if __name__ == "__main__":
    main()
