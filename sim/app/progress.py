"""Progress of runs and explorations: lines for logs, one redrawn line on a terminal; on stderr."""

from __future__ import annotations

import sys
import time

from cli.i18n import n, t
from cli.settings import note
from cli.text import cut, human_seconds, width
from mesh.swim.effects import State
from sim.explore.explore import Progress
from sim.scenario.play import Director
from sim.stage.base import Stage

STEPS = 20
BAR_CELLS = 24
REDRAW_S = 0.1
SURVEYED_MAX = 64
"""Observers that are asked for what they see; more would cost more than the run."""


class RunProgress:
    """A line for every 5 % of a run: virtual time, speed, who is up, what is wrong."""

    def __init__(self) -> None:
        self._director: Director
        self._begun_s = time.monotonic()

    def prepare(self, director: Director) -> None:
        self._director = director
        for step in range(1, STEPS + 1):
            director.stage.world.at(director.end_s * step / STEPS, self._line)

    def _line(self) -> None:
        director = self._director
        stage = director.stage
        up, suspected, gone = survey(stage)
        now_s = stage.world.now_s
        speed = now_s / max(1e-6, time.monotonic() - self._begun_s)
        kinds = sorted({fault.kind for fault, _ in director.active.values()})
        words = t(
            "{percent:3d} %  {now:>9}  {speed:>6.0f}x  {phase:<8}  {up}/{all} up,"
            " seen suspect {suspect}, gone {gone}",
            percent=round(100 * now_s / director.end_s),
            now=f"{now_s:.0f} s",
            speed=speed,
            phase=director.phase,
            up=up,
            all=stage.size,
            suspect=suspected,
            gone=gone,
        )
        note(words + (f"  [{', '.join(kinds)}]" if kinds else ""))


def survey(stage: Stage) -> tuple[int, int, int]:
    """How many are up; how many are suspected, and held gone, by anybody who is up."""
    up = [node for node in range(stage.size) if stage.is_up(node)]
    suspected: set[int] = set()
    gone: set[int] = set()
    for observer in up[:: max(1, len(up) // SURVEYED_MAX)]:
        for subject in range(stage.size):
            view = stage.view(observer, subject) if subject != observer else None
            if view is not None and view.state == State.SUSPECT:
                suspected.add(subject)
            elif view is not None and view.state > State.SUSPECT:
                gone.add(subject)
    return len(up), len(suspected), len(gone)


class ExploreProgress:
    """The state of an exploration: redrawn in place on a terminal, a line now and then in a log."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._next_s = 0.0
        self._drawn = False

    def __call__(self, progress: Progress) -> None:
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + (REDRAW_S if self._terminal else 5.0)
        if self._terminal:
            sys.stderr.write("\r\x1b[K" + cut(self._text(progress), width(2) - 1))
            sys.stderr.flush()
            self._drawn = True
        else:
            note(self._text(progress))

    def _text(self, progress: Progress) -> str:
        filled = BAR_CELLS * progress.done // max(1, progress.wanted)
        bar = "#" * filled + "-" * (BAR_CELLS - filled)
        words = t(
            "[{bar}] {done}/{wanted} seeds", bar=bar, done=progress.done, wanted=progress.wanted
        )
        if not progress.done:  # no rate yet, and nothing that follows from it
            return words
        left_s = (progress.wanted - progress.done) / progress.rate
        return words + t(
            "  {rate:.1f}/s  {hours:.1f} node-hours  {failed} found  {left} left",
            rate=progress.rate,
            hours=progress.node_s / 3600,
            failed=progress.failed,
            left=human_seconds(left_s),
        )

    def close(self) -> None:
        """Leave a clean line behind."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False


def count_faults(count: int) -> str:
    return n("{count} fault", "{count} faults", count)
