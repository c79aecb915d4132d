"""Machines in network namespaces: joined by token, code and approval over real mDNS, at work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cluster import VITTE, eventually
from lab import Machine
from netns import Network, need_root

_WHY_NOT = need_root()
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))

SPAWN_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Machine]]:
    """paris has the mesh; lyon came with a token, brest with a code, nice by approval."""
    base = tmp_path_factory.mktemp("meshes")
    with Network(4) as hosts:
        names = ("paris", "lyon", "brest", "nice")
        paris, lyon, brest, nice = made = [
            Machine(host, name, base / name) for host, name in zip(hosts, names, strict=True)
        ]
        try:
            paris.vitte("mesh", "init", "atelier", *paris.options())
            join_by_token(paris, lyon)
            join_by_code(paris, brest)
            join_by_approval(paris, nice)
            yield made
        finally:
            for machine in made:
                subprocess.run([*VITTE, "--home", machine.home, "dist", "stop"], check=False)


def join_by_token(paris: Machine, lyon: Machine) -> None:
    token = paris.json("mesh", "invite", "--uses", "1")["token"]
    file = lyon.home.parent / "token"
    file.write_text(token)
    joined = lyon.json("mesh", "join", "--token-file", str(file), *lyon.options())
    assert (joined["name"], joined["role"]) == ("lyon", "builder")


def join_by_code(paris: Machine, brest: Machine) -> None:
    waiting = paris.start("--json", "mesh", "invite", "--code")
    assert waiting.stdout is not None
    code = json.loads(waiting.stdout.readline())["code"]
    joined = brest.json("mesh", "join", code, *brest.options())
    assert joined["name"] == "brest"
    out, err = waiting.communicate(timeout=SPAWN_TIMEOUT_S)
    assert waiting.returncode == 0, err
    assert "brest" in out


def join_by_approval(paris: Machine, nice: Machine) -> None:
    waiting = nice.start("--json", "mesh", "join", *nice.options())
    candidates: list[dict[str, Any]] = []

    def knocks() -> bool:
        candidates[:] = paris.json("mesh", "admit")["candidates"]
        return bool(candidates)

    eventually(knocks, "nice to knock", SPAWN_TIMEOUT_S)
    assert candidates[0]["name"] == "nice"
    paris.vitte("mesh", "admit", "nice", "--yes")
    out, err = waiting.communicate(timeout=SPAWN_TIMEOUT_S)
    assert waiting.returncode == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    shown = [event["words"] for event in events if event.get("event") == "check_words"]
    assert shown == [candidates[0]["words"]], "the same check words on both screens"


def test_everybody_sees_everybody(machines: list[Machine]) -> None:
    for machine in machines:
        eventually(lambda machine=machine: machine.sees_alive() == 4, f"{machine.name} to see 4")


def test_a_node_in_the_mesh_is_visible_over_mdns_and_comes_back_by_itself(
    machines: list[Machine],
) -> None:
    paris, lyon = machines[0], machines[1]
    lyon.vitte("dist", "stop")
    eventually(lambda: paris.sees_alive() == 3, "paris to notice")
    lyon.vitte("dist", "start", *lyon.options())
    eventually(lambda: paris.sees_alive() == 4, "lyon to be back")


def artifacts(build: Path) -> dict[str, str]:
    return {
        str(path.relative_to(build)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(build.rglob("*"))
        if path.suffix in (".o", ".a", ".so") and path.is_file() and not path.is_symlink()
    }


def test_a_real_project_is_the_same_as_built_locally_then_all_hits_then_just_dependents(
    machines: list[Machine], real_build: Path
) -> None:
    paris, lyon = machines[0], machines[1]
    first = paris.json("dist", "run", "build", cwd=real_build)
    assert first["ok"], first
    assert first["shards"] >= 40
    assert len(first["nodes"]) == 4, first["nodes"]
    nothing = subprocess.run(["ninja", "-n"], cwd=real_build, capture_output=True, text=True)
    assert "no work to do" in nothing.stdout
    distributed = artifacts(real_build)

    again = lyon.json("dist", "run", "build", cwd=real_build)
    assert again["cached"] == again["shards"]

    header = next(real_build.parent.glob("zutil_p.h"))
    header.write_text(header.read_text() + "\n/* touched */\n")
    plan = subprocess.run(["ninja", "-n"], cwd=real_build, capture_output=True, text=True)
    expected = {line.split("] ", 1)[1] for line in plan.stdout.splitlines() if "Building" in line}
    touched = paris.json("dist", "run", "build", cwd=real_build)
    shards = paris.json("dist", "explain", touched["run"])["shards"]
    rebuilt = {
        each["name"]
        for each in shards
        if each["source"] != "cached" and each["name"].startswith("Building")
    }
    assert rebuilt == expected
    assert rebuilt

    header.write_text(header.read_text().replace("\n/* touched */\n", ""))
    subprocess.run(["ninja", "-t", "clean"], cwd=real_build, check=True, capture_output=True)
    subprocess.run(["ninja"], cwd=real_build, check=True, capture_output=True)
    assert artifacts(real_build) == distributed


def test_a_machine_unplugged_mid_run_changes_nothing_but_the_time(
    machines: list[Machine], tmp_path: Path
) -> None:
    from test_e2e_runs import sleepers

    paris, nice = machines[0], machines[3]
    root = sleepers(tmp_path / "nap", 16, 0.5)
    run = paris.start("--json", "dist", "run", "build", cwd=root)

    def nice_works() -> bool:
        return any(node["self"] and node["busy"] for node in nice.json("mesh", "status")["nodes"])

    eventually(nice_works, "nice to have stolen")
    for pid in nice.host.pids():
        os.kill(pid, signal.SIGSTOP)
    _, err = run.communicate(timeout=90)
    for pid in nice.host.pids():
        os.kill(pid, signal.SIGCONT)
    assert run.returncode == 0, err
    assert len(list((root / "out").iterdir())) == 16


def test_a_machine_that_leaves_is_out_everywhere_and_may_come_back(
    machines: list[Machine],
) -> None:
    paris, lyon, brest, _ = machines

    def names(machine: Machine) -> set[str]:
        return {member["name"] for member in machine.json("mesh", "members")["members"]}

    brest.vitte("mesh", "leave")
    for machine in (paris, lyon):
        eventually(lambda machine=machine: "brest" not in names(machine), "brest to be forgotten")
    refused = brest.start("dist", "run", "build")
    _, err = refused.communicate(timeout=SPAWN_TIMEOUT_S)
    assert refused.returncode != 0
    assert "VM102" in err
    token = paris.json("mesh", "invite")["token"]
    file = brest.home.parent / "token-again"
    file.write_text(token)
    brest.vitte("mesh", "join", "--token-file", str(file), *brest.options())
    eventually(lambda: "brest" in names(lyon), "brest to be back")
