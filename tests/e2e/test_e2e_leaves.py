"""The guide's leaf section as a new user goes through it: processes, sockets, the command line.

The board is the firmware's core on a board made of memory, in a process of its own; a pseudo
terminal stands for the device.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cluster import VITTE, Cluster, eventually, started

THERMOSTAT = """
@every("50ms")
def thermostat(n: int = 0):
    temp = adc(0) * 0.1
    gpio(5).set(temp > 80.0)
    n += 1
    emit(1, n)
"""


MOUTHFUL = 64
"""Events that a gateway may have let the leaf forget and not told yet: two batches."""


class Board:
    """`python -m sim.leaves.serve`."""

    def __init__(self, path: Path) -> None:
        self.port = f"unix:{path}"
        self.said: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sim.leaves.serve", "--serial", self.port],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.said += (line.strip() for line in self._process.stdout)

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def has_said(self, line: str) -> None:
        eventually(lambda: line in self.said, f"`{line}` of the board", 90)

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self.tell("quit")
        self._process.wait(20)
        self._reader.join(20)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path / "leaf.sock")
    try:
        made.has_said("ready")
        yield made
    finally:
        made.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Cluster]:
    with started(tmp_path / "nodes", 2, "--slots", "1") as cluster:
        yield cluster


@pytest.fixture
def trio_of_nodes(tmp_path: Path) -> Iterator[Cluster]:
    with started(tmp_path / "nodes", 3, "--slots", "1") as cluster:
        yield cluster


def events(cluster: Cluster, number: int = 1) -> list[tuple[str, int]]:
    done = cluster.vitte("--json", "leaf", "logs", "greenhouse", number=number)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [(each["start"], each["number"]) for each in lines if each.get("event") == "leaf_event"]


def test_a_thermostat_from_provisioning_to_a_pulled_cable(
    board: Board, pair: Cluster, tmp_path: Path
) -> None:
    rules = tmp_path / "thermostat.py"
    rules.write_text(THERMOSTAT)
    made = pair.vitte("leaf", "provision", board.port, "--name", "greenhouse")
    assert "greenhouse (stm32f405," in made.stdout, made.stderr
    assert pair.vitte("leaf", "attach", board.port).returncode == 0
    deployed = pair.vitte("leaf", "deploy", "greenhouse", str(rules))
    assert "greenhouse runs 1 rule" in deployed.stdout, deployed.stderr
    board.tell("adc 0 900")
    board.has_said("pin 5 1")
    board.tell("adc 0 100")
    board.has_said("pin 5 0")
    board.tell("unplug")
    eventually(lambda: "offline" in pair.vitte("leaf", "list").stdout, "the pulled cable")
    before = len(events(pair))
    board.tell("plug")
    eventually(lambda: len(events(pair)) > before + 10, "events after the cable is back")
    names = events(pair)
    assert len(names) == len(set(names)), "an event came twice"
    missing = pair.json("leaf", "show", "greenhouse")["missing_events"]
    assert len(names) + missing == names[-1][1] + 1, "an event is neither here nor counted"
    status = pair.vitte("dist", "status", number=2).stdout
    assert "leaf via node-1" in status
    assert "1 rule" in status


def gaps(cluster: Cluster, number: int) -> list[dict[str, object]]:
    done = cluster.vitte("--json", "leaf", "logs", "greenhouse", number=number)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [each for each in lines if each.get("event") == "leaf_gap"]


@contextmanager
def followed(cluster: Cluster, number: int) -> Iterator[list[tuple[str, int]]]:
    """`vitte leaf logs --follow` at a node, and the events that it has printed so far."""
    seen: list[tuple[str, int]] = []
    process = subprocess.Popen(
        [
            *(*VITTE, "--home", str(cluster.home(number)), "--json"),
            *("leaf", "logs", "greenhouse", "--follow", "--last", "100000"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event.get("event") == "leaf_event":
                seen.append((event["start"], event["number"]))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield seen
    finally:
        process.kill()
        process.wait(20)
        reader.join(20)
        assert process.stdout is not None
        process.stdout.close()


def test_a_gateway_dies_for_good_and_nothing_it_told_is_lost(
    board: Board, trio_of_nodes: Cluster, tmp_path: Path
) -> None:
    cluster, rules = trio_of_nodes, tmp_path / "thermostat.py"
    rules.write_text(THERMOSTAT)
    assert cluster.vitte("leaf", "provision", board.port, "--name", "greenhouse").returncode == 0
    eventually(lambda: "greenhouse" in cluster.vitte("leaf", "list", number=2).stdout, "the leaf")
    assert cluster.vitte("leaf", "attach", board.port, number=2).returncode == 0
    deployed = cluster.vitte("leaf", "deploy", "greenhouse", str(rules))
    assert deployed.returncode == 0, deployed.stderr
    with followed(cluster, number=3) as seen:
        eventually(lambda: len(seen) > 30, "events at a node that never was the gateway")
        cluster.signal(2, signal.SIGKILL)
        told = len(seen)
        assert cluster.vitte("leaf", "attach", board.port, number=1).returncode == 0
        eventually(lambda: len(seen) > told + 30, "events by the next gateway")
        names = list(seen)
    assert len(names) == len(set(names)), "an event came twice"
    lost = sum(int(str(gap["missing"])) for gap in gaps(cluster, number=3))
    newest = max(number for _, number in names)
    assert len(names) + lost >= newest + 1, "an event is neither here nor counted"
    assert lost <= MOUTHFUL, "more is missing than can have been on its way"
    eventually(
        lambda: set(names) <= set(events(cluster, 1)) and set(names) <= set(events(cluster, 3)),
        "the same at both that are left",
    )


@contextmanager
def device(board: Board) -> Iterator[str]:
    """A pseudo terminal whose other end is the board's socket."""
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    line = socket.socket(socket.AF_UNIX)
    line.connect(board.port.removeprefix("unix:"))
    ended = threading.Event()

    def pump() -> None:
        while not ended.is_set():
            ready, _, _ = select.select([ours, line], [], [], 0.1)
            if ours in ready:
                line.sendall(os.read(ours, 256))
            if line in ready:
                os.write(ours, line.recv(256))

    thread = threading.Thread(target=pump)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        ended.set()
        thread.join(10)
        line.close()
        os.close(ours)
        os.close(theirs)


