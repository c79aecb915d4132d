"""The control socket as a client meets it: answers, events, cancellation, and bad manners."""

from __future__ import annotations

import json
import os
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from mesh.control import server as server_module
from mesh.control.server import ControlServer
from mesh.errors import NoSuchRun, TokenExpired
from mesh.ports.real.control import RealControl


async def ping(_params: dict[str, Any], _emit: Any) -> dict[str, Any]:
    return {"schema": "vitte.ping/1", "name": "n1"}


@asynccontextmanager
async def serving(path: Path, **handlers: Any):
    path.parent.mkdir(parents=True, exist_ok=True)
    control = ControlServer(RealControl(path), {"ping": ping, **handlers})
    async with trio.open_nursery() as nursery:
        await nursery.start(control.serve)
        yield control
        nursery.cancel_scope.cancel()


async def dial(path: Path) -> trio.SocketStream:
    return await trio.open_unix_socket(str(path))


async def lines_of(stream: trio.SocketStream) -> list[dict[str, Any]]:
    data = b""
    with trio.fail_after(10):
        while chunk := await stream.receive_some(65536):
            data += chunk
    return [json.loads(line) for line in data.splitlines()]


async def talk(path: Path, request: bytes | dict[str, Any]) -> list[dict[str, Any]]:
    data = request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n"
    async with await dial(path) as stream:
        await stream.send_all(data)
        return await lines_of(stream)


async def assert_alive(path: Path) -> None:
    assert (await talk(path, {"op": "ping"}))[-1]["ok"]["name"] == "n1"


async def test_answers_and_lets_only_its_user_in(tmp_path: Path) -> None:
    path = tmp_path / "home" / "control.sock"
    async with serving(path) as control:
        assert await talk(path, {"op": "ping"}) == [
            {"ok": {"schema": "vitte.ping/1", "name": "n1"}}
        ]
        assert path.stat().st_mode & 0o777 == 0o600
        assert control.counters["connections"] == 1
    assert not path.exists()


async def test_a_home_whose_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    home = tmp_path / ("d" * 100) / ("e" * 100)
    async with serving(home / "control.sock"):
        directory = os.open(home, os.O_PATH)
        try:
            await assert_alive(Path(f"/proc/self/fd/{directory}/control.sock"))
        finally:
            os.close(directory)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"not json\n",
        b"[1,2]\n",
        b'{"op": 7}\n',
        b'{"op": "no-such"}\n',
        b'{"op": "ping", "extra": 1}\n',
        b'{"op": "cancel"}\n',
        b'{"op": "cancel", "run": 5}\n',
        b'{"op": "members"}\n',  # known, but this node has no handler for it
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
    ],
)
async def test_bad_requests_are_answered_as_such(tmp_path: Path, request_bytes: bytes) -> None:
    path = tmp_path / "control.sock"

    async def cancel(_params: dict[str, Any], _emit: Any) -> dict[str, Any]:
        raise AssertionError("must not be called")

    async with serving(path, cancel=cancel) as control:
        [answer] = await talk(path, request_bytes)
        assert answer["error"]["code"] == "VM105"
        assert answer["error"]["exit_code"] == 2
        assert control.counters["bad_requests"] == 1
        await assert_alive(path)


