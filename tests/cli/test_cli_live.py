"""The live block's lines, and the words for numbers, without a terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli.live import ROWS_MAX, LiveSink
from cli.progress import safe_line
from cli.settings import Settings
from cli.text import cut, human_bytes, human_seconds, printable, table

ROOT = Path(__file__).parent.parent.parent


def item(index: int, phase: str, where: str = "", detail: str = "") -> list[object]:
    return [index, phase, where, detail, f"compile {index}.c", 0.0]


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> LiveSink:
    monkeypatch.setenv("COLUMNS", "100")
    live = LiveSink(Settings())
    live.close()
    return live


def lines(sink: LiveSink) -> list[str]:
    return sink.lines(sink._begin_s + 2.0)


def test_before_the_plan_there_are_no_totals(sink: LiveSink) -> None:
    assert lines(sink) == ["planning...  2.0 s"]


def test_phases_are_shown_as_they_are(sink: LiveSink) -> None:
    sink.event({"event": "plan", "kind": "build", "shards": 8})
    items = [
        item(0, "done", "", "cached"),
        item(1, "failed", "lyon-2"),
        item(2, "queued"),
        item(3, "hashing"),
        item(4, "stolen", "lyon-2"),
        item(5, "sending", "lyon-2", "3.1/8 MB"),
        item(6, "fetching", "lyon-2", "1/2 MB"),
        item(7, "running", "paris-1"),
    ]
    sink.event({"event": "shards", "items": items})
    head, *rows = lines(sink)
    bar = "######------------------"
    assert head == f"build: 2/8 done, 1 cached, 1 failed, 1 queued  [{bar}]  2.0 s"
    words = [row.split("  ")[1].strip() for row in rows]
    assert words == ["running", "fetching 1/2 MB", "sending 3.1/8 MB", "stolen by", "hashing"]
    assert "lyon-2" in rows[3]
    assert "compile 7.c" in rows[0]


def test_a_shard_may_go_back_to_the_queue(sink: LiveSink) -> None:
    sink.event({"event": "plan", "kind": "build", "shards": 1})
    sink.event({"event": "shards", "items": [item(0, "running", "lyon-2")]})
    assert len(lines(sink)) == 2
    sink.event({"event": "shards", "items": [item(0, "queued")]})
    assert len(lines(sink)) == 1
    assert "1 queued" in lines(sink)[0]


def test_the_block_stays_small_and_within_the_terminal(sink: LiveSink) -> None:
    sink.event({"event": "plan", "kind": "build", "shards": 100})
    long = [[n, "running", "lyon-2", "", "x" * 300, 0.0] for n in range(50)]
    sink.event({"event": "shards", "items": long})
    shown = lines(sink)
    assert len(shown) == ROWS_MAX + 2
    assert shown[-1] == "  ...and 42 more"
    assert max(map(len, shown)) <= 99


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (31_000, "31 KB"),
        (999_999, "1.0 MB"),
        (2.1e9, "2.1 GB"),
        (5e15, "5000.0 TB"),
    ],
)
def test_sizes(size: float | None, text: str) -> None:
    assert human_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.041, "0.04 s"),
        (3.14, "3.1 s"),
        (59.96, "1 min"),
        (125, "2 min 05 s"),
        (600, "10 min"),
        (11_520, "3 h 12 min"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text


def test_tables_are_as_wide_as_they_may_be() -> None:
    rows = table(["A", "NOTE"], [["x", "y" * 100], ["long name", "z"]], 30)
    assert rows[0] == "A          NOTE"
    assert rows[1].endswith("...")
    assert len(rows[1]) == 30
    assert rows[2] == "long name  z"
    assert cut("abcdef", 2) == ".."


def test_colours_of_tools_stay_and_nothing_else_steers() -> None:
    assert safe_line("\x1b[31mred\x1b[0m \x1b[2J\x07") == "\x1b[31mred\x1b[0m ?[2J?"
    assert printable("a\tb\r\x9b1m") == "a\tb??1m"


def test_the_reference_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "reference.py", "check"], capture_output=True, text=True
    )
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr
