"""The runs that users start on whole nodes while everything goes wrong.

Each run has a folder of its own with the same project (a real folder: planning reads real files),
is started at a drawn time on a node that is up, and is reported to the listeners when it ends.
Outputs are compared by `sim.oracles.builds`. Deliberately not here: what is right.
"""

from __future__ import annotations

import tempfile
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from sim.faults.model import choose
from sim.scenario.model import Scenario

if TYPE_CHECKING:
    from sim.stage.mesh import MeshStage

PROJECT = "naps"
FOLDER = "/tmp"  # noqa: S108 - made there with a drawn name
"""Not TMPDIR: nodes write paths down, and the sizes of what they write are in the trace."""
VARIANTS = 2
"""Projects that differ in content; runs of the same one can use each other's results."""
STEP = """
[[step]]
name = "part-{n}"
kind = "build"
inputs = ["{n}.in"]
run = "sim seconds={seconds}"
out = ["out/{n}.txt"]
"""
LAST = """
[[step]]
name = "all"
kind = "build"
inputs = [{parts}]
needs = [{needs}]
run = "sim seconds=0.5"
out = ["out/all.txt"]
"""


@attrs.frozen
class Build:
    """One run, when it has ended or is given up."""

    number: int
    variant: int
    origin: int
    life: int
    """Of the origin when it began."""
    began_s: float
    ended_s: float
    ok: bool
    lost: bool
    """The origin went away meanwhile."""
    shards: int
    accounted: int
    """Shards that the summary says were run here, there, or known."""
    outputs: dict[str, bytes] = attrs.field(factory=dict)
    """Name -> digest."""
    why: str = ""


class Builds:
    """Starts the runs of a scenario's workload."""

    def __init__(self, stage: MeshStage, scenario: Scenario, nursery: trio.Nursery) -> None:
        self._stage = stage
        self._work = scenario.workload
        self._phases = scenario.phases
        self._nursery = nursery
        self._rng = stage.world.rng("workload")

    def schedule(self) -> None:
        """Put every start on the heap."""
        phases = self._phases
        for number in range(self._work.runs):
            at_s = phases.warm_up_s + self._rng.random() * phases.chaos_s * 0.8
            self._stage.world.at(at_s, partial(self._begin, number))

    def _begin(self, number: int) -> None:
        stage = self._stage
        up = [node for node in range(stage.size) if stage.is_up(node) and not stage.is_frozen(node)]
        if up:
            origin = choose(self._rng, up, 1)[0]
            stage.world.note("run", number, origin)
            for listener in stage.listeners:
                listener.run_began(number, origin)
            self._nursery.start_soon(self._run, number, origin)

    async def _run(self, number: int, origin: int) -> None:
        stage, variant = self._stage, number % VARIANTS
        life = stage.life(origin)
        with tempfile.TemporaryDirectory(prefix="vitte-sim-", dir=FOLDER) as name:
            folder = Path(name, PROJECT)  # nodes tell each other what a run's folder is called
            write_project(folder, variant, self._work.shards, self._work.seconds)
            done = await stage.mesh[origin].run_project(folder)
            outputs = made_in(folder)
        view = done.view
        build = Build(
            number,
            variant,
            origin,
            life,
            done.began_s,
            done.ended_s,
            done.ok,
            done.lost,
            shards=int(view.get("shards", 0)),
            accounted=sum(int(view.get(key, 0)) for key in ("local", "remote", "cached")),
            outputs=outputs,
            why=str(done.refusal or view.get("status", "")),
        )
        stage.world.note("run over", number, build.ok, sorted(outputs.items()))
        for listener in stage.listeners:
            listener.run_ended(build)


def made_in(folder: Path) -> dict[str, bytes]:
    """Name -> digest of what a run has put there."""
    return {path.name: sha256(path.read_bytes()).digest() for path in folder.glob("out/*")}


def write_project(folder: Path, variant: int, shards: int, seconds: float) -> None:
    """Steps that each make a file, and one that joins them; makes the folder."""
    folder.mkdir()
    numbers = range(max(1, shards))
    for number in numbers:
        text = f"variant {variant} part {number}\n"
        (folder / f"{number}.in").write_text(text, encoding="utf-8")
    parts = ", ".join(f'"out/{number}.txt"' for number in numbers)
    needs = ", ".join(f'"part-{number}"' for number in numbers)
    steps = [STEP.format(n=number, seconds=seconds) for number in numbers]
    last = LAST.format(parts=parts, needs=needs)
    text = '[project]\nname = "simulated"\n' + "".join(steps) + last
    (folder / "vitte-dist.toml").write_text(text, encoding="utf-8")
