"""`vitte sim`: what people type, what they get, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from calling import ROOT, vitte

from cli.commands.sim import COMMANDS, PROFILES, sim
from sim.app import COMMANDS as SIM_COMMANDS
from sim.scenario.files import save
from sim.scenario.model import Fault, Phases, Scenario
from sim.scenario.profiles import PROFILES as SIM_PROFILES

SHORT = Phases(warm_up_s=10, chaos_s=10, settle_s=25, canary_s=0)
FAILING = Scenario(
    seed=1,
    nodes=3,
    phases=Phases(warm_up_s=1, chaos_s=5, settle_s=5, canary_s=0),
    faults=(Fault(0.0, "isolate", (2,), 3.0),),
)
"""It cannot have joined after its warm-up."""


def test_the_command_line_and_the_simulator_name_the_same_things() -> None:
    assert set(PROFILES) == set(SIM_PROFILES)
    assert set(COMMANDS) | {"digest", "chaos"} == set(SIM_COMMANDS)
    assert set(sim._table) == set(COMMANDS)


def test_run_is_the_same_twice_and_ends_with_digest_and_verdict(tmp_path: Path) -> None:
    argv = ("sim", "run", "--nodes", "3", "--profile", "calm", "--world", "membership")
    first = vitte(*argv, "--trace", "a.trace", folder=tmp_path)
    second = vitte(*argv, "--trace", "b.trace", "--html", "p.html", folder=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout or first.stdout.split()[-3:] == second.stdout.split()[-3:]
    digest, verdict = first.stdout.splitlines()[-1].split()[1:]
    assert len(digest) == 32
    assert verdict == "ok"
    assert "100 %" in first.stderr
    same = vitte("sim", "diff", "a.trace", "b.trace", folder=tmp_path)
    assert (same.returncode, same.stdout) == (0, "no difference\n")
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert len(page) < 1_000_000
    assert "http" not in page.replace("http-equiv", "")
    assert "/*DATA*/null" not in page


def test_another_seed_parts_somewhere_and_diff_shows_where(tmp_path: Path) -> None:
    for seed in (1, 2):
        save(Scenario(seed=seed, nodes=2, phases=SHORT), tmp_path / f"{seed}.json")
    done = vitte("sim", "diff", "1.json", "2.json", folder=tmp_path)
    assert done.returncode == 1
    assert "they part at entry" in done.stdout
    assert "- 1.json" in done.stdout
    assert "+ 2.json" in done.stdout


def test_a_failing_scenario_is_replayed_shrunk_and_explained(tmp_path: Path) -> None:
    save(FAILING, tmp_path / "f.json")
    replay = vitte("sim", "replay", "f.json", folder=tmp_path)
    assert replay.returncode == 1, replay.stderr
    assert "WRONG (joined)" in replay.stdout
    assert replay.stdout.splitlines()[-1].endswith("FAILED: joined")
    shrunk = vitte("sim", "shrink", "f.json", "--json", folder=tmp_path)
    view = json.loads(shrunk.stdout)
    assert (shrunk.returncode, view["schema"]) == (1, "vitte.sim_shrink/1")
    assert view["outcome"]["findings"][0]["oracle"] == "joined"
    again = vitte("sim", "replay", view["file"], "--json", folder=tmp_path)
    assert json.loads(again.stdout)["digest"] == view["outcome"]["digest"]
    why = vitte("sim", "why", "f.json", "--futures", "1", "--json", folder=tmp_path)
    assert why.returncode == 1
    assert json.loads(why.stdout)["parent_same"] is True
    picture = vitte("sim", "timeline", "f.json", "-o", "t.html", folder=tmp_path)
    assert picture.returncode == 0
    assert "WRONG (joined)" in (tmp_path / "t.html").read_text(encoding="utf-8")


def test_explore_counts_seeds_and_finds_nothing_in_a_healthy_mesh(tmp_path: Path) -> None:
    argv = ("sim", "explore", "--seeds", "0..2", "--nodes", "3", "--profile", "crashes")
    done = vitte(*argv, "--world", "membership", "--jobs", "2", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    view = json.loads(done.stdout)
    assert (view["seeds"], view["failed"], view["failures"]) == (3, 0, [])


def test_a_bad_file_is_an_error_with_line_and_code(tmp_path: Path) -> None:
    save(FAILING, tmp_path / "f.json")
    text = (tmp_path / "f.json").read_text(encoding="utf-8").replace("isolate", "isolation")
    (tmp_path / "f.json").write_text(text, encoding="utf-8")
    done = vitte("sim", "replay", "f.json", folder=tmp_path)
    assert done.returncode == 2
    line = text[: text.index("isolation")].count("\n") + 1
    assert f"error[VM701]: f.json:{line}: faults/0/kind" in done.stderr
    assert "did you mean isolate" in done.stderr
    french = vitte("sim", "replay", "f.json", "--json", folder=tmp_path, lang="fr")
    assert json.loads(french.stdout)["error"]["code"] == "VM701"


def test_help_is_there_in_french_too_and_wrong_options_are_usage_errors(tmp_path: Path) -> None:
    for name in COMMANDS:
        assert vitte("sim", name, "--help", folder=tmp_path).returncode == 0
    assert "graines" in vitte("sim", "explore", "--help", folder=tmp_path, lang="fr").stdout
    assert vitte("sim", "explore", "--seeds", "9..1", folder=tmp_path).returncode == 2
    assert vitte("sim", "run", "--profile", "nice", folder=tmp_path).returncode == 2


def test_mutants_says_planted_and_killed(tmp_path: Path) -> None:
    done = vitte("sim", "mutants", "--only", "nonce-reused", "--json", folder=tmp_path)
    view = json.loads(done.stdout)
    assert (done.returncode, view["planted"], view["killed"]) == (0, 1, 1)
    assert view["mutants"][0]["oracle"] in ("joined", "death-in-calm")
    assert vitte("sim", "mutants", "--only", "nothing", folder=tmp_path).returncode == 2


def test_doctor_finds_no_differences(tmp_path: Path) -> None:
    done = vitte("sim", "doctor", "--seeds", "2", "--nodes", "2", "--json", folder=tmp_path)
    view = json.loads(done.stdout)
    assert done.returncode == 0, view
    assert (view["kernel"], view["differences"]) == ("ok", 0)
    assert len(view["cells"]) >= 3


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("run", ("--world", "membership", "--hours", "2")),
        ("explore", ("--seeds", "0..9999", "--jobs", "2")),
    ],
)
def test_ctrl_c_ends_it_cleanly(tmp_path: Path, command: str, more: tuple[str, ...]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "sim", command, "--nodes", "3", *more],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().strip(), "the first word of its progress: it is at it"
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
