"""`python -m sim.boards.powercut [--board B|all] [--quick]`: power fails, and no leaf dies.

Every flash operation of deploy, confirm and rollback, cut clean, torn and half done, on every
board; and double cuts on one. Prints a table, what died (nothing), and a line of JSON:
boards.NAME.{operations, old, new, seconds}, bricks. Deliberately not here: what a cut is (`cuts`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import attrs

from sim.boards.board import MAKERS
from sim.boards.cuts import Case, Journey, cases_of, chosen_of, journey, judge, judge_twice
from sim.boards.image import NoFirmware

QUICK_PER_PHASE = 3
DOUBLE_SECOND_CUTS = 6
"""Of each first cut, spread over the second attempt."""
DOUBLE_FIRST_QUICK = 2
DOUBLE_BOARD = "stm32h7a3"


def all_cases(done: Journey, quick: bool) -> list[Case]:
    """Single cuts of a board; flashes that are the same are started once."""
    unique: dict[tuple[bytes, frozenset[int], tuple[int, int]], Case] = {}
    for phase in done.phases:
        chosen = chosen_of(len(phase.operations), QUICK_PER_PHASE if quick else None)
        for case in cases_of(done.known, phase, chosen):
            unique.setdefault((case.flash, case.unreadable, case.allowed), case)
    return list(unique.values())


@attrs.define
class Sweep:
    """What came of the cuts of one board."""

    board: str
    operations: int = 0
    outcomes: Counter[str] = attrs.field(factory=Counter)
    bricks: list[str] = attrs.field(factory=list)
    seconds: float = 0.0

    def note(self, case: Case, outcome: str, why: str) -> None:
        self.outcomes[outcome] += 1
        if outcome == "BRICK":
            self.bricks.append(
                f"{case.phase}, operation {case.operation}, {case.tear.value}: {why}"
            )

    def line(self) -> str:
        counts = self.outcomes
        return (
            f"{self.board:<22}{self.operations:>11}{sum(counts.values()):>8}{counts['old']:>7}"
            f"{counts['new']:>7}{counts['BRICK']:>8}{self.seconds:>9.1f} s"
        )


def sweep(done: Journey, quick: bool, pool: ProcessPoolExecutor) -> Sweep:
    """Cut one board everywhere."""
    begun_s = time.monotonic()
    operations = sum(len(phase.operations) for phase in done.phases)
    result = Sweep(done.known.board, operations)
    cases = all_cases(done, quick)
    verdicts = pool.map(partial(judge, done.known), cases)
    for case, (outcome, why) in zip(cases, verdicts, strict=True):
        result.note(case, outcome, why)
    result.seconds = time.monotonic() - begun_s
    return result


def sweep_twice(done: Journey, quick: bool, pool: ProcessPoolExecutor) -> Sweep:
    """Cut the deploy of a board, and then its second attempt."""
    begun_s = time.monotonic()
    phase = done.phases[0]
    chosen = chosen_of(len(phase.operations), DOUBLE_FIRST_QUICK if quick else None)
    result = Sweep(f"{done.known.board}, twice", len(chosen))
    cases = list(cases_of(done.known, phase, chosen))
    judged = pool.map(partial(judge_twice, done.known, DOUBLE_SECOND_CUTS), cases)
    for case, verdicts in zip(cases, judged, strict=True):
        for outcome, why in verdicts:
            result.note(case, outcome, why)
    result.seconds = time.monotonic() - begun_s
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sim.boards.powercut", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--board", choices=[*sorted(MAKERS), "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="a sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 1 when a leaf died."""
    options = _parser().parse_args(argv)
    boards = sorted(MAKERS) if options.board == "all" else [options.board]
    results: list[Sweep] = []
    try:
        with ProcessPoolExecutor(options.jobs) as pool:
            _say(f"{'':<22}{'operations':>11}{'starts':>8}{'old':>7}{'new':>7}{'bricks':>8}")
            for board in boards:
                done = journey(board)
                results.append(sweep(done, options.quick, pool))
                _say(results[-1].line())
                if board == DOUBLE_BOARD:
                    results.append(sweep_twice(done, options.quick, pool))
                    _say(results[-1].line())
    except NoFirmware as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - for a person
        return 1
    bricks = [f"{each.board}: {brick}" for each in results for brick in each.bricks]
    for brick in bricks:
        _say(brick)
    table = {
        each.board: {"operations": each.operations, **each.outcomes, "seconds": each.seconds}
        for each in results
    }
    _say(json.dumps({"bench": "powercut", "bricks": len(bricks), "boards": table}))
    return 1 if bricks else 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - standard output is this program's answer


if __name__ == "__main__":
    sys.exit(main())
