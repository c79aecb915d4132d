"""`python -m sim.boards.powercut [--board B|all] [--quick]`: power fails, and no leaf dies.

Every flash operation of deploy, confirm and rollback, and of starts after a trial in vain, cut
clean, torn and half done, on every board; and on one (`--twice`) every operation of a deploy cut
so, and every operation of what the leaf is made to do again after that. All of it is half an hour
of processor time.

Prints a table, what died (nothing), and a line of JSON: boards.NAME.{operations, old, new,
seconds}, bricks. Deliberately not here: what a cut is (`cuts`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import attrs

from sim.boards.board import MAKERS
from sim.boards.cuts import (
    Case,
    Journey,
    cases_of,
    chosen_of,
    journey,
    judge,
    second_cuts,
    unique,
)
from sim.boards.image import NoFirmware

QUICK_PER_PHASE = 3
TWICE_QUICK = 2
"""Operations of the first attempt that are cut then, and of each second one."""
TWICE_BOARD = "stm32h7a3"
"""Unless another is asked for: the one whose torn words cannot even be read."""


def all_cases(done: Journey, quick: bool) -> list[Case]:
    """Single cuts of a board; flashes that are the same are started once."""
    most = QUICK_PER_PHASE if quick else None
    return unique(
        case
        for phase in done.phases
        for case in cases_of(done.known, phase, chosen_of(len(phase.operations), most))
    )


def all_second_cases(done: Journey, quick: bool, pool: ProcessPoolExecutor) -> list[Case]:
    """Cuts of the second attempt at a deploy, after every cut of the first; without those that
    leave what some single cut has left."""
    phase, most = done.phases[0], TWICE_QUICK if quick else None
    firsts = unique(cases_of(done.known, phase, chosen_of(len(phase.operations), most)))
    seen = {case.found for case in all_cases(done, quick)}
    attempts = pool.map(partial(second_cuts, done.known, most), firsts)
    return [
        case
        for case in unique(case for cases in attempts for case in cases)
        if case.found not in seen
    ]


@attrs.define
class Sweep:
    """What came of the cuts of one board."""

    board: str
    operations: int = 0
    outcomes: Counter[str] = attrs.field(factory=Counter)
    bricks: list[str] = attrs.field(factory=list)
    seconds: float = 0.0

    def judge(
        self, done: Journey, cases_of_it: Callable[[], list[Case]], pool: ProcessPoolExecutor
    ) -> None:
        """Start a leaf with each."""
        begun_s = time.monotonic()
        cases = cases_of_it()
        verdicts = pool.map(partial(judge, done.known), cases)
        for case, (outcome, why) in zip(cases, verdicts, strict=True):
            self.note(case, outcome, why)
        self.seconds = time.monotonic() - begun_s
        _say(self.line())

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


def sweep(done: Journey, options: argparse.Namespace, pool: ProcessPoolExecutor) -> list[Sweep]:
    """Cut one board everywhere, and twice if that is wanted."""
    board = done.known.board
    single = Sweep(board, sum(len(phase.operations) for phase in done.phases))
    single.judge(done, lambda: all_cases(done, options.quick), pool)
    if options.twice not in (board, "all"):
        return [single]
    twice = Sweep(f"{board}, twice", len(done.phases[0].operations))
    twice.judge(done, lambda: all_second_cases(done, options.quick, pool), pool)
    return [single, twice]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sim.boards.powercut", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--board", choices=[*sorted(MAKERS), "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="a sample")
    parser.add_argument("--twice", choices=[*sorted(MAKERS), "all", "none"], default=TWICE_BOARD)
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
                results += sweep(journey(board), options, pool)
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
