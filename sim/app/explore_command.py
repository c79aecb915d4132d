"""`vitte sim explore`: many seeds; failures saved, shrunk, and the shortest told in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.i18n import n, t
from cli.settings import Settings
from cli.shell import EXIT_INTERRUPTED, out
from cli.text import human_seconds
from sim.app.common import finding_view, give, print_failure, replay_line, wish_of
from sim.app.outputs import Outputs
from sim.app.progress import ExploreProgress
from sim.app.run_command import FOLDER
from sim.explore.explore import ExploreConfig, Explored, Failure, explore, shortest
from sim.scenario.files import dumps
from sim.scenario.play import play


def main(request: dict[str, Any], settings: Settings) -> int:
    progress = ExploreProgress()
    outputs = Outputs(settings)

    def write(path: Path, text: str) -> Path | None:
        progress.close()
        return outputs.write(path, text)

    config = ExploreConfig(
        first=request["first"],
        last=request["last"],
        wish=wish_of(request, request["first"]),
        jobs=request["jobs"],
        budget_s=request.get("budget"),
        folder=outputs.claim_folder("--folder", request.get("folder") or FOLDER),
        write=write,
    )
    done = explore(config, (lambda _: None) if settings.json else progress)
    progress.close()
    if settings.json:
        give({**_view(done), **outputs.view()}, "sim_explore")
    else:
        _print(done, settings)
    if done.interrupted:
        return EXIT_INTERRUPTED
    return outputs.status(1 if done.failures else 0)


def _print(done: Explored, settings: Settings) -> None:
    progress = done.progress
    for failure in sorted(done.failures, key=lambda failure: failure.played.seed):
        finding = failure.played.findings[0]
        size = f"{failure.played.faults}"
        if failure.faults_after is not None:
            size += f" -> {failure.faults_after}"
        line = t(
            "seed {seed}: {oracle} ({size} faults): {text}",
            seed=failure.played.seed,
            oracle=finding.oracle,
            size=size,
            text=finding.text,
        )
        out(line)
    best = shortest(done.failures)
    if best is not None and best.scenario is not None and best.shrunk is not None:
        out()
        out(t("the shortest story:"))
        print_failure(play(best.scenario), settings)
    if done.failures:
        chosen = best or done.failures[0]
        path = chosen.shrunk or chosen.path
        out(_text(chosen) if path is None else t("replay:") + " " + replay_line(path))
    out(
        n("{count} seed", "{count} seeds", progress.done)
        + t(
            " in {time}: {rate:.1f} a second, {hours:.1f} node-hours, {failed} failed",
            time=human_seconds(done.seconds),
            rate=progress.rate,
            hours=progress.node_s / 3600,
            failed=progress.failed,
        )
    )


def _text(failure: Failure) -> str:
    """The scenario itself: for what is in no file."""
    return dumps(failure.scenario) if failure.scenario is not None else failure.text


def _view(done: Explored) -> dict[str, Any]:
    progress = done.progress
    return {
        "seeds": progress.done,
        "failed": progress.failed,
        "seconds": round(done.seconds, 3),
        "cpu_s": round(progress.cpu_s, 3),
        "node_hours": round(progress.node_s / 3600, 3),
        "interrupted": done.interrupted,
        "failures": [_failure_view(failure) for failure in done.failures],
    }


def _failure_view(failure: Failure) -> dict[str, Any]:
    path = failure.shrunk or failure.path
    return {
        "seed": failure.played.seed,
        "file": str(failure.path) if failure.path else None,
        "shrunk": str(failure.shrunk) if failure.shrunk else None,
        "passing": str(failure.passing) if failure.passing else None,
        "faults": failure.played.faults,
        "faults_after": failure.faults_after,
        "runs": failure.runs,
        "cpu_s": round(failure.cpu_s, 3),
        "replay": replay_line(path) if path is not None else None,
        "findings": [finding_view(finding) for finding in failure.played.findings],
        **({"scenario": _text(failure)} if path is None else {}),
    }
