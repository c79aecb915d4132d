"""`logs`: everything that was kept, in order, at the pace of whoever reads."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from mesh.control.outbox import Outbox
from mesh.node.run_handlers import run_handlers
from mesh.node.runs.record import RunHead, RunRecord

PIECES = 3000


def a_record() -> RunRecord:
    record = RunRecord(RunHead("ab12", "build", "/project", 0.0, 0.0))
    record.planned("steps", "found a file", ["one"])
    for number in range(PIECES):
        record.output(0, "alice", 1, f"line {number}\n".encode())
    return record


def logs_of(record: RunRecord) -> Any:
    node: Any = SimpleNamespace(archive=SimpleNamespace(find=lambda _run: record))
    return run_handlers(node)["logs"]


def test_phases_are_told_to_those_who_want_them() -> None:
    record = RunRecord(RunHead("ab12", "build", "/project", 0.0, 0.0))
    told: dict[bool, list[str]] = {True: [], False: []}
    for phases, events in told.items():
        record.listen(lambda event, to=events: to.append(event["event"]), phases=phases)
    record.planned("steps", "found a file", ["one"])
    record.phase(0, "running", 0.1, "alice")
    record.flush()
    record.done(0, 0.2, "local", "alice", 0.1)
    record.finish(0.3, 0, None, cancelled=False)
    assert told[False] == ["plan", "finish"]
    assert told[True] == ["plan", "shards", "shards", "finish"]


class Reader:
    """A client that takes a moment for every chunk."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    async def read(self, outbox: Outbox) -> None:
        while chunk := await outbox.next_chunk():
            for line in chunk.splitlines():
                answer = json.loads(line)
                if "event" in answer:
                    self.events.append(answer["event"])
            await trio.lowlevel.checkpoint()

    def kinds(self) -> set[str]:
        return {event["event"] for event in self.events}

    def texts(self) -> list[str]:
        return [event["text"] for event in self.events if event["event"] == "output"]


@pytest.mark.parametrize("follow", [False, True])
async def test_a_slow_reader_gets_every_line_of_a_long_log(follow: bool) -> None:
    record, reader, outbox = a_record(), Reader(), Outbox(lines_max=64)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader.read, outbox)
        with trio.fail_after(20):
            async with trio.open_nursery() as asking:
                asking.start_soon(ask, record, outbox, follow)
                if follow:
                    await trio.testing.wait_all_tasks_blocked()
                    record.output(0, "alice", 1, b"the end\n")
                    record.finish(1.0, 0, None, cancelled=False)

    expected = [f"line {number}\n" for number in range(PIECES)]
    assert reader.texts() == expected + (["the end\n"] if follow else [])
    assert "resync" not in reader.kinds()
    assert ("finish" in reader.kinds()) == follow


async def ask(record: RunRecord, outbox: Outbox, follow: bool) -> None:
    answer = await logs_of(record)({"run": "ab12", "follow": follow}, outbox)
    outbox.finish({"ok": answer})


async def test_a_run_that_ends_while_its_start_is_being_sent_is_seen_to_end() -> None:
    record, reader, outbox = a_record(), Reader(), Outbox(lines_max=64)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, record, outbox, True)
            await trio.testing.wait_all_tasks_blocked()  # the reader has not begun
            record.finish(1.0, 0, None, cancelled=False)
            nursery.start_soon(reader.read, outbox)

    assert len(reader.texts()) == PIECES
    assert reader.events[-1]["event"] == "finish"
