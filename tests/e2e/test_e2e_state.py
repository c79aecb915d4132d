"""The shared state with real processes in network namespaces: halves that go on alone and merge,
disks that were restored or damaged, nodes that are killed, and one that is shut out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from cluster import VITTE, eventually, step, write_files
from netns import Network, need_root
from test_e2e_meshes import Machine

_WHY_NOT = need_root()
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))

STEPS = 6
BACK_WITHIN_S = 20.0
"""From the start of a node to having everything again: a few seconds, on a machine that is busy."""


@attrs.frozen
class Lab:
    """Four machines that are in one mesh; paris is the admin."""

    network: Network
    machines: list[Machine]

    @property
    def paris(self) -> Machine:
        return self.machines[0]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    base = tmp_path_factory.mktemp("state")
    network = Network(4, prefix="10.213.8")
    with network as hosts:
        names = ("paris", "lyon", "brest", "nice")
        made = [Machine(host, name, base / name) for host, name in zip(hosts, names, strict=True)]
        try:
            made[0].vitte("mesh", "init", "atelier", *made[0].options())
            token = made[0].json("mesh", "invite", "--uses", "3")["token"]
            file = base / "token"
            file.write_text(token)
            for machine in made[1:]:
                machine.vitte("mesh", "join", "--token-file", str(file), *machine.options())
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


def test_two_halves_build_apart_and_have_everything_together(lab: Lab, tmp_path: Path) -> None:
    paris, lyon, brest, nice = lab.machines
    lab.network.split([brest.host, nice.host])
    eventually(lambda: row(paris, "brest")["offline_since_unix_s"] is not None, "brest away")
    eventually(lambda: row(brest, "paris")["offline_since_unix_s"] is not None, "paris away")
    build(paris, project(tmp_path / "left", "left"))
    build(brest, project(tmp_path / "right", "right"))
    eventually(lambda: row(paris, "brest")["waiting_events"] >= STEPS, "what waits for brest")
    text = paris.vitte("dist", "status")
    assert "OFFLINE since" in text
    assert all_hits(lyon, tmp_path, "left"), "the half had its own results"
    lab.network.heal()
    eventually(lambda: same_log(lab.machines), "one log again", 60.0)
    for machine in lab.machines:
        assert all_hits(machine, tmp_path, "left"), machine.name
        assert all_hits(machine, tmp_path, "right"), machine.name
    assert row(paris, "brest")["offline_since_unix_s"] is None
    for machine in lab.machines:
        assert audit(machine)["whole"], machine.name


def test_a_node_alone_says_what_waits_for_the_others(lab: Lab, tmp_path: Path) -> None:
    nice = lab.machines[3]
    lab.network.unplug(nice.host)
    eventually(lambda: row(nice, "nice")["offline_since_unix_s"] is not None, "nice alone")
    build(nice, project(tmp_path / "alone", "alone"))
    eventually(lambda: row(nice, "nice")["waiting_events"] >= STEPS, "its own events")
    lab.network.plug(nice.host)
    eventually(lambda: same_log(lab.machines), "one log again", 60.0)
    assert row(nice, "nice")["offline_since_unix_s"] is None
    # (What others had told about it can be there before paris has found it again.)
    eventually(lambda: row(lab.paris, "nice")["offline_since_unix_s"] is None, "nice is back")
    assert all_hits(lab.paris, tmp_path, "alone")


def test_a_disk_restored_from_an_older_copy_is_back_at_once_and_loses_nothing(
    lab: Lab, tmp_path: Path
) -> None:
    lyon = lab.machines[1]
    lyon.vitte("dist", "stop")
    old = tmp_path / "old"
    shutil.copytree(lyon.home, old, symlinks=True)
    lyon.vitte("dist", "start", *lyon.options())
    eventually(lambda: lyon.sees_alive() == 4, "lyon back")
    build(lyon, project(tmp_path / "later", "later"))
    eventually(lambda: same_log(lab.machines), "what lyon did since")
    assert all_hits(lab.paris, tmp_path, "later"), "so that the files are not on lyon's disk alone"
    lyon.vitte("dist", "stop")
    shutil.rmtree(lyon.home)
    shutil.copytree(old, lyon.home, symlinks=True)
    began_s = time.monotonic()
    lyon.vitte("dist", "start", *lyon.options())
    eventually(lambda: same_log(lab.machines), "lyon whole again", BACK_WITHIN_S)
    took_s = time.monotonic() - began_s
    assert took_s < BACK_WITHIN_S
    assert all_hits(lyon, tmp_path, "later")
    for machine in lab.machines:
        assert log_of(machine)["forks"] == []
        assert log_of(machine)["lost_events"] == 0
        assert audit(machine)["whole"], machine.name


def test_a_killed_node_comes_back_with_a_whole_log(lab: Lab, tmp_path: Path) -> None:
    brest = lab.machines[2]
    build(brest, project(tmp_path / "before", "before"))
    os.kill(int((brest.home / "node.pid").read_text()), signal.SIGKILL)
    assert audit(brest)["feeds"], "read while no node runs"
    brest.vitte("dist", "start", *brest.options())
    eventually(lambda: same_log(lab.machines), "brest again", 60.0)
    assert audit(brest)["whole"]
    assert all_hits(brest, tmp_path, "before")


def test_flipped_bytes_are_noticed_before_use_and_healed(lab: Lab, tmp_path: Path) -> None:
    brest = lab.machines[2]
    brest.vitte("dist", "stop")
    flipped = sum(flip(path) for path in sorted((brest.home / "log").glob("*.seg")))
    packs = [path for path in (brest.home / "store").rglob("*") if path.suffix == ".pack"]
    flipped_packs = sum(flip(path) for path in packs)
    assert flipped
    assert flipped_packs
    damaged = audit(brest)
    assert not damaged["whole"]
    brest.vitte("dist", "start", *brest.options())

    def is_healed() -> bool:
        feeds = audit(brest)["feeds"]
        return all(feed["broken"] is None and not feed["lost"] for feed in feeds)

    eventually(lambda: same_log(lab.machines), "the same log", 60.0)
    eventually(is_healed, "every event again", 60.0)
    assert log_of(brest)["damaged"]
    for name in ("left", "right", "before"):
        root = project(tmp_path / f"{name}-again", name)
        build(brest, root)  # fetched or built again, never the damaged bytes


def flip(path: Path) -> int:
    """Flip a bit in every 2000th byte, from the 300th on."""
    data = bytearray(path.read_bytes())
    places = range(300, len(data), 2000)
    for at in places:
        data[at] ^= 0x10
    path.write_bytes(data)
    return len(places)


def test_a_revoked_node_is_out_at_once(lab: Lab) -> None:
    nice = lab.machines[3]
    view = lab.paris.json("mesh", "revoke", "nice", "--reason", "sold")
    assert view["name"] == "nice"
    for machine in lab.machines[:3]:
        assert "nice" not in {node["name"] for node in status(machine)["nodes"]}
    eventually(lambda: nice.sees_alive() <= 1, "nice to be alone", 60.0)
    said = lab.paris.json("audit", "log", "--node", "paris")["events"]
    details = [each["details"] for each in said]
    reasons = [e["value"] for e in details if str(e.get("key", "")).startswith("removed/")]
    assert reasons == ["sold"]
