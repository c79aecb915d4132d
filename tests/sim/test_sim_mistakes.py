"""Mistakes with sim commands, and small words: what people read then."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click
import pytest
from calling import vitte

from cli.commands.sim import Seeds
from sim.app import doctor_command
from sim.app.progress import ExploreProgress
from sim.doctor import matrix
from sim.doctor.matrix import Cell, Matrix, cell, complaint, pythons, why_not
from sim.explore.explore import Progress
from sim.scenario.files import save
from sim.scenario.model import Phases, Scenario

QUIET = Scenario(1, 2, phases=Phases(warm_up_s=8, chaos_s=1, settle_s=1, canary_s=0))
SHIM = """#!/bin/sh
cat >&2 <<END
shims: python3.99: command not found

The python3.99 command exists in these Python versions:
  3.99.1

Note: there is advice on allowing both
      one and the other to be found.
END
exit 127
"""


# -- shrink and why, where nothing is wrong ------------------------------------------------------
@pytest.mark.parametrize("command", ["shrink", "why"])
def test_where_nothing_is_wrong_json_says_so(command: str, tmp_path: Path) -> None:
    save(QUIET, tmp_path / "g.json")
    done = vitte("sim", command, "g.json", "--json", folder=tmp_path)
    view = json.loads(done.stdout)
    assert (done.returncode, view["schema"]) == (0, f"vitte.sim_{command}/1")
    assert (view["outcome"]["ok"], view["outcome"]["findings"]) == (True, [])
    assert view["file" if command == "shrink" else "finding"] is None
    plain = vitte("sim", command, "g.json", folder=tmp_path)
    assert (plain.returncode, plain.stdout.startswith("this scenario does not fail")) == (0, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.json"]


# -- doctor --------------------------------------------------------------------------------------
def test_a_python_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    for name in ("/nonexist", str(tmp_path), "python-of-nobody"):
        done = vitte("sim", "doctor", "--python", name, "--seeds", "1", folder=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"error[VM709]: `--python {name}`: there is no program of this name" in done.stderr


def test_a_python_may_be_named_from_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "mine") in pythons(["./mine"])


def test_why_a_python_is_left_out_is_a_whole_sentence(tmp_path: Path) -> None:
    shim = tmp_path / "python3.99"
    shim.write_text(SHIM)
    shim.chmod(0o755)
    assert why_not(str(shim)) == "shims: python3.99: command not found"
    assert why_not("/bin/false") == "it ended with status 1"
    assert why_not(sys.executable) == ""
    raised = "Traceback (most recent call last):\n  File x\nModuleNotFoundError: No module\n"
    assert complaint(f"a warning\n{raised}", 1) == "ModuleNotFoundError: No module"


def test_a_python_that_does_not_end_is_a_cell_with_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(matrix, "RUN_TIMEOUT_S", 0.05)
    monkeypatch.setattr(matrix, "PROBE_TIMEOUT_S", 0.01)
    late = cell(sys.executable, "0", 50, 5)
    assert (late.digests, late.error) == ({}, "it did not end within 0.05 s")
    assert why_not(sys.executable) == "it did not answer within 0.01 s"
    assert "No such file" in cell("/nonexist", "0", 1, 2).error
    fine = Cell("3.11.1", "0", {"mesh calm 0": "ab"})
    done = Matrix((fine, late), {}, {})
    assert not done.same
    doctor_command._print("", done)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("FAILED: Python ")
    assert lines[1].endswith("it did not end within 0.05 s")
    assert lines[-1] == "1 seed x 3 hash seeds x 2 Pythons: 0 differences"
    doctor_command._print("", Matrix((fine,), {}, {"mesh calm 0": ("ab", "cd")}))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "1 seed x 3 hash seeds x 1 Python: 1 difference"


# -- options -------------------------------------------------------------------------------------
def test_a_planted_bug_of_another_name_is_answered_with_those_like_it(tmp_path: Path) -> None:
    near = vitte("sim", "mutants", "--only", "nonce-reusd", folder=tmp_path)
    assert near.returncode == 2
    assert "error[VM709]: `--only nonce-reusd`: no planted bug has this name\n" in near.stderr
    assert "did you mean `nonce-reused`" in near.stderr
    far = vitte("sim", "mutants", "--only", "qqqq", folder=tmp_path)
    assert far.returncode == 2
    assert len(far.stderr) < 300
    assert "`vitte sim mutants` without it plants them all" in far.stderr


def test_a_range_that_is_backwards_is_called_that(tmp_path: Path) -> None:
    done = vitte("sim", "explore", "--seeds", "9..3", folder=tmp_path)
    assert done.returncode == 2
    assert "9..3 is backwards: write 3..9" in done.stderr
    for wrong in ("x", "1..", f"0..{2**63}", f"{2**63}..0", "9" * 5000):
        with pytest.raises(click.BadParameter, match="is not a seed or a range"):
            Seeds().convert(wrong, None, None)
    assert Seeds().convert(f"7..{2**63 - 1}", None, None) == (7, 2**63 - 1)


def test_a_profile_of_another_world_is_refused_and_chooses_its_own(tmp_path: Path) -> None:
    for command in ("run", "explore"):
        argv = ("sim", command, "--world", "membership", "--profile", "state-keys")
        done = vitte(*argv, folder=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        why = "the profile state-keys is played in no world but state"
        assert f"error[VM709]: `--world membership`: {why}\n" in done.stderr
    own = vitte("sim", "run", "--profile", "state", "--nodes", "2", "--json", folder=tmp_path)
    assert json.loads(own.stdout)["world"] == "state"


# -- progress and numbers ------------------------------------------------------------------------
def test_nothing_is_said_of_the_end_before_there_is_a_rate() -> None:
    progress = Progress(wanted=200, begun_s=time.monotonic())
    said = ExploreProgress()
    assert said._text(progress) == f"[{'-' * 24}] 0/200 seeds"
    progress.done = 100
    assert said._text(progress).endswith(" left")
    assert "100/200 seeds" in said._text(progress)


def test_one_node_is_one_node(tmp_path: Path) -> None:
    argv = ("--nodes", "1", "--profile", "calm", "--world", "membership")
    done = vitte("sim", "run", *argv, folder=tmp_path)
    assert done.stdout.startswith("1 node, ")
