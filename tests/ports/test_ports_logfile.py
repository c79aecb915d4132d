"""The node's log stays within its bound, and nobody else's file is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mesh.limits import NODE_LOG_BYTES_MAX
from mesh.ports.real.logfile import LOG_FILE

BYTES_MAX = 1000
RECORDS = 1000
LINE_BYTES = len("000\n")
CHATTER = f"""
import logging, os, sys
from pathlib import Path
from mesh.ports.real.logfile import BoundedLog
handler = BoundedLog(Path(sys.argv[1]), {BYTES_MAX})
logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
for number in range({RECORDS}):
    logging.info("%03d", number)
os.write(1, b"out\\n")
os.write(2, b"err\\n")
"""
START_TIMEOUT_S = 30.0


def chatter(path: Path, written: Path, *, stdout: bool = True) -> None:
    with written.open("ab") as file:
        subprocess.run(
            [sys.executable, "-c", CHATTER, str(path)],
            check=True,
            stdout=file if stdout else subprocess.DEVNULL,
            stderr=file,
            timeout=START_TIMEOUT_S,
        )


def test_the_newest_records_are_kept_in_two_files_of_bounded_size(tmp_path: Path) -> None:
    log = tmp_path / LOG_FILE
    chatter(log, log)
    old = tmp_path / "node.log.1"
    assert sorted(tmp_path.iterdir()) == [log, old]
    assert old.stat().st_size == BYTES_MAX + LINE_BYTES
    lines = (old.read_text() + log.read_text()).splitlines()
    assert lines[-2:] == ["out", "err"], "both streams follow into the new file"
    first = RECORDS - len(lines) + 2
    assert first > 0, "the oldest are gone"
    assert lines[:-2] == [f"{number:03}" for number in range(first, RECORDS)], "none lost between"
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_not_the_nodes_log_only_grows(tmp_path: Path) -> None:
    journal, other = tmp_path / "journal", tmp_path / LOG_FILE
    other.write_text("another's\n")
    chatter(other, journal)
    assert len(journal.read_text().splitlines()) == RECORDS + 2
    assert other.read_text() == "another's\n"
    assert sorted(tmp_path.iterdir()) == [journal, other]


def test_a_log_that_cannot_be_moved_is_written_on(tmp_path: Path) -> None:
    log = tmp_path / LOG_FILE
    (tmp_path / "node.log.1").mkdir()
    (tmp_path / "node.log.1" / "in the way").touch()
    chatter(log, log, stdout=False)
    assert len(log.read_text().splitlines()) == RECORDS + 1


def test_a_node_turns_over_what_an_earlier_one_left(tmp_path: Path) -> None:
    log = tmp_path / LOG_FILE
    log.write_bytes(b"old\n" * (NODE_LOG_BYTES_MAX // 4 + 1))
    argv = [sys.executable, "-P", "-m", "mesh.node", "--home", str(tmp_path)]
    with log.open("ab") as file:
        node = subprocess.Popen(
            [*argv, "--discovery", "none"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, "VITTE_HOME": str(tmp_path)},
        )
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not (tmp_path / "node.log.1").exists():
            assert node.poll() is None
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
    finally:
        node.send_signal(signal.SIGTERM)
        node.wait(START_TIMEOUT_S)
    assert (tmp_path / "node.log.1").read_bytes().startswith(b"old\n")
    assert b"old\n" not in log.read_bytes()
