"""`vitte dist run`: what is asked, what is shown, and how it exits."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from fake_node import FakeNode, failure_view, run_view

from mesh.errors import NoNodeFits, NoPlan

PLAN = {
    "event": "plan",
    "run": "00ff00ff00ff00ff",
    "kind": "build",
    "planner": "steps",
    "explanation": "steps of vitte-dist.toml.",
    "shards": 3,
    "root": "/src",
}


def shards(*items: list[Any]) -> dict[str, Any]:
    return {"event": "shards", "items": list(items)}


def output(text: str, stream: int = 1, name: str = "compile a.c") -> dict[str, Any]:
    return {
        "event": "output",
        "shard": 0,
        "name": name,
        "node": "lyon-2",
        "stream": stream,
        "text": text,
    }


def scripted(*events: dict[str, Any], **view: Any) -> Any:
    async def run(_params: dict[str, Any], emit: Any) -> dict[str, Any]:
        for event in events:
            emit(event)
        final = run_view(**view)
        emit({"event": "finish", "view": final})
        return final

    return run


BUILD = (
    PLAN,
    shards([0, "queued", "", "", "compile a.c", 0.0], [1, "hashing", "", "", "compile b.c", 0.0]),
    shards([0, "done", "", "cached", "compile a.c", 0.0]),
    shards([1, "running", "lyon-2", "", "compile b.c", 0.0]),
    output("b.c: warning: unused\n", 2, "compile b.c"),
    shards([1, "done", "lyon-2", "remote", "compile b.c", 1.5]),
    shards([1, "done", "lyon-2", "remote", "compile b.c", 1.5]),
    shards([2, "done", "paris-1", "local", "link app", 0.25]),
)


def test_a_pipe_gets_one_line_for_each_shard_and_the_answer_on_stdout(
    tmp_path: Path, vitte: Any
) -> None:
    with FakeNode(tmp_path / "n", run=scripted(*BUILD)):
        done = vitte("dist", "run", "build", "--home", str(tmp_path / "n"))
    assert done.code == 0
    assert done.err.splitlines() == [
        "steps of vitte-dist.toml: 3 shards",
        "[1/3] compile a.c  cached",
        "compile b.c (lyon-2):",
        "b.c: warning: unused",
        "[2/3] compile b.c  remote on lyon-2  1.5 s",
        "[3/3] link app  local  0.25 s",
    ]
    assert done.out.splitlines() == [
        "build done: 3 shards in 3.1 s (1 cached, 1 remote, 1 local, 1 stolen)",
        "ran on: lyon-2 1, paris-1 1",
    ]


def test_what_was_skipped_is_counted_not_listed(tmp_path: Path, vitte: Any) -> None:
    skipped = shards(
        [0, "skipped", "", "", "compile a.c", 0.0], [1, "failed", "pi", "", "link", 0.5]
    )
    with FakeNode(tmp_path / "n", run=scripted(PLAN, skipped)):
        done = vitte("dist", "run", "build", "--home", str(tmp_path / "n"))
    assert done.err.splitlines()[1:] == ["[2/3] link  FAILED on pi  0.50 s"]


def test_progress_none_shows_what_tools_wrote_only(tmp_path: Path, vitte: Any) -> None:
    with FakeNode(tmp_path / "n", run=scripted(*BUILD)):
        done = vitte("dist", "run", "build", "--progress=none", "--home", str(tmp_path / "n"))
    assert done.err == "compile b.c (lyon-2):\nb.c: warning: unused\n"


def test_the_request_says_all_that_was_asked(tmp_path: Path, vitte: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITTE_HOME", str(tmp_path / "n"))
    monkeypatch.setenv("MY_FLAG", "é")
    with FakeNode(tmp_path / "n", run=scripted()) as node:
        words = "dist run test a b --mode cluster --jobs 3 --keep-going --no-cache --timeout 2m"
        assert vitte(*words.split(), "--out", "x").code == 0
        assert vitte("build", "--dist", "app").code == 0
    (_, asked), (_, through_build) = node.requests
    environment = asked.pop("env")
    assert environment["MY_FLAG"] == "é"
    assert "LANGUAGE" not in environment
    assert asked == {
        "cwd": str(tmp_path),
        "kind": "test",
        "argv": [],
        "targets": ["a", "b"],
        "outputs": ["x"],
        "mode": "cluster",
        "jobs": 3,
        "keep_going": True,
        "use_cache": False,
        "timeout_s": 120.0,
        "live": False,
        "phases": True,
    }
    assert through_build["kind"] == "build"
    assert through_build["targets"] == ["app"]
    assert through_build["use_cache"] is True


def test_a_command_has_its_own_output_and_status(tmp_path: Path, capfdbinary: Any) -> None:
    raw = b"caf\xe9 \xff\n\x1b[31mred"
    events = (
        PLAN,
        output(raw.decode("utf-8", "surrogateescape"), 1),
        output("to stderr\n", 2),
    )
    final = {
        "kind": "command",
        "ok": False,
        "exit_code": 42,
        "failures": [failure_view(status=42)],
    }
    with FakeNode(tmp_path / "n", run=scripted(*events, **final)) as node:
        from cli.main import main

        words = ["dist", "run", "--home", str(tmp_path / "n"), "--", "ls", "--jobs", "-l"]
        assert main(words) == 42
    captured = capfdbinary.readouterr()
    assert captured.out == raw
    assert captured.err == b"to stderr\n"
    assert node.requests[0][1]["argv"] == ["ls", "--jobs", "-l"]
    assert node.requests[0][1]["live"] is True


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("run build --progress none", False),
        ("run build --progress plain", True),
        ("run build --json --progress none", True),
        ("run -- true", False),
    ],
)
def test_phases_are_asked_for_only_to_be_shown(
    words: str, shown: bool, tmp_path: Path, vitte: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITTE_HOME", str(tmp_path / "n"))
    with FakeNode(tmp_path / "n", run=scripted()) as node:
        assert vitte("dist", *words.split()).code == 0
    assert node.requests[0][1]["phases"] is shown


def test_failures_come_last_with_how_to_rerun(tmp_path: Path, vitte: Any) -> None:
    failures = [failure_view(), failure_view(name="compile c.c", status=-11, node="")]
    final = {"ok": False, "exit_code": 1, "failed": 2, "failures": failures}
    with FakeNode(tmp_path / "n", run=scripted(PLAN, **final)):
        done = vitte("dist", "run", "build", "--home", str(tmp_path / "n"))
    assert done.code == 1
    assert done.out.startswith("build failed: 3 shards in 3.1 s (1 cached")
    assert done.err.splitlines()[2:] == [
        "FAILED compile bad.c on lyon-2: exit status 1",
        "  command: cc -c bad.c",
        "  | bad.c:1: error: expected `;`",
        "  rerun here: cd /src && cc -c bad.c",
        "",
        "FAILED compile c.c: ended by SIGSEGV",
        "  command: cc -c bad.c",
        "  | bad.c:1: error: expected `;`",
        "  rerun here: cd /src && cc -c bad.c",
    ]


def test_many_failures_are_counted_not_printed(tmp_path: Path, vitte: Any) -> None:
    failures = [failure_view(name=f"step {number}") for number in range(9)]
    final = {"ok": False, "exit_code": 1, "failed": 9, "failures": failures}
    with FakeNode(tmp_path / "n", run=scripted(**final)):
        done = vitte("dist", "run", "build", "--home", str(tmp_path / "n"))
    assert done.err.count("FAILED") == 5
    assert "...and 4 more failures: `vitte dist logs 00ff00ff00ff00ff`" in done.err


def test_an_error_of_a_shard_or_of_the_run_is_rendered_by_its_code(
    tmp_path: Path, vitte: Any
) -> None:
    from mesh.control.requests import error_view

    refused = dict(error_view(NoNodeFits(name="link", why="all are full")))
    final = {
        "ok": False,
        "exit_code": 12,
        "failures": [failure_view(error=refused, status=0)],
        "error": refused,
        "warnings": ["bubblewrap is missing"],
    }
    with FakeNode(tmp_path / "n", run=scripted(**final)):
        done = vitte("dist", "run", "build", "--home", str(tmp_path / "n"))
    assert done.code == 12
    assert "warning: bubblewrap is missing" in done.err
    assert "FAILED compile bad.c: No node can run `link`: all are full [VM405]" in done.err
    assert "error[VM405]: No node can run `link`: all are full" in done.err


@pytest.mark.parametrize("code", [0, 1, 3, 4, 12, 13])
def test_the_exit_status_is_the_views(tmp_path: Path, vitte: Any, code: int) -> None:
    with FakeNode(tmp_path / "n", run=scripted(ok=code == 0, exit_code=code)):
        assert vitte("dist", "run", "test", "--home", str(tmp_path / "n")).code == code


def test_no_plan_is_an_error(tmp_path: Path, vitte: Any) -> None:
    error = NoPlan(kind="build", root="/src", looked_for="vitte-dist.toml, build.ninja")
    with FakeNode(tmp_path / "n", run=error):
        done = vitte("dist", "run", "build", "--home", str(tmp_path / "n"))
    assert done.code == 2
    assert "Nothing here says how to build `/src`" in done.err


def test_json_is_events_and_then_the_view(tmp_path: Path, vitte: Any) -> None:
    with FakeNode(tmp_path / "n", run=scripted(*BUILD)):
        done = vitte("dist", "run", "build", "--json", "--home", str(tmp_path / "n"))
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert lines[:-1] == list(BUILD)
    assert lines[-1] == run_view()
    assert done.err == ""


def test_a_node_that_dies_in_the_middle_is_an_error(tmp_path: Path, vitte: Any) -> None:
    node = FakeNode(tmp_path / "n")

    async def run(_params: dict[str, Any], emit: Any) -> dict[str, Any]:
        emit(PLAN)
        node._scope.cancel()
        return run_view()

    node._handlers["run"] = run
    with node:
        done = vitte("dist", "run", "build", "--home", str(tmp_path / "n"))
    assert done.code == 10
    assert "error[VM108]: The node stopped before it answered" in done.err


def test_a_slow_terminal_is_told_what_it_missed(tmp_path: Path, vitte: Any) -> None:
    with FakeNode(tmp_path / "n", run=scripted({"event": "resync", "lost": 7})):
        done = vitte("dist", "run", "build", "--home", str(tmp_path / "n"))
    assert "too slow to show everything: 7 events skipped" in done.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("dist", "run"), "say `build`, `test` or `bench`"),
        (("dist", "run", "ls"), "say `build`, `test` or `bench`"),
        (("dist", "run", "--"), "give a command after `--`"),
        (("dist", "run", "build", "--", "x"), "give a command after `--`"),
        (("dist", "run", "build", "--timeout", "soon"), "soon is not a duration"),
        (("dist", "run", "build", "--timeout", "0"), "0 is not between 0 and a year"),
    ],
)
def test_misuse_is_explained(vitte: Any, words: tuple[str, ...], says: str) -> None:
    done = vitte(*words)
    assert done.code == 2
    assert says in done.err


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("500ms", 0.5)]
)
def test_durations(text: str, seconds: float) -> None:
    from cli.commands.base import Duration

    assert Duration().convert(text, None, None) == seconds


def test_the_users_environment_is_sent_in_every_language(
    tmp_path: Path, vitte: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("LANGUAGE", "de:en")
    with FakeNode(tmp_path / "n", run=scripted()) as node:
        vitte("dist", "run", "build", "--lang", "fr", "--home", str(tmp_path / "n"))
        assert os.environ["LANGUAGE"] == "fr"
    assert node.requests[0][1]["env"]["LANGUAGE"] == "de:en"
