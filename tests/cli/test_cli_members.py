"""Letting machines in, as seen on the member's side; leaving; telling an address; the demo."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fake_node import MESH, FakeNode, ok_view

from cli import daemon
from mesh.errors import NoSuchCandidate

CANDIDATE = {
    "name": "lyon-2",
    "id": "ef" * 32,
    "words": ["orbit", "tulip", "fennel"],
    "address": "10.0.0.2",
    "waiting_s": 12.0,
}


def test_an_invitation_is_a_line_to_paste(tmp_path: Path, vitte: Any) -> None:
    async def invite(params: dict[str, Any], _emit: Any) -> dict[str, Any]:
        fields = {"uses": params["uses"], "role": params["role"]}
        expires = time.time() + params["for_s"]
        command = "vitte mesh join vm1-x"
        return ok_view("invite", token="vm1-x", command=command, expires_unix_s=expires, **fields)

    with FakeNode(tmp_path / "n", invite=invite) as node:
        words = ["mesh", "invite", "--uses", "3", "--for", "10m", "--role", "viewer", "--home"]
        done = vitte(*words, str(tmp_path / "n"))
        assert node.requests == [("invite", {"uses": 3, "for_s": 600.0, "role": "viewer"})]
    assert done.out == "  vitte mesh join vm1-x\n"
    assert "on the other machine run:" in done.err
    assert ", 3 uses, role viewer" in done.err


@pytest.mark.parametrize(("joined", "code"), [("lyon-2", 0), (None, 13)])
def test_a_code_waits_until_it_is_used(
    tmp_path: Path, vitte: Any, joined: str | None, code: int
) -> None:
    async def invite_code(params: dict[str, Any], emit: Any) -> dict[str, Any]:
        assert params["language"] == "fr"
        command = "vitte mesh join 7-castor-nuage"
        expires = time.time() + 60
        emit({"event": "code", "code": "7-c", "command": command, "expires_unix_s": expires})
        if joined:
            emit({"event": "joined", "name": joined, "mesh": "atelier"})
        else:
            emit({"event": "expired"})
        return ok_view("invite_code", code="7-castor-nuage", joined=joined)

    with FakeNode(tmp_path / "n", invite_code=invite_code):
        done = vitte("mesh", "invite", "--code", "--lang=fr", "--home", str(tmp_path / "n"))
    assert done.code == code
    assert "  vitte mesh join 7-castor-nuage" in done.out
    assert ("lyon-2 a rejoint le maillage" in done.out) is bool(joined)


async def admit(params: dict[str, Any], _emit: Any) -> dict[str, Any]:
    if params["list"]:
        return ok_view("candidates", candidates=[CANDIDATE])
    if params["name"] != "lyon-2":
        raise NoSuchCandidate(name=params["name"])
    return ok_view("admitted", name="lyon-2", role=params["role"], denied=params["deny"])


def test_who_waits_to_be_admitted(tmp_path: Path, vitte: Any) -> None:
    with FakeNode(tmp_path / "n", admit=admit):
        done = vitte("mesh", "admit", "--home", str(tmp_path / "n"))
    assert "lyon-2  orbit tulip fennel  10.0.0.2  12.0 s" in done.out


@pytest.mark.parametrize(
    ("words", "answer", "code", "says"),
    [
        (("lyon-2",), "y\n", 0, "lyon-2 was admitted as builder"),
        (("lyon-2",), "n\n", 1, ""),
        (("lyon-2", "--yes", "--role", "admin"), "", 0, "lyon-2 was admitted as admin"),
        (("lyon-2", "--deny"), "", 0, "lyon-2 was turned away"),
        (("nobody",), "", 2, ""),
    ],
)
def test_admitting_asks_for_the_check_words_first(
    tmp_path: Path,
    vitte: Any,
    monkeypatch: Any,
    words: tuple[str, ...],
    answer: str,
    code: int,
    says: str,
) -> None:
    (tmp_path / "answer").write_text(answer)
    with (tmp_path / "answer").open() as stdin, FakeNode(tmp_path / "n", admit=admit) as node:
        monkeypatch.setattr(sys, "stdin", stdin)
        done = vitte("mesh", "admit", *words, "--home", str(tmp_path / "n"))
        admitted = [params for _, params in node.requests if not params["list"]]
    assert done.code == code
    assert says in done.out
    assert ("orbit tulip fennel" in done.err) is bool(answer)
    assert len(admitted) == (0 if answer == "n\n" else 1)


def test_leave_and_connect(tmp_path: Path, vitte: Any) -> None:
    handlers = {
        "leave": ok_view("leave", mesh=MESH, name="paris-1"),
        "members": ok_view("members", mesh=MESH, members=[member("paris-1", "admin", own=True)]),
        "connect": ok_view("connect", name="lyon-2", address="10.0.0.2:4242"),
    }
    home = ("--home", str(tmp_path / "n"))
    with FakeNode(tmp_path / "n", **handlers) as node:
        assert vitte("mesh", "leave", *home).out == "paris-1 has left atelier\n"
        connected = vitte("dist", "connect", "--host", "10.0.0.2", *home)
        assert connected.out == "connected to lyon-2 at 10.0.0.2:4242\n"
        assert node.requests[2] == ("connect", {"host": "10.0.0.2"})
        assert json.loads(vitte("mesh", "leave", "--json", *home).out) == handlers["leave"]


def member(name: str, role: str, *, own: bool = False) -> dict[str, Any]:
    return {"name": name, "role": role, "self": own}


@pytest.mark.parametrize(
    ("others", "words", "code"),
    [
        ([member("lyon-2", "builder")], (), 2),
        ([member("lyon-2", "builder")], ("--yes",), 0),
        ([member("lyon-2", "admin")], (), 0),
    ],
)
def test_the_only_admin_leaves_only_when_it_means_it(
    tmp_path: Path, vitte: Any, others: list[Any], words: tuple[str, ...], code: int
) -> None:
    members = ok_view("members", mesh=MESH, members=[member("paris-1", "admin", own=True), *others])
    left = ok_view("leave", mesh=MESH, name="paris-1")
    with FakeNode(tmp_path / "n", members=members, leave=left) as node:
        done = vitte("mesh", "leave", *words, "--home", str(tmp_path / "n"))
    assert done.code == code
    assert ("leave" in [op for op, _ in node.requests]) == (code == 0)
    assert ("error[VM222]: `paris-1` is the only admin" in done.err) == (code == 2)


def test_the_demo_builds_twice_and_leaves_nothing(vitte: Any, monkeypatch: Any) -> None:
    import cli.demo_project

    started: list[str] = []
    real_spawn = daemon.spawn

    def spawn(home: str, *args: Any, **more: Any) -> daemon.Node:
        started.append(home)
        return real_spawn(home, *args, **more)

    def prepare(directory: Path) -> Path:
        directory.mkdir()
        (directory / "main.c").touch()
        return directory

    command = (sys.executable, "-P", str(Path(__file__).parent / "fake_node.py"))
    monkeypatch.setattr(daemon, "NODE_COMMAND", command)
    monkeypatch.setattr(daemon, "spawn", spawn)
    monkeypatch.setattr(cli.demo_project, "prepare", prepare)
    done = vitte("dist", "demo", "--nodes", "2")
    assert done.code == 0, done.err
    assert "2 nodes on 127.0.0.1, started in" in done.out
    assert done.out.count("0 cached") == 2, "what was built was removed before the second time"
    assert done.out.endswith("2 nodes stopped\n")
    assert len(started) == 2
    assert not any(Path(home).exists() for home in started)
