"""`Serial`: lines to small machines that have no network, by the name the system gives them.

A line carries bytes both ways, in order, at the speed of its baud rate; bytes may be lost, changed
or made up on the way, and the device may vanish at any time. Whoever talks over it frames what it
says, and checks what it hears. Not here: that framing, and what is at the other end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs


@attrs.frozen
class SerialDevice:
    """A device that is plugged in now."""

    name: str
    """What `Serial.open` takes, as `/dev/ttyUSB0`."""
    description: str
    """For people."""
    hardware: str
    """Vendor, product and serial number as the system tells them; empty when it does not."""


class SerialStream(Protocol):
    """An open line. One task may send while another receives."""

    async def send_all(self, data: bytes) -> None:
        """Return once the system has taken it all. Raises `StreamBroken` without the device."""
        ...

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for bytes; never empty, for a line has no end. Raises `StreamBroken` when the device
        is gone."""
        ...

    async def aclose(self) -> None: ...


class Serial(Protocol):
    async def open(self, name: str, baud: int) -> SerialStream:
        """Open for this process alone: 8 bits, no parity, 1 stop bit, no flow control. Raises
        `SerialUnavailable`."""
        ...

    async def devices(self) -> Sequence[SerialDevice]:
        """What is plugged in, sorted by name."""
        ...
