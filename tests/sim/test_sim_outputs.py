"""Files that sim commands write: tried before, whole or not there, and never lost with the work."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from calling import ROOT, vitte

from cli.settings import Settings
from sim.app.outputs import Outputs
from sim.scenario.files import dumps, load, save
from sim.scenario.model import Fault, Phases, Scenario
from sim.scenario.profiles import Wish, draw, file_name
from sim.whole import Aside, write_whole

QUIET = Scenario(1, 4, phases=Phases(warm_up_s=8, chaos_s=60, settle_s=60, canary_s=0))
"""Its trace is longer than the buffer of a file."""
FAILING = Scenario(
    seed=1,
    nodes=3,
    phases=Phases(warm_up_s=1, chaos_s=5, settle_s=5, canary_s=0),
    faults=(Fault(0.0, "isolate", (2,), 3.0),),
)
"""It cannot have joined after its warm-up."""
RUN = ("sim", "run", "--nodes", "2", "--profile", "calm", "--world", "membership")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a scenario, and a folder of temporary files."""
    save(QUIET, tmp_path / "g.json")
    (tmp_path / "tmp").mkdir()
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def no_larger_than(size_bytes: int) -> Callable[[], None]:
    """For a child: a file that grows beyond it is an error of the disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))


# -- before anything is played -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("command", "option"),
    [
        (("sim", "replay", "g.json"), "--trace"),
        (("sim", "replay", "g.json"), "--html"),
        (RUN, "--save"),
        (RUN, "--trace"),
        (RUN, "--html"),
        (("sim", "timeline", "g.json"), "--output"),
        (("sim", "shrink", "g.json"), "--output"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[1],
)
def test_what_cannot_be_written_is_said_before_the_work(
    command: tuple[str, ...], option: str, folder: Path
) -> None:
    for path, why in (
        ("/dev/full", "No space left on device"),
        ("g.json/x", f"{folder}/g.json: it is no folder"),
    ):
        done = vitte(*command, option, path, folder=folder)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        hint = f"nothing was done yet: name another place with `{option}`"
        assert done.stderr == f"error[VM707]: {path} cannot be written: {why}\nhint: {hint}\n"
    assert names(folder) == ["g.json"]


@pytest.mark.parametrize(
    "command",
    [("sim", "explore", "--seeds", "1", "--folder", "g.json/x"), ("chaos", "g.json", "--logs")],
    ids=["explore", "chaos"],
)
def test_a_file_is_no_folder(command: tuple[str, ...], folder: Path) -> None:
    unable = command[0] == "chaos" and os.geteuid() != 0
    expected = 10 if unable else 2  # it says first that only root can play
    argv = command if command[0] == "sim" else (*command, "g.json/x")
    done = vitte(*argv, folder=folder)
    assert done.returncode == expected
    assert expected != 2 or "error[VM707]: g.json/x cannot be written: " in done.stderr
    assert names(folder) == ["g.json"]


def test_trying_a_place_leaves_nothing_behind(folder: Path) -> None:
    outputs = Outputs(Settings())
    outputs.claim("--html", folder / "a" / "b" / "p.html")
    outputs.claim_folder("--folder", folder / "c" / "d")
    (folder / "old").write_text("old")
    outputs.claim("--save", folder / "old")
    assert entries(folder) == {"g.json", "old", "tmp"}
    assert (folder / "old").read_text() == "old"


def test_folders_that_are_missing_are_made_for_every_output(folder: Path) -> None:
    argv = ("--html", "a/b/p.html", "--trace", "c/d/t.trace")
    done = vitte("sim", "replay", "g.json", *argv, folder=folder)
    assert done.returncode == 0, done.stderr
    assert names(folder) == ["a/b/p.html", "c/d/t.trace", "g.json"]


# -- what is read is not written -----------------------------------------------------------------
@pytest.mark.parametrize(
    "argv",
    [
        ("replay", "g.json", "--trace", "g.json"),
        ("replay", "g.json", "--html", "./link"),
        ("replay", "g.json", "--html", "x", "--trace", "tmp/../x"),
        ("timeline", "g.json", "-o", "g.json"),
        ("shrink", "g.json", "-o", "g.json"),
        ("shrink", "g.passing.json", "-o", "g.json"),
    ],
    ids=" ".join,
)
def test_no_output_goes_over_an_input_or_another_output(
    argv: tuple[str, ...], folder: Path
) -> None:
    save(FAILING, folder / "g.passing.json")
    (folder / "link").symlink_to("g.json")
    before = names(folder)
    done = vitte("sim", *argv, folder=folder)
    assert done.returncode == 2
    assert "error[VM708]: " in done.stderr
    assert names(folder) == before
    assert (load(folder / "g.json"), load(folder / "g.passing.json")) == (QUIET, FAILING)


# -- a disk that fails later ---------------------------------------------------------------------
@pytest.mark.parametrize("option", ["--html", "--trace"])
def test_a_run_is_told_although_its_file_found_no_room(option: str, folder: Path) -> None:
    (folder / "old").write_text("old")
    calm = vitte("sim", "replay", "g.json", folder=folder)
    argv = ("sim", "replay", "g.json", option, "old")
    environment = {"TMPDIR": str(folder / "tmp")}
    done = vitte(*argv, folder=folder, environment=environment, preexec_fn=no_larger_than(1000))
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1] == calm.stdout.splitlines()[-1]
    assert "error[VM707]: old cannot be written: File too large" in done.stderr
    assert names(folder) == ["g.json", "old"], "no part of it is left"
    assert (folder / "old").read_text() == "old"
    quiet = vitte(
        *argv, "--json", folder=folder, environment=environment, preexec_fn=no_larger_than(1000)
    )
    view = json.loads(quiet.stdout)
    assert (quiet.returncode, view["verdict"]) == (2, "ok")
    assert view["unwritten"] == [{"path": "old", "why": "File too large", "instead": None}]


def test_a_shrunk_scenario_that_found_no_room_is_printed(folder: Path) -> None:
    save(FAILING, folder / "f.json")
    environment = {"TMPDIR": str(folder / "tmp")}
    limit = no_larger_than(100)
    done = vitte(
        "sim", "shrink", "f.json", folder=folder, environment=environment, preexec_fn=limit
    )
    assert done.returncode == 2
    assert '"format": "vitte-scenario/1"' in done.stdout
    assert done.stdout.splitlines()[-1].endswith("FAILED: joined")
    assert names(folder) == ["f.json", "g.json"]


def test_what_finds_no_place_goes_to_the_temporary_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(folder / "tmp"))
    outputs = Outputs(Settings())
    target = outputs.claim("--save", folder / "place" / "s.json")
    (folder / "place").write_text("somebody made a file of it")
    instead = outputs.write(target, dumps(QUIET))
    assert instead is not None
    assert instead.is_relative_to(folder / "tmp")
    assert load(instead) == QUIET
    assert f"it was written to {instead} instead" in capsys.readouterr().err
    assert (outputs.status(0), outputs.status(1)) == (2, 2)
    assert Outputs(Settings()).status(1) == 1


PLANTED = """
import json, sys
from sim.__main__ import main
from sim.mutants.catalogue import MUTANTS
from sim.mutants.plant import planted
with planted(next(mutant for mutant in MUTANTS if mutant.name == "nonce-reused")):
    sys.exit(main(sys.argv[1:]))
