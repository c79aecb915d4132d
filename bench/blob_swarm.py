"""Moving one large blob between nodes, for `blobs.py`.

    swarm   from several holders, each of which sends at most so many bytes a second: what share of
            their sum arrives, from the call of `fetch` to the blob in the store
    node    from one holder that sends as fast as it can: every chunk hashed, compared and written
    tls     the same number of bytes through a plain `ssl` TLS 1.3 socket in chunks of the same
            size, from a process like the holder's to a reader that throws them away
    floor   the same, to a reader that hashes every chunk and writes it to a file: what nobody can
            do without who checks and keeps what he is sent, and no more than that

Nodes are processes of their own (`blob_host.py`), on 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import attrs
import trio
from blob_host import make_node

from mesh.identity.certificates import certificate_pem, private_key_pem
from mesh.identity.messages import PeerAddress
from mesh.limits import BLOB_CHUNK_BYTES
from mesh.node.blobs import Expected
from mesh.node.node import Node
from mesh.types import Digest
from sim.members import found

HERE = Path(__file__).resolve().parent
PATIENCE_S = 120.0


@contextlib.contextmanager
def holders(
    folder: Path, count: int, size: int, rate: int
) -> Iterator[tuple[list[PeerAddress], Digest]]:
    """So many processes with the blob."""
    members = found(count + 1).members
    with contextlib.ExitStack() as stack:
        hosts = []
        for index in range(1, count + 1):
            argv = [sys.executable, str(HERE / "blob_host.py"), "--index", str(index)]
            argv += ["--total", str(count + 1), "--folder", str(folder / str(index))]
            argv += ["--size", str(size), "--rate", str(rate)]
            hosts.append(
                stack.enter_context(
                    subprocess.Popen(
                        argv,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL,
                        text=True,
                    )
                )
            )
        peers = []
        blob = b""
        for member, host in zip(members[1:], hosts, strict=True):
            assert host.stdout is not None
            word, port_text, name = host.stdout.readline().split()
            assert word == "ready"
            port, blob = int(port_text), bytes.fromhex(name)
            peers.append(PeerAddress(member.node_id, "127.0.0.1", port, port, port + 1))
        yield peers, Digest(blob)
        for host in hosts:
            assert host.stdin is not None
            host.stdin.close()


@attrs.frozen(order=True)
class Took:
    """Of the receiver; ordered by the clock on the wall."""

    wall_s: float
    processor_s: float


def fetch_seconds(count: int, size: int, rate: int) -> Took:
    """One blob from `count` holders into the store of a node in this process."""
    with tempfile.TemporaryDirectory(prefix="vitte-bench-") as directory:
        folder = Path(directory)
        with holders(folder, count, size, rate) as (peers, blob):
            node = make_node(0, count + 1, folder / "0")
            return trio.run(_fetch, node, peers, blob, size)


async def _fetch(node: Node, peers: list[PeerAddress], blob: Digest, size: int) -> Took:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        with trio.fail_after(PATIENCE_S):
            while not node.came_up:  # noqa: ASYNC110 - it tells nobody
                await trio.sleep(0.01)
            node.runtime.meet(peers)
            while len(node.runtime.links.by_node) < len(peers):  # noqa: ASYNC110
                await trio.sleep(0.01)
        sources = [peer.node_id for peer in peers]
        started, used = time.perf_counter(), time.process_time()
        missing = await node.runtime.blobs.fetch([blob], sources, None, Expected({blob: size}))
        took = Took(time.perf_counter() - started, time.process_time() - used)
        assert not missing, node.runtime.blobs.counters.snapshot()
        assert node.workshop.store.size(blob) == size
        nursery.cancel_scope.cancel()
    return took


# -- what TLS alone does ---------------------------------------------------------------------------
SENDER = """
import socket, ssl, sys
port, size, chunk, pem = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.minimum_version = ssl.TLSVersion.TLSv1_3
context.load_cert_chain(pem)
with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_side=True) as tls:
    data = bytes(chunk)
    for _ in range(size // chunk):
        tls.sendall(data)
    tls.recv(1)
"""


def tls_seconds(size: int, *, keep: bool = False) -> Took:
    """`size` bytes through a bare TLS stream; with `keep` they are hashed and written to a file."""
    member = found(2).members[1]
    with (
        tempfile.TemporaryDirectory(prefix="vitte-bench-") as directory,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        pem = Path(directory) / "pem"
        pem.write_bytes(certificate_pem(member.certificate) + private_key_pem(member.key))
        argv = [str(server.getsockname()[1]), str(size), str(BLOB_CHUNK_BYTES), str(pem)]
        with subprocess.Popen([sys.executable, "-c", SENDER, *argv]) as sender:
            connection, _ = server.accept()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(connection) as tls:
                started, used = time.perf_counter(), time.process_time()
                if keep:
                    _keep_all(tls, Path(directory) / "blob", size)
                else:
                    _drop_all(tls, size)
                took = Took(time.perf_counter() - started, time.process_time() - used)
                tls.send(b".")
            sender.wait(PATIENCE_S)
    return took


def _drop_all(tls: ssl.SSLSocket, size: int) -> None:
    buffer = bytearray(BLOB_CHUNK_BYTES)
    while size > 0:
        size -= tls.recv_into(buffer)


def _keep_all(tls: ssl.SSLSocket, path: Path, size: int) -> None:
    chunk = memoryview(bytearray(BLOB_CHUNK_BYTES))
    digests = []
    with path.open("wb", buffering=0) as file:
        for _ in range(size // BLOB_CHUNK_BYTES):
            got = 0
            while got < len(chunk):
                got += tls.recv_into(chunk[got:])
            digests.append(sha256(chunk).digest())
            file.write(chunk)
    assert len(digests) == size // BLOB_CHUNK_BYTES
