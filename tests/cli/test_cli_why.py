"""`vitte mesh why`: what is printed of who said what about a member."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fake_node import FakeNode, ok_view

CHARGE = {
    "accuser": "lyon-1",
    "evidence": "refused",
    "vote": True,
    "observer": True,
    "ago_s": 12.0,
    "signature": "ab" * 64,
}
STORY = [
    {"ago_s": 90.0, "what": "alive", "by": "", "evidence": "", "epoch": 7, "incarnation": 1},
    {
        "ago_s": 12.0,
        "what": "voted",
        "by": "lyon-1",
        "evidence": "refused",
        "epoch": 7,
        "incarnation": 1,
    },
    {"ago_s": 12.0, "what": "dead", "by": "", "evidence": "", "epoch": 7, "incarnation": 1},
]


def a_view(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": "lyon-2",
        "id": "cd" * 32,
        "self": False,
        "state": "dead",
        "since_ago_s": 12.0,
        "epoch": 7,
        "incarnation": 1,
        "address": "10.0.0.2:7946",
        "signature": "ef" * 64,
        "heard_ago_s": 15.0,
        "observers": ["lyon-1", "lyon-3", "lyon-4"],
        "quorum": 2,
        "charges": [CHARGE],
        "history": STORY,
    }
    return ok_view("why", **{**fields, **changes})


def ask_why(tmp_path: Path, vitte: Any, view: dict[str, Any], *more: str) -> Any:
    async def why(params: dict[str, Any], _emit: Any) -> dict[str, Any]:
        assert params == {"node": "lyon-2"}
        return view

    with FakeNode(tmp_path / "n", why=why):
        return vitte(*more, "mesh", "why", "lyon-2", "--home", str(tmp_path / "n"))


def test_it_shows_who_charged_it_with_what(tmp_path: Path, vitte: Any) -> None:
    done = ask_why(tmp_path, vitte, a_view())
    lines = done.out.splitlines()
    assert lines[0] == "lyon-2 (cdcdcdcd): dead for 12.0 s"
    assert "observers: lyon-1, lyon-3, lyon-4; 2 votes make it dead" in lines[3]
    assert any(line.split()[:2] == ["lyon-1", "refused"] for line in lines)
    assert any("vote for its death (refused)" in line for line in lines)


def test_it_says_when_no_verdict_is_possible(tmp_path: Path, vitte: Any) -> None:
    done = ask_why(tmp_path, vitte, a_view(quorum=None, state="unreachable", charges=[]))
    assert "too few members for a verdict" in done.out
    assert "CHARGED BY" not in done.out


def test_it_says_when_nothing_is_known(tmp_path: Path, vitte: Any) -> None:
    nothing = a_view(state="offline", signature="", since_ago_s=None, charges=[], history=[])
    assert "never heard of it" in ask_why(tmp_path, vitte, nothing).out


def test_json_is_the_view_as_it_is(tmp_path: Path, vitte: Any) -> None:
    done = ask_why(tmp_path, vitte, a_view(), "--json")
    assert json.loads(done.out)["charges"] == [CHARGE]
