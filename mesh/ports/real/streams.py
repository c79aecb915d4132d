"""Streams over TCP and TLS 1.3: the standard library's OpenSSL, driven by trio.

Rules:
* A connection of the members' door is somebody only after three checks: OpenSSL has verified that
  the peer holds the key of a certificate among our trust anchors, the node id is taken from that
  certificate, and that node is a member *now* (the roster may have changed since the handshake
  began).
* No session is ever resumed: a ticket would let a removed member back in without its certificate.
* Each connection is its own task; nothing one of them does stops the listener or another one.

A context costs a load of all anchors, so it is kept until `TrustStore.generation` moves.

Not here: host names, certificate authorities, expiry, revocation lists. Membership is all of these.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable

import attrs
import trio

from mesh.errors import AddressInUse
from mesh.limits import (
    CONNECT_TIMEOUT_S,
    HANDSHAKE_TIMEOUT_S,
    HANDSHAKES_MAX,
    KEEPALIVE_EVERY_S,
    KEEPALIVE_TRIES,
)
from mesh.ports import Accepted, StreamBroken, TrustStore
from mesh.ports.real.tls_stream import FittingSocket, Tls, TlsStream, close_tls
from mesh.types import Address, NodeId
from mesh.wire.certificate import node_of_certificate
from mesh.wire.errors import WireError

_log = logging.getLogger(__name__)
_KEEPALIVE = {
    "TCP_KEEPIDLE": KEEPALIVE_EVERY_S,
    "TCP_KEEPINTVL": KEEPALIVE_EVERY_S,
    "TCP_KEEPCNT": KEEPALIVE_TRIES,
    "TCP_USER_TIMEOUT": KEEPALIVE_EVERY_S * (KEEPALIVE_TRIES + 1) * 1000,
}


@attrs.define
class _Contexts:
    """The two contexts of one trust store, rebuilt when its generation moves."""

    trust: TrustStore
    _generation: int | None = None
    _server: ssl.SSLContext | None = None
    _client: ssl.SSLContext | None = None

    def server(self) -> ssl.SSLContext:
        self._refresh()
        assert self._server is not None
        return self._server

    def client(self) -> ssl.SSLContext:
        self._refresh()
        assert self._client is not None
        return self._client

    def _refresh(self) -> None:
        generation = self.trust.generation()
        if generation == self._generation:
            return
        self._server = _member_context(ssl.PROTOCOL_TLS_SERVER, self.trust)
        self._client = _member_context(ssl.PROTOCOL_TLS_CLIENT, self.trust)
        self._generation = generation


class TlsListener:
    """A bound TCP socket whose connections become streams. Implements `mesh.ports.Listener`."""

    def __init__(
        self,
        socket: trio.SocketListener,
        greet: Callable[[trio.SocketStream], Awaitable[Accepted]],
        counters: Counter[str],
    ) -> None:
        self._socket = socket
        self._greet = greet
        self._counters = counters
        self._handshakes = 0
        self.address: Address = socket.socket.getsockname()[:2]

    async def serve(self, handler: Callable[[Accepted], Awaitable[None]]) -> None:
        """Accept until cancelled; each connection is its own task and its failures are its own."""

        async def connection(stream: trio.SocketStream) -> None:
            await self._connection(stream, handler)

        await trio.serve_listeners(connection, [self._socket])

    async def aclose(self) -> None:
        """Accept no more; streams that are open stay."""
        await self._socket.aclose()

    async def _connection(
        self, stream: trio.SocketStream, handler: Callable[[Accepted], Awaitable[None]]
    ) -> None:
        accepted = await self._handshake(stream)
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
            await accepted.stream.aclose()

    async def _handshake(self, stream: trio.SocketStream) -> Accepted | None:
        if self._handshakes >= HANDSHAKES_MAX:
            self._counters["too-many-handshakes"] += 1
            await trio.aclose_forcefully(stream)
            return None
        self._handshakes += 1
        try:
            with trio.fail_after(HANDSHAKE_TIMEOUT_S):
                return await self._greet(stream)
        except (StreamBroken, trio.TooSlowError, OSError) as error:
            reason = str(error) if isinstance(error, StreamBroken) else "handshake-failed"
            self._counters[reason] += 1
            await trio.aclose_forcefully(stream)
            return None
        finally:
            self._handshakes -= 1


class RealStreams:
    """Implements `mesh.ports.Streams`. `counters` counts refused connections, by reason."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._contexts: dict[int, _Contexts] = {}

    async def listen(self, bind: Address, trust: TrustStore) -> TlsListener:
        """The members' door. Raises AddressInUse."""
        contexts = self._contexts_of(trust)

        async def greet(stream: trio.SocketStream) -> Accepted:
            address = _peer_address(stream)
            tls = await _shake(stream, contexts.server(), server_side=True)
            node = _peer_node(tls)
            if not trust.is_member(node):
                raise StreamBroken("not-a-member")
            return Accepted(TlsStream(tls), node, address)

        return TlsListener(await _bind(bind), greet, self.counters)

    async def dial(self, to: Address, node: NodeId, trust: TrustStore) -> TlsStream:
        """Connect to the member `node`. Raises StreamBroken.

        The other side judges us only after we are done, so being refused shows at the first
        `receive_some`.
        """
        if not trust.is_member(node):
            raise StreamBroken("not-a-member")
        tls = await _dial(to, self._contexts_of(trust).client())
        if _peer_node(tls) != node or not trust.is_member(node):
            await close_tls(tls)
            raise StreamBroken("another-node")
        return TlsStream(tls)

    async def listen_join(self, bind: Address, trust: TrustStore) -> TlsListener:
        """The join door: strangers welcome, only we show a certificate. Raises AddressInUse."""
        context = _context(ssl.PROTOCOL_TLS_SERVER)
        _load_own(context, trust)

        async def greet(stream: trio.SocketStream) -> Accepted:
            address = _peer_address(stream)
            tls = await _shake(stream, context, server_side=True)
            return Accepted(TlsStream(tls), None, address)

        return TlsListener(await _bind(bind), greet, self.counters)

    async def dial_join(self, to: Address) -> tuple[TlsStream, NodeId]:
        """Connect to a join door; the node id is the one whose key TLS proved. StreamBroken."""
        tls = await _dial(to, _context(ssl.PROTOCOL_TLS_CLIENT))
        try:
            return TlsStream(tls), _peer_node(tls)
        except StreamBroken:
            await close_tls(tls)
            raise

    def _contexts_of(self, trust: TrustStore) -> _Contexts:
        # A node has one trust store; the bound is for tests, which make many.
        if id(trust) not in self._contexts or self._contexts[id(trust)].trust is not trust:
            self._contexts[id(trust)] = _Contexts(trust)
            while len(self._contexts) > 64:
                self._contexts.pop(next(iter(self._contexts)))
        return self._contexts[id(trust)]


