"""A board on the wall clock, its link on a socket or a pseudo-terminal, its outside on lines.

    with Server(ServeConfig("stm32f405", "unix:/run/leaf", flash=Path("leaf.flash"))) as server:
        server.run()

Where the link is: `unix:PATH`, `tcp:HOST:PORT` (loopback only), `pty:PATH` (a symbolic link to it).
One client at a time; none is a cable that is not plugged in: what the board sends then is gone, as
on a wire. Lines on standard input are commands (`commands`); lines on standard output tell what the
board puts out. Flash is kept in a file, so the board survives its process.

Board time follows the wall clock; where this machine is too slow for that it falls behind and does
not catch up, which the board cannot notice.
"""

from __future__ import annotations

import os
import select
import socket
import time
import tty
from collections.abc import Callable
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TextIO

import attrs

from sim.boards.board import Board, BoardConfig
from sim.boards.commands import BadCommand, Table

STEP_NS = 5_000_000
POLL_S = 0.005
LAG_MAX_NS = 50_000_000
READ_BYTES = 4096
SAVE_EVERY_S = 0.25


class BadEndpoint(Exception):
    """That is not where a link can be; the text says why."""


@attrs.frozen
class ServeConfig:
    board: str
    serial: str
    flash: Path | None = None
    """Kept here; made when it is not there yet."""
    seed: int = 0


class Line(Protocol):
    """The host's end of the link. `read` gives nothing when nothing has come."""

    def read(self) -> bytes: ...
    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class SocketLine:
    """A listening socket and at most one client."""

    def __init__(self, listener: socket.socket) -> None:
        listener.listen(1)
        listener.setblocking(False)
        self._listener = listener
        self._client: socket.socket | None = None

    def read(self) -> bytes:
        if self._client is None:
            with suppress(BlockingIOError):
                self._client = self._listener.accept()[0]
                self._client.setblocking(False)
        if self._client is None:
            return b""
        try:
            data = self._client.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._unplug()
        return data

    def write(self, data: bytes) -> None:
        if self._client is not None:
            try:
                self._client.sendall(data)
            except BlockingIOError:
                pass  # it does not read: lost, as on a wire
            except OSError:
                self._unplug()

    def _unplug(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        self._unplug()
        self._listener.close()


class TerminalLine:
    """The master of a pseudo-terminal; `path` is a link to the other end."""

    def __init__(self, path: Path) -> None:
        self._master, self._other = os.openpty()
        tty.setraw(self._other)
        os.set_blocking(self._master, False)
        self._path = path
        path.unlink(missing_ok=True)
        path.symlink_to(os.ttyname(self._other))

    def read(self) -> bytes:
        try:
            return os.read(self._master, READ_BYTES)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        with suppress(BlockingIOError):
            os.write(self._master, data)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._other)


def open_line(where: str) -> Line:
    """Open the host's end. Raises BadEndpoint."""
    kind, _, rest = where.partition(":")
    try:
        if kind == "unix":
            Path(rest).unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(rest)
            return SocketLine(listener)
        if kind == "tcp":
            return SocketLine(_loopback(rest))
        if kind == "pty":
            return TerminalLine(Path(rest))
    except (OSError, ValueError) as error:
        raise BadEndpoint(f"{where}: {error}") from None
    raise BadEndpoint(f"{where}: unix:PATH, tcp:HOST:PORT or pty:PATH")


def _loopback(text: str) -> socket.socket:
    host, _, port = text.rpartition(":")
    if not ip_address(host).is_loopback:
        raise ValueError("an emulated board only listens on loopback")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, int(port)))
    return listener


class Server:
    """One board, served until told to stop."""

    def __init__(
        self,
        config: ServeConfig,
        commands: TextIO | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self._config, self._say = config, say
        board = Board(config.board, BoardConfig(seed=config.seed))
        if config.flash is not None and config.flash.exists():
            board = board.with_slots_of(config.flash.read_bytes())
        self.table = Table(board)
        self._commands = commands
        self._line = open_line(config.serial)
        self._stack = ExitStack()
        self._saved_operations: tuple[int, int] | None = None
        self._save_due_s = 0.0
        self._pending = ""

    def __enter__(self) -> Self:
        self._stack.callback(self._line.close)
        self._stack.callback(self._save)
        if self._commands is not None:
            os.set_blocking(self._commands.fileno(), False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Serve until `until` says so, checked every few milliseconds. Raises BoardFault."""
        self.table.board.power_on()
        machine = self.table.board.machine
        zero_ns = time.monotonic_ns() - machine.now_ns
        while not until():
            self._take_commands()
            machine = self.table.board.machine
            wanted_ns = time.monotonic_ns() - zero_ns
            if wanted_ns - machine.now_ns > LAG_MAX_NS:
                zero_ns += wanted_ns - machine.now_ns - STEP_NS
                wanted_ns = machine.now_ns + STEP_NS
            self._step(min(wanted_ns, machine.now_ns + STEP_NS))
            if wanted_ns - machine.now_ns <= 0:
                time.sleep(POLL_S)

    def _step(self, until_ns: int) -> None:
        board = self.table.board
        arrived = self._line.read()
        if arrived:
            board.link.put(arrived)
        board.machine.run_until(until_ns)
        sent = board.link.take()
        if sent:
            self._line.write(sent)
        for change in self.table.changes():
            self._say(change)
        if board.machine.is_dark:
            self._say("power failed, and comes back")
            self.table.power_cycle()
        if time.monotonic() >= self._save_due_s:
            self._save()

    def _take_commands(self) -> None:
        if self._commands is None:
            return
        # Not `selectors`: its epoll refuses files, such as /dev/null.
        if not select.select([self._commands], [], [], 0)[0]:
            return
        text = self._commands.read()
        if text == "":  # nobody will say anything any more
            self._commands = None
        self._pending += text or ""
        *lines, self._pending = self._pending.split("\n")
        for line in lines:
            if line.strip():
                self._command(line)

    def _command(self, line: str) -> None:
        try:
            answer = self.table.run(line)
        except BadCommand as wrong:
            answer = f"error: {wrong}"
        if answer:
            self._say(answer)

    def _save(self) -> None:
        """Keep flash, if it has changed: whole, or as it was."""
        flash, path = self.table.board.machine.flash, self._config.flash
        self._save_due_s = time.monotonic() + SAVE_EVERY_S
        changed = (id(flash), flash.operations) != self._saved_operations
        if path is None or not changed:
            return
        scratch = path.with_name(path.name + ".new")
        scratch.write_bytes(self.table.board.flash_image())
        scratch.replace(path)
        self._saved_operations = (id(flash), flash.operations)
