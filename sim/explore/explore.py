"""Many seeds on all cores: what fails is saved as a scenario file and shrunk at once.

A folder that cannot be written any more ends nothing: `ExploreConfig.write` says where a file is,
if it is anywhere, and what failed keeps its text.

Workers are forked once and play chunk after chunk; they send back only what failed and a few
numbers. A worker that is told to stop finishes its run. Deliberately not here: drawing the progress
(`sim.app.progress`) and what is a failure (`sim.oracles`).
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import active_children, get_context
from pathlib import Path
from threading import Thread

import attrs

from sim.oracles import Finding
from sim.scenario.files import dumps, loads
from sim.scenario.model import Scenario
from sim.scenario.play import play
from sim.scenario.profiles import Wish, draw, file_name
from sim.shrink.shrink import DoesNotFail, ShrinkConfig, shrink
from sim.whole import write_whole

SHRUNK_MAX = 5
"""Failures that are shrunk; more of them are most likely the same bugs."""
POLL_S = 0.2
PARENT_LOOK_S = 1.0


def _write(path: Path, text: str) -> Path:
    write_whole(path, text)
    return path


@attrs.frozen
class ExploreConfig:
    first: int
    last: int
    """Inclusive."""
    wish: Wish
    """Everything but the seed."""
    jobs: int = 1
    budget_s: float | None = None
    folder: Path = Path(".vitte/sim")
    write: Callable[[Path, str], Path | None] = _write
    """Writes a file and says where it is now; None: nowhere."""
    shrink: ShrinkConfig = attrs.field(factory=ShrinkConfig)


@attrs.frozen
class Played:
    """One seed's run, as a worker reports it."""

    seed: int
    findings: tuple[Finding, ...]
    digest: str
    node_s: float
    faults: int
    cpu_s: float


@attrs.frozen
class Failure:
    """A failing seed, and what it was shrunk to."""

    played: Played
    name: str
    """Of its file."""
    text: str
    """The scenario as files have it."""
    path: Path | None
    """Where it is; None when it could not be written."""
    shrunk: Path | None = None
    passing: Path | None = None
    faults_after: int | None = None
    scenario: Scenario | None = None
    """What it was shrunk to."""
    runs: int = 0
    cpu_s: float = 0.0


@attrs.define
class Progress:
    """Where an exploration is."""

    wanted: int
    begun_s: float
    done: int = 0
    failed: int = 0
    node_s: float = 0.0
    cpu_s: float = 0.0
    shrinking: int = 0

    @property
    def rate(self) -> float:
        return self.done / max(1e-6, time.monotonic() - self.begun_s)


@attrs.frozen
class Explored:
    progress: Progress
    failures: tuple[Failure, ...]
    interrupted: bool
    seconds: float


def play_seed(wish: Wish) -> Played:
    scenario = draw(wish)
    outcome = play(scenario)
    node_s = outcome.virtual_s * scenario.nodes
    return Played(
        wish.seed, outcome.findings, outcome.digest, node_s, len(scenario.faults), outcome.cpu_s
    )


def _shrink_text(text: str, config: ShrinkConfig) -> tuple[str, str | None, int, float] | None:
    """For a worker: texts of the shortest failing and the nearest passing scenario."""
    try:
        done = shrink(loads(text), config)
    except DoesNotFail:
        return None
    passing = dumps(done.passing) if done.passing is not None else None
    return dumps(done.scenario), passing, done.runs, done.cpu_s


class Explorer:
    """One exploration."""

    def __init__(self, config: ExploreConfig, on_progress: Callable[[Progress], None]) -> None:
        self._config = config
        self._on_progress = on_progress
        self._begun_s = time.monotonic()
        self.progress = Progress(config.last - config.first + 1, self._begun_s)
        self.failures: list[Failure] = []
        self._running: dict[Future[object], Failure | None] = {}
        self._to_shrink: deque[Failure] = deque()

    def run(self) -> Explored:
        interrupted = False
        context = get_context("fork")
        pool = ProcessPoolExecutor(self._config.jobs, context, initializer=begin_worker)
        try:
            self._work(pool)
        except KeyboardInterrupt:
            interrupted = True
            for worker in active_children():  # none of them holds anything that must be kept
                worker.terminate()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        seconds = time.monotonic() - self._begun_s
        return Explored(self.progress, tuple(self.failures), interrupted, seconds)

    def _work(self, pool: ProcessPoolExecutor) -> None:
        seeds = iter(range(self._config.first, self._config.last + 1))
        while self._fill(pool, seeds):
            done, _ = wait(self._running, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in done:
                failure = self._running.pop(future)
                if failure is None:
                    self._note_played(future.result())  # type: ignore[arg-type]
                else:
                    self._note_shrunk(failure, future.result())  # type: ignore[arg-type]
            self._on_progress(self.progress)

    def _fill(self, pool: ProcessPoolExecutor, seeds: Iterator[int]) -> bool:
        """Keep the workers busy; shrinking first. False when there is nothing left."""
        config = self._config
        while len(self._running) < config.jobs + 1:
            if self._to_shrink:
                failure = self._to_shrink.popleft()
                self._running[pool.submit(_shrink_text, failure.text, config.shrink)] = failure
                continue
            seed = next(seeds, None) if not self._out_of_time() else None
            if seed is None:
                break
            self._running[pool.submit(play_seed, attrs.evolve(config.wish, seed=seed))] = None
        return bool(self._running)

    def _out_of_time(self) -> bool:
        budget_s = self._config.budget_s
        return budget_s is not None and time.monotonic() - self._begun_s >= budget_s

    def _note_played(self, played: Played) -> None:
        progress = self.progress
        progress.done += 1
        progress.node_s += played.node_s
        progress.cpu_s += played.cpu_s
        if not played.findings:
            return
        progress.failed += 1
        wish = attrs.evolve(self._config.wish, seed=played.seed)
        name, text = file_name(wish), dumps(draw(wish))
        failure = Failure(played, name, text, self._config.write(self._config.folder / name, text))
        self.failures.append(failure)
        if progress.shrinking < SHRUNK_MAX:
            progress.shrinking += 1
            self._to_shrink.append(failure)

    def _note_shrunk(
        self, failure: Failure, done: tuple[str, str | None, int, float] | None
    ) -> None:
        if done is None:
            return
        text, passing_text, runs, cpu_s = done
        write, path = self._config.write, self._config.folder / failure.name
        shortest = write(path.with_suffix(".min.json"), text)
        passing = write(path.with_suffix(".passing.json"), passing_text) if passing_text else None
        scenario = loads(text)
        index = self.failures.index(failure)
        self.failures[index] = attrs.evolve(
            failure,
            shrunk=shortest,
            passing=passing,
            faults_after=len(scenario.faults),
            scenario=scenario,
            runs=runs,
            cpu_s=cpu_s,
        )


def begin_worker() -> None:
    """Ctrl-C reaches the whole group: the parent decides. And no worker outlives its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_LOOK_S)
    os._exit(1)


def explore(config: ExploreConfig, on_progress: Callable[[Progress], None]) -> Explored:
    """Play all seeds, or as many as the budget allows."""
    return Explorer(config, on_progress).run()


def shortest(failures: tuple[Failure, ...]) -> Failure | None:
    """The failure that is easiest to understand."""
    ranked = [f for f in failures if f.scenario is not None]
    return min(ranked, key=lambda f: (f.faults_after or 0, f.played.seed), default=None)
