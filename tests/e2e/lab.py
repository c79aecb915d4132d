"""Machines in network namespaces: four that are in one mesh, and what is asked of their logs."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from cluster import VITTE, eventually, step, write_files
from netns import Host, Network

STEPS = 6


class Machine:
    """One host with a node of its own."""

    def __init__(self, host: Host, name: str, home: Path) -> None:
        self.host = host
        self.name = name
        self.home = home
        self._env = {**os.environ, "VITTE_HOME": str(home)}

    def start(self, *args: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.host.command([*VITTE, *args]),
            env=self._env,
            cwd=cwd,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def vitte(self, *args: str, cwd: Path | None = None) -> str:
        process = self.start(*args, cwd=cwd)
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, f"{args}: {err}"
        return out

    def json(self, *args: str, cwd: Path | None = None) -> Any:
        return json.loads(self.vitte("--json", *args, cwd=cwd).splitlines()[-1])

    def options(self) -> list[str]:
        return ["--name", self.name, "--bind", self.host.address, "--slots", "1"]

    def sees_alive(self) -> int:
        return sum(node["state"] == "alive" for node in self.json("mesh", "status")["nodes"])


@attrs.frozen
class Lab:
    """Four machines that are in one mesh; paris is the admin."""

    network: Network
    machines: list[Machine]

    @property
    def paris(self) -> Machine:
        return self.machines[0]


@contextmanager
def opened_lab(base: Path) -> Iterator[Lab]:
    """paris invites the others; everything is stopped at the end."""
    network = Network(4, prefix="10.213.8")
    with network as hosts:
        names = ("paris", "lyon", "brest", "nice")
        made = [Machine(host, name, base / name) for host, name in zip(hosts, names, strict=True)]
        try:
            made[0].vitte("mesh", "init", "atelier", *made[0].options())
            token = made[0].json("mesh", "invite", "--uses", "3")["token"]
            file = base / "token"
            file.write_text(token)
            join = ("mesh", "join", "--token-file", str(file))
            joining = [machine.start(*join, *machine.options()) for machine in made[1:]]
            for process in joining:
                _, err = process.communicate(timeout=120)
                assert process.returncode == 0, err
            for machine in made:
                eventually(lambda m=machine: m.sees_alive() == 4, "everybody")
            yield Lab(network, made)
        finally:
            for machine in made:
                subprocess.run([*VITTE, "--home", machine.home, "dist", "stop"], check=False)


def project(root: Path, name: str) -> Path:
    steps = "".join(
        step(
            name=f"{name}-{number}",
            kind="build",
            run=f"cat {number}.in {number}.in > out/{number}.txt",
            inputs=[f"{number}.in"],
            out=[f"out/{number}.txt"],
        )
        for number in range(STEPS)
    )
    files = {f"{number}.in": f"{name} {number}\n" for number in range(STEPS)}
    return write_files(root, {"vitte-dist.toml": f'[project]\nname = "{name}"\n{steps}', **files})


def build(machine: Machine, root: Path) -> dict[str, Any]:
    view = machine.json("dist", "run", "build", cwd=root)
    assert view["ok"], view
    made = (root / "out" / "0.txt").read_text()
    assert made == 2 * (root / "0.in").read_text()
    return dict(view)


def all_hits(machine: Machine, tmp_path: Path, name: str) -> bool:
    root = project(tmp_path / f"{name}-at-{machine.name}-{time.monotonic_ns()}", name)
    return bool(build(machine, root)["cached"] == STEPS)


def status(machine: Machine) -> Any:
    return machine.json("mesh", "status")


def log_of(machine: Machine) -> dict[str, Any]:
    log = status(machine)["log"]
    assert log is not None
    return dict(log)


def row(machine: Machine, name: str) -> dict[str, Any]:
    (found,) = [node for node in status(machine)["nodes"] if node["name"] == name]
    return dict(found)


def same_log(machines: list[Machine]) -> bool:
    logs = [log_of(machine) for machine in machines]
    return len({(log["events"], log["frames"]) for log in logs}) == 1 and not any(
        log["behind_events"] for log in logs
    )


def audit(machine: Machine) -> Any:
    process = machine.start("--json", "audit", "verify")
    out, err = process.communicate(timeout=60)
    assert out, err
    return json.loads(out)
