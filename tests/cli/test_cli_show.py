"""Views as text and as JSON: status, members, explain, logs, and errors of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_node import MESH, FakeNode, failure_view, node_view, ok_view, run_view, status_view

from mesh.errors import NoSuchRun


def test_status_shows_this_node_first_and_what_is_wrong_last(tmp_path: Path, vitte: Any) -> None:
    with FakeNode(tmp_path / "n", status=status_view()):
        done = vitte("dist", "status", "--home", str(tmp_path / "n"))
    assert done.code == 0
    assert done.out.splitlines() == [
        "mesh atelier (abababab), 3 nodes, sandbox: bwrap",
        "NODE            STATE    CPU  JOBS  CACHE   RTT     NOTE",
        "paris-1 (self)  alive    7%   0/2   2.1 GB  -       4 shards queued",
        "edge            dead     -    -     -       -       viewer",
        "lyon-2          suspect  7%   2/2   2.1 GB  0.8 ms  2 of 3 probes lost",
        "# clock of lyon-2 is 4.2 s ahead",
    ]


def test_status_of_a_node_without_a_mesh_says_what_to_do(tmp_path: Path, vitte: Any) -> None:
    view = status_view(mesh=None, nodes=[node_view("paris-1", self=True)])
    with FakeNode(tmp_path / "n", status=view):
        done = vitte("--home", str(tmp_path / "n"), "mesh", "status")
    assert "in no mesh yet" in done.out
    assert "vitte mesh join" in done.out


def test_status_lists_runs_under_way(tmp_path: Path, vitte: Any) -> None:
    run = {
        "run": "0011223344556677",
        "kind": "build",
        "root": "/src",
        "state": "running",
        "shards": 24,
        "done": 12,
        "seconds": 61.0,
        "started_unix_s": 0.0,
    }
    with FakeNode(tmp_path / "n", status=status_view(runs=[run])):
        done = vitte("dist", "status", "--home", str(tmp_path / "n"))
    assert "run 0011223344556677: build /src, 12/24 shards after 1 min 01 s" in done.out


@pytest.mark.parametrize("words", [("dist", "status"), ("mesh", "status")])
@pytest.mark.parametrize("json_flag", [(), ("--json",)])
def test_the_short_way_says_what_click_says(
    tmp_path: Path, vitte: Any, words: tuple[str, ...], json_flag: tuple[str, ...]
) -> None:
    home = ("--home", str(tmp_path / "n"))
    with FakeNode(tmp_path / "n", status=status_view()):
        quick = vitte(*words, *home, *json_flag)
        through_click = vitte("--color=never", *words, *home, *json_flag)
    assert quick == through_click
    assert (json.loads(quick.out) == status_view()) if json_flag else "paris-1" in quick.out


def test_no_node_is_an_error_with_its_own_status(tmp_path: Path, vitte: Any) -> None:
    for words in (("dist", "status"), ("mesh", "members"), ("dist", "explain")):
        done = vitte(*words, "--home", str(tmp_path / "nowhere"))
        assert done.code == 10
        assert done.out == ""
        assert done.err.startswith("error[VM101]: No node is running for `")
        assert "\nhint: start it with `vitte dist start`" in done.err


def test_an_error_is_json_when_json_is_asked_for(tmp_path: Path, vitte: Any) -> None:
    with FakeNode(tmp_path / "n", explain=NoSuchRun(run="abc")):
        done = vitte("dist", "explain", "abc", "--json", "--home", str(tmp_path / "n"))
    view = json.loads(done.out)
    assert done.code == 2
    assert view["schema"] == "vitte.error/1"
    assert view["error"]["code"] == "VM408"
    assert view["error"]["params"] == {"run": "abc"}


def test_an_error_of_a_newer_node_is_shown_as_it_says(tmp_path: Path, vitte: Any) -> None:
    class FromTheFuture(NoSuchRun):
        """Something {new}"""

        code = "VM4999"
        exit_code = 11
        hint = "do {new}"

    with FakeNode(tmp_path / "n", explain=FromTheFuture(new="else")):
        del FromTheFuture.code  # this side has never heard of it
        FromTheFuture.code = "VM4998"
        done = vitte("dist", "explain", "--home", str(tmp_path / "n"))
    assert done.code == 11
    assert "Something else" in done.err
    assert "hint: do else" in done.err


def test_names_from_peers_cannot_steer_the_terminal(tmp_path: Path, vitte: Any) -> None:
    view = status_view(nodes=[node_view("evil\x1b[2J\nname")], health=["a\x07b"])
    with FakeNode(tmp_path / "n", status=view):
        done = vitte("dist", "status", "--home", str(tmp_path / "n"))
    assert "\x1b" not in done.out
    assert "evil?[2J?name" in done.out
    assert "# a?b" in done.out


def test_members(tmp_path: Path, vitte: Any) -> None:
    member = {
        "name": "paris-1",
        "id": "cd" * 32,
        "role": "admin",
        "state": "alive",
        "address": "10.0.0.1:4242",
        "admitted_by": "",
        "self": True,
    }
    view = ok_view("members", mesh=MESH, members=[member])
    with FakeNode(tmp_path / "n", members=view):
        done = vitte("mesh", "members", "--home", str(tmp_path / "n"))
        as_json = vitte("mesh", "members", "--json", "--home", str(tmp_path / "n"))
    assert "paris-1 (self)  cdcdcdcd  admin  alive  10.0.0.1:4242  -" in done.out
    assert json.loads(as_json.out) == view


def explain_view(**fields: Any) -> dict[str, Any]:
    shard = {
        "index": 0,
        "name": "compile a.c",
        "phase": "done",
        "source": "remote",
        "where": "lyon-2",
        "seconds": 1.25,
        "why": "lyon-2 was idle and had its inputs",
        **fields,
    }
    return ok_view("explain", run="00ff", state="ok", shards=[shard])


def test_explain_all_and_one(tmp_path: Path, vitte: Any) -> None:
    async def explain(params: dict[str, Any], _emit: Any) -> dict[str, Any]:
        if params["shard"] is None:
            return explain_view()
        return explain_view(
            nodes=[{"node": "edge", "reason": "its role viewer may not build"}],
            timeline=[{"at_s": 0.5, "phase": "stolen", "where": "lyon-2", "detail": ""}],
        )

    with FakeNode(tmp_path / "n", explain=explain) as node:
        home = ("--home", str(tmp_path / "n"))
        every, one = (
            vitte("dist", "explain", *home),
            vitte("dist", "explain", "last", "compile a.c", *home),
        )
        assert node.requests[1] == ("explain", {"run": "last", "shard": "compile a.c"})
    assert "remote on lyon-2" in every.out
    assert "lyon-2 was idle and had its inputs" in every.out
    assert "its role viewer may not build" in one.out
    assert "0.500 s  stolen  lyon-2" in one.out


def test_logs_show_output_failures_and_the_end(tmp_path: Path, vitte: Any) -> None:
    async def logs(_params: dict[str, Any], emit: Any) -> dict[str, Any]:
        emit(
            {
                "event": "plan",
                "run": "00ff",
                "kind": "build",
                "planner": "steps",
                "explanation": "vitte-dist.toml",
                "shards": 2,
                "root": "/src",
            }
        )
        emit({"event": "shards", "items": [[0, "running", "lyon-2", "", "compile a.c", 0.0]]})
        emit({"event": "shards", "items": [[0, "done", "lyon-2", "remote", "compile a.c", 0.5]]})
        emit(
            {
                "event": "output",
                "shard": 0,
                "name": "compile a.c",
                "node": "lyon-2",
                "stream": 2,
                "text": "warning: x\nand y\n",
            }
        )
        failed = run_view(ok=False, exit_code=1, failed=1, failures=[failure_view()])
        emit({"event": "finish", "view": failed})
        return ok_view("logs", run="00ff", state="failed")

    with FakeNode(tmp_path / "n", logs=logs):
        done = vitte("dist", "logs", "--home", str(tmp_path / "n"))
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "run 00ff: build /src"
    assert "compile a.c  remote on lyon-2  0.50 s" in lines
    assert "compile a.c | and y" in lines
    assert "  | bad.c:1: error: expected `;`" in lines
    assert lines[-2].startswith("build failed: 3 shards")


def test_a_near_miss_is_named(vitte: Any) -> None:
    done = vitte("dist", "statsu")
    assert done.code == 2
    assert "no such command `statsu`; did you mean `status`?" in done.err


def test_usage_errors_say_how_to_get_help(vitte: Any) -> None:
    done = vitte("dist", "run", "--jobs", "none", "build")
    assert done.code == 2
    assert "Try `vitte dist run --help`." in done.err
    assert "error: Invalid value for '--jobs'" in done.err


def test_explain_of_an_error_code(vitte: Any) -> None:
    done = vitte("explain", "vm204")
    assert done.code == 0
    assert "VM204: The invitation is not signed by an admin of the mesh" in done.out
    assert "exit status: 11" in done.out
    assert vitte("explain", "VM9998").code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(vitte: Any, shell: str) -> None:
    done = vitte("completion", shell)
    assert done.code == 0
    assert "_VITTE_COMPLETE" in done.out


def test_version(vitte: Any) -> None:
    from mesh import __version__

    assert vitte("--version").out == f"vitte-mesh {__version__}\n"