# -- contexts ------------------------------------------------------------------------------------
def _context(protocol: ssl._SSLMethod) -> ssl.SSLContext:
    """TLS 1.3 and nobody verified."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    return context


def _member_context(protocol: ssl._SSLMethod, trust: TrustStore) -> ssl.SSLContext:
    """TLS 1.3 between members: both show certificates, the roster's are the only anchors."""
    context = _context(protocol)
    context.verify_mode = ssl.CERT_REQUIRED
    # The anchors are end-entity certificates, not authorities.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _load_own(context, trust)
    _load_anchors(context, trust.anchors())
    return context


def _load_own(context: ssl.SSLContext, trust: TrustStore) -> None:
    """`ssl` reads keys from files only: a file in memory keeps the key off the disk."""
    certificate, key = trust.own_certificate()
    descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(certificate + key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _load_anchors(context: ssl.SSLContext, anchors: tuple[bytes, ...]) -> None:
    """All at once, or, when OpenSSL dislikes one that we accepted, all but that one."""
    if not anchors:
        return
    try:
        context.load_verify_locations(cadata=b"".join(anchors))
    except ssl.SSLError:
        for anchor in anchors:
            _load_anchor(context, anchor)


def _load_anchor(context: ssl.SSLContext, anchor: bytes) -> None:
    try:
        context.load_verify_locations(cadata=anchor)
    except ssl.SSLError:
        return  # that member cannot connect; nobody else is hurt


# -- connections ---------------------------------------------------------------------------------
async def _bind(bind: Address) -> trio.SocketListener:
    host, port = bind
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise AddressInUse(host=host, port=port, why=error.strerror or str(error)) from None
    assert len(listeners) == 1, "a literal address is one socket"
    return listeners[0]


async def _dial(to: Address, context: ssl.SSLContext) -> Tls:
    host, port = to
    try:
        with trio.fail_after(CONNECT_TIMEOUT_S):
            stream = await trio.open_tcp_stream(host, port)
    except (OSError, trio.TooSlowError) as error:
        raise StreamBroken(f"cannot connect: {error or 'timed out'}") from None
    try:
        with trio.fail_after(HANDSHAKE_TIMEOUT_S):
            return await _shake(stream, context, server_side=False)
    except trio.TooSlowError:
        await trio.aclose_forcefully(stream)
        raise StreamBroken("handshake timed out") from None
    except BaseException:
        await trio.aclose_forcefully(stream)  # closes at once, also when cancelled
        raise


async def _shake(stream: trio.SocketStream, context: ssl.SSLContext, *, server_side: bool) -> Tls:
    tls: Tls = trio.SSLStream(FittingSocket(stream), context, server_side=server_side)
    try:
        _notice_dead_ends(stream)
        await tls.do_handshake()
    except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError, OSError) as error:
        raise StreamBroken("handshake-failed") from error
    return tls


def _notice_dead_ends(stream: trio.SocketStream) -> None:
    """Have the kernel find out that the other machine is gone: unplugged, or behind a router that
    has forgotten the connection. A frozen process is not that: its kernel still answers."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            stream.setsockopt(socket.IPPROTO_TCP, option, value)


def _peer_node(tls: Tls) -> NodeId:
    der = tls.getpeercert(binary_form=True)
    if der is None:
        raise StreamBroken("no-certificate")
    try:
        return node_of_certificate(der)
    except WireError:
        raise StreamBroken("bad-certificate") from None


def _peer_address(stream: trio.SocketStream) -> Address:
    try:
        host, port = stream.socket.getpeername()[:2]
    except OSError:
        raise StreamBroken("gone") from None
    return str(host), int(port)