def test_a_leaf_at_a_serial_device(board: Board, pair: Cluster) -> None:
    with device(board) as port:
        made = pair.vitte("leaf", "provision", port, "--name", "greenhouse")
        assert made.returncode == 0, made.stderr
        attached = pair.vitte("leaf", "attach", port)
        assert attached.stdout == f"greenhouse is attached at {port}\n", attached.stderr
        eventually(lambda: len(events(pair)) > 0, "the first event")
        busy = pair.vitte("leaf", "attach", port, number=2)
        assert "error[VM601]" in busy.stderr
        assert pair.vitte("leaf", "detach", port).returncode == 0


@contextmanager
def emulated(path: Path) -> Iterator[subprocess.Popen[str]]:
    """`vitte leaf emulate`; skips where boards cannot be emulated."""
    for package in ("unicorn", "elftools", "ziglang"):
        pytest.importorskip(package)
    process = subprocess.Popen(
        [*VITTE, "leaf", "emulate", "--board", "stm32f405", "--serial", f"unix:{path}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) in (0, 130)
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


def test_the_real_firmware_in_an_emulated_part(pair: Cluster, tmp_path: Path) -> None:
    rules = tmp_path / "thermostat.py"
    rules.write_text(THERMOSTAT.replace("50ms", "200ms"))
    path = tmp_path / "leaf.sock"
    with emulated(path) as part:
        assert part.stdin is not None
        assert part.stdout is not None
        eventually(path.exists, "the emulated line", 120)
        made = pair.vitte("leaf", "provision", f"unix:{path}", "--name", "greenhouse")
        assert "(stm32f405," in made.stdout, made.stderr
        assert pair.vitte("leaf", "attach", f"unix:{path}").returncode == 0
        deployed = pair.vitte("leaf", "deploy", "greenhouse", str(rules))
        assert "greenhouse runs 1 rule" in deployed.stdout, deployed.stderr
        part.stdin.write("adc 0 900\n")
        part.stdin.flush()
        while "gpio 5 = 1" not in (line := part.stdout.readline()):
            assert line, "the board ended"
        shown = pair.json("leaf", "show", "greenhouse")
        assert shown["flash_bytes"] > 0
        assert shown["ram_bytes"] > shown["stack_bytes"] > 0
