"""The second world for real: processes in namespaces, a fault in each carrier, nothing left behind.

Needs Linux and root; skipped with the reason otherwise. The runs are short: their phases are just
long enough for what they show. Of the files of `sim/scenarios` one is played in both worlds here;
all are by `vitte chaos sim/scenarios/*.json --netns --compare`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import gettempdir

import attrs
import pytest

from mesh.swim.effects import State
from sim.chaos import kinds, namespaces
from sim.chaos.disks import ImageDisk, MemoryDisk
from sim.chaos.play import LIVE_ORACLES, ChaosConfig, play_live
from sim.chaos.stage import ChaosStage
from sim.oracles import oracles_of
from sim.oracles.model import Oracle
from sim.scenario.files import load, save
from sim.scenario.model import Fault, Phases, Scenario, Workload
from sim.scenario.play import Outcome, PlayConfig, play
from sim.stage.base import Change

VITTE = (sys.executable, "-P", "-m", "cli.main")
KILLED = Path(kinds.__file__).resolve().parent.parent / "scenarios" / "killed.json"
SLACK_S = 2.5
"""Between the worlds: real processes answer when the machine lets them."""
CALM = Phases(warm_up_s=2.0, chaos_s=4.0, settle_s=5.0, canary_s=0.0)

_WHY_NOT = kinds.why_not("switch")
_WHY_NOT_KERNEL = kinds.why_not("kernel")
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))


class Diary(Oracle):
    """Remembers who called whom what."""

    name = "diary"
    seen: list[Change]

    def changed(self, change: Change) -> None:
        type(self).seen.append(change)


def played(scenario: Scenario, carrier: str = "switch") -> tuple[Outcome, list[Change]]:
    diary = type("ThisDiary", (Diary,), {"seen": []})
    config = PlayConfig(oracles=(*LIVE_ORACLES, diary))
    outcome = play_live(scenario, ChaosConfig(carrier, config))
    return outcome, diary.seen


def gone(seen: list[Change], subject: int) -> set[int]:
    """Who has called it dead or unreachable."""
    lost = (State.UNREACHABLE, State.DEAD)
    return {each.observer for each in seen if each.subject == subject and each.view.state in lost}


def findings(outcome: Outcome) -> list[str]:
    return [f"{each.oracle}: {each.text} {each.detail}" for each in outcome.findings]


def left_behind(pid: int | None = None) -> list[str]:
    """Namespaces, folders and mounts of the chaos of a process, this one if no other is meant."""
    prefix = f"{namespaces.PREFIX}{pid or os.getpid()}x"
    found = [*namespaces.NAMESPACES.glob(f"{prefix}*"), *Path(gettempdir()).glob(f"{prefix}*")]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return [str(path) for path in found] + [line for line in mounts if prefix in line]


def test_an_isolated_node_is_missed_and_comes_back_and_a_build_succeeds() -> None:
    pulled = Fault(2.2, "isolate", (2,), 20.0)
    phases = attrs.evolve(CALM, chaos_s=7.0, settle_s=5.0)
    scenario = Scenario(3, 3, phases=phases, workload=Workload(1, 2, 0.2), faults=(pulled,))
    outcome, seen = played(scenario)
    assert findings(outcome) == []
    missed = {each.observer for each in seen if each.subject == 2 and each.view.state > State.ALIVE}
    assert missed == {0, 1}
    assert outcome.figures["runs_ok"] == 1
    assert outcome.figures["worst_datagrams_per_s"] > 1
    assert left_behind() == []


def test_a_scenario_file_has_one_story_in_both_worlds() -> None:
    """Who sees whom go and come back is the same, and nearly how soon."""
    scenario = load(KILLED)
    (fault,) = scenario.faults
    (victim,) = fault.target
    simulated_diary = type("SimulatedDiary", (Diary,), {"seen": []})
    config = PlayConfig(oracles=(*oracles_of(scenario.world), simulated_diary))
    simulated, dreamt = play(scenario, config), simulated_diary.seen
    real, seen = played(scenario)
    for outcome, changes in ((simulated, dreamt), (real, seen)):
        assert findings(outcome) == []
        assert outcome.figures["runs_ok"] == scenario.workload.runs == 1
        before = [each for each in changes if each.at_s < scenario.phases.canary_at_s]
        others = {0, 1}
        assert gone(before, victim) == others
        epochs = {each.view.epoch for each in before if each.subject == victim}
        assert len(epochs) == 2, "two lives"
        back = [each for each in before if each.subject == victim][-1]
        assert back.view.state == State.ALIVE
    assert simulated.figures["crash_known_s"] <= real.figures["crash_known_s"] + SLACK_S
    assert real.figures["crash_known_s"] <= simulated.figures["crash_known_s"] + SLACK_S
    assert left_behind() == []


def test_power_fails_and_what_was_synced_is_there_after() -> None:
    cut = Fault(2.2, "power_cut", (1,), 1.0)
    phases = attrs.evolve(CALM, settle_s=15.0)  # a process starts meanwhile: seconds, when busy
    outcome, seen = played(Scenario(4, 2, phases=phases, faults=(cut,)))
    assert findings(outcome) == []
    epochs = {each.view.epoch for each in seen if each.observer == 0 and each.subject == 1}
    assert len(epochs) == 2, "a second life, whose epoch is greater because the first was kept"
    assert left_behind() == []


@pytest.mark.skipif(_WHY_NOT_KERNEL is not None, reason=str(_WHY_NOT_KERNEL))
def test_the_kernel_cuts_and_heals() -> None:
    cut = Fault(2.2, "isolate", (1,), 20.0)
    phases = attrs.evolve(CALM, chaos_s=7.0, settle_s=4.0)
    outcome, seen = played(Scenario(5, 2, phases=phases, faults=(cut,)), "kernel")
    assert findings(outcome) == []
    assert any(each.subject == 1 and each.view.state > State.ALIVE for each in seen)
    assert left_behind() == []


class Murderer(Oracle):
    """Ends a process behind the world's back."""

    name = "murderer"

    def warmed_up(self) -> None:
        assert isinstance(self.stage, ChaosStage)
        namespaces.signal_all(self.stage.nodes[1].namespace, signal.SIGKILL)


