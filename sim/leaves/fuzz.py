"""Fuzzes the firmware: `python -m sim.leaves.fuzz [--seconds N] [--seed N]`.

Builds the core for this machine under the address and undefined-behaviour sanitizers, feeds it
mutated frames and programs, and whole lives of leaves with power cuts and flash that fails
(firmware/fuzz), then plays a part of the same inputs on a build that counts lines and branches, and
prints what was reached. Needs gcc and gcov. Exit status 1 when something was found, its input named
by seed and number, or when less was reached than should be.

What stays: branches behind a check that has been made before (the size of a package, whether there
is a slot, a note that is kept in hand), the header's CRC collisions, and a few that only a failure
of flash in one certain operation of a refresh would take.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sim.leaves.corpus import write_corpus
from sim.sources import FIRMWARE

SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ENDS_BY_ABORT = {"ASAN_OPTIONS": "abort_on_error=1", "UBSAN_OPTIONS": "abort_on_error=1"}
"""So that the harness can name the input."""
COUNTED = ("-O0", "--coverage")
COUNTED_INPUTS = 60_000
BRANCHES_MIN_PERCENT = 90.0
"""Of each file. What stays is told at the top."""
INPUTS_MAX = 2**32 - 1
COVERED: tuple[str, ...] = (
    "vm",
    "verifier",
    "program",
    "cbor",
    "frame",
    "lzss",
    "deploy",
    "session",
    "requests",
)
COVERED += ("engine", "events", "slots")
BUILD_TIMEOUT_S = 300.0


class Unusable(Exception):
    """Something is missing here; the text says what."""


def sources() -> list[Path]:
    core = [each for each in sorted((FIRMWARE / "core").glob("*.c")) if each.stem != "ed25519"]
    host = [FIRMWARE / "host" / name for name in ("board.c", "access.c")]
    return [*core, *host, *sorted((FIRMWARE / "fuzz").glob("*.c"))]


def build(folder: Path, flags: Sequence[str]) -> Path:
    """The harness, built into a folder. Raises Unusable."""
    if shutil.which("gcc") is None:
        raise Unusable("gcc is not installed")
    made = folder / "fuzz"
    files = [str(each) for each in sources()]
    line = ["gcc", "-std=c11", "-g", "-Wall", "-Wextra", "-Werror", *flags, *files, "-o", str(made)]
    done = subprocess.run(
        line, cwd=folder, capture_output=True, check=False, text=True, timeout=BUILD_TIMEOUT_S
    )
    if done.returncode:
        raise Unusable(done.stderr.strip())
    return made


def play(harness: Path, seed: int, inputs: int, seconds: int, corpus: Path) -> dict[str, int]:
    """One run. Raises subprocess.CalledProcessError when it found something."""
    line = [str(harness), str(seed), str(inputs), str(seconds), str(corpus)]
    done = subprocess.run(
        line,
        cwd=harness.parent,
        check=True,
        capture_output=True,
        timeout=seconds + 60,
        env=os.environ | ENDS_BY_ABORT,
    )
    counted: dict[str, int] = json.loads(done.stdout)
    return counted


def coverage(folder: Path) -> dict[str, tuple[float, float]]:
    """Per file of the core: percent of lines, and of branches taken at least once."""
    if shutil.which("gcov") is None:
        raise Unusable("gcov is not installed")
    found = {}
    for name in COVERED:
        notes = next(folder.glob(f"*{name}.gcno"))
        done = subprocess.run(
            ["gcov", "-b", "-n", str(notes)], cwd=folder, capture_output=True, text=True, check=True
        )
        part = done.stdout.partition(f"core/{name}.c'")[2].partition("File '")[0]
        lines = re.search(r"Lines executed:([\d.]+)%", part)
        branches = re.search(r"Taken at least once:([\d.]+)%", part)
        assert lines is not None, done.stdout
        found[name] = (float(lines[1]), float(branches[1]) if branches else 100.0)
    return found


def fuzz(seconds: int, seed: int) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        corpus = folder / "corpus"
        records = write_corpus(corpus)
        for name in ("sanitized", "counted"):
            (folder / name).mkdir()
        harness = build(folder / "sanitized", SANITIZED)
        try:
            counted = play(harness, seed, INPUTS_MAX, seconds, corpus)
        except subprocess.CalledProcessError as failed:
            print(failed.stderr.decode(errors="replace"), file=sys.stderr)  # noqa: T201
            return 1
        print(json.dumps({"seed": seed, "corpus": records, **counted, "findings": 0}))  # noqa: T201
        play(build(folder / "counted", COUNTED), seed, COUNTED_INPUTS, seconds + 60, corpus)
        reached = coverage(folder / "counted")
    for name, (lines, branches) in reached.items():
        print(f"{name + '.c':12} {lines:6.1f} % lines  {branches:6.1f} % branches")  # noqa: T201
    return int(min(branches for _, branches in reached.values()) < BRANCHES_MIN_PERCENT)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="how long to look for faults")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    try:
        return fuzz(options.seconds, options.seed)
    except Unusable as missing:
        print(f"error: {missing}", file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
