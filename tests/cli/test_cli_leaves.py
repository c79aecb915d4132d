"""`vitte leaf ...` and leaves in the status, as people read them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from fake_node import FakeNode, ok_view

from cli.leaves import describe, via
from cli.status import render
from mesh.errors import LeafOldCounter, RuleFileWrong

LEAF: dict[str, Any] = {
    "name": "greenhouse",
    "id": "cf" * 32,
    "state": "alive",
    "gateway": "node-1",
    "port": "/dev/ttyUSB0",
    "board": "stm32f405",
    "flash_bytes": 13_100,
    "ram_bytes": 4_600,
    "rules": 1,
    "counter": 3,
    "trial": False,
    "rtt_ms": 10.4,
    "quality_percent": 97,
    "firmware_error": 0,
    "events": 12,
    "missing_events": 0,
    "trouble": "",
}


def status_with(*leaves: dict[str, Any]) -> list[str]:
    view = {
        "mesh": {"name": "home", "id": "ab" * 32},
        "self": "node-1",
        "nodes": [],
        "leaves": list(leaves),
        "runs": [],
        "health": [],
        "sandbox": "bwrap",
    }
    return render(view, 200)


def test_the_status_shows_a_leaf_with_its_gateway_and_its_health() -> None:
    headline, _header, row = status_with(LEAF)
    assert "0 nodes, 1 leaf" in headline
    assert row.split()[:2] == ["greenhouse", "alive"]
    assert "leaf via node-1, flash 13 KB, RAM 4.6 KB, 1 rule, line 97%" in row


def test_a_firmware_error_is_not_silence() -> None:
    row = status_with({**LEAF, "state": "failed", "firmware_error": 0x21})[-1]
    assert row.split()[1] == "FAILED"
    assert "FAILED firmware error 0x21" in row


def test_a_leaf_that_is_nowhere_is_still_listed() -> None:
    gone: dict[str, Any] = dict.fromkeys(LEAF)
    gone |= {"name": "cellar", "id": "aa" * 32, "state": "offline", "gateway": "", "trial": False}
    gone |= {"firmware_error": 0, "events": 3, "missing_events": 2, "trouble": ""}
    assert status_with(gone)[-1].split() == [
        "cellar",
        "offline",
        *"----",
        "leaf,",
        "2",
        "events",
        "missing",
    ]
    assert via(gone) == "leaf"


def test_what_a_leaf_or_its_gateway_says_cannot_drive_the_terminal() -> None:
    assert "\x1b" not in describe({**LEAF, "trouble": "\x1b[2Jhello"})
    assert "\x1b" not in status_with({**LEAF, "gateway": "\x1b[2J"})[-1]


def test_rule_files_are_sent_as_text_and_the_trial_is_told(tmp_path: Path, vitte: Any) -> None:
    rules = tmp_path / "r.py"
    rules.write_text("a rule\n")

    async def leaf_deploy(_params: dict[str, Any], emit: Any) -> dict[str, Any]:
        emit({"event": "trial", "counter": 4, "seconds": 10.0})
        fields = {"name": "greenhouse", "counter": 4, "rules": ["r"], "deployed": True}
        return ok_view("leaf_deploy", package="", bytes=162, **fields)

    with FakeNode(tmp_path / "n", leaf_deploy=leaf_deploy) as node:
        done = vitte("leaf", "deploy", "greenhouse", str(rules), "--home", str(tmp_path / "n"))
        (_op, params) = node.requests[0]
        assert params["sources"] == ["a rule\n"]
        assert params["names"] == [str(rules)]
        assert params["package"] is None
    assert done.out == "greenhouse runs 1 rule (162 B, counter 4)\n"
    assert "on trial for 10.0 s" in done.err


def test_a_signed_program_is_saved_and_sent_as_it_is(tmp_path: Path, vitte: Any) -> None:
    saved, rules = tmp_path / "p.leaf", tmp_path / "r.py"
    rules.write_text("a rule\n")
    package = b"\x82\x00signed"

    async def leaf_deploy(params: dict[str, Any], _emit: Any) -> dict[str, Any]:
        text = base64.b64encode(package).decode()
        assert params["package"] in (None, text)
        fields = {"name": "greenhouse", "counter": 4, "rules": [], "deployed": False}
        return ok_view("leaf_deploy", package=text, bytes=len(package), **fields)

    with FakeNode(tmp_path / "n", leaf_deploy=leaf_deploy) as node:
        words = ["leaf", "deploy", "greenhouse", "--home", str(tmp_path / "n")]
        assert vitte(*words, str(rules), "--save", str(saved)).code == 0
        assert saved.read_bytes() == package
        assert vitte(*words, "--package", str(saved)).code == 0
        assert [params["sign_only"] for _, params in node.requests] == [True, False]


@pytest.mark.parametrize(
    "words",
    [
        ["deploy", "greenhouse"],
        ["deploy", "greenhouse", "/dev/null", "--package", "/dev/null"],
        ["attach", "tcp:nowhere"],
        ["attach", "unix:/x", "--answer", "'unclosed"],
        ["emulate", "--serial", "tcp:localhost:1"],
        ["attach", "unix:/x", "--baud", "0"],
    ],
)
def test_misuse_is_said_before_anybody_is_asked(words: list[str], vitte: Any) -> None:
    done = vitte("leaf", *words)
    assert done.code == 2, done
    assert done.out == ""


def test_errors_of_leaves_have_their_code_and_next_step(tmp_path: Path, vitte: Any) -> None:
    async def leaf_show(_params: dict[str, Any], _emit: Any) -> dict[str, Any]:
        raise LeafOldCounter(name="greenhouse")

    async def leaf_deploy(_params: dict[str, Any], _emit: Any) -> dict[str, Any]:
        raise RuleFileWrong(where="r.py:4:9", why="no such pin\n    gpio(99)\n    ^^^^", hint="one")

    with FakeNode(tmp_path / "n", leaf_show=leaf_show, leaf_deploy=leaf_deploy):
        home = ["--home", str(tmp_path / "n")]
        shown = vitte("leaf", "show", "greenhouse", *home)
        assert shown.err.startswith("error[VM612]: The leaf greenhouse refuses the program")
        assert "the old program runs on" in shown.err
        deployed = vitte("leaf", "deploy", "greenhouse", __file__, *home)
        assert "error[VM602]: r.py:4:9: no such pin\n    gpio(99)\n    ^^^^\n" in deployed.err


def test_events_are_printed_with_their_gaps(tmp_path: Path, vitte: Any) -> None:
    event = {"event": "leaf_event", "start": "3043" * 4, "unix_s": 1e9, "rule": 0, "slot": 0}
    made = {**event, "number": 7, "kind": "emitted", "code": 1, "what": "", "value": 55}
    system = {**event, "number": 9, "kind": "system", "code": 4, "what": "went_back", "value": 2}

    async def leaf_logs(_params: dict[str, Any], emit: Any) -> dict[str, Any]:
        emit(made)
        gap = {"event": "leaf_gap", "start": event["start"], "number": 8, "head": "00" * 32}
        emit({**gap, "missing": 1, "let_go": False, "signed": False})
        emit(system)
        emit({**gap, "missing": 2, "let_go": False, "signed": True})
        emit({**gap, "missing": 3, "let_go": True, "signed": True})
        return ok_view("leaf_logs", name="greenhouse", events=2, missing_events=1)

    with FakeNode(tmp_path / "n", leaf_logs=leaf_logs):
        words = ["leaf", "logs", "greenhouse", "--home", str(tmp_path / "n")]
        lines = vitte(*words).out.splitlines()
        as_json = [json.loads(line) for line in vitte("--json", *words).out.splitlines()]
    assert lines[0].endswith("30433043/7     rule 0: event 1, value 55")
    assert lines[1] == "... 1 event is missing here"
    assert lines[2].endswith("30433043/9     went back 2")
    assert lines[3] == "... 2 events are lost here, as the leaf has signed"
    assert lines[4] == "... 3 events here are older than what is kept"
    assert as_json[0] == made
    assert as_json[-1]["schema"] == "vitte.leaf_logs/1"