def test_a_process_that_ends_by_itself_is_a_finding(tmp_path: Path) -> None:
    scenario = Scenario(6, 2, phases=attrs.evolve(CALM, warm_up_s=1.0))
    (tmp_path / "file").touch()
    lost: list[Path] = []
    config = ChaosConfig(
        play=PlayConfig(oracles=(Murderer,)),
        keep=tmp_path / "file" / "logs",
        on_lost_log=lambda path, _: lost.append(path),
    )
    outcome = play_live(scenario, config)
    assert outcome.scenario.world == "mesh", "whole nodes have played"
    assert [path.name for path in lost] == ["node0.log", "node1.log"]
    assert outcome.findings[0].oracle == "uncaught"
    assert "machine1: Ended" in outcome.findings[0].text
    assert outcome.virtual_s < 5, "the first finding ends it"
    assert left_behind() == []


def test_terminating_the_command_removes_everything(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    save(Scenario(7, 2, phases=Phases(30.0, 30.0, 30.0, 0.0)), path)
    process = subprocess.Popen([*VITTE, "chaos", str(path), "--netns"], stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b"up, seen suspect" in process.stderr.readline(), "it has begun"
    (child,) = _children(process.pid)
    assert left_behind(child)
    process.send_signal(signal.SIGTERM)
    process.wait(10)
    process.stderr.close()
    deadline_s = time.monotonic() + 20
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert left_behind(child) == []


def test_what_cannot_be_done_is_an_error_with_a_code(tmp_path: Path) -> None:
    path = tmp_path / "lies.json"
    save(Scenario(8, 3, world="mesh", faults=(Fault(1.0, "disk_lies", (1,), 1.0),)), path)
    done = subprocess.run(
        [*VITTE, "--json", "chaos", str(path), "--netns"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "VM704"
    assert "disk_lies" in error["message"]


def test_disks_fill_up_and_turn_read_only_and_back(tmp_path: Path) -> None:
    for made in (MemoryDisk, ImageDisk):
        disk = made(tmp_path / made.__name__, lambda: 0.5)
        disk.folder.mkdir()
        disk.mount()
        try:
            disk.home.mkdir()
            kept = disk.home / "kept"
            with kept.open("wb") as opened:
                fault = disk.fill(free_bytes=50_000)
                with pytest.raises(OSError, match="No space"):
                    (disk.home / "large").write_bytes(bytes(2_000_000))
                (disk.home / "large").unlink()
                fault.undo()
                (disk.home / "large").write_bytes(bytes(2_000_000))
                with socket.socket(socket.AF_UNIX) as door:
                    door.bind(str(disk.home / "control.sock"))
                if isinstance(disk, ImageDisk):
                    fault = disk.read_only()
                    with pytest.raises(PermissionError):
                        os.write(opened.fileno(), b"x")
                    fault.undo()
                    assert os.write(opened.fileno(), b"x") == 1
        finally:
            disk.unmount()


def test_what_was_not_synced_does_not_survive_a_power_cut(tmp_path: Path) -> None:
    disk = ImageDisk(tmp_path, lambda: 0.5)
    disk.mount()
    try:
        disk.home.mkdir()
        with (disk.home / "synced").open("wb") as file:
            file.write(b"kept")
            file.flush()
            os.fsync(file.fileno())
        os.sync()
        (disk.home / "unsynced").write_bytes(b"lost")
        disk.cut_power()
        disk.after_power_cut()
        assert (disk.home / "synced").read_bytes() == b"kept"
        lost = disk.home / "unsynced"
        assert not lost.exists() or lost.read_bytes() != b"lost"
    finally:
        disk.unmount()


def test_files_rot_and_lose_their_end_and_old_disks_come_back(tmp_path: Path) -> None:
    disk = MemoryDisk(tmp_path, lambda: 0.5)
    disk.mount()
    try:
        disk.home.mkdir()
        file = disk.home / "data"
        file.write_bytes(bytes(100))
        copy = disk.snapshot()
        assert disk.rot(bits=1) == "data"
        assert sum(byte.bit_count() for byte in file.read_bytes()) == 1
        assert disk.tear() == "data"
        assert file.stat().st_size == 50
        disk.restore(copy)
        assert file.read_bytes() == bytes(100)
        disk.wipe()
        assert not disk.home.exists()
    finally:
        disk.unmount()


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]
