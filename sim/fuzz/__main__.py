"""`python -m sim.fuzz [--seconds N | --tries N] [--seed N] [--target NAME]...`

Fuzzes every decoder in turn, prints a line for each, and a JSON object at the end. Exit status 1
when something was found; `--seed`, `--target` and the number of the try name its input.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

import attrs

from sim.fuzz.engine import Played, play
from sim.fuzz.targets import targets

TRIES_MAX = 10_000_000


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    chosen = [
        target
        for target in targets()
        if not options.target or any(target.name.startswith(each) for each in options.target)
    ]
    if not chosen:
        print("no target is called like that; --list shows them", file=sys.stderr)  # noqa: T201
        return 2
    if options.list:
        print("\n".join(target.name for target in chosen))  # noqa: T201
        return 0
    each_s = options.seconds / len(chosen)
    played = []
    for target in chosen:
        end_s = time.monotonic() + each_s
        is_over = (lambda end_s=end_s: time.monotonic() > end_s) if not options.tries else _never
        played.append(play(target, options.seed, options.tries or TRIES_MAX, is_over))
        _show(played[-1])
    findings = sum(len(each.findings) for each in played)
    total = {
        "seed": options.seed,
        "targets": len(played),
        "tries": sum(each.tries for each in played),
        "accepted": sum(each.accepted for each in played),
        "arcs": sum(each.arcs for each in played),
        "findings": findings,
    }
    print(json.dumps(total))  # noqa: T201
    return 1 if findings else 0


def _never() -> bool:
    return False


def _show(played: Played) -> None:
    row = attrs.asdict(played)
    print("{target:40} {tries:8} tries {accepted:8} accepted {arcs:6} arcs".format(**row))  # noqa: T201
    for each in played.findings:
        print(f"  FOUND at try {each.number}: {each.error}\n    {each.data.hex()}")  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sim.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all of them together")
    parser.add_argument("--tries", type=int, default=0, help="of each, instead of a time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", action="append", help="only those whose names begin so")
    parser.add_argument("--list", action="store_true", help="print the names")
    return parser


if __name__ == "__main__":
    sys.exit(main())
