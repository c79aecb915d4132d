"""`vitte doctor`: every check in its good and its bad case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fake_node import FakeNode, ok_view

from cli import doctor
from mesh.errors import StoreFull


def only(checks: Any) -> dict[str, Any]:
    [check] = checks
    return check


def test_works_without_a_node(tmp_path: Path, vitte: Any) -> None:
    done = vitte("doctor", "--home", str(tmp_path))
    assert "no node is running for" in done.out
    assert "next: vitte mesh init" in done.out
    view = json.loads(vitte("doctor", "--json", "--home", str(tmp_path)).out)
    assert view["schema"] == "vitte.doctor/1"
    names = [check["name"] for check in view["checks"]]
    assert names == ["python", "packages", "sandbox", "compiler", "ninja", "clock", "disk", "node"]
    assert all(check["status"] in ("ok", "warn", "fail") for check in view["checks"])
    assert all(bool(check["next_step"]) == (check["status"] != "ok") for check in view["checks"])


def test_adds_what_the_node_says(tmp_path: Path, vitte: Any) -> None:
    inside = {"name": "store", "status": "fail", "text": "2 blobs are damaged", "next_step": "x"}
    ping = ok_view("ping", name="n", pid=1, mesh=None, home="", version="0")
    with FakeNode(tmp_path / "n", ping=ping, doctor=ok_view("doctor", checks=[inside])):
        done = vitte("doctor", "--home", str(tmp_path / "n"))
    assert done.code == 1
    assert "FAIL  store" in done.out
    assert "2 blobs are damaged" in done.out


def test_a_node_that_answers_with_an_error_is_a_failure(tmp_path: Path) -> None:
    with FakeNode(tmp_path / "n", ping=StoreFull(path="/x")):
        check = only(doctor.node(str(tmp_path / "n")))
    assert (check["status"], check["text"]) == ("fail", "The disk under `/x` is full")


def test_another_wheel_with_our_package_names() -> None:
    owners = {"cli": ["vitte-mesh", "othertool"], "mesh": ["vitte-mesh"], "sim": ["vitte-mesh"]}
    check = only(doctor.packages(lambda: owners))
    assert check["status"] == "fail"
    assert "`cli` also belongs to othertool" in check["text"]
    assert only(doctor.packages(lambda: {"cli": ["vitte-mesh"]}))["status"] == "ok"


def test_missing_tools_are_named_with_the_command_that_installs_them(monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    for examiner, command in (
        (doctor.sandbox, "sudo apt install bubblewrap"),
        (doctor.compiler, "sudo apt install build-essential"),
        (doctor.ninja, "sudo apt install ninja-build"),
    ):
        check = only(examiner())
        assert (check["status"], check["next_step"]) == ("warn", command)


def test_a_sandbox_that_does_not_work_says_why(tmp_path: Path, monkeypatch: Any) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'No permissions to create a new namespace' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    check = only(doctor.sandbox())
    assert check["status"] == "warn"
    assert "No permissions to create a new namespace" in check["text"]


def test_a_clock_that_was_never_set() -> None:
    check = only(doctor.clock(0.0))
    assert check["status"] == "warn"
    assert "1970" in check["text"]


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(doctor, "DISK_FREE_BYTES_MIN", 10**18)
    assert only(doctor.disk(str(tmp_path / "not" / "there")))["status"] == "warn"
