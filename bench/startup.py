"""What asking the node costs: `vitte dist status` beside the same interpreter doing nothing.

Both are whole processes. Keys: ratio = `vitte dist status` / `python -c pass`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from common import Cluster, finish, interleave, medians, print_table, timed

PYTHON, STATUS = "python -c pass", "vitte dist status"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    here = Path.cwd()
    with Cluster(nodes=2, slots=1) as cluster:
        subjects = {
            PYTHON: lambda: timed([sys.executable, "-c", "pass"], here, cluster.env),
            STATUS: lambda: timed(cluster.command("status"), here, cluster.env),
        }
        for subject in subjects.values():
            subject()  # byte code is compiled once, not at every start
        seconds = medians(interleave(options.rounds, subjects))
    rows = [
        [name, f"{1000 * value:.1f}", f"{value / seconds[PYTHON]:.2f}"]
        for name, value in seconds.items()
    ]
    print_table(f"start-up, median of {options.rounds} rounds", ["", "ms", "x python"], rows)
    finish("startup", {"ratio": seconds[STATUS] / seconds[PYTHON]}, rounds=options.rounds)


if __name__ == "__main__":
    main()
