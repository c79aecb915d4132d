"""The firmware in QEMU: a second emulator that shares nothing with ours, where it has the parts.

    with QemuBench("microbit") as bench: bench.provision(); bench.deploy(...)

`netduinoplus2` is an STM32F405 without flash that can be written, pins or converters: it boots the
production image. `microbit` is an nRF51, whose blocks are those of the nRF52840 where both have
them, flash included: it runs that part's driver, built for its processor. Time is this machine's,
so what takes how long differs from run to run. Needs `qemu-system-arm`.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from mesh.leaf.messages import Event
from mesh.rules.program import BoardKind
from sim.boards.image import firmware
from sim.leaves.board import HostBoard, ResetCause
from sim.leaves.rig import Rig

QEMU = "qemu-system-arm"
MACHINES = {
    "netduinoplus2": ("stm32f405", BoardKind.STM32F405),
    "microbit": ("microbit", BoardKind.NRF52840),
}
"""Machine -> the firmware's target, and what it says that it is."""
CONNECT_MAX_S = 20.0
CONNECT_EACH_S = 0.05
END_MAX_S = 5.0


def has_qemu() -> bool:
    return shutil.which(QEMU) is not None


class QemuChip:
    """One QEMU process with the verbs of a HostBoard that a rig uses."""

    def __init__(self, machine: str) -> None:
        target, self.kind = MACHINES[machine]
        self._folder = tempfile.TemporaryDirectory(prefix="qemu-")
        line = Path(self._folder.name) / "line"
        command = [QEMU, "-M", machine, "-display", "none", "-monitor", "stdio"]
        command += ["-kernel", str(firmware(target).path)]
        command += ["-serial", f"unix:{line},server=on,wait=off"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._line = self._connected(line)
        self._line.setblocking(False)
        self._zero_s = time.monotonic()

    def _connected(self, path: Path) -> socket.socket:
        line = socket.socket(socket.AF_UNIX)
        until_s = time.monotonic() + CONNECT_MAX_S
        while True:
            try:
                line.connect(str(path))
            except OSError:
                if time.monotonic() > until_s or self._process.poll() is not None:
                    line.close()
                    self.close()
                    raise
                time.sleep(CONNECT_EACH_S)
            else:
                return line

    def close(self) -> None:
        """End the process."""
        if hasattr(self, "_line"):
            self._line.close()
        self._process.terminate()
        self._process.communicate(timeout=END_MAX_S)
        self._folder.cleanup()

    def start(self, cause: ResetCause = ResetCause.PIN) -> bool:  # noqa: ARG002 - it knows one
        """Reset it; flash stays."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"system_reset\n")
        self._process.stdin.flush()
        return True

    def run(self, until_ms: int) -> bool:
        """Wait until it is that late."""
        time.sleep(max(0.0, self._zero_s + until_ms / 1000 - time.monotonic()))
        return True

    def feed(self, data: bytes) -> int:
        self._line.sendall(data)
        return len(data)

    def take(self) -> bytes:
        with suppress(BlockingIOError):
            return self._line.recv(4096)
        return b""

    def boot_nonce(self) -> bytes:
        return b""

    def events(self) -> list[tuple[int, Event]]:
        return []


class QemuBench(Rig):
    """A board in QEMU and its gateway; a millisecond is one of this machine."""

    def __init__(self, machine: str, seed: int = 1) -> None:
        self._chip = QemuChip(machine)
        super().__init__(seed=seed, kind=self._chip.kind)

    def make_board(self, kind: BoardKind, seed: int) -> HostBoard:  # noqa: ARG002
        return cast(HostBoard, self._chip)  # it has those of its verbs that a rig uses

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._chip.close()
