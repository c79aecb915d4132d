"""The determinism matrix: seeds x hash seeds x Pythons, every process a fresh one.

Address space randomisation is on, as always, so each process also has other addresses. A Python
takes part when it can import what the simulator needs; others are named and left out. Deliberately
not here: finding the cause of a difference (`vitte sim diff` on two traces does).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from sim.scenario.model import WORLDS, Scenario
from sim.scenario.profiles import Wish, draw

HASH_SEEDS = ("0", "1", "random")
KNOWN_PYTHONS = ("python3.11", "python3.12", "python3.13")
PROFILES = ("everything", "builds", "partitions", "crashes", "starved")
STATE_PROFILES = (
    *("state", "state-keys", "state-roster", "state-gaps", "state-disks", "state-full"),
)
"""Made for replicas: they have the faults that only those know, and are short, because what must
hold of replicas is looked at over and over."""
PROBE_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 3600.0
PROBE = "import sim.scenario.play, sim.kernel.run, sim.stage.membership; print('able')"


def cases(seeds: int, nodes: int) -> Iterator[tuple[str, Scenario]]:
    """What is played: every seed with one profile and in one world, in turn."""
    for seed in range(seeds):
        world = WORLDS[seed % len(WORLDS)]
        profiles = STATE_PROFILES if world == "state" else PROFILES
        profile = profiles[seed // len(WORLDS) % len(profiles)]
        yield f"{world} {profile} {seed}", draw(Wish(seed, profile, nodes, world))


@attrs.frozen
class Cell:
    """One process of the matrix."""

    python: str
    hash_seed: str
    digests: dict[str, str]
    """Case -> digest."""
    error: str = ""


@attrs.frozen
class Matrix:
    cells: tuple[Cell, ...]
    left_out: dict[str, str]
    """Python -> why."""
    different: dict[str, tuple[str, ...]]
    """Case -> the digests it had, when there is more than one."""

    @property
    def same(self) -> bool:
        return not self.different and not any(cell.error for cell in self.cells)


class NoSuchPython(Exception):
    """What was asked for by this name is no program that can be started."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def pythons(extra: Sequence[str]) -> list[str]:
    """This Python, those on PATH, and those asked for; each real file once. Raises NoSuchPython."""
    found: dict[Path, str] = {Path(sys.executable).resolve(): sys.executable}
    for name in (*KNOWN_PYTHONS, *extra):
        path = shutil.which(name)
        if path is None and name in extra:
            raise NoSuchPython(name)
        if path is not None:
            path = str(Path(path).absolute())  # cells have a folder of their own
            key = Path(path) if name in extra else Path(path).resolve()
            found.setdefault(key, path)
    return list(found.values())


def environment(hash_seed: str) -> dict[str, str]:
    """Ours, with that hash seed, and with our code first on the path of other Pythons."""
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": root}


def why_not(python: str) -> str:
    """Empty when that Python can play; else what it says."""
    try:
        done = subprocess.run(
            [python, "-c", PROBE],
            capture_output=True,
            text=True,
            check=False,
            timeout=PROBE_TIMEOUT_S,
            env=environment("0"),
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        return f"it did not answer within {PROBE_TIMEOUT_S:g} s"
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else complaint(done.stderr, done.returncode)


def complaint(stderr: str, status: int) -> str:
    """What a program said when it failed, in one line: the exception, when there is one; else how
    it began, because what follows is advice."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    if not lines:
        return f"it ended with status {status}"
    raised = any(line.startswith("Traceback (most recent call last)") for line in lines)
    return (lines[-1] if raised else lines[0]).strip()


def cell(python: str, hash_seed: str, seeds: int, nodes: int) -> Cell:
    """Play the cases in a fresh process. One that does not end in time, or cannot be started, is a
    cell with an error."""
    request = json.dumps({"seeds": seeds, "nodes": nodes})
    try:
        done = subprocess.run(
            [python, "-m", "sim", "digest", request],
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_TIMEOUT_S,
            env=environment(hash_seed),
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        return Cell(python, hash_seed, {}, f"it did not end within {RUN_TIMEOUT_S:g} s")
    except OSError as error:
        return Cell(python, hash_seed, {}, str(error))
    digests: dict[str, str] = {}
    version = python
    for line in done.stdout.splitlines():
        view = json.loads(line)
        digests[view["case"]] = view["digest"]
        version = view["python"]
    said = "" if done.returncode == 0 else complaint(done.stderr, done.returncode)
    return Cell(version, hash_seed, digests, said)


def differences(cells: Sequence[Cell]) -> dict[str, tuple[str, ...]]:
    """Cases that did not come out the same in every process."""
    seen: dict[str, set[str]] = {}
    for each in cells:
        for case, digest in each.digests.items():
            seen.setdefault(case, set()).add(digest)
    return {case: tuple(sorted(digests)) for case, digests in seen.items() if len(digests) > 1}
