"""What the benchmarks share: a local cluster, fair timing, a table and the closing JSON line.

Rules
- A time is the wall time of a whole command as a user types it, unless the script says otherwise.
- Everybody is measured in the same run, in interleaved rounds whose order rotates, so that a busy
  moment of the machine hits all of them; the median of the rounds is reported.
- Ratios are what counts; seconds are printed to show what they are ratios of.
- Clusters live in a temporary directory, listen on 127.0.0.1 and are stopped whatever happens.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))  # real_project is shared with the tests

VITTE = [str(Path(sys.executable).parent / "vitte")]
COMMAND_TIMEOUT_S = 600.0


class Cluster:
    """`with Cluster(nodes=2, slots=1) as cluster:` is a running mesh on loopback."""

    def __init__(self, nodes: int, slots: int) -> None:
        self._nodes, self._slots = nodes, slots
        self._directory = tempfile.TemporaryDirectory(prefix="vitte-bench-")
        self.path = Path(self._directory.name)
        self.env = clean_env(self.path)

    def __enter__(self) -> Cluster:
        try:
            nodes, slots = str(self._nodes), str(self._slots)
            self._dist("start", "--nodes", nodes, "--slots", slots, "--dir", str(self.mesh))
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def mesh(self) -> Path:
        return self.path / "mesh"

    def command(self, *words: str) -> list[str]:
        """A `vitte dist` command to the first node."""
        return [*VITTE, "dist", *words, "--home", str(self.mesh / "node-1")]

    def run(self, kind: str, cwd: Path, *options: str) -> float:
        """`vitte dist run KIND` in `cwd`; seconds of the whole command. It must succeed."""
        return timed(self.command("run", kind, "--progress", "none", *options), cwd, self.env)

    def view(self, kind: str, cwd: Path, *options: str) -> dict[str, Any]:
        """The final view of a run, not timed."""
        argv = self.command("run", kind, "--json", *options)
        said = subprocess.run(
            argv, cwd=cwd, env=self.env, check=True, capture_output=True, timeout=COMMAND_TIMEOUT_S
        )
        last = json.loads(said.stdout.splitlines()[-1])
        assert isinstance(last, dict)
        return last

    def _dist(self, *words: str) -> None:
        subprocess.run(
            [*VITTE, "dist", *words],
            env=self.env,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=COMMAND_TIMEOUT_S,
        )

    def _stop(self) -> None:
        try:
            self._dist("stop", "--dir", str(self.mesh))
        finally:
            self._directory.cleanup()


def clean_env(directory: Path) -> dict[str, str]:
    """This environment without the user's own mesh, language or compiler cache."""
    leaks = ("VITTE_", "XDG_", "CCACHE_", "DISTCC_", "MAKEFLAGS")
    env = {name: value for name, value in os.environ.items() if not name.startswith(leaks)}
    env["PATH"] = f"{env.get('PATH', os.defpath)}{os.pathsep}{Path(sys.executable).parent}"
    return {
        **env,
        "XDG_STATE_HOME": str(directory / "state"),
        "XDG_CACHE_HOME": str(directory / "cache"),
        "LC_ALL": "C.UTF-8",
    }


def timed(argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> float:
    """Seconds of a command that must succeed; its output is shown only when it does not."""
    started = time.perf_counter()
    result = subprocess.run(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=COMMAND_TIMEOUT_S,
    )
    seconds = time.perf_counter() - started
    if result.returncode != 0:
        tail = result.stdout.decode(errors="replace")[-2000:]
        raise SystemExit(f"{' '.join(argv)} failed ({result.returncode}):\n{tail}")
    return seconds


def interleave(rounds: int, subjects: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Measure every subject once a round; each round starts with another one."""
    names = list(subjects)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            seconds[name].append(subjects[name]())
            print(f"  round {turn + 1}/{rounds} {name}: {seconds[name][-1]:.3f} s", flush=True)
    return seconds


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as needed; the first one to the left, the others to the right."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    print(f"\n{title}")
    for row in [head, *rows]:
        cells = [
            row[0].ljust(widths[0]),
            *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
        ]
        print("  " + "  ".join(cells).rstrip())


def finish(name: str, values: Mapping[str, float], **facts: object) -> None:
    """The last line: one JSON object with the key numbers and what they were measured on."""
    cpus = len(os.sched_getaffinity(0))
    machine = {"cpus": cpus, "python": platform.python_version(), "load": os.getloadavg()[0]}
    rounded = {key: round(value, 4) for key, value in values.items()}
    print("\n" + json.dumps({"bench": name, **rounded, **facts, **machine}))


def medians(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: median(values) for name, values in seconds.items()}
