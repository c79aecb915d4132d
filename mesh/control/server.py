"""The node's local API: JSON lines over a unix socket, one operation per connection.

    client: {"op": "run", "cwd": ..., ...}\\n
    node:   {"event": {"event": "plan", ...}}\\n ... then {"ok": view}\\n or {"error": ErrorView}\\n

Rules:
1. Only the user who runs the node (and root) is served; file modes and peer credentials say so.
2. Closing or half-closing the connection cancels a streaming operation. With a half-close
   (`shutdown(SHUT_WR)`) the client still receives what the handler emits while it winds up.
3. Whatever a client or a handler does, the server goes on: bad input is a BadRequest, a MeshError
   is sent as it is, anything else becomes a Bug and is logged with its traceback.

Not here: what the operations do (the node's handlers), their parameters (`ops`), their answers
(`views`).
"""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import trio

from mesh.control import ops
from mesh.control.outbox import Outbox
from mesh.control.requests import error_view, parse_request, to_mesh_error
from mesh.control.socketfile import listening_socket, own_home, peer_uid
from mesh.errors import BadRequest, MeshError, RunCancelled
from mesh.limits import (
    CONTROL_CONNECTIONS_MAX,
    CONTROL_DRAIN_S,
    CONTROL_REQUEST_BYTES_MAX,
    CONTROL_REQUEST_TIMEOUT_S,
)

Handler = Callable[[dict[str, Any], Outbox], Awaitable[Mapping[str, Any]]]
"""`async def handler(params, emit) -> view`. `emit(event)` sends an event and never blocks.

A handler that is cancelled (the client left) may still call `emit` while it unwinds.
"""

logger = logging.getLogger(__name__)


class ControlServer:
    """Serves `handlers` at `path` (`<home>/control.sock`), and holds the home's lock meanwhile."""

    def __init__(
        self, path: Path, handlers: Mapping[str, Handler], *, home_is_owned: bool = False
    ) -> None:
        """`home_is_owned`: the caller holds the home's lock already."""
        unknown = handlers.keys() - ops.OPS.keys()
        assert not unknown, f"handlers without an entry in ops.OPS: {sorted(unknown)}"
        self._path = path
        self._home_is_owned = home_is_owned
        self._handlers = handlers
        self._slots = trio.CapacityLimiter(CONTROL_CONNECTIONS_MAX)
        self.counters: Counter[str] = Counter()
        """connections, refused, bad_requests, errors, bugs, cancelled."""

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; `nursery.start` returns once clients can connect.

        Raises NodeAlreadyRunning when another process owns this home.
        """
        lock = nullcontext() if self._home_is_owned else own_home(self._path.parent)
        with lock, listening_socket(self._path) as raw:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(raw))
            async with listener, trio.open_nursery() as nursery:
                await nursery.start(trio.serve_listeners, self._accept, [listener])
                task_status.started()

    async def _accept(self, stream: trio.SocketStream) -> None:
        async with stream:
            self.counters["connections"] += 1
            credentials = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if peer_uid(credentials) not in (os.getuid(), 0):
                self.counters["refused"] += 1
                return
            async with self._slots:
                try:
                    await self._converse(stream)
                except Exception:
                    self.counters["bugs"] += 1
                    logger.exception("a control connection failed")

    async def _converse(self, stream: trio.SocketStream) -> None:
        outbox, scope = Outbox(), trio.CancelScope()
        async with trio.open_nursery() as nursery:
            sent = trio.Event()
            nursery.start_soon(_write, stream, outbox, sent)
            final = await self._answer(stream, outbox, scope, nursery)
            self._finish(outbox, final)
            with trio.move_on_after(CONTROL_DRAIN_S):
                await sent.wait()
            nursery.cancel_scope.cancel()

    def _finish(self, outbox: Outbox, final: Mapping[str, Any]) -> None:
        try:
            outbox.finish(final)
        except (TypeError, ValueError) as error:  # a handler's view that is not JSON
            outbox.finish({"error": self._failed(error)})

    async def _answer(
        self,
        stream: trio.SocketStream,
        outbox: Outbox,
        scope: trio.CancelScope,
        nursery: trio.Nursery,
    ) -> dict[str, Any]:
        try:
            op, params = parse_request(await _read_line(stream))
            if op in ops.STREAMING_OPS:
                nursery.start_soon(_watch_for_end, stream, scope)
            with scope:
                return {"ok": await self._handler(op)(params, outbox)}
            self.counters["cancelled"] += 1
            return {"error": self._failed(RunCancelled())}
        except Exception as error:  # noqa: BLE001 - rule 3: nothing a handler does ends the server
            return {"error": self._failed(error)}

    def _handler(self, op: str) -> Handler:
        handler = self._handlers.get(op)
        if handler is None:
            raise BadRequest(why=f"this node does not offer `{op}`")
        return handler

    def _failed(self, error: Exception) -> dict[str, Any]:
        known = to_mesh_error(error)
        self.counters[_counter_of(known)] += 1
        if known.code == "VM999":
            logger.error("a control operation failed", exc_info=error)
        return dict(error_view(known))


def _counter_of(error: MeshError) -> str:
    if isinstance(error, BadRequest):
        return "bad_requests"
    return "bugs" if error.code == "VM999" else "errors"


async def _read_line(stream: trio.SocketStream) -> bytes:
    """The request's line without its end. Raises BadRequest."""
    buffer = bytearray()
    with trio.move_on_after(CONTROL_REQUEST_TIMEOUT_S):
        while True:
            data = await _receive(stream)
            line, newline, _ = data.partition(b"\n")
            buffer += line
            if len(buffer) > CONTROL_REQUEST_BYTES_MAX:
                raise BadRequest(why=f"longer than {CONTROL_REQUEST_BYTES_MAX} bytes")
            if newline:
                return bytes(buffer)
            if not data:
                raise BadRequest(why="it ended in the middle of a line")
    raise BadRequest(why=f"it did not arrive within {CONTROL_REQUEST_TIMEOUT_S:g} s")


async def _receive(stream: trio.SocketStream) -> bytes:
    try:
        return await stream.receive_some(256 * 1024)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return b""


async def _watch_for_end(stream: trio.SocketStream, scope: trio.CancelScope) -> None:
    """Cancel `scope` when the client says no more. Bytes after the request mean nothing."""
    while await _receive(stream):
        pass
    scope.cancel()


async def _write(stream: trio.SocketStream, outbox: Outbox, sent: trio.Event) -> None:
    try:
        while chunk := await outbox.next_chunk():
            await stream.send_all(chunk)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        outbox.break_off()
    sent.set()
