"""What people type before they know the commands, and stopping a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_node import FakeNode, failure_view, ok_view, run_view


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("dits", "vitte dist"),
        ("status", "vitte dist status"),
        ("join", "vitte mesh join"),
        ("run", "vitte dist run"),
        ("build", "vitte build --dist"),
        ("explain", "vitte dist explain"),
    ],
)
def test_a_command_of_ours_in_the_wrong_place_is_named(
    vitte_process: Any, tmp_path: Path, word: str, meant: str
) -> None:
    done = vitte_process(word, PATH=str(tmp_path))
    assert done.code == 2
    assert f"error[VM114]: `vitte {word}` is not a command of vitte-mesh" in done.err
    assert f"hint: did you mean `{meant}`?" in done.err


def test_a_misspelt_kind_of_run_is_named(vitte: Any) -> None:
    done = vitte("dist", "run", "buid")
    assert done.code == 2
    assert "no such command `buid`; did you mean `build`?" in done.err


@pytest.mark.parametrize("text", ["a b:7", "host:", "host:x", "host:0", "host:65535", "[::1"])
def test_an_address_that_is_none_is_refused_before_anything_starts(
    tmp_path: Path, vitte: Any, text: str
) -> None:
    home = tmp_path / "n"
    done = vitte("mesh", "join", "--host", text, "--home", str(home))
    assert done.code == 2
    assert "is not HOST or HOST:PORT" in done.err
    assert not home.exists()


def test_a_home_that_is_a_file_is_not_a_bug(tmp_path: Path, vitte: Any) -> None:
    (tmp_path / "file").touch()
    done = vitte("mesh", "init", "--home", str(tmp_path / "file"))
    assert "error[VM503]" in done.err


def test_a_token_file_that_is_missing_is_named(tmp_path: Path, vitte: Any) -> None:
    missing = tmp_path / "token"
    done = vitte("mesh", "join", "--token-file", str(missing), "--home", str(tmp_path / "n"))
    assert f"{missing}: No such file or directory" in done.err


def test_cancel_names_the_run_that_it_stopped(tmp_path: Path, vitte: Any) -> None:
    view = ok_view("cancel", run="00ff00ff00ff00ff", state="running", cancelled=True)
    with FakeNode(tmp_path / "n", cancel=view) as node:
        done = vitte("dist", "cancel", "00ff", "--home", str(tmp_path / "n"))
        as_json = vitte("--json", "dist", "cancel", "last", "--home", str(tmp_path / "n"))
    assert node.requests == [("cancel", {"run": "00ff"}), ("cancel", {"run": "last"})]
    assert (done.code, done.out) == (0, "run 00ff00ff00ff00ff is cancelled\n")
    assert json.loads(as_json.out) == view


def test_cancel_of_what_has_ended_says_how_it_ended(tmp_path: Path, vitte: Any) -> None:
    view = ok_view("cancel", run="00ff00ff00ff00ff", state="ok", cancelled=False)
    with FakeNode(tmp_path / "n", cancel=view):
        home = ("--home", str(tmp_path / "n"))
        english = vitte("dist", "cancel", "last", *home)
        french = vitte("--lang", "fr", "dist", "cancel", "last", *home)
    assert english.out == "run 00ff00ff00ff00ff had ended already (ok)\n"
    assert french.out == "l'exécution 00ff00ff00ff00ff était déjà finie (ok)\n"


def test_cancel_wants_to_know_which(vitte: Any) -> None:
    done = vitte("dist", "cancel")
    assert done.code == 2
    assert "RUN" in done.err


def test_a_command_that_was_killed_is_told_so(tmp_path: Path, vitte: Any) -> None:
    failure = failure_view(name="sh -c x", status=-9, stderr_tail="")
    view = run_view(kind="command", ok=False, exit_code=137, failed=1, failures=[failure])
    with FakeNode(tmp_path / "n", run=view):
        done = vitte("dist", "run", "--home", str(tmp_path / "n"), "--", "x")
    assert done.code == 137
    assert done.out == ""
    assert done.err == "FAILED sh -c x on lyon-2: ended by SIGKILL\n"


def test_followed_logs_say_everything_once(tmp_path: Path, vitte: Any) -> None:
    """The node repeats its snapshot when it may have changed while the start was sent."""
    plan = {"event": "plan", "run": "00ff", "kind": "build", "root": "/src", "shards": 2}
    ended = {"event": "shards", "items": [[0, "done", "paris", "local", "compile a.c", 0.5]]}

    async def logs(_params: Any, emit: Any) -> Any:
        for _ in range(2):
            emit({**plan, "explanation": "2 steps"})
            emit(ended)
        return ok_view("logs", run="00ff", state="ok")

    with FakeNode(tmp_path / "n", logs=logs):
        done = vitte("dist", "logs", "-f", "--home", str(tmp_path / "n"))
    assert done.out.splitlines() == [
        "run 00ff: build /src",
        "2 steps: 2 shards",
        "compile a.c  local  0.50 s",
    ]
