"""The shared state for people: the log in the status, removal, what is withdrawn, and the audit."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from fake_node import FakeNode, node_view, ok_view, status_view

from cli.commands.mesh_revoke import _moment
from mesh.errors import NoLogHere

LOG = {
    "feeds": 7,
    "frames": 412,
    "events": 20_113,
    "size_bytes": 2_400_000,
    "behind_events": 0,
    "lost_events": 0,
    "forks": [],
    "divergent": 0,
    "divergences": [],
    "withdrawn": 0,
    "tainted": 0,
    "damaged": 0,
    "refused": [],
    "unwritten_bytes": 0,
    "unlogged_events": 0,
    "is_full": False,
    "trouble": "",
}


def status_lines(tmp_path: Path, vitte: Any, *args: str, **log: Any) -> list[str]:
    with FakeNode(tmp_path / "n", status=status_view(health=[], log={**LOG, **log})):
        done = vitte("mesh", "status", *args, "--home", str(tmp_path / "n"))
    assert done.code == 0
    return list(done.out.splitlines()[6:])


def test_a_healthy_log_is_one_line(tmp_path: Path, vitte: Any) -> None:
    assert status_lines(tmp_path, vitte) == [
        "log: 7 feeds, 412 frames, 20113 events, 2.4 MB; up to date"
    ]


def test_everything_that_is_wrong_with_the_log_is_a_line_and_names_who_did_it(
    tmp_path: Path, vitte: Any
) -> None:
    side = {"outputs": "9a" * 32, "builders": ["lyon-2"], "records": []}
    other = {"outputs": "44" * 32, "builders": ["edge"], "records": []}
    lines = status_lines(
        tmp_path,
        vitte,
        behind_events=3,
        lost_events=1,
        damaged=2,
        trouble="disk full",
        unwritten_bytes=48_000_000,
        is_full=True,
        unlogged_events=1,
        forks=[{"node": "edge", "id": "ab", "feed": "ab.cd.ac"}],
        divergent=1,
        divergences=[{"action": "71" * 32, "sides": [side, other]}],
        withdrawn=4,
        tainted=5,
        refused=[
            {"node": "lyon-2", "id": "ef", "reason": "state.refused.signature", "count": 2},
            {"node": "", "id": "", "reason": "stream.broken", "count": 9},
        ],
    )
    assert lines == [
        "log: 7 feeds, 412 frames, 20113 events, 2.4 MB; behind by 3 events",
        "# 1 event is lost; `vitte audit lost` lists them",
        "# 2 places of the log were damaged on the disk",
        "# the log cannot be written: disk full",
        "# 48 MB of it wait in memory for the disk",
        "# it is full: what others write is taken when the disk takes it",
        "# 1 event of this node was not logged",
        "# edge has signed two histories of ab.cd.ac",
        (
            "# ALARM: action 7171717171717171 has different outputs: "
            "9a9a9a9a9a9a9a9a (lyon-2) / 4444444444444444 (edge)"
        ),
        "# 4 results are withdrawn, 5 made from them; `vitte cache taint` lists them",
        "# refused from lyon-2: state.refused.signature, 2 times",
        "# refused from strangers: stream.broken, 9 times",
    ]


def test_a_peer_that_is_away_says_since_when_and_what_waits(tmp_path: Path, vitte: Any) -> None:
    since = time.time() - 60
    away = node_view(
        "edge", state="offline", note="", offline_since_unix_s=since, waiting_events=312
    )
    with FakeNode(tmp_path / "n", status=status_view(nodes=[away], health=[])):
        done = vitte("dist", "status", "--home", str(tmp_path / "n"))
    clock = time.strftime("%H:%M:%S", time.localtime(since))
    assert f"OFFLINE since {clock}, 312 events waiting" in done.out


def test_the_log_is_shown_in_french(tmp_path: Path, vitte: Any) -> None:
    (line,) = status_lines(tmp_path, vitte, "--lang=fr", behind_events=1)
    expected = "journal : 7 flux, 412 trames, 20113 événements, 2.4 MB ; en retard de 1 événement"
    assert line == expected


# -- removal ---------------------------------------------------------------------------------------
def test_a_removal_says_what_goes_on_counting_and_what_does_not(tmp_path: Path, vitte: Any) -> None:
    async def revoke(params: dict[str, Any], _emit: Any) -> dict[str, Any]:
        assert params["node"] == "brest"
        assert params["reason"] == "sold"
        assert abs(params["after_unix_s"] - (time.time() - 7200)) < 60
        counts = {"kept_events": 4120, "cut_events": 1, "withdrawn": 2, "tainted": 3}
        return {"schema": "vitte.revoked/1", "name": "brest", "id": "be" * 32, **counts}

    words = ["mesh", "revoke", "brest", "--reason", "sold", "--after", "2h"]
    with FakeNode(tmp_path / "n", revoke=revoke):
        done = vitte(*words, "--home", str(tmp_path / "n"))
    assert done.code == 0
    assert done.out == "brest was shut out of the mesh\n"
    assert "4120 events of its log count" in done.err
    assert "1 event counts no more" in done.err
    assert "2 results are withdrawn, and 3 that were made from them" in done.err


@pytest.mark.parametrize("text", ["", "tomorrow", "2x", "2026-13-45"])
def test_a_moment_that_is_none_is_a_usage_error(text: str, vitte: Any) -> None:
    assert _moment(text) is None
    done = vitte("mesh", "revoke", "brest", "--after", text)
    assert done.code == 2


def test_moments() -> None:
    assert _moment("start") == 0.0
    assert _moment("1970-01-02") == time.mktime((1970, 1, 2, 0, 0, 0, 0, 0, -1))
    days_ago = _moment("3d")
    assert days_ago is not None
    assert abs(time.time() - 3 * 86_400 - days_ago) < 5


def test_what_is_withdrawn_is_listed(tmp_path: Path, vitte: Any) -> None:
    withdrawn = {"action": "a1" * 32, "outputs": "b2" * 32, "builders": ["brest"], "records": []}
    view = ok_view("cache_taint", node="", withdrawn=[withdrawn], derived=["c3" * 32])
    with FakeNode(tmp_path / "n", cache_taint=view):
        done = vitte("cache", "taint", "--home", str(tmp_path / "n"))
    assert done.out.splitlines() == [
        "ACTION            OUTPUTS           WHY",
        "a1a1a1a1a1a1a1a1  b2b2b2b2b2b2b2b2  brest",
        "c3c3c3c3c3c3c3c3  -                 made from what is withdrawn",
    ]
    assert vitte("cache", "taint", "--after", "start").code == 2


# -- audit -----------------------------------------------------------------------------------------
def test_an_audit_needs_no_node_but_a_log(tmp_path: Path, vitte: Any) -> None:
    done = vitte("--json", "audit", "verify", "--home", str(tmp_path / "none"))
    assert done.code == NoLogHere.exit_code
    assert json.loads(done.out)["error"]["code"] == NoLogHere.code


def test_a_file_that_is_no_log_is_said_to_be_none(tmp_path: Path, vitte: Any) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a log")
    done = vitte("audit", "verify", str(file), "--home", str(tmp_path / "none"))
    assert done.code != 0
    assert "it is no exported log" in done.err
