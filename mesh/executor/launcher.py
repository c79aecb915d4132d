"""The launcher: a small process inside the sandbox that starts one action after another.

It runs as `python -I -S -c <leftovers.py and this file> <config JSON>`, so it imports the standard
library only and must work on Python 3.9. Why it exists: a fresh bubblewrap costs 19 ms and forking
the node's large process is slow; from here an action costs one vfork.

Protocol, on the SOCK_SEQPACKET socket at fd 3, one datagram each:
    node -> launcher   b"A" + request            start an action
                       b"M"  (+ a memfd)         the same, the datagram is in the memfd
                       b"C"                      cancel: kill it now
    launcher -> node   b"1" or b"2" + bytes      a piece of stdout or stderr
                       b"R" + reply              it ended, and everything it had started too
                       b"E" + text               it could not be started
    end of file        kill everything and exit

    request = REQUEST, then cwd, the arguments and each "NAME=value", with zero bytes in between
    reply   = REPLY

Of fixed layout, because both sides make and read one per action.

Rules
- One action at a time. Its processes are in their own session; when the main one ends, or at the
  timeout (SIGTERM to the group, a grace, SIGKILL), everything it left is killed *before* the reply:
  in a pid namespace all processes but this one (which is pid 1 there), otherwise all descendants,
  which cannot escape because this process is their subreaper.
- After the processes, their traces: the scratch directories are emptied. What cannot be undone
  (System V objects) is reported as `dirty`, and the node replaces the launcher.
- Memory is watched by looking (resident, then proportional set size): address-space limits break
  sanitizers, and control groups are seldom ours.
- The action inherits no descriptor of ours, no ignored signal, and an environment of its own.

Not here: mounts and namespaces (bubblewrap made them), files (the node puts and collects them).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

from mesh.executor.leftovers import Leftovers

REQUEST = struct.Struct("=ddQQ?I")
"""timeout_s, grace_s, memory_bytes (0: not watched), log_bytes_max, live, number of arguments"""
REPLY = struct.Struct("=iBddQQQ?")
"""wait status, index into REASONS, seconds, cpu_s, maxrss_bytes, lost bytes of stdout and stderr,
dirty"""
REASONS = ("", "timeout", "memory", "cancelled")
"""Why we ended it; "" when it ended by itself."""

_NODE_FD = 3
_PACKET_BYTES = 128 * 1024
_CHUNK_BYTES = 64 * 1024
_PIPE_BYTES = 256 * 1024
_F_SETPIPE_SZ = 1031
_KILL_ROUNDS_MAX = 10_000
_MEMORY_FIRST_S, _MEMORY_EVERY_S = 0.1, 0.25
_DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"
_PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 4, 36
_WAIT_S_MAX = 3600.0
_IGNORED = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class Launcher:
    """One action after another; `serve` returns when the node is gone."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.namespace = config["namespace"]  # whether a pid namespace is all ours
        self.leftovers = Leftovers(config["scratch"], config["keep"], sysv=self.namespace)
        self.node = socket.socket(fileno=_NODE_FD)
        os.set_inheritable(_NODE_FD, False)
        self.null = os.open(os.devnull, os.O_RDWR)
        self.streams = out, err = Stream(b"1", self.node), Stream(b"2", self.node)
        self.file_actions = [
            (os.POSIX_SPAWN_DUP2, self.null, 0),
            (os.POSIX_SPAWN_DUP2, out.write_fd, 1),
            (os.POSIX_SPAWN_DUP2, err.write_fd, 2),
        ]
        # Python ignores SIGPIPE, we a few, and whoever started the node maybe others; children
        # would inherit that.
        every = signal.valid_signals()
        self.ignored = [each for each in every if signal.getsignal(each) == signal.SIG_IGN]
        self.poll = select.poll()
        self.poll.register(_NODE_FD, select.POLLIN)
        for stream in self.streams:
            self.poll.register(stream.read_fd, select.POLLIN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _lower(resource.RLIMIT_FSIZE, config["file_bytes_max"])
        os.umask(0o022)

    def serve(self) -> None:
        while True:
            request = self.next_request()
            if request is None:
                return
            try:
                reply = self.run(request)
            except Gone:
                self.kill_all()
                return
            self.node.send(reply)

    def next_request(self) -> Request | None:
        while True:
            data, fds, _, _ = socket.recv_fds(self.node, _PACKET_BYTES, 1)
            if not data:
                return None
            if data[:1] == b"M":
                with open(fds[0], "rb") as memory:
                    data = memory.read()
            if data[:1] == b"A":
                return Request(data)
            # A cancel that crossed our reply: nothing is running any more.

    # -- one action --------------------------------------------------------------------------------
    def run(self, request: Request) -> bytes:
        out, err = self.streams
        out.begin(limit=request.log_bytes_max, live=request.live)
        err.begin(limit=request.log_bytes_max, live=request.live)
        started = time.monotonic()
        try:
            pid = self.spawn(request)
        except (OSError, ValueError) as error:
            return b"E" + (getattr(error, "strerror", None) or str(error)).encode()
        pidfd = os.pidfd_open(pid)
        self.poll.register(pidfd, select.POLLIN)
        try:
            why = self.watch(pid, pidfd, request, started)
        finally:
            self.poll.unregister(pidfd)
            os.close(pidfd)
        _, status, usage = os.wait4(pid, 0)
        ended = time.monotonic()
        self.kill_all()
        self.drain()
        return b"R" + REPLY.pack(
            status,
            REASONS.index(why),
            ended - started,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss * 1024,
            out.lost,
            err.lost,
            not self.leftovers.clean(),
        )

    def spawn(self, request: Request) -> int:
        os.chdir(request.cwd)
        path = _find(request.argv[0], request.env.get(b"PATH", _DEFAULT_PATH))
        return os.posix_spawn(
            path,
            request.argv,
            request.env,
            file_actions=self.file_actions,
            setsid=True,
            setsigmask=[],
            setsigdef=self.ignored,
        )

    def watch(self, pid: int, pidfd: int, request: Request, started: float) -> str:
        """Pump output until the main process ends; say why it was ended by us, if it was."""
        why = ""
        deadline = started + request.timeout_s
        limit = request.memory_bytes
        look = started + _MEMORY_FIRST_S if limit else deadline
        while True:
            now = time.monotonic()
            if now >= deadline:
                deadline = now + request.grace_s
                if why:
                    self.kill_running(pid)
                else:
                    why = "timeout"
                    _signal_group(pid, signal.SIGTERM)
            if limit and now >= look:
                look = now + _MEMORY_EVERY_S
                if not why and self.uses_more_than(limit):
                    why = "memory"
                    self.kill_running(pid)
            wait_s = min(deadline, look) - now if limit else deadline - now
            ready = [fd for fd, _ in self.poll.poll(min(wait_s, _WAIT_S_MAX) * 1000 + 1)]
            for stream in self.streams:
                if stream.read_fd in ready:
                    stream.pump()
            if _NODE_FD in ready and self.asked_to_stop():
                why = why or "cancelled"
                self.kill_running(pid)
            if pidfd in ready:
                return why

    def drain(self) -> None:
        """Everything that could write is dead: pass on what the pipes still hold."""
        fds = {fd for fd, _ in self.poll.poll(0)}
        while ready := [stream for stream in self.streams if stream.read_fd in fds]:
            for stream in ready:
                stream.pump()
            fds = {fd for fd, _ in self.poll.poll(0)}
        for stream in self.streams:
            stream.flush()

    def asked_to_stop(self) -> bool:
        try:
            data = self.node.recv(_PACKET_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            raise Gone
        return data[:1] == b"C"

    # -- ending processes --------------------------------------------------------------------------
    def kill_running(self, pid: int) -> None:
        """SIGKILL, leaving the main process for `wait4`."""
        if self.namespace:
            _kill(-1)
        else:
            _signal_group(pid, signal.SIGKILL)
            for each in _descendants(os.getpid()):
                _kill(each)

    def kill_all(self) -> None:
        """Kill and reap whatever is left. No children means nothing is left: all reparent to us."""
        for _ in range(_KILL_ROUNDS_MAX):
            try:
                done, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if done == 0:
                if self.namespace:
                    _kill(-1)
                else:
                    for each in _descendants(os.getpid()):
                        _kill(each)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(-1, 0)
        os._exit(3)  # they breed faster than we kill: end the namespace, or at least this slot

    def uses_more_than(self, limit: int) -> bool:
        """Cheap first: only when the resident sizes add up to too much, shared pages count once."""
        if self.namespace:
            pids = [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]
            files = self.leftovers.used_bytes()  # they are in memory too
        else:
            pids, files = _descendants(os.getpid()), 0
        if sum(map(_resident_bytes, pids)) + files <= limit:
            return False
        return sum(map(_proportional_bytes, pids)) + files > limit


class Gone(Exception):
    """The node has closed the socket or died."""


class Request:
    """What to run; the head says how it travels."""

    def __init__(self, data: bytes) -> None:
        self.timeout_s, self.grace_s, self.memory_bytes, *rest = REQUEST.unpack_from(data, 1)
        self.log_bytes_max, self.live, count = rest
        self.cwd, *self.argv, env = data[1 + REQUEST.size :].split(b"\0", count + 1)
        self.env = dict(each.split(b"=", 1) for each in env.split(b"\0") if each)


class Stream:
    """stdout or stderr: a pipe that is drained into packets, up to a limit."""

    def __init__(self, kind: bytes, node: socket.socket) -> None:
        self.kind = kind
        self.node = node
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.write_fd, _F_SETPIPE_SZ, _PIPE_BYTES)  # fewer switches
        self.begin(limit=0, live=False)

    def begin(self, *, limit: int, live: bool) -> None:
        os.set_blocking(self.write_fd, True)  # the last action may have left its own flag there
        self.left, self.lost = limit, 0
        self.live, self.held = live, b""

    def pump(self) -> None:
        """Read once; pass on what is within the limit."""
        try:
            data = os.read(self.read_fd, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if len(data) > self.left:
            self.lost += len(data) - self.left
            data = data[: self.left]
        self.left -= len(data)
        self.held += data
        if self.live or len(self.held) >= _CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        for start in range(0, len(self.held), _CHUNK_BYTES):
            try:
                self.node.send(self.kind + self.held[start : start + _CHUNK_BYTES])
            except OSError:
                raise Gone from None
        self.held = b""


# -- helpers ---------------------------------------------------------------------------------------
def _find(program: bytes, search: bytes) -> bytes:
    """The file to execute: as given when it has a slash, else the first executable on `search`."""
    if b"/" in program:
        return program
    for folder in search.split(b":"):
        path = os.path.join(folder or b".", program)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    raise FileNotFoundError(errno.ENOENT, "not on the action's PATH", program)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _descendants(root: int) -> list[int]:
    """All processes below `root`, by the parents that /proc names."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found, queue = [], [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _resident_bytes(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
    return 0


def _proportional_bytes(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return _resident_bytes(pid)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _close_strays() -> None:
    """Whoever started the node may have left it descriptors, which nobody shall hand on."""
    for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
        if fd > _NODE_FD:
            with contextlib.suppress(OSError):  # the one that listed them
                os.close(fd)


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def main() -> None:
    config = json.loads(sys.argv[1])
    if config["namespace"] and os.getpid() != 1:
        sys.exit("not the first process of a pid namespace")  # kill(-1) would reach everybody
    _close_strays()
    # An action has our user id: it must not be able to trace us or open our descriptors.
    _prctl(_PR_SET_DUMPABLE, 0)
    if not config["namespace"]:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if config["namespace"]:
        for path in config["scratch"]:
            os.chmod(path, 0o1777)  # noqa: S103 - as any /tmp; this one is private
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    launcher = Launcher(config)
    launcher.node.send(b"H")
    launcher.serve()
