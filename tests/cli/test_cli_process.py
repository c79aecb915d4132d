"""The command line as a process: what it loads, Ctrl-C, a terminal, a closed pipe."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trio
from fake_node import FakeNode, run_view, status_view

FORBIDDEN = {"trio", "zeroconf", "rich", "attrs", "attr", "cbor2", "nacl", "cryptography", "spake2"}
CLI = [sys.executable, "-P", "-m", "cli.main"]

LIST_MODULES = """
import sys
from cli.main import main
code = main(sys.argv[1:])
print("\\n".join(sorted(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def loaded_by(*args: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", LIST_MODULES, *args],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_status_loads_next_to_nothing(tmp_path: Path) -> None:
    with FakeNode(tmp_path / "n", status=status_view()):
        loaded = loaded_by("dist", "status", "--home", str(tmp_path / "n"))
    assert not FORBIDDEN & loaded
    assert not {"click", "pathlib", "typing", "inspect", "gettext", "mesh.errors"} & loaded
    assert "cli.status" in loaded


def test_a_plain_run_does_not_load_click(tmp_path: Path) -> None:
    with FakeNode(tmp_path / "n", run=run_view()):
        loaded = loaded_by("dist", "run", "build", "--json", "--home", str(tmp_path / "n"))
    assert not (FORBIDDEN | {"click", "pathlib", "inspect", "gettext"}) & loaded


@pytest.mark.parametrize(
    "words",
    [
        ("mesh", "members"),
        ("dist", "explain"),
        ("dist", "run", "build", "--progress=plain"),
        ("dist", "run", "build", "--jobs", "2", "--json"),
        ("--color=never", "dist", "status"),
    ],
)
def test_no_command_loads_what_the_node_is_made_of(tmp_path: Path, words: tuple[str, ...]) -> None:
    members = {"schema": "vitte.members/1", "members": []}
    explain = {"schema": "vitte.explain/1", "run": "r", "state": "ok", "shards": []}
    handlers = {"members": members, "explain": explain, "run": run_view(), "status": status_view()}
    with FakeNode(tmp_path / "n", **handlers):
        loaded = loaded_by(*words, "--home", str(tmp_path / "n"))
    assert not FORBIDDEN & loaded


async def runs_until_cancelled(_params: dict[str, Any], emit: Any) -> dict[str, Any]:
    item = [0, "running", "lyon-2", "", "compile a.c", 0.0]
    emit({"event": "shards", "items": [item]})
    emit(
        {
            "event": "output",
            "shard": 0,
            "name": "x",
            "node": "n",
            "stream": 1,
            "text": "started\n",
        }
    )
    try:
        await trio.sleep_forever()
    finally:
        view = run_view(ok=False, exit_code=130, cancelled=True, seconds=1.0)
        emit({"event": "finish", "view": view})
    raise AssertionError("not reached")


def read_until(stream: Any, text: str) -> str:
    seen = ""
    while text not in seen:
        line = stream.readline()
        assert line, f"ended without {text!r}: {seen}"
        seen += line
    return seen


def spawn_run(home: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*CLI, "dist", "run", "build", "--home", str(home), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_cancels_the_run_and_shows_what_was_done(tmp_path: Path) -> None:
    with FakeNode(tmp_path / "n", run=runs_until_cancelled), spawn_run(tmp_path / "n") as process:
        read_until(process.stderr, "started")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out.startswith("build cancelled after 1.0 s")
    assert "error[VM407]: The run was cancelled" in err
    assert "Traceback" not in err


def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    cancelled, released = threading.Event(), trio.Event()

    async def stubborn(params: dict[str, Any], emit: Any) -> dict[str, Any]:
        try:
            return await runs_until_cancelled(params, emit)
        finally:
            cancelled.set()
            with trio.CancelScope(shield=True), trio.move_on_after(20):
                await released.wait()

    with FakeNode(tmp_path / "n", run=stubborn) as node:
        with spawn_run(tmp_path / "n") as process:
            read_until(process.stderr, "started")
            process.send_signal(signal.SIGINT)
            assert cancelled.wait(10)
            begin_s = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        assert time.monotonic() - begin_s < 5
        assert process.returncode == 130
        assert "Traceback" not in err
        node._token.run_sync_soon(released.set)


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    with FakeNode(tmp_path / "n", status=status_view()):
        read, write = os.pipe()
        os.close(read)
        words = [*CLI, "--color=never", "dist", "status", "--home", str(tmp_path / "n")]
        done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, timeout=30)
        os.close(write)
    assert done.stderr == ""
    assert done.returncode == 141


def on_terminal(words: list[str], until: str, answer: Any) -> str:
    """Run under a pseudo-terminal; when `until` is shown, call `answer`; return all it showed."""
    pid, master = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.environ["COLUMNS"], os.environ["LINES"] = "100", "30"
        os.execv(CLI[0], [*CLI, *words])
    shown, asked = b"", False
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        ready, _, _ = select.select([master], [], [], 0.2)
        try:
            data = os.read(master, 65536) if ready else None
        except OSError:
            break  # Linux: the other side has closed
        if data == b"":
            break
        shown += data or b""
        if not asked and until.encode() in shown:
            asked = True
            answer(master)
    _, status = os.waitpid(pid, 0)
    os.close(master)
    assert asked, shown
    return f"{os.waitstatus_to_exitcode(status)}\n" + shown.decode()


def test_a_terminal_gets_a_live_block_that_leaves_no_trace(tmp_path: Path) -> None:
    seen = threading.Event()

    async def run(_params: dict[str, Any], emit: Any) -> dict[str, Any]:
        emit({"event": "plan", "kind": "build", "shards": 3, "explanation": "x", "run": "r"})
        running = [[n, "running", "lyon-2", "", f"compile {n}.c", 0.0] for n in (0, 1)]
        emit({"event": "shards", "items": running})
        text = {"shard": 0, "name": "gen", "node": "pi", "stream": 2, "text": "a warning\n"}
        emit({"event": "output", **text})
        await trio.to_thread.run_sync(seen.wait, 20)
        return run_view()

    words = ["dist", "run", "build", "--home", str(tmp_path / "n")]
    with FakeNode(tmp_path / "n", run=run):
        shown = on_terminal(words, "compile 1.c", lambda _: seen.set())
    assert shown.startswith("0\n")
    assert "\x1b[?1049h" not in shown, "never the alternate screen"
    assert "build: 0/3 done, 1 queued" in shown
    assert "a warning" in shown
    assert shown.index("compile 1.c") < shown.index("build done: 3 shards")
    after_block = shown[shown.rindex("compile 1.c") :]
    assert "\x1b[2K" in after_block, "the block is erased before the summary"
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h"), "the cursor is back"


def test_ctrl_c_on_a_terminal_restores_it(tmp_path: Path) -> None:
    words = ["dist", "run", "build", "--home", str(tmp_path / "n")]
    with FakeNode(tmp_path / "n", run=runs_until_cancelled):
        shown = on_terminal(words, "started", lambda master: os.write(master, b"\x03"))
    assert shown.startswith("130\n")
    assert "build cancelled after 1.0 s" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")
    assert "Traceback" not in shown


def test_the_terminal_of_ci_gets_plain_lines(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("CI", "true")

    async def run(_params: dict[str, Any], emit: Any) -> dict[str, Any]:
        emit({"event": "shards", "items": [[0, "done", "", "cached", "compile a.c", 0.0]]})
        return run_view()

    words = ["dist", "run", "build", "--home", str(tmp_path / "n")]
    with FakeNode(tmp_path / "n", run=run):
        shown = on_terminal(words, "[1/1] compile a.c  cached", lambda _: None)
    assert "\x1b[?25l" not in shown
