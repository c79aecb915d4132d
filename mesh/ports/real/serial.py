"""`Serial` on the system's devices: pyserial finds and configures them, trio waits for them.

Rules: opening and listing may block in the driver, so they happen in a thread; reading and writing
never do. A device that is pulled out is an end of file or an error to the system, and StreamBroken
to us. pyserial is imported when first used. Not here: flow control, and speeds that the system does
not know.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import trio

from mesh.errors import SerialUnavailable
from mesh.limits import SERIAL_OPEN_TIMEOUT_S
from mesh.ports import StreamBroken
from mesh.ports.real.serial_sockets import is_socket, open_socket
from mesh.ports.serial import SerialDevice, SerialStream

if TYPE_CHECKING:
    import serial

T = TypeVar("T")

READ_BYTES = 4096


class RealSerialStream:
    """See `mesh.ports.serial.SerialStream`."""

    def __init__(self, device: serial.Serial) -> None:
        self._device = device
        self._fd: int = device.fileno()

    async def send_all(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        view = memoryview(data)
        while view:
            view = view[await self._when_ready(trio.lowlevel.wait_writable, os.write, view) :]

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = await self._when_ready(trio.lowlevel.wait_readable, os.read, max_bytes or READ_BYTES)
        if not data:  # readable, and nothing to read: hung up
            raise StreamBroken("the device is gone")
        return data

    async def aclose(self) -> None:
        if self._fd >= 0:
            trio.lowlevel.notify_closing(self._fd)
            self._fd = -1
            self._device.close()
        await trio.lowlevel.checkpoint()

    async def _when_ready(
        self, wait: Callable[[int], Awaitable[None]], call: Callable[..., T], what: object
    ) -> T:
        """Wait first: pyserial's mode has a read of nothing return nothing, as a hang-up does."""
        while True:
            if self._fd < 0:
                raise StreamBroken("closed here")
            try:
                await wait(self._fd)
                return call(self._fd, what)
            except BlockingIOError:
                continue
            except trio.ClosedResourceError:
                raise StreamBroken("closed here") from None
            except OSError as error:
                raise StreamBroken(error.strerror or "the device is gone") from error


class RealSerial:
    """See `mesh.ports.serial.Serial`."""

    async def open(self, name: str, baud: int) -> SerialStream:
        if is_socket(name):
            return await open_socket(name)
        with trio.move_on_after(SERIAL_OPEN_TIMEOUT_S):
            return RealSerialStream(await _in_thread(lambda: _open(name, baud)))
        raise SerialUnavailable(device=name, why="the driver does not answer")

    async def devices(self) -> Sequence[SerialDevice]:
        return await _in_thread(_devices)


async def _in_thread(call: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(call, abandon_on_cancel=True)


def _open(name: str, baud: int) -> serial.Serial:
    import serial

    try:
        return serial.Serial(name, baud, timeout=0, write_timeout=0, exclusive=True)
    except (serial.SerialException, ValueError, OverflowError) as error:
        number = getattr(error, "errno", None)
        why = os.strerror(number) if number is not None else str(error)
        raise SerialUnavailable(device=name, why=why) from None


def _devices() -> list[SerialDevice]:
    from serial.tools.list_ports import comports

    return sorted(
        (SerialDevice(each.device, each.description, _hardware(each.hwid)) for each in comports()),
        key=lambda device: device.name,
    )


def _hardware(told: str) -> str:
    return "" if told == "n/a" else told
