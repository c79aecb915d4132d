"""Which node is meant, and how a socket with a long path is reached."""

from __future__ import annotations

import json
from pathlib import Path

from fake_node import FakeNode, ok_view

from cli import homes
from cli.client import ask
from cli.settings import Settings

PING = ok_view("ping", name="n", pid=1, mesh=None, home="", version="0")


def test_an_option_is_before_the_environment_is_before_the_rest(
    tmp_path: Path, monkeypatch: object
) -> None:
    settings = Settings()
    assert homes.home_to_ask(settings) == str(tmp_path / "state" / "vitte" / "node")
    monkeypatch.setenv("VITTE_HOME", str(tmp_path / "env"))
    settings = Settings()
    assert homes.home_to_ask(settings) == str(tmp_path / "env")
    settings.home = str(tmp_path / "option")
    assert homes.home_to_ask(settings) == str(tmp_path / "option")


def test_the_own_node_is_before_the_local_cluster(tmp_path: Path, capsys: object) -> None:
    state = tmp_path / "state" / "vitte"
    state.mkdir(parents=True)
    (state / "cluster.json").write_text(json.dumps({"directory": str(tmp_path / "c"), "nodes": 1}))
    with FakeNode(tmp_path / "c" / "node-1", ping=PING):
        assert homes.home_to_ask(Settings()) == str(tmp_path / "c" / "node-1")
        assert "using node-1 of the local cluster" in capsys.readouterr().err
        with FakeNode(state / "node", ping=PING):
            assert homes.home_to_ask(Settings()) == str(state / "node")
        assert capsys.readouterr().err == ""


def test_a_damaged_memory_of_the_cluster_is_no_memory(tmp_path: Path) -> None:
    state = tmp_path / "state" / "vitte"
    state.mkdir(parents=True)
    for text in ("", "[]", '{"directory": 1}', "{"):
        (state / "cluster.json").write_text(text)
        assert homes.remembered_cluster() is None


def test_a_long_home_is_reached(tmp_path: Path) -> None:
    home = tmp_path / ("d" * 100) / ("e" * 100)
    with FakeNode(home, ping=PING):
        assert ask(str(home), "ping") == PING
