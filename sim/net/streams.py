"""`mesh.ports.Streams` of a simulated host: connections whose ends know each other.

The handshake has the round trips and the order of checks of TLS 1.3 as `mesh.ports.real.streams`
uses it, with real certificates but without cryptography (see `certificates`):

    dialler                      listener
    hello            ->
                     <-  certificate, and whether it wants one
    certificate/none ->      the dialler is done: being refused shows when it reads
                             the listener: among the anchors, and a member now?

Each message is a kind, a length and a body, so what is not of this kind is noise, and refused.
Deliberately not here: what connections are (`tcp`), and what is said over them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from mesh.limits import (
    CERTIFICATE_BYTES_MAX,
    CONNECT_TIMEOUT_S,
    HANDSHAKE_TIMEOUT_S,
    HANDSHAKES_MAX,
)
from mesh.ports import Accepted, StreamBroken, TrustStore
from mesh.types import Address, NodeId
from sim.net.certificates import is_trusted, node_of, own_der
from sim.net.end import End
from sim.net.host import off_wire
from sim.net.tcp import Refusal, TcpListener

if TYPE_CHECKING:
    from sim.net.sockets import Sockets

_log = logging.getLogger(__name__)
HELLO, SHOWS, SHOWS_AND_WANTS, NOTHING = b"H", b"C", b"W", b"N"
_HEAD_BYTES = 3
SWEEP_EVERY = 64


class SimStream:
    """An established stream. Implements `mesh.ports.ByteStream`."""

    def __init__(self, end: End) -> None:
        self.end = end

    async def send_all(self, data: bytes | memoryview) -> None:
        await self.end.send_all(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self.end.receive_some(max_bytes)

    async def receive_into(self, buffer: memoryview) -> int:
        data = await self.end.receive_some(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    async def aclose(self) -> None:
        self.end.close()
        await trio.lowlevel.checkpoint()


class SimListener:
    """Implements `mesh.ports.Listener`."""

    def __init__(
        self,
        streams: SimStreams,
        listener: TcpListener,
        greet: Callable[[End], Awaitable[Accepted]],
    ) -> None:
        self._streams = streams
        self._listener = listener
        self._greet = greet
        self._counters = streams.counters
        self._handshakes = 0
        self.address: Address = listener.address

    async def serve(self, handler: Callable[[Accepted], Awaitable[None]]) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                end = await self._listener.accept()
                nursery.start_soon(self._connection, end, handler)

    async def aclose(self) -> None:
        self._listener.close()
        await trio.lowlevel.checkpoint()

    def close_quietly(self) -> None:
        """Its process has ended."""
        self._listener.close(quietly=True)

    async def _connection(self, end: End, handler: Callable[[Accepted], Awaitable[None]]) -> None:
        accepted = await self._handshake(end)
        if accepted is None:
            return
        try:
            await handler(accepted)
        except StreamBroken:
            self._counters["broken"] += 1
        except Exception:  # noqa: BLE001 - a handler's bug must not take the listener down
            self._counters["handler-crashed"] += 1
            _log.exception("the handler of a connection from %s failed", accepted.address)
        finally:
            end.close()

    async def _handshake(self, end: End) -> Accepted | None:
        self._streams.keep(end)
        if self._handshakes >= HANDSHAKES_MAX:
            self._counters["too-many-handshakes"] += 1
            end.abort()
            return None
        self._handshakes += 1
        try:
            with trio.fail_after(HANDSHAKE_TIMEOUT_S):
                return await self._greet(end)
        except (StreamBroken, trio.TooSlowError) as error:
            reason = str(error) if isinstance(error, StreamBroken) else "handshake-failed"
            self._counters[reason] += 1
            end.abort()
            return None
        finally:
            self._handshakes -= 1


class SimStreams:
    """Implements `mesh.ports.Streams`. `counters` counts refused connections, by reason."""

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        self._host = sockets.host
        self._network = sockets.host.network
        self.counters: Counter[str] = Counter()
        self._ends: list[End] = []
        self._listeners: list[SimListener] = []

    async def listen(self, bind: Address, trust: TrustStore) -> SimListener:
        async def greet(end: End) -> Accepted:
            shown = await self._shake_listening(end, trust, wants=True)
            if shown is None or not is_trusted(shown, trust):
                raise StreamBroken("handshake-failed")
            node = node_of(shown)
            if not trust.is_member(node):
                raise StreamBroken("not-a-member")
            return Accepted(SimStream(end), node, off_wire(end.to))

        return await self._listen(bind, greet)

    async def listen_join(self, bind: Address, trust: TrustStore) -> SimListener:
        async def greet(end: End) -> Accepted:
            await self._shake_listening(end, trust, wants=False)
            return Accepted(SimStream(end), None, off_wire(end.to))

        return await self._listen(bind, greet)

    async def dial(self, to: Address, node: NodeId, trust: TrustStore) -> SimStream:
        if not trust.is_member(node):
            raise StreamBroken("not-a-member")
        end, shown = await self._dial(to, trust)
        if node_of(shown) != node or not trust.is_member(node):
            end.close()
            raise StreamBroken("another-node")
        return SimStream(end)

    async def dial_join(self, to: Address) -> tuple[SimStream, NodeId]:
        end, shown = await self._dial(to, None)
        try:
            return SimStream(end), node_of(shown)
        except StreamBroken:
            end.close()
            raise

    # -- lives -----------------------------------------------------------------------------------
    def keep(self, end: End) -> None:
        """To be ended with the process."""
        self._ends.append(end)
        if len(self._ends) % SWEEP_EVERY == 0:
            self._ends = [each for each in self._ends if not each.over]

    def close_all(self) -> None:
        """The process has ended."""
        for listener in self._listeners:
            listener.close_quietly()
        for end in self._ends:
            end.freeze_out()

    # -- inside ----------------------------------------------------------------------------------
    async def _listen(
        self, bind: Address, greet: Callable[[End], Awaitable[Accepted]]
    ) -> SimListener:
        await trio.lowlevel.checkpoint()
        listener = SimListener(self, self._network.connections.listen(self._host, bind), greet)
        self._listeners.append(listener)
        return listener

    async def _dial(self, to: Address, trust: TrustStore | None) -> tuple[End, bytes]:
        if not self._sockets.open:
            raise StreamBroken("the process has ended")
        try:
            with trio.fail_after(CONNECT_TIMEOUT_S):
                end = await self._network.connections.dial(self._host, to)
        except Refusal:
            raise StreamBroken("cannot connect: connection refused") from None
        except trio.TooSlowError:
            raise StreamBroken("cannot connect: timed out") from None
        self.keep(end)
        try:
            with trio.fail_after(HANDSHAKE_TIMEOUT_S):
                return end, await _shake_dialling(end, trust)
        except trio.TooSlowError:
            end.abort()
            raise StreamBroken("handshake timed out") from None
        except BaseException:
            end.abort()
            raise

    async def _shake_listening(self, end: End, trust: TrustStore, *, wants: bool) -> bytes | None:
        """The certificate shown to us."""
        if self._network.setting("stall-handshakes", self._host.address) is not None:
            await trio.sleep_forever()
        kind, _ = await _hear(end)
        if kind != HELLO:
            raise StreamBroken("handshake-failed")
        await _say(end, SHOWS_AND_WANTS if wants else SHOWS, own_der(trust))
        kind, shown = await _hear(end)
        if kind not in (SHOWS, NOTHING):
            raise StreamBroken("handshake-failed")
        return shown if kind == SHOWS else None


async def _shake_dialling(end: End, trust: TrustStore | None) -> bytes:
    """The listener's certificate, which is trusted if there is a `trust`."""
    await _say(end, HELLO)
    kind, shown = await _hear(end)
    if kind not in (SHOWS, SHOWS_AND_WANTS):
        raise StreamBroken("handshake-failed")
    if trust is not None and not is_trusted(shown, trust):
        raise StreamBroken("handshake-failed")
    if trust is not None and kind == SHOWS_AND_WANTS:
        await _say(end, SHOWS, own_der(trust))
    else:
        await _say(end, NOTHING)
    return shown


async def _say(end: End, kind: bytes, body: bytes = b"") -> None:
    await end.send_all(kind + len(body).to_bytes(2, "big") + body)


async def _hear(end: End) -> tuple[bytes, bytes]:
    """The next message: (kind, body). Raises StreamBroken for noise and ends."""
    head = await _exactly(end, _HEAD_BYTES)
    size_bytes = int.from_bytes(head[1:], "big")
    if size_bytes > CERTIFICATE_BYTES_MAX:
        raise StreamBroken("handshake-failed")
    return head[:1], await _exactly(end, size_bytes)


async def _exactly(end: End, size_bytes: int) -> bytes:
    heard = b""
    while len(heard) < size_bytes:
        more = await end.receive_some(size_bytes - len(heard))
        if not more:
            raise StreamBroken("handshake-failed")
        heard += more
    return heard
