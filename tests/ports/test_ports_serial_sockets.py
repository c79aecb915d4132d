"""Lines that are sockets: what the contract cannot show."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trio

from mesh.errors import SerialUnavailable
from mesh.ports import StreamBroken
from mesh.ports.real import serial_sockets
from mesh.ports.real.serial import RealSerial
from mesh.ports.real.serial_sockets import is_socket


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("tcp:h:1", True), ("unix:/x", True), ("/dev/ttyACM0", False), ("tcp", False), ("", False)],
)
def test_sockets_are_told_from_devices_by_their_names(name: str, is_one: bool) -> None:
    assert is_socket(name) == is_one


@pytest.mark.parametrize("resets", [False, True])
async def test_the_other_sides_end_breaks_reading_and_writing(tmp_path: Path, resets: bool) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "line"))
        server.listen()
        stream = await RealSerial().open(f"unix:{tmp_path / 'line'}", 9600)
        board, _ = server.accept()
        if resets:  # who closes with something unread resets
            await stream.send_all(b"unread")
        else:
            board.sendall(b"last words")
        board.close()
        with trio.fail_after(10):
            if not resets:
                assert await stream.receive_some() == b"last words"
            with pytest.raises(StreamBroken, match=r"."):
                await stream.receive_some()
            with pytest.raises(StreamBroken, match=r"."):
                await stream.send_all(b"x" * 1_000_000)
        await stream.aclose()


@pytest.mark.parametrize(
    "name", ["tcp:localhost", "tcp::1", "tcp:127.0.0.1:0", "tcp:127.0.0.1:65536", "tcp:h:port"]
)
async def test_a_name_that_is_no_address_says_how_one_looks(name: str) -> None:
    with pytest.raises(SerialUnavailable, match="tcp:HOST:PORT"):
        await RealSerial().open(name, 9600)


async def test_where_nobody_listens_the_reason_is_the_systems() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(SerialUnavailable) as caught:
            await RealSerial().open(f"tcp:127.0.0.1:{port}", 9600)
    assert caught.value.params["why"]
    assert caught.value.params["device"] == f"tcp:127.0.0.1:{port}"


async def test_who_does_not_answer_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_sockets, "SERIAL_OPEN_TIMEOUT_S", 0.2)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        queued = [socket.socket() for _ in range(4)]
        for each in queued:  # its queue is full: the next SYN is dropped
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        with trio.fail_after(10), pytest.raises(SerialUnavailable, match="nobody answers in time"):
            await RealSerial().open(f"tcp:127.0.0.1:{server.getsockname()[1]}", 9600)
        for each in queued:
            each.close()
