"""Streams over real TLS on 127.0.0.1: members meet, everybody else stays outside."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import attrs
import pytest
import trio

from mesh.errors import AddressInUse
from mesh.identity.certificates import certificate_pem, make_certificate, private_key_pem
from mesh.identity.keys import NodeKey
from mesh.limits import HANDSHAKES_MAX
from mesh.ports import Accepted, StreamBroken
from mesh.ports.real import streams as real
from mesh.ports.real.streams import RealStreams, TlsListener
from mesh.types import Address, NodeId

LOCALHOST = ("127.0.0.1", 0)


@attrs.define(eq=False)
class Node:
    """A key, its certificate, and whom it trusts: the smallest TrustStore."""

    name: str
    trusted: dict[NodeId, bytes] = attrs.field(factory=dict)
    changes: int = 0
    key: NodeKey = attrs.field(init=False)
    certificate: bytes = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.key = NodeKey(sha256(self.name.encode()).digest())
        self.certificate = make_certificate(self.key, self.name)

    @property
    def node_id(self) -> NodeId:
        return self.key.node_id

    def trusts(self, *others: Node) -> None:
        self.trusted = {other.node_id: other.certificate for other in others}
        self.changes += 1

    def own_certificate(self) -> tuple[bytes, bytes]:
        return certificate_pem(self.certificate), private_key_pem(self.key)

    def anchors(self) -> tuple[bytes, ...]:
        return tuple(self.trusted.values())

    def is_member(self, node: NodeId) -> bool:
        return node in self.trusted

    def generation(self) -> int:
        return self.changes


def mesh_of(*names: str) -> list[Node]:
    nodes = [Node(name) for name in names]
    for node in nodes:
        node.trusts(*nodes)
    return nodes


@attrs.define
class Server:
    address: Address
    streams: RealStreams
    accepted: list[Accepted]

    async def counted(self, reason: str, times: int = 1) -> None:
        with trio.fail_after(10):
            while self.streams.counters[reason] < times:  # noqa: ASYNC110 - counters tell nobody
                await trio.sleep(0.002)


Handler = Callable[[Accepted], Awaitable[None]]


async def echo(accepted: Accepted) -> None:
    while data := await accepted.stream.receive_some():
        await accepted.stream.send_all(data)


@asynccontextmanager
async def serving(
    node: Node, handler: Handler = echo, *, join_door: bool = False
) -> AsyncIterator[Server]:
    streams = RealStreams()
    listen = streams.listen_join if join_door else streams.listen
    listener: TlsListener = await listen(LOCALHOST, node)
    server = Server(listener.address, streams, [])

    async def remember(accepted: Accepted) -> None:
        server.accepted.append(accepted)
        await handler(accepted)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, remember)
        yield server
        nursery.cancel_scope.cancel()
    await listener.aclose()


async def is_turned_away(client: Node, server: Server, to: Node) -> bool:
    """A refused client notices at its first read at the latest."""
    try:
        stream = await RealStreams().dial(server.address, to.node_id, client)
    except StreamBroken:
        return True
    try:
        await stream.send_all(b"hello")
        return await stream.receive_some() == b""
    except StreamBroken:
        return True
    finally:
        await stream.aclose()


async def says(stream, data: bytes) -> bytes:
    await stream.send_all(data)
    heard = b""
    while len(heard) < len(data):
        more = await stream.receive_some()
        assert more
        heard += more
    return heard


async def test_two_members_meet_and_each_knows_the_other() -> None:
    alice, bob = mesh_of("alice", "bob")
    async with serving(alice) as server:
        stream = await RealStreams().dial(server.address, alice.node_id, bob)
        assert await says(stream, b"x" * 300_000) == b"x" * 300_000
        await stream.aclose()
        assert server.accepted[0].peer == bob.node_id
        assert server.accepted[0].address[0] == "127.0.0.1"


async def test_it_is_tls_1_3_without_tickets_and_without_delay() -> None:
    alice, bob = mesh_of("alice", "bob")
    async with serving(alice) as server:
        stream = await RealStreams().dial(server.address, alice.node_id, bob)
        assert await says(stream, b"x") == b"x"
        tls = stream._tls
        assert tls.version() == "TLSv1.3"
        assert not tls._ssl_object.session.has_ticket
        assert tls.transport_stream.inner.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await stream.aclose()


async def test_the_end_is_empty_bytes_and_a_cut_is_an_error() -> None:
    alice, bob = mesh_of("alice", "bob")

    async def close_or_cut(accepted: Accepted) -> None:
        if await accepted.stream.receive_some() == b"cut":
            await trio.aclose_forcefully(accepted.stream._tls.transport_stream)

    async with serving(alice, close_or_cut) as server:
        stream = await RealStreams().dial(server.address, alice.node_id, bob)
        await stream.send_all(b"close")
        assert await stream.receive_some() == b""
        await stream.aclose()
        stream = await RealStreams().dial(server.address, alice.node_id, bob)
        await stream.send_all(b"cut")
        with pytest.raises(StreamBroken):
            await stream.receive_some()
        await stream.aclose()
        with pytest.raises(StreamBroken):
            await stream.send_all(b"after the end")


async def test_a_stranger_does_not_get_in() -> None:
    alice, bob = mesh_of("alice", "bob")
    mallory = Node("mallory")
    mallory.trusts(alice, bob)
    async with serving(alice) as server:
        assert await is_turned_away(mallory, server, alice)
        await server.counted("handshake-failed")
        assert server.accepted == []


async def test_a_stranger_with_a_members_certificate_but_another_key_does_not_get_in() -> None:
    alice, _ = mesh_of("alice", "bob")
    mallory = Node("mallory")
    mallory.trusts(alice)
    mallory.certificate = make_certificate(mallory.key, "bob")
    async with serving(alice) as server:
        assert await is_turned_away(mallory, server, alice)
        await server.counted("handshake-failed")


async def test_a_member_cannot_vouch_for_another_key() -> None:
    """The anchors are no authorities: a chain below one is worth nothing."""
    alice, bob = mesh_of("alice", "bob")
    chain, key = forged_chain(signer=bob, subject=NodeKey(b"m" * 32))
    async with serving(alice) as server:
        context = client_with(chain, key)
        stream = await trio.open_tcp_stream(*server.address)
        tls = trio.SSLStream(stream, context)
        with contextlib.suppress(trio.BrokenResourceError):
            await tls.do_handshake()
        with pytest.raises(trio.BrokenResourceError):
            await tls.receive_some()
        await trio.aclose_forcefully(tls)
        await server.counted("handshake-failed")
        assert server.accepted == []


def forged_chain(signer: Node, subject: NodeKey) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding

    issuer = x509.load_der_x509_certificate(signer.certificate)
    certificate = (
        x509.CertificateBuilder(issuer.subject, issuer.subject)
        .public_key(Ed25519PrivateKey.from_private_bytes(subject.seed).public_key())
        .serial_number(2)
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(issuer.not_valid_after_utc)
        .sign(Ed25519PrivateKey.from_private_bytes(signer.key.seed), None)
    )
    chain = certificate.public_bytes(Encoding.PEM) + certificate_pem(signer.certificate)
    return chain, private_key_pem(subject)


def client_with(certificate: bytes, key: bytes) -> ssl.SSLContext:
    class Own:
        def own_certificate(self) -> tuple[bytes, bytes]:
            return certificate, key

    context = real._context(ssl.PROTOCOL_TLS_CLIENT)
    real._load_own(context, Own())
    return context


async def test_somebody_without_any_certificate_does_not_get_in() -> None:
    alice, _ = mesh_of("alice", "bob")
    async with serving(alice) as server:
        stream, node = await RealStreams().dial_join(server.address)
        assert node == alice.node_id
        with pytest.raises(StreamBroken):
            await stream.receive_some()
        await stream.aclose()
        assert server.accepted == []


async def test_a_dialler_wants_exactly_that_node() -> None:
    alice, bob, carol = mesh_of("alice", "bob", "carol")
    async with serving(alice) as server:
        with pytest.raises(StreamBroken, match="another-node"):
            await RealStreams().dial(server.address, carol.node_id, bob)


async def test_a_dialler_does_not_talk_to_strangers() -> None:
    alice, bob = mesh_of("alice", "bob")
    mallory = Node("mallory")
    mallory.trusts(alice, bob, mallory)
    async with serving(mallory) as server:
        with pytest.raises(StreamBroken):
            await RealStreams().dial(server.address, alice.node_id, bob)
        with pytest.raises(StreamBroken, match="not-a-member"):
            await RealStreams().dial(server.address, mallory.node_id, bob)


async def test_a_new_member_gets_in_and_a_removed_one_does_not_any_more() -> None:
    alice, bob, carol = mesh_of("alice", "bob", "carol")
    alice.trusts(alice, bob)
    carol_streams = RealStreams()
    async with serving(alice) as server:
        assert await is_turned_away(carol, server, alice)
        alice.trusts(alice, bob, carol)
        stream = await carol_streams.dial(server.address, alice.node_id, carol)
        assert await says(stream, b"hello") == b"hello"
        await stream.aclose()
        alice.trusts(alice, bob)
        assert await is_turned_away(carol, server, alice)
        bob_stream = await RealStreams().dial(server.address, alice.node_id, bob)
        assert await says(bob_stream, b"hello") == b"hello"
        await bob_stream.aclose()


async def test_somebody_removed_during_its_handshake_is_turned_away() -> None:
    """The context still trusts it; the last question to the trust store does not."""
    alice, bob = mesh_of("alice", "bob")
    async with serving(alice) as server:
        del alice.trusted[bob.node_id]
        alice.trusted[bob.node_id + b"?"] = bob.certificate  # still an anchor, no member any more
        assert await is_turned_away(bob, server, alice)
        await server.counted("not-a-member")


async def test_one_bad_anchor_does_not_shut_the_others_out() -> None:
    alice, bob = mesh_of("alice", "bob")
    alice.trusted[NodeId(b"x" * 32)] = b"\x30\x03\x02\x01\x01"
    alice.changes += 1
    async with serving(alice) as server:
        stream = await RealStreams().dial(server.address, alice.node_id, bob)
        assert await says(stream, b"hello") == b"hello"
        await stream.aclose()


async def test_a_silent_connection_does_not_hold_up_others() -> None:
    alice, bob = mesh_of("alice", "bob")
    async with serving(alice) as server:
        silent = [await trio.open_tcp_stream(*server.address) for _ in range(5)]
        stream = await RealStreams().dial(server.address, alice.node_id, bob)
        assert await says(stream, b"hello") == b"hello"
        await stream.aclose()
        for connection in silent:
            await trio.aclose_forcefully(connection)
        await server.counted("handshake-failed", 5)


async def test_a_silent_connection_is_given_up(monkeypatch) -> None:
    monkeypatch.setattr(real, "HANDSHAKE_TIMEOUT_S", 0.05)
    (alice,) = mesh_of("alice")
    async with serving(alice) as server:
        silent = await trio.open_tcp_stream(*server.address)
        with trio.fail_after(10):
            assert await silent.receive_some() == b""
        await silent.aclose()
        assert server.streams.counters["handshake-failed"] == 1


async def test_a_flood_of_silent_connections_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(real, "HANDSHAKES_MAX", 4)
    assert HANDSHAKES_MAX > 4
    (alice,) = mesh_of("alice")
    async with serving(alice) as server:
        silent = [await trio.open_tcp_stream(*server.address) for _ in range(7)]
        await server.counted("too-many-handshakes", 3)
        for connection in silent:
            await trio.aclose_forcefully(connection)


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 99])
async def test_noise_is_counted_and_the_door_stays_open(noise: bytes) -> None:
    alice, bob = mesh_of("alice", "bob")
    async with serving(alice) as server:
        noisy = await trio.open_tcp_stream(*server.address)
        await noisy.send_all(noise)
        await server.counted("handshake-failed")
        await noisy.aclose()
        assert not await is_turned_away(bob, server, alice)


async def test_a_handler_that_crashes_hurts_only_its_connection(caplog) -> None:
    alice, bob = mesh_of("alice", "bob")

    async def crash_once(accepted: Accepted) -> None:
        if await accepted.stream.receive_some() == b"crash":
            raise ZeroDivisionError
        await accepted.stream.send_all(b"fine")

    async with serving(alice, crash_once) as server:
        first = await RealStreams().dial(server.address, alice.node_id, bob)
        await first.send_all(b"crash")
        assert await first.receive_some() == b""
        await first.aclose()
        second = await RealStreams().dial(server.address, alice.node_id, bob)
        await second.send_all(b"be nice")
        assert await second.receive_some() == b"fine"
        await second.aclose()
        assert server.streams.counters["handler-crashed"] == 1
    assert "ZeroDivisionError" in caplog.text


async def test_an_older_tls_is_refused() -> None:
    alice, bob = mesh_of("alice", "bob")
    context = client_with(*bob.own_certificate())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(alice) as server:
        tls = trio.SSLStream(await trio.open_tcp_stream(*server.address), context)
        with pytest.raises(trio.BrokenResourceError):
            await tls.do_handshake()
        await trio.aclose_forcefully(tls)
        await server.counted("handshake-failed")


async def test_the_join_door_takes_strangers_and_shows_who_it_is() -> None:
    (alice,) = mesh_of("alice")
    async with serving(alice, join_door=True) as server:
        stream, node = await RealStreams().dial_join(server.address)
        assert node == alice.node_id
        assert await says(stream, b"knock") == b"knock"
        await stream.aclose()
        assert server.accepted[0].peer is None


async def test_a_taken_address_is_said() -> None:
    (alice,) = mesh_of("alice")
    async with serving(alice) as server:
        with pytest.raises(AddressInUse) as caught:
            await RealStreams().listen(server.address, alice)
        assert caught.value.params["port"] == server.address[1]
        with pytest.raises(AddressInUse):
            await RealStreams().listen_join(server.address, alice)


async def test_nobody_there_is_a_broken_stream() -> None:
    alice, bob = mesh_of("alice", "bob")
    listener = await RealStreams().listen(LOCALHOST, alice)
    await listener.aclose()
    with pytest.raises(StreamBroken, match="cannot connect"):
        await RealStreams().dial(listener.address, alice.node_id, bob)
    with pytest.raises(StreamBroken, match="cannot connect"):
        await RealStreams().dial_join(listener.address)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_making_contexts_leaks_no_descriptors() -> None:
    (alice,) = mesh_of("alice")
    gc.collect()
    before = open_descriptors()
    for _ in range(20):
        real._member_context(ssl.PROTOCOL_TLS_SERVER, alice)
    assert open_descriptors() == before
