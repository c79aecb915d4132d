"""Carrier `switch`: a TAP device in every namespace, and the thread that carries the frames.

The devices are made inside the namespaces, so nothing of this exists in the machine's own network.
The thread reads what hosts send, asks `switch` what becomes of it, and writes it when its time has
come. Late by how much, is counted: the machine's load is part of every delay. Deliberately not
here: any decision about a frame.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import select
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from sim.chaos import namespaces
from sim.chaos.commands import batch
from sim.chaos.network import ChaosNetwork
from sim.chaos.switch import Delivery, Port

DEVICE = "eth0"
FRAME_BYTES_MAX = 2048
FRAMES_AT_ONCE = 64
"""Read from one device before the others have their turn."""
WAITING_MAX = 50_000
"""Frames under way; beyond, they are lost."""
IDLE_S = 0.5
_TUNSETIFF = 0x400454CA
_IFF_TAP_NO_PI = 0x0002 | 0x1000


class Cables:
    """All the TAP devices of one run, and their thread."""

    def __init__(self, network: ChaosNetwork, names: Sequence[str]) -> None:
        self._network = network
        self._names = names
        self._ports = network.switch.ports
        self._devices: list[int] = []
        self._waiting: list[Delivery] = []
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="switch", daemon=True)
        self.failure: BaseException | None = None
        self.worst_late_s = 0.0
        network.on_change.append(self._wake)

    def open(self) -> None:
        """Make the devices, give them their addresses, and start. Raises ChaosFailed."""
        for name, port in zip(self._names, self._ports, strict=True):
            with namespaces.inside(name):
                self._devices.append(_open_tap())
            batch(device_commands(port), "-n", name)
        self._thread.start()

    def close(self) -> None:
        """Stop; the devices vanish with their descriptors."""
        self._closing = True
        self._wake()
        if self._thread.is_alive():
            self._thread.join(timeout=2 * IDLE_S)
        while self._devices:
            os.close(self._devices.pop())

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._wake_write, b"!")

    # -- the thread ------------------------------------------------------------------------------
    def _run(self) -> None:
        try:
            self._carry()
        except BaseException as error:  # noqa: BLE001 - whoever asks next must hear of it
            self.failure = error

    def _carry(self) -> None:
        ready = select.epoll()
        numbers = {device: number for number, device in enumerate(self._devices)}
        for each in (*self._devices, self._wake_read):
            ready.register(each, select.EPOLLIN)
        with ready:
            while not self._closing:
                for descriptor, _ in ready.poll(self._patience_s()):
                    if descriptor == self._wake_read:
                        _drain(descriptor)
                    else:
                        self._read(descriptor, numbers[descriptor])
                self._write_due()

    def _patience_s(self) -> float:
        if not self._waiting:
            return IDLE_S
        return min(IDLE_S, max(0.0, self._waiting[0].at_s - time.monotonic()))

    def _read(self, device: int, number: int) -> None:
        with self._network.lock:
            for _ in range(FRAMES_AT_ONCE):
                try:
                    frame = os.read(device, FRAME_BYTES_MAX)
                except BlockingIOError:
                    return
                for delivery in self._network.switch.carry(number, frame, time.monotonic()):
                    if len(self._waiting) < WAITING_MAX:
                        heapq.heappush(self._waiting, delivery)

    def _write_due(self) -> None:
        with self._network.lock:
            released, self._network.switch.released = self._network.switch.released, []
        for number, frame in released:
            self._write(number, frame)
        now_s = time.monotonic()
        while self._waiting and self._waiting[0].at_s <= now_s:
            delivery = heapq.heappop(self._waiting)
            self.worst_late_s = max(self.worst_late_s, now_s - delivery.at_s)
            self._write(delivery.port, delivery.frame)

    def _write(self, number: int, frame: bytes) -> None:
        with suppress(OSError):  # the device is down, or its queue full: the frame is lost
            os.write(self._devices[number], frame)


def device_commands(port: Port) -> list[str]:
    """Lines for `ip -batch` that give a host's device its addresses, and a way for multicast."""
    hardware = ":".join(f"{byte:02x}" for byte in port.hardware)
    return [
        f"link set {DEVICE} address {hardware}",
        f"addr add {port.host}/24 dev {DEVICE}",
        f"link set {DEVICE} up",
        f"route add 224.0.0.0/4 dev {DEVICE}",
    ]


def _open_tap() -> int:
    """A TAP device in the namespace that this thread is in."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TAP_NO_PI))
    except BaseException:
        os.close(device)
        raise
    return device


def _drain(descriptor: int) -> None:
    with suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass
