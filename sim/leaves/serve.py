"""A leaf on a board made of memory, in real time, its line a unix socket; for play and for tests.

    python -m sim.leaves.serve --serial unix:PATH [--board stm32f405] [--flash FILE]

Lines on stdin act on the board, those on stdout tell what it does:

    adc 0 900        the input reads 900 counts       pin 5 1     it drives the pin high
    set 7 1          somebody drives the pin          restart     a reset; flash stays
    unplug / plug    the cable                        quit

Whoever connects has the line; bytes sent while nobody is connected are lost, as on a cable. With
FILE, flash is kept there from one start to the next. Deliberately not here: the parts' own code
(`sim.boards` emulates whole microcontrollers).
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

import trio

from mesh.rules.boards import board_named
from mesh.rules.program import BoardKind
from sim.leaves.board import SLOT_BYTES, SLOTS, HostBoard, ResetCause

STEP_S = 0.002
CATCH_UP_MS = 200
"""A machine that stood still does not make the leaf live the lost time in one step."""
PINS = 64


class BoardServer:
    """See the module's head. `run` until cancelled."""

    def __init__(self, path: Path, kind: BoardKind, flash: Path | None = None) -> None:
        self.board = HostBoard(kind, seed=int.from_bytes(_random_bytes(), "big"))
        self.plugged = True
        self.step_s = STEP_S
        """A crowd of leaves lives in longer steps."""
        self.tells_pins = True
        self._path = path
        self._flash = flash
        self._stream: trio.SocketStream | None = None
        self._levels: dict[int, int] = {}
        self._now_ms = 0
        if flash is not None and flash.exists():
            kept = flash.read_bytes()
            for slot in range(SLOTS):
                self.board.set_flash(slot, kept[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES])

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve; `nursery.start` returns once one can connect."""
        self._path.unlink(missing_ok=True)
        listening = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
        await listening.bind(str(self._path))
        listening.listen(1)
        self.board.start()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._live)
                nursery.start_soon(trio.serve_listeners, self._connected, [_listener(listening)])
                task_status.started()
        finally:
            self._path.unlink(missing_ok=True)

    def restart(self) -> None:
        self.board.start(ResetCause.PIN)

    def unplug(self) -> None:
        """Whoever is connected is thrown out; nobody gets in until `plug`."""
        self.plugged = False
        if self._stream is not None:
            self._stream.socket.shutdown(trio.socket.SHUT_RDWR)

    def plug(self) -> None:
        self.plugged = True

    async def _connected(self, stream: trio.SocketStream) -> None:
        async with stream:
            if self._stream is not None or not self.plugged:
                return
            self._stream = stream
            try:
                while data := await stream.receive_some(256):
                    await self._feed(bytes(data))
            except trio.BrokenResourceError:
                pass
            finally:
                self._stream = None

    async def _feed(self, data: bytes) -> None:
        """At the pace of the leaf's buffer, as a line with a speed would."""
        while data:
            data = data[self.board.feed(data[:64]) :]
            await trio.sleep(self.step_s if data else 0)

    async def _live(self) -> None:
        last_s, rest_ms = trio.current_time(), 0.0
        while True:
            await trio.sleep(self.step_s)
            now_s = trio.current_time()
            rest_ms += min(CATCH_UP_MS, 1000 * (now_s - last_s))
            last_s = now_s
            self._now_ms += int(rest_ms)
            rest_ms -= int(rest_ms)
            self.board.run(self._now_ms)
            sent = self.board.take()
            if sent and self._stream is not None:
                # What is lost with a connection is asked for again over the next.
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._stream.send_all(sent)
            if self.tells_pins:
                self._tell()

    def _tell(self) -> None:
        for pin in range(PINS):
            level = self.board.pin(pin)
            if level != self._levels.get(pin, 0):
                self._levels[pin] = level
                sys.stdout.write(f"pin {pin} {level}\n")
                sys.stdout.flush()

    def save(self) -> None:
        if self._flash is not None:
            self._flash.write_bytes(b"".join(self.board.flash(slot) for slot in range(SLOTS)))

    def command(self, line: str) -> bool:
        """Do what a line on stdin says; False for `quit`."""
        match line.split():
            case ["adc", number, counts]:
                self.board.set_input(int(number), int(counts))
            case ["set", pin, level]:
                self.board.set_pin(int(pin), int(level))
            case ["restart"]:
                self.restart()
            case ["unplug"]:
                self.unplug()
            case ["plug"]:
                self.plug()
            case ["quit"]:
                return False
        return True


def _random_bytes() -> bytes:
    return os.urandom(8)


def _listener(listening: trio.socket.SocketType) -> trio.SocketListener:
    return trio.SocketListener(listening)


async def _serve(server: BoardServer) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            line = await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
            if line and not server.command(line):
                break
            if not line:
                await trio.sleep_forever()
        nursery.cancel_scope.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sim.leaves.serve")
    parser.add_argument("--serial", required=True, metavar="unix:PATH")
    parser.add_argument("--board", default="stm32f405")
    parser.add_argument("--flash", type=Path)
    given = parser.parse_args()
    board = board_named(given.board)
    if board is None or not given.serial.startswith("unix:"):
        parser.error("--board names a board, --serial is unix:PATH")
    server = BoardServer(Path(given.serial.removeprefix("unix:")), board.kind, given.flash)
    try:
        trio.run(_serve, server)
    except* KeyboardInterrupt:
        pass
    finally:
        server.save()
    return 0


if __name__ == "__main__":
    sys.exit(main())
