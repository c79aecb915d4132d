"""A real cluster of node processes on 127.0.0.1, driven through the real command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

VITTE = (sys.executable, "-P", "-m", "cli.main")
COMMAND_TIMEOUT_S = 90.0


class Cluster:
    """Nodes of one `vitte dist start --nodes N`; commands go to node 1 unless told otherwise."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def home(self, number: int) -> Path:
        return self.directory / f"node-{number}"

    def pid(self, number: int) -> int:
        return int((self.home(number) / "node.pid").read_text())

    def log(self, number: int) -> str:
        return (self.home(number) / "node.log").read_text()

    def signal(self, number: int, signum: int) -> None:
        """To the node process alone, as a crash or a frozen machine would."""
        os.kill(self.pid(number), signum)

    def freeze(self, number: int) -> None:
        """Stop the node and everything below it, as a suspended laptop would be."""
        os.kill(self.pid(number), signal.SIGSTOP)
        for pid in descendants(self.pid(number)):
            with suppress(ProcessLookupError):  # a shard's own process may just have ended
                os.kill(pid, signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        for pid in descendants(self.pid(number)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        os.kill(self.pid(number), signal.SIGCONT)

    def start_command(
        self, *args: str, cwd: Path | None = None, number: int = 1
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*VITTE, "--home", str(self.home(number)), *args],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def vitte(
        self, *args: str, cwd: Path | None = None, number: int = 1
    ) -> subprocess.CompletedProcess[str]:
        process = self.start_command(*args, cwd=cwd, number=number)
        out, err = process.communicate(timeout=COMMAND_TIMEOUT_S)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def json(self, *args: str, cwd: Path | None = None, number: int = 1) -> Any:
        """The last line of a `--json` command: its final view or its error."""
        done = self.vitte("--json", *args, cwd=cwd, number=number)
        assert done.stdout, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def run(self, *args: str, cwd: Path, number: int = 1) -> dict[str, Any]:
        """`dist run ...`; returns the `vitte.run/1` view."""
        view = self.json("dist", "run", *args, cwd=cwd, number=number)
        assert view.get("schema") == "vitte.run/1", view
        return dict(view)


@contextmanager
def started(directory: Path, nodes: int, *options: str) -> Iterator[Cluster]:
    """Start, yield, and stop whatever happens; frozen nodes are thawed, killed ones are gone."""
    subprocess.run(
        [*VITTE, "dist", "start", "--nodes", str(nodes), "--dir", str(directory), *options],
        check=True,
        timeout=COMMAND_TIMEOUT_S,
        env={**os.environ, "XDG_STATE_HOME": str(directory.parent / "state")},
    )
    cluster = Cluster(directory)
    try:
        yield cluster
    finally:
        for number in range(1, nodes + 1):
            try:
                cluster.thaw(number)
            except (ProcessLookupError, FileNotFoundError):
                continue
        for number in range(1, nodes + 1):
            subprocess.run(
                [*VITTE, "--home", str(cluster.home(number)), "dist", "stop"],
                check=False,
                timeout=COMMAND_TIMEOUT_S,
                capture_output=True,
            )


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, stack = [], [pid]
    while stack:
        for child in children.get(stack.pop(), []):
            found.append(child)
            stack.append(child)
    return found


def eventually(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.02)


def write_files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def step(**fields: str | Sequence[str] | bool) -> str:
    """One `[[step]]` table of a vitte-dist.toml."""
    return "[[step]]\n" + "".join(
        f"{name} = {json.dumps(value)}\n" for name, value in fields.items()
    )
