"""`mesh.ports.Serial` of a simulated machine: its plugs by name, and open streams over them.

The system's buffer of an open line fills while the machine is frozen, and overruns. Deliberately
not here: the line itself (`line`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import trio

from mesh.errors import SerialUnavailable
from mesh.ports import StreamBroken
from mesh.ports.serial import SerialDevice
from sim.net.gate import Gate
from sim.serial.line import SerialEnd

READ_BYTES = 4096
NO_SUCH, BUSY = "No such file or directory", "Resource temporarily unavailable"


class SimSerialStream:
    """See `mesh.ports.serial.SerialStream`."""

    def __init__(self, end: SerialEnd) -> None:
        self._end = end
        self._reader, self._writer = Gate(), Gate()
        self._open = True
        self._lost = False
        end.held = True
        end.received.clear()
        end.on_change = self._changed

    async def send_all(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        view = memoryview(data)
        while True:
            self._check()
            if not view:
                return
            size_bytes = min(len(view), self._end.room_bytes())
            if size_bytes > 0:
                self._end.write(bytes(view[:size_bytes]))
                view = view[size_bytes:]
            else:
                await self._writer.wait()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            self._check()
            received = self._end.received
            if received:
                taken = bytes(received[: max_bytes or READ_BYTES])
                del received[: len(taken)]
                return taken
            await self._reader.wait()

    async def aclose(self) -> None:
        self.let_go()
        self._reader.open()
        self._writer.open()
        await trio.lowlevel.checkpoint()

    def let_go(self) -> None:
        """Be closed, waking nobody up: the process may have ended."""
        if self._open:
            self._open = False
            self._end.held = False
            self._end.on_change = lambda: None
            self._end.received.clear()

    def _check(self) -> None:
        if not self._open:
            raise StreamBroken("closed here")
        if self._lost:
            raise StreamBroken("the device is gone")

    def _changed(self) -> None:
        self._lost = self._lost or not self._end.plugged
        self._reader.open()
        self._writer.open()


class SimSerial:
    """See `mesh.ports.serial.Serial`."""

    def __init__(self, plugs: Mapping[str, SerialEnd]) -> None:
        self._plugs = dict(plugs)
        self._streams: list[SimSerialStream] = []

    async def open(self, name: str, baud: int) -> SimSerialStream:
        await trio.lowlevel.checkpoint()
        end = self._plugs.get(name)
        if end is None or not end.plugged:
            raise SerialUnavailable(device=name, why=NO_SUCH)
        if end.held:
            raise SerialUnavailable(device=name, why=BUSY)
        end.baud = baud
        stream = SimSerialStream(end)
        self._streams.append(stream)
        return stream

    async def devices(self) -> Sequence[SerialDevice]:
        await trio.lowlevel.checkpoint()
        plugged = sorted(name for name, end in self._plugs.items() if end.plugged)
        return [SerialDevice(name, f"simulated line {name}", "") for name in plugged]

    def close_all(self) -> None:
        """The process has ended; the lines are free."""
        for stream in self._streams:
            stream.let_go()
        self._streams.clear()