"""


def explore(folder: Path, size_bytes: int, **request: object) -> subprocess.CompletedProcess[str]:
    """An exploration that finds something with every seed."""
    return wrong("explore", folder, size_bytes, first=1, last=2, jobs=1, **request)


def wrong(
    command: str, folder: Path, size_bytes: int, **request: object
) -> subprocess.CompletedProcess[str]:
    """A command in whose runs something is always wrong, on a disk for small files."""
    request |= {"profile": "calm", "world": "membership"}
    return subprocess.run(
        [sys.executable, "-c", PLANTED, command, json.dumps(request)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")},
        timeout=100,
        preexec_fn=no_larger_than(size_bytes),
    )


def test_an_exploration_goes_on_when_its_folder_is_full(folder: Path) -> None:
    done = explore(folder, 100, nodes=2)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error[VM707]: .vitte/sim/calm-membership-2n-1") >= 1
    assert "2 seeds in" in done.stdout
    assert "2 failed" in done.stdout
    start = done.stdout.index("{\n")
    text = done.stdout[start : done.stdout.index("\n}\n") + 3]
    (folder / "printed.json").write_text(text, encoding="utf-8")
    assert load(folder / "printed.json").nodes == 2
    quiet = explore(folder, 100, nodes=2, json=True)
    view = json.loads(quiet.stdout)
    assert {failure["file"] for failure in view["failures"]} == {None}
    assert all('"vitte-scenario/1"' in failure["scenario"] for failure in view["failures"])


def test_a_run_that_is_wrong_is_never_lost(folder: Path) -> None:
    kept = wrong("run", folder, 1_000_000, nodes=2, seed=3)
    name = ".vitte/sim/calm-membership-2n-3.json"
    assert kept.returncode == 1
    assert f"replay: vitte sim replay {name}\n" in kept.stdout
    scenario = load(folder / name)
    full = wrong("run", folder, 100, nodes=2, seed=3)
    assert full.returncode == 1
    assert dumps(scenario) in full.stdout
    (folder / name).unlink()
    (folder / ".vitte" / "sim").rmdir()
    (folder / ".vitte" / "sim").touch()
    elsewhere = wrong("run", folder, 1_000_000, nodes=2, seed=3)
    (place,) = (folder / "tmp").glob("vitte-sim-*/calm-membership-2n-3.json")
    assert f"replay: vitte sim replay {place}\n" in elsewhere.stdout
    assert load(place) == scenario


def test_findings_of_other_explorations_stay(folder: Path) -> None:
    for nodes in (2, 3):
        assert explore(folder, 1_000_000, nodes=nodes).returncode == 1
    found = entries(folder / ".vitte" / "sim")
    assert {f"calm-membership-{n}n-{seed}.json" for n in (2, 3) for seed in (1, 2)} <= found
    assert load(folder / ".vitte/sim/calm-membership-3n-2.json").nodes == 3


def test_every_wish_has_a_file_of_its_own() -> None:
    wishes = [
        Wish(seed, profile, nodes, world, swim, hours)
        for seed in (1, 11)
        for profile in ("calm", "state", "state-keys")
        for nodes in (1, 11)
        for world in ("membership", "mesh")
        for swim in ("lan", "wan")
        for hours in (None, 1.0, 1.5)
    ]
    drawn = {dumps(draw(wish)) for wish in wishes}
    assert len({file_name(wish) for wish in wishes}) == len(drawn)


def test_an_answer_that_finds_no_room_is_an_error_with_a_code(folder: Path) -> None:
    for more in ((), ("--json",)):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "cli.main", "sim", "replay", "g.json", *more],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                timeout=100,
            )
        assert done.returncode == 2
        assert "error[VM707]: stdout cannot be written: No space left" in done.stderr
        assert "Traceback" not in done.stderr


def _write_half(path: Path) -> None:
    with Aside(path) as file:
        file.write(b"t")
        raise KeyboardInterrupt


# -- whole or not at all -------------------------------------------------------------------------
def test_a_file_is_replaced_when_all_of_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file"
    write_whole(path, "one")
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(KeyboardInterrupt):
        _write_half(link)
    assert (path.read_text(), entries(path.parent)) == ("one", {"file"})
    write_whole(link, "two")
    assert link.is_symlink()
    assert (path.read_text(), entries(path.parent)) == ("two", {"file"})
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "a", "three")