async def test_a_request_that_never_ends_is_bounded(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(server_module, "CONTROL_REQUEST_BYTES_MAX", 1000)
    monkeypatch.setattr(server_module, "CONTROL_REQUEST_TIMEOUT_S", 0.05)
    path = tmp_path / "control.sock"
    async with serving(path):
        [answer] = await talk(path, b"x" * 2000)
        assert "longer than 1000 bytes" in answer["error"]["message"]
        [answer] = await talk(path, b'{"op":')
        assert "did not arrive" in answer["error"]["message"]
        async with await dial(path) as stream:
            await stream.send_all(b'{"op":')
            await stream.send_eof()
            [answer] = await lines_of(stream)
        assert "middle of a line" in answer["error"]["message"]


async def test_errors_travel_with_their_parameters(tmp_path: Path) -> None:
    async def leave(_params: dict[str, Any], _emit: Any) -> dict[str, Any]:
        raise TokenExpired(ago="3 min")

    async def runs(_params: dict[str, Any], _emit: Any) -> dict[str, Any]:
        async with trio.open_nursery():
            raise NoSuchRun(run="abcd")  # arrives inside an ExceptionGroup

    path = tmp_path / "control.sock"
    async with serving(path, leave=leave, runs=runs):
        [answer] = await talk(path, {"op": "leave"})
        assert answer["error"] == {
            "code": "VM202",
            "params": {"ago": "3 min"},
            "message": "The invitation expired 3 min ago",
            "hint": "ask for a new one: `vitte mesh invite` on a member",
            "exit_code": 11,
            "blame": "peer",
        }
        [answer] = await talk(path, {"op": "runs"})
        assert answer["error"]["code"] == "VM408"


async def test_a_bug_in_a_handler_is_logged_and_nothing_stops(tmp_path: Path, caplog: Any) -> None:
    async def leave(_params: dict[str, Any], _emit: Any) -> dict[str, Any]:
        raise ZeroDivisionError("oops")

    async def runs(_params: dict[str, Any], _emit: Any) -> dict[str, Any]:
        return {"not json": object()}

    path = tmp_path / "control.sock"
    async with serving(path, leave=leave, runs=runs) as control:
        [answer] = await talk(path, {"op": "leave"})
        assert answer["error"]["code"] == "VM999"
        assert answer["error"]["exit_code"] == 70
        [answer] = await talk(path, {"op": "runs"})
        assert answer["error"]["code"] == "VM999"
        assert control.counters["bugs"] == 2
        assert "ZeroDivisionError" in caplog.text
        await assert_alive(path)


async def test_handlers_get_complete_parameters(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    async def invite(params: dict[str, Any], _emit: Any) -> dict[str, Any]:
        seen.append(params)
        return {}

    path = tmp_path / "control.sock"
    async with serving(path, invite=invite):
        await talk(path, {"op": "invite", "uses": 3})
    assert seen == [{"uses": 3, "for_s": 600.0, "role": "builder"}]


async def test_events_come_in_order_before_the_answer(tmp_path: Path) -> None:
    async def logs(_params: dict[str, Any], emit: Any) -> dict[str, Any]:
        for number in range(500):
            emit({"event": "output", "text": str(number)})
        return {"run": "r"}

    path = tmp_path / "control.sock"
    async with serving(path, logs=logs):
        lines = await talk(path, {"op": "logs"})
    assert [line["event"]["text"] for line in lines[:-1]] == [str(n) for n in range(500)]
    assert lines[-1] == {"ok": {"run": "r"}}


async def test_hanging_up_cancels_and_the_last_words_arrive(tmp_path: Path) -> None:
    async def run(_params: dict[str, Any], emit: Any) -> dict[str, Any]:
        emit({"event": "plan"})
        try:
            await trio.sleep_forever()
        finally:
            emit({"event": "finish", "view": {"cancelled": True}})
        raise AssertionError("not reached")

    path = tmp_path / "control.sock"
    async with serving(path, run=run) as control, await dial(path) as stream:
        await stream.send_all(b'{"op":"run","cwd":"/","kind":"build"}\n')
        first = await stream.receive_some(1000)
        assert json.loads(first) == {"event": {"event": "plan"}}
        await stream.send_eof()
        finish, final = await lines_of(stream)
        assert finish["event"]["view"] == {"cancelled": True}
        assert final["error"]["code"] == "VM407"
        assert final["error"]["exit_code"] == 130
        assert control.counters["cancelled"] == 1


async def test_a_closed_connection_cancels_a_stream_but_not_a_plain_operation(
    tmp_path: Path,
) -> None:
    cancelled, left = trio.Event(), trio.Event()

    async def run(_params: dict[str, Any], emit: Any) -> dict[str, Any]:
        emit({"event": "plan"})
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()
        raise AssertionError("not reached")

    started, proceed = trio.Event(), trio.Event()

    async def leave(_params: dict[str, Any], _emit: Any) -> dict[str, Any]:
        started.set()
        await proceed.wait()
        left.set()
        return {}

    path = tmp_path / "control.sock"
    async with serving(path, run=run, leave=leave):
        async with await dial(path) as stream:
            await stream.send_all(b'{"op":"run","cwd":"/","kind":"build"}\n')
            await stream.receive_some(1000)
        with trio.fail_after(5):
            await cancelled.wait()
        async with await dial(path) as stream:
            await stream.send_all(b'{"op":"leave"}\n')
            await started.wait()
        proceed.set()
        with trio.fail_after(5):
            await left.wait()
        await assert_alive(path)


async def test_a_slow_client_is_told_to_resynchronise(tmp_path: Path) -> None:
    total = 40_000
    filled = trio.Event()

    async def run(_params: dict[str, Any], emit: Any) -> dict[str, Any]:
        emit.snapshot = lambda: [{"event": "shards", "items": [["all"]]}]
        for number in range(total):
            emit({"event": "output", "text": str(number)})
            if number % 1000 == 0:
                await trio.lowlevel.checkpoint()
        filled.set()
        return {"ok": True}

    path = tmp_path / "control.sock"
    async with serving(path, run=run), await dial(path) as stream:
        await stream.send_all(b'{"op":"run","cwd":"/","kind":"build"}\n')
        with trio.fail_after(20):
            await filled.wait()
        lines = await lines_of(stream)
    assert lines[-1] == {"ok": {"ok": True}}
    events = [line["event"] for line in lines[:-1]]
    marks = [at for at, event in enumerate(events) if event["event"] == "resync"]
    assert marks
    assert all(events[at + 1] == {"event": "shards", "items": [["all"]]} for at in marks)
    lost = sum(events[at]["lost"] for at in marks)
    shown = sum(event["event"] == "output" for event in events)
    assert lost + shown == total
    assert shown < total


async def test_live_output_waits_for_the_client_instead(tmp_path: Path) -> None:
    total = 10_000

    async def run(_params: dict[str, Any], emit: Any) -> dict[str, Any]:
        for number in range(total):
            await emit.room()
            emit({"event": "output", "text": str(number)})
        return {}

    path = tmp_path / "control.sock"
    async with serving(path, run=run):
        lines = await talk(path, {"op": "run", "cwd": "/", "kind": "command"})
    assert [int(line["event"]["text"]) for line in lines[:-1]] == list(range(total))


async def test_the_socket_of_a_killed_node_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    async with serving(path):
        await assert_alive(path)


async def test_many_clients_at_once(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path) as control:
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(assert_alive, path)
        assert control.counters["connections"] == 100
