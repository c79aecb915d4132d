"""Starting, joining and stopping nodes: real processes that play a node, never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from cli import cluster, daemon, homes
from mesh.errors import ClusterRunning, NodeDidNotStart

NODE = (sys.executable, "-P", str(Path(__file__).parent / "fake_node.py"))


@pytest.fixture(autouse=True)
def fake_nodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setattr(daemon, "NODE_COMMAND", NODE)
    monkeypatch.setattr(daemon, "KILL_TIMEOUT_S", 2.0)
    yield
    for home in [tmp_path, *tmp_path.rglob("*")]:
        if (home / "node.pid").exists():
            (home / "deaf").unlink(missing_ok=True)
            daemon.stop(str(home))


def home_args(home: Path) -> tuple[str, str]:
    return ("--home", str(home))


def test_init_starts_the_node_and_leaves_it_running(tmp_path: Path, vitte: Any) -> None:
    home = tmp_path / "n"
    words = "mesh init atelier --name paris --bind 127.0.0.1:0 --slots 3 --discovery none"
    done = vitte(*words.split(), *home_args(home))
    assert done.code == 0
    assert "mesh atelier created; this is paris" in done.out
    pid = daemon.owner_pid(str(home))
    assert pid is not None
    assert os.getsid(pid) == pid, "a session of its own"
    argv = (home / "argv").read_text().split("\n")
    assert argv == [
        *("--home", str(home), "--name", "paris", "--bind", "127.0.0.1:0"),
        *("--slots", "3", "--discovery", "none"),
    ]
    assert (home / "node.log").stat().st_mode & 0o777 == 0o600
    again = vitte("mesh", "init", *home_args(home))
    assert again.code == 2
    assert "error[VM103]" in again.err
    assert daemon.owner_pid(str(home)) == pid, "a node that ran before stays"
    assert vitte("dist", "stop", *home_args(home)).out == "1 node stopped\n"
    assert daemon.owner_pid(str(home)) is None


def test_join_with_a_token_that_never_shows_in_ps(tmp_path: Path, vitte: Any) -> None:
    home = tmp_path / "n"
    (tmp_path / "token").write_text("vm1-secret\n")
    done = vitte("mesh", "join", "--token-file", str(tmp_path / "token"), *home_args(home))
    assert (done.code, done.out.splitlines()[0]) == (0, "joined atelier as host")
    assert "secret" not in (home / "argv").read_text()
    pid = daemon.owner_pid(str(home))
    assert b"secret" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_where_an_invitation_comes_from(tmp_path: Path, monkeypatch: Any) -> None:
    from cli.commands.mesh_enter import _invitation

    (tmp_path / "token").write_text("from-file\n")
    monkeypatch.setattr(sys, "stdin", StringIO("from-stdin\n"))
    assert _invitation(None, None) is None
    monkeypatch.setenv("VITTE_TOKEN", "from-environment")
    assert _invitation(None, None) == "from-environment"
    assert _invitation(None, str(tmp_path / "token")) == "from-file"
    assert _invitation(None, "-") == "from-stdin"
    assert _invitation("from-argument", str(tmp_path / "token")) == "from-argument"


def test_join_by_approval_shows_the_check_words(tmp_path: Path, vitte: Any) -> None:
    done = vitte("mesh", "join", "--host", "10.0.0.1", *home_args(tmp_path / "n"))
    assert done.code == 0
    assert "found mesh atelier (node-1 at 127.0.0.1:1)" in done.err
    assert "check words, which must be the same on both screens: orbit tulip fennel" in done.err
    assert "waiting 600 s for a member" in done.err


def test_a_node_started_for_a_join_that_failed_is_stopped(tmp_path: Path, vitte: Any) -> None:
    home = tmp_path / "n"
    done = vitte("mesh", "join", "vm1-forged", *home_args(home))
    assert done.code == 11
    assert "error[VM204]" in done.err
    assert daemon.owner_pid(str(home)) is None


def test_a_token_file_that_is_not_there(tmp_path: Path, vitte: Any) -> None:
    done = vitte("mesh", "join", "--token-file", str(tmp_path / "none"))
    assert done.code == 11
    assert "error[VM201]" in done.err


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("7-castor-nuage", "code"),
        ("12-Orbit-tulip", "code"),
        ("vm1-ab-cd", "token"),
        ("7-x", "token"),
        ("", "approval"),
    ],
)
def test_what_is_a_code_and_what_a_token(text: str, how: str) -> None:
    from cli.commands.mesh_enter import _how_to_join

    assert _how_to_join(text or None)["how"] == how


def test_a_node_that_dies_at_once_shows_its_log(tmp_path: Path, vitte: Any) -> None:
    home = tmp_path / "n"
    home.mkdir()
    (home / "broken").touch()
    done = vitte("dist", "start", *home_args(home))
    assert done.code == 10
    assert "error[VM104]" in done.err
    assert "it ended with status 3" in done.err
    assert "cannot open the store: it is broken" in done.err
    assert f"hint: its log is `{home}/node.log`" in done.err


def test_start_is_idempotent(tmp_path: Path, vitte: Any) -> None:
    home = tmp_path / "n"
    first, second = (vitte("dist", "start", *home_args(home)) for _ in range(2))
    assert "started (process" in first.out
    assert "was running already" in second.out
    assert "vitte mesh init" in second.err


def test_a_node_that_does_not_listen_is_stopped_by_force(
    tmp_path: Path, vitte: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(daemon, "STOP_TIMEOUT_S", 0.3)
    monkeypatch.setattr(daemon, "KILL_TIMEOUT_S", 0.3)
    home = tmp_path / "n"
    home.mkdir()
    (home / "deaf").touch()
    vitte("dist", "start", *home_args(home))
    pid = daemon.owner_pid(str(home))
    assert pid is not None
    assert vitte("dist", "stop", *home_args(home)).out == "1 node stopped\n"
    assert not homes.answers(str(home))
    assert daemon.owner_pid(str(home)) is None


def test_a_process_id_left_behind_is_nobody(tmp_path: Path, vitte: Any) -> None:
    """After a crash the number may belong to a process of somebody else."""
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (tmp_path / "node.pid").write_text(f"{bystander.pid}\n")
        assert daemon.owner_pid(str(tmp_path)) is None
        assert vitte("dist", "stop", *home_args(tmp_path)).out == "no node was running\n"
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_local_cluster_from_start_to_stop(tmp_path: Path, vitte: Any, monkeypatch: Any) -> None:
    directory = tmp_path / "c"
    started = vitte("dist", "start", "--nodes", "3", "--dir", str(directory), "--slots", "2")
    assert started.code == 0, started.err
    assert started.out.startswith("node-1..3 alive on 127.0.0.1 (")
    argv = (directory / "node-2" / "argv").read_text().split("\n")
    assert argv[2:] == [
        *("--name", "node-2", "--bind", "127.0.0.1", "--discovery", "mdns", "--slots", "2"),
    ]
    status = vitte("dist", "status")
    assert "3 nodes" in status.out
    assert status.err == f"using node-1 of the local cluster in {directory}\n"
    again = vitte("dist", "start", "--nodes", "3", "--dir", str(directory))
    assert (again.code, "error[VM110]" in again.err) == (2, True)
    assert vitte("dist", "stop").out == "3 nodes stopped\n"
    assert vitte("dist", "status").code == 10
    assert vitte("dist", "stop").out == "no node was running\n"


def test_a_cluster_starts_again_with_the_same_members(tmp_path: Path) -> None:
    first = cluster.Cluster(str(tmp_path / "c"), 2)
    first.start()
    first.stop()
    second = cluster.existing(str(tmp_path / "c"))
    assert second is not None
    second.start()
    with pytest.raises(ClusterRunning):
        second.start()
    assert second.stop() == 2
    connected = (tmp_path / "c" / "node-2" / "connected").read_text()
    assert connected == "127.0.0.1:4242\n", "told where node-1 is now"


def test_a_cluster_that_cannot_start_leaves_nothing_running(tmp_path: Path) -> None:
    bad = tmp_path / "c" / "node-2"
    bad.mkdir(parents=True)
    (bad / "broken").touch()
    group = cluster.Cluster(str(tmp_path / "c"), 3)
    with pytest.raises(NodeDidNotStart):
        group.start()
    assert not group.running()


def test_json_of_start_and_stop(tmp_path: Path, vitte: Any) -> None:
    directory = str(tmp_path / "c")
    started = json.loads(vitte("dist", "start", "--nodes", "1", "--dir", directory, "--json").out)
    assert started == {
        "schema": "vitte.start/1",
        "homes": [f"{directory}/node-1"],
        "started": True,
    }
    stopped = json.loads(vitte("dist", "stop", "--dir", directory, "--json").out)
    assert stopped == {"schema": "vitte.stopped/1", "stopped": 1}


def test_options_of_one_node_are_refused_for_a_cluster(vitte: Any) -> None:
    done = vitte("dist", "start", "--nodes", "2", "--bind", "0.0.0.0")
    assert done.code == 2
    assert "not for a local cluster" in done.err


@pytest.mark.parametrize(
    ("command", "number", "says"),
    [
        ("mesh init", signal.SIGINT, "created"),
        ("mesh init", signal.SIGTERM, "created"),
        ("dist start", signal.SIGTERM, "started"),
    ],
)
def test_the_foreground_ends_with_the_node(
    tmp_path: Path, command: str, number: int, says: str
) -> None:
    code = (
        "import sys; from cli import daemon; daemon.NODE_COMMAND = tuple(sys.argv[1:4]);"
        "from cli.main import main; sys.exit(main(sys.argv[4:]))"
    )
    words = [*command.split(), "--foreground", *home_args(tmp_path / "n")]
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, *NODE, *words], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert says in process.stdout.readline()
        assert daemon.owner_pid(str(tmp_path / "n")) is not None
        begin_s = time.monotonic()
        process.send_signal(number)
        process.communicate(timeout=30)
    assert time.monotonic() - begin_s < 10
    assert process.returncode in (0, 130), "130 when it had not finished saying so"
    assert daemon.owner_pid(str(tmp_path / "n")) is None
