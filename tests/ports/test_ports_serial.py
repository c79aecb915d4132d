"""The real serial port over pseudo-terminals: what the contract cannot show."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator

import pytest
import trio

from mesh.errors import SerialUnavailable
from mesh.ports import StreamBroken
from mesh.ports.real.serial import RealSerial


class Device:
    """A pseudo-terminal: the node opens `name`, the test is the board behind it."""

    def __init__(self) -> None:
        self.board, self._far = pty.openpty()
        self.name = os.ttyname(self._far)
        tty.setraw(self._far)

    def keep_name_only(self) -> None:
        """Let go of the far side, so that only the node holds it."""
        os.close(self._far)
        self._far = -1

    def speed(self) -> int:
        speed: int = termios.tcgetattr(self._far)[5]
        return speed

    def unplug(self) -> None:
        if self.board >= 0:
            os.close(self.board)
            self.board = -1

    def close(self) -> None:
        self.unplug()
        if self._far >= 0:
            os.close(self._far)


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device()
    yield device
    device.close()


async def test_the_speed_is_set(device: Device) -> None:
    stream = await RealSerial().open(device.name, 57_600)
    assert device.speed() == termios.B57600
    await stream.aclose()


async def test_bytes_of_all_values_pass_unchanged(device: Device) -> None:
    stream = await RealSerial().open(device.name, 115_200)
    data = bytes(range(256))
    await stream.send_all(data)
    assert os.read(device.board, 4096) == data
    os.write(device.board, data)
    heard = b""
    with trio.fail_after(10):
        while len(heard) < len(data):
            heard += await stream.receive_some()
    assert heard == data
    await stream.aclose()


async def test_a_writer_waits_for_room_and_loses_nothing(device: Device) -> None:
    stream = await RealSerial().open(device.name, 115_200)
    data = os.urandom(100_000)
    heard = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, data)
        with trio.fail_after(30):
            while len(heard) < len(data):
                heard += await trio.to_thread.run_sync(os.read, device.board, 4096)
    assert heard == data
    await stream.aclose()


async def test_a_device_that_is_pulled_out_breaks_reading_and_writing(device: Device) -> None:
    stream = await RealSerial().open(device.name, 115_200)
    device.keep_name_only()

    async def read() -> None:
        with pytest.raises(StreamBroken):
            await stream.receive_some()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            device.unplug()
        with pytest.raises(StreamBroken):
            await stream.send_all(b"x")
    await stream.aclose()


async def test_a_file_that_is_no_device_and_a_strange_speed_are_readable_errors(
    device: Device,
) -> None:
    for name, baud in ((__file__, 9600), ("", 9600), (device.name, -1)):
        with pytest.raises(SerialUnavailable) as caught:
            await RealSerial().open(name, baud)
        assert caught.value.params["why"]


async def test_what_is_plugged_in_is_listed_in_order() -> None:
    names = [device.name for device in await RealSerial().devices()]
    assert names == sorted(names)


def test_pyserial_is_imported_only_when_used() -> None:
    code = (
        "import sys; from mesh.ports.real.serial import RealSerial;"
        "RealSerial(); sys.exit('serial' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
