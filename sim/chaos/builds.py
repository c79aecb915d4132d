"""The runs that users start on real nodes while everything goes wrong.

Times and origins are drawn as in the simulator (`sim.stage.builds`); the projects have the same
shape, but their steps are real: each sleeps, and writes what its input says. Deliberately not here:
what is right (`sim.oracles.builds`).
"""

from __future__ import annotations

import os
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import Any

from cli.client import Call
from mesh.errors import MeshError, NodeDidNotAnswer, NodeNotRunning, NodeWentAway
from sim.chaos.stage import ChaosStage
from sim.faults.model import choose
from sim.scenario.model import Scenario
from sim.stage.builds import LAST, STEP, VARIANTS, Build, made_in

WENT_AWAY = (NodeDidNotAnswer, NodeNotRunning, NodeWentAway)
SILENCE_MAX_S = 120.0
PART = "sim seconds={seconds}"
JOIN = "sim seconds=0.5"
JOIN_S = 0.2


class LiveBuilds:
    """Starts the runs of a scenario's workload, each in a thread that waits for it."""

    def __init__(self, stage: ChaosStage, scenario: Scenario, folder: Path) -> None:
        self._stage = stage
        self._work = scenario.workload
        self._phases = scenario.phases
        self._folder = folder
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
        if not up:
            return
        origin = choose(self._rng, up, 1)[0]
        for listener in stage.listeners:
            listener.run_began(number, origin)
        place = (number, origin, stage.life(origin), stage.world.now_s)
        threading.Thread(target=self._run, args=place, daemon=True).start()

    def _run(self, number: int, origin: int, life: int, began_s: float) -> None:
        variant = number % VARIANTS
        view: dict[str, Any] = {}
        why, lost = "", False
        with tempfile.TemporaryDirectory(prefix=f"run-{number}-", dir=self._folder) as name:
            folder = Path(name)
            write_live_project(folder, variant, self._work.shards, self._work.seconds)
            try:
                view = self._ask(origin, folder)
            except WENT_AWAY as error:
                why, lost = error.message(), True
            except MeshError as error:
                why = error.message()
            outputs = made_in(folder)
        counts = (int(view.get(key, 0)) for key in ("local", "remote", "cached"))
        build = Build(
            number,
            variant,
            origin,
            life,
            began_s,
            0.0,
            ok=bool(view.get("ok")),
            lost=lost,
            shards=int(view.get("shards", 0)),
            accounted=sum(counts),
            outputs=outputs,
            why=why or _why(view),
        )
        self._stage.world.post(partial(self._ended, build))

    def _ask(self, origin: int, folder: Path) -> dict[str, Any]:
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        asked = {"cwd": str(folder), "kind": "build", "argv": [], "env": environment}
        with Call(str(self._stage.nodes[origin].home), "run", **asked) as call:
            return call.result(timeout_s=SILENCE_MAX_S)

    def _ended(self, build: Build) -> None:
        for listener in self._stage.listeners:
            listener.run_ended(build)


def _why(view: dict[str, Any]) -> str:
    failures = [each["name"] + ": " + each["stderr_tail"] for each in view.get("failures", [])]
    error = view.get("error") or {}
    return "; ".join([*failures[:3], *([error["message"]] if error else [])])


def write_live_project(folder: Path, variant: int, shards: int, seconds: float) -> None:
    """Steps that each make a file, and one that joins them."""
    numbers = range(max(1, shards))
    for number in numbers:
        text = f"variant {variant} part {number}\n"
        (folder / f"{number}.in").write_text(text, encoding="utf-8")
    steps = [
        STEP.format(n=n, seconds=seconds).replace(
            PART.format(seconds=seconds), f"sleep {seconds}; cat {n}.in > out/{n}.txt"
        )
        for n in numbers
    ]
    made = [f"out/{number}.txt" for number in numbers]
    parts = ", ".join(f'"{name}"' for name in made)
    needs = ", ".join(f'"part-{number}"' for number in numbers)
    join = f"sleep {JOIN_S}; cat {' '.join(made)} > out/all.txt"
    last = LAST.format(parts=parts, needs=needs).replace(JOIN, join)
    text = '[project]\nname = "live"\n' + "".join(steps) + last
    (folder / "vitte-dist.toml").write_text(text, encoding="utf-8")
