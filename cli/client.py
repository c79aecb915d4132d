"""One operation of the node's control socket, seen from the command line.

    client: {"op": ..., ...}
    node:   {"event": {...}} ... then {"ok": view} or {"error": {...}}     one line each

`mesh.control.views` documents what is sent. Only `socket` and `json`: a client must start in
milliseconds, and blocking calls are all it needs.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress

from cli.homes import dial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mesh.errors import MeshError

REPLY_TIMEOUT_S = 60.0
RECEIVE_BYTES = 256 * 1024
REPLY_BYTES_MAX = 256 * 1024 * 1024


class Call:
    """An operation under way. Raises NodeNotRunning or NodeForbidden when there is no node."""

    def __init__(self, home: str, op: str, **params: object) -> None:
        self.home = home
        self._buffer = bytearray()
        self._searched = 0
        self._socket = _connect(home)
        request = json.dumps({"op": op, **params}).encode("ascii") + b"\n"
        try:
            self._socket.sendall(request)
        except OSError:
            raise self._gone() from None

    def next(self, timeout_s: float | None = None) -> dict[str, Any] | None:
        """The next line, or None when none came in time. Raises NodeWentAway at the end."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            line = self._take_line()
            if line is not None:
                return line
            left_s = None if deadline_s is None else max(deadline_s - time.monotonic(), 0.0)
            if left_s == 0.0:
                return None
            self._socket.settimeout(left_s)
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except TimeoutError:
                return None
            except OSError:
                data = b""
            if not data:
                raise self._gone()
            self._buffer += data

    def result(
        self,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        timeout_s: float | None = REPLY_TIMEOUT_S,
    ) -> dict[str, Any]:
        """Wait for the view. Raises the node's error, or NodeDidNotAnswer after `timeout_s`
        without a line."""
        while True:
            line = self.next(timeout_s)
            if line is None:
                from mesh.errors import NodeDidNotAnswer

                raise NodeDidNotAnswer(seconds=f"{timeout_s:g}", log=log_path(self.home))
            if "event" in line:
                if on_event is not None:
                    on_event(line["event"])
                continue
            if "error" in line:
                raise to_error(line["error"])
            view: dict[str, Any] = line["ok"]
            return view

    def hang_up(self) -> None:
        """Ask no more: cancels a streaming operation, whose last lines can still be read."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_line(self) -> dict[str, Any] | None:
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            if self._searched > REPLY_BYTES_MAX:
                raise self._gone()
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        parsed: dict[str, Any] = json.loads(line)
        return parsed

    def _gone(self) -> MeshError:
        from mesh.errors import NodeWentAway

        return NodeWentAway(log=log_path(self.home))


def ask(home: str, op: str, **params: object) -> dict[str, Any]:
    """Do one operation that has no events of interest; return its view."""
    with Call(home, op, **params) as call:
        return call.result()


def log_path(home: str) -> str:
    return os.path.join(home, "node.log")


def to_error(view: dict[str, Any]) -> MeshError:
    """The node's error as the exception it was, so that it reads the same in every language."""
    from mesh.errors import MeshError, catalogue

    for cls in catalogue():
        if cls.code == view["code"]:
            try:
                cls(**view["params"]).next_step()
                cls(**view["params"]).message()
            except (KeyError, IndexError):
                break  # a node of another version, whose template has other fields
            return cls(**view["params"])
    unknown = type("ErrorFromNode", (MeshError,), {"__doc__": "{message}", "hint": "{hint}"})
    error: MeshError = unknown(message=view["message"], hint=view["hint"])
    error.code, error.exit_code = view["code"], view["exit_code"]  # type: ignore[misc]
    return error


def _connect(home: str) -> socket.socket:
    try:
        return dial(home)
    except PermissionError:
        from mesh.errors import NodeForbidden

        raise NodeForbidden(home=home) from None
    except OSError:
        from mesh.errors import NodeNotRunning

        raise NodeNotRunning(home=home) from None
