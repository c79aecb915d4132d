"""Starting and stopping a node process.

A node is `python -P -m mesh.node --home DIR`, in a session of its own, with its log in
`DIR/node.log`. `-P` keeps the current directory off the import path: a project with a folder called
`mesh` must not become the node. Secrets never appear among the arguments; they go over the socket.

Whose process it is, is known by the lock it holds on `DIR/node.pid` (`mesh.control.socketfile`),
not by the number alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from cli.client import Call, ask, log_path
from cli.homes import SOCKET_NAME, answers
from cli.i18n import t, user_environment
from cli.settings import note
from mesh.errors import CannotPlace, MeshError, NodeDidNotStart, NodeDidNotStop

NODE_COMMAND = (sys.executable, "-P", "-m", "mesh.node")
LOCK_NAME = "node.pid"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
KILL_TIMEOUT_S = 5.0
POLL_S = 0.02
LOG_TAIL_BYTES = 4096
LOG_TAIL_LINES = 5


class Node:
    """A node process that we started, or found running (`process` is None)."""

    def __init__(
        self, home: str, process: subprocess.Popen[bytes] | None, *, attached: bool = False
    ) -> None:
        self.home = home
        self.process = process
        self._attached = attached
        self.log_from = 0

    @property
    def started(self) -> bool:
        return self.process is not None

    def wait_ready(self) -> None:
        """Return once it answers. Raises NodeDidNotStart with the tail of its log."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            if answers(self.home):
                ask(self.home, "ping")
                self._let_go()
                return
            if self.process is not None and self.process.poll() is not None:
                if answers(self.home):
                    return  # another one won the race for this home
                raise self._failure(f"it ended with status {self.process.returncode}")
            time.sleep(POLL_S)
        self.kill()
        raise self._failure(f"no answer within {START_TIMEOUT_S:g} s")

    def kill(self) -> None:
        """End a process that we started, with what it started."""
        if self.process is not None and self.process.poll() is None:
            if self._attached:
                self.process.kill()
            else:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _let_go(self) -> None:
        """It outlives us on purpose: subprocess shall not warn about that."""
        if self.process is not None and not self._attached:
            self.process.returncode = 0

    def _failure(self, why: str) -> NodeDidNotStart:
        tail = _log_tail(Path(log_path(self.home)), self.log_from)
        return NodeDidNotStart(
            home=self.home, why="\n  ".join([why, *tail]), log=log_path(self.home)
        )


def spawn(home: str, options: Sequence[str] = (), *, foreground: bool = False) -> Node:
    """Start a node for `home`, or find the one that runs; `wait_ready` comes next.

    In the foreground it shares our terminal and process group, and Ctrl-C reaches it.
    """
    if answers(home):
        return Node(home, None)
    try:
        Path(home).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CannotPlace(path=home, why=error.strerror) from None
    argv = [*NODE_COMMAND, "--home", home, *options]
    if foreground:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=user_environment())
        return Node(home, process, attached=True)
    try:
        log = os.open(log_path(home), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise CannotPlace(path=log_path(home), why=error.strerror) from None
    said_before = os.fstat(log).st_size
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env=user_environment(),
        )
    finally:
        os.close(log)
    node = Node(home, process)
    node.log_from = said_before
    return node


def ensure(home: str, options: Sequence[str] = (), *, foreground: bool = False) -> Node:
    """A node that answers for `home`. Raises NodeDidNotStart."""
    node = spawn(home, options, foreground=foreground)
    try:
        node.wait_ready()
    except BaseException:
        node.kill()
        raise
    return node


@contextlib.contextmanager
def entering(home: str, options: Sequence[str], *, foreground: bool) -> Iterator[Node]:
    """A node for the length of an `init` or `join`, that stays when the body succeeds.

    When it does not, a node that was started for it is stopped. In the foreground we then stay,
    too, until the node ends, or SIGINT or SIGTERM (what a container sends) ends both.
    """
    before = signal.signal(signal.SIGTERM, _interrupt) if foreground else None
    node = ensure(home, options, foreground=foreground)
    try:
        yield node
    except BaseException:
        if node.started:
            stop(home)
        raise
    if foreground:
        _attend(node)
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _attend(node: Node) -> None:
    if node.process is None:
        note(t("the node was already running in the background; it stays there"))
        return
    try:
        node.process.wait()
    except KeyboardInterrupt:
        stop(node.home)
        node.process.wait()


def owner_pid(home: str) -> int | None:
    """The process that holds the home's lock, or None when there is none."""
    path = Path(home) / LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid_in(path)
    finally:
        os.close(descriptor)
    return None


def _pid_in(path: Path) -> int | None:
    try:
        pid = int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return pid if _has_open(pid, path) else None


def _has_open(pid: int, path: Path) -> bool:
    """Whether the process has that very file open, as a lock's holder must."""
    wanted = path.stat()
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            if os.path.samestat(descriptor.stat(), wanted):
                return True
    return False


def stop(home: str) -> bool:
    """End the node of `home` and wait until it is gone; False when none ran.

    It is asked first, then told (SIGTERM), then killed. Raises NodeDidNotStop.
    """
    pid = owner_pid(home)
    if pid is None and not answers(home):
        return False
    with contextlib.suppress(MeshError), Call(home, "stop") as call:
        call.result(timeout_s=STOP_TIMEOUT_S)
    if _gone(home, STOP_TIMEOUT_S):
        return True
    for number, patience_s in ((signal.SIGTERM, KILL_TIMEOUT_S), (signal.SIGKILL, KILL_TIMEOUT_S)):
        pid = owner_pid(home)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if _gone(home, patience_s):
            (Path(home) / SOCKET_NAME).unlink(missing_ok=True)
            return True
    raise NodeDidNotStop(home=home, pid=pid, log=log_path(home))


def _gone(home: str, timeout_s: float) -> bool:
    return wait_until(lambda: owner_pid(home) is None and not answers(home), timeout_s)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll for something that another process does."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(POLL_S)
    return True


def _log_tail(path: Path, begin: int) -> list[str]:
    """The last lines that were written after the log had `begin` bytes, in this file if the node
    has begun a new one since."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            end = file.tell()
            file.seek(max(end - LOG_TAIL_BYTES, begin if begin <= end else 0))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return text.splitlines()[-LOG_TAIL_LINES:]
