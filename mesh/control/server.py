"""The node's local API: JSON lines over the control port, one operation per connection.

    client: {"op": "run", "cwd": ..., ...}\\n
    node:   {"event": {"event": "plan", ...}}\\n ... then {"ok": view}\\n or {"error": ErrorView}\\n

Rules:
1. Only the user who runs the node (and root) is served: the port sees to it.
2. Closing or half-closing the connection cancels a streaming operation. With a half-close
   (`shutdown(SHUT_WR)`) the client still receives what the handler emits while it winds up.
3. Whatever a client or a handler does, the server goes on: bad input is a BadRequest, a MeshError
   is sent as it is, anything else becomes a Bug and is logged with its traceback.

Not here: what the operations do (the node's handlers), their parameters (`ops`), their answers
(`views`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import trio

from mesh.control import ops
from mesh.control.outbox import Outbox
from mesh.control.requests import error_view, parse_request, to_mesh_error
from mesh.errors import BadRequest, MeshError, RunCancelled
from mesh.limits import (
    CONTROL_CONNECTIONS_MAX,
    CONTROL_DRAIN_S,
    CONTROL_REQUEST_BYTES_MAX,
    CONTROL_REQUEST_TIMEOUT_S,
)
from mesh.ports import ByteStream, StreamBroken
from mesh.ports.machine import Control

Handler = Callable[[dict[str, Any], Outbox], Awaitable[Mapping[str, Any]]]
"""`async def handler(params, emit) -> view`. `emit(event)` sends an event and never blocks.

A handler that is cancelled (the client left) may still call `emit` while it unwinds.
"""

logger = logging.getLogger(__name__)


class ControlServer:
    """Serves `handlers` where the port listens. The home's lock must be held."""

    def __init__(self, control: Control, handlers: Mapping[str, Handler]) -> None:
        unknown = handlers.keys() - ops.OPS.keys()
        assert not unknown, f"handlers without an entry in ops.OPS: {sorted(unknown)}"
        self._control = control
        self._handlers = handlers
        self._slots = trio.CapacityLimiter(CONTROL_CONNECTIONS_MAX)
        self.counters: Counter[str] = Counter()
        """connections, bad_requests, errors, bugs, cancelled."""

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; `nursery.start` returns once clients can connect."""
        listener = await self._control.listen()
        try:
            task_status.started()
            await listener.serve(self._accept)
        finally:
            with trio.CancelScope(shield=True):
                await listener.aclose()

    async def _accept(self, stream: ByteStream) -> None:
        self.counters["connections"] += 1
        async with self._slots:
            try:
                await self._converse(stream)
            except Exception:
                self.counters["bugs"] += 1
                logger.exception("a control connection failed")

    async def _converse(self, stream: ByteStream) -> None:
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
        stream: ByteStream,
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


async def _read_line(stream: ByteStream) -> bytes:
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


async def _receive(stream: ByteStream) -> bytes:
    try:
        return await stream.receive_some(256 * 1024)
    except StreamBroken:
        return b""


async def _watch_for_end(stream: ByteStream, scope: trio.CancelScope) -> None:
    """Cancel `scope` when the client says no more. Bytes after the request mean nothing."""
    while await _receive(stream):
        pass
    scope.cancel()


async def _write(stream: ByteStream, outbox: Outbox, sent: trio.Event) -> None:
    try:
        while chunk := await outbox.next_chunk():
            await stream.send_all(chunk)
    except StreamBroken:
        outbox.break_off()
    sent.set()
