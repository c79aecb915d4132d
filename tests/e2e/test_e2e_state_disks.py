"""The shared state with real processes: disks restored or damaged, nodes that are killed."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from cluster import eventually
from lab import Lab, all_hits, audit, build, log_of, project, same_log
from netns import need_root

_WHY_NOT = need_root()
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))

BACK_WITHIN_S = 20.0
"""From the start of a node to having everything again: a few seconds, on a machine that is busy."""


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
    for name in ("later", "before"):
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
