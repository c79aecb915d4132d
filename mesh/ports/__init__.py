"""The only doors to the outside: one protocol per kind of I/O, bundled in `Env`.

Everything a node does to the world goes through these, so that the simulator can replace every one
of them. `mesh.ports.real` holds the real ones; a contract test suite runs against every
implementation. Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

import attrs

from mesh.ports.actions import Actions
from mesh.ports.disk import Disk as Disk
from mesh.ports.machine import Control, Readings
from mesh.ports.serial import Serial as Serial
from mesh.types import Address, NodeId
from mesh.wire.straight import quick

T = TypeVar("T")


class Timer(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None:
        """Let it not happen; harmless when it has."""
        ...


class Clock(Protocol):
    """Time. Timeouts use `monotonic`; `wall` is for display and for the expiry of invitations."""

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 UTC; may jump."""
        ...

    async def sleep_until(self, deadline_s: float) -> None:
        """Return once `monotonic()` has reached `deadline_s`."""
        ...

    def call_at(self, deadline_s: float, fn: Callable[[], None]) -> Timer:
        """Call `fn` once `monotonic()` has reached `deadline_s`, in the event loop: it must not
        block, and what it raises is logged and goes no further. Never called from within
        `call_at`. Cheaper than a task that sleeps: use it for everything periodic. Ends silently
        with the event loop."""
        ...


class Entropy(Protocol):
    """Randomness: `token` for secrets and names, `random` for choices of protocols."""

    def token(self, size_bytes: int) -> bytes: ...

    def random(self) -> float:
        """A float in [0, 1)."""
        ...


@quick
@attrs.frozen
class Arrived:
    """A datagram that came in."""

    data: bytes
    """Up to DATAGRAM_BYTES_MAX + 1 bytes: one too many says that it was larger."""
    source: Address
    arrived_s: float
    """Monotonic time at which this machine took it off the network, which may be long before it
    was read: late acks are judged by this."""


@attrs.frozen
class Refused:
    """An answer of the network: nobody listens at `to` (ICMP port unreachable)."""

    to: Address
    """Where our datagram went."""
    quoted: bytes
    """The beginning of our datagram as the notice quotes it; only a match with something really
    sent makes the notice worth anything, because anybody can forge one."""


class DatagramPort(Protocol):
    """One bound UDP socket (or its simulated twin)."""

    @property
    def address(self) -> Address: ...

    def send(self, data: bytes, to: Address) -> None:
        """Send; a datagram that cannot be sent is lost, never an error."""
        ...

    async def serve(self, handler: Callable[[Sequence[Arrived | Refused]], None]) -> None:
        """Call `handler` whenever something has come in, with all of it in order of arrival, until
        cancelled. The handler runs in the event loop and must not raise; no task wakes up in the
        simulator."""
        ...

    def take_waiting(self) -> Sequence[Arrived | Refused]:
        """What has come in and was not given to the handler yet. A timer's callback takes it
        before it judges anybody's silence."""
        ...

    def close(self) -> None: ...


class Datagrams(Protocol):
    async def open(self, bind: Address) -> DatagramPort:
        """Bind. Port 0 chooses a free one. Raises `AddressInUse`."""
        ...


class ByteStream(Protocol):
    """A bidirectional byte stream; the shape of a trio Stream with `send_eof`."""

    async def send_all(self, data: bytes | memoryview) -> None:
        """All of `data`, which must not change before this returns."""
        ...

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return b"" at the end. Raises `StreamBroken` when the connection is lost."""
        ...

    async def receive_into(self, buffer: memoryview) -> int:
        """As `receive_some`, into memory of the caller's: what has arrived, as much as fits into
        `buffer`, which is not empty. How many bytes; 0 at the end."""
        ...

    async def aclose(self) -> None: ...


class StreamBroken(Exception):
    """The connection was lost, refused, or the other side is not who it must be."""


@attrs.frozen
class Accepted:
    """A stream that arrived, and what its TLS certificate proved about the other side."""

    stream: ByteStream
    peer: NodeId | None
    """The member's node id; None on the join door, where strangers knock."""
    address: Address


class TrustStore(Protocol):
    """Who we are and whom we trust, asked anew at every handshake."""

    def own_certificate(self) -> tuple[bytes, bytes]:
        """(certificate, private key) in PEM."""
        ...

    def anchors(self) -> tuple[bytes, ...]:
        """The certificates of the admitted members, DER."""
        ...

    def is_member(self, node: NodeId) -> bool: ...

    def generation(self) -> int:
        """Changes whenever `anchors` does, so that contexts can be cached."""
        ...


class Listener(Protocol):
    @property
    def address(self) -> Address: ...

    async def serve(self, handler: Callable[[Accepted], Awaitable[None]]) -> None:
        """Accept until cancelled; each connection's handler runs as its own task."""
        ...

    async def aclose(self) -> None: ...


class Streams(Protocol):
    """Authenticated, encrypted streams: TLS 1.3 in the real world."""

    @property
    def counters(self) -> Mapping[str, int]:
        """Connections that were refused or ended badly, by reason; nobody knows whose they were."""
        ...

    async def listen(self, bind: Address, trust: TrustStore) -> Listener:
        """The members' door: mutual TLS; a stranger's handshake fails. Raises `AddressInUse`."""
        ...

    async def dial(self, to: Address, node: NodeId, trust: TrustStore) -> ByteStream:
        """Connect to a member and check that it is `node`. Raises StreamBroken."""
        ...

    async def listen_join(self, bind: Address, trust: TrustStore) -> Listener:
        """The join door: TLS, only the server shows a certificate. Raises `AddressInUse`."""
        ...

    async def dial_join(self, to: Address) -> tuple[ByteStream, NodeId]:
        """Connect to a join door; returns the node id its certificate claims. It proves that the
        other side holds that key and nothing else: the join protocol checks who that is. Raises
        StreamBroken."""
        ...


@attrs.frozen
class SpawnRequest:
    """A process to run in place, without a sandbox."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str


@attrs.frozen
class ProcessEnd:
    """How it ended: the exit status, or minus the signal that ended it."""

    exit_status: int
    stdout: bytes
    stderr: bytes


class Exec(Protocol):
    """Work outside the event loop: threads for blocking calls, processes for actions."""

    async def run_sync(self, fn: Callable[..., T], *args: Any) -> T:
        """Run a blocking function in a worker thread."""
        ...

    async def run_process(self, request: SpawnRequest) -> ProcessEnd:
        """Run a process to its end. When cancelled its whole process group is killed. Raises
        CannotSpawn."""
        ...

    def launcher(
        self, argv: Sequence[str], env: Mapping[str, str]
    ) -> AbstractAsyncContextManager[LauncherPort]:
        """Start a long-lived helper process that talks over a socket pair (its fd 3). Entering
        raises OSError when it cannot be started."""
        ...


class LauncherPort(Protocol):
    """Our end of a launcher's socket pair."""

    @property
    def pid(self) -> int: ...

    async def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send one datagram (SOCK_SEQPACKET), with file descriptors."""
        ...

    async def receive(self) -> bytes:
        """Next datagram; b"" when the launcher is gone."""
        ...

    def kill(self) -> None:
        """SIGKILL its process group."""
        ...

    def last_words(self) -> str:
        """The start of what it wrote to stderr: why it could not do its work."""
        ...


@attrs.frozen
class Announcement:
    """What a node says about itself on the local network. Nothing in it is trusted."""

    name: str
    mesh_prefix: str
    """First 16 hexadecimal digits of the mesh id."""
    mesh_name: str
    node_prefix: str
    """First 16 hexadecimal digits of the node id."""
    host: str
    peer_port: int
    join_port: int
    swim_port: int


class Discovery(Protocol):
    """mDNS / DNS-SD `_vitte-mesh._tcp` in the real world."""

    def announce(self, what: Announcement) -> AbstractAsyncContextManager[None]:
        """Be visible while the context lasts."""
        ...

    def browse(self) -> AbstractAsyncContextManager[AsyncIterator[Announcement]]:
        """Everybody who is or becomes visible, ourselves included; changed ones come again."""
        ...


@attrs.frozen
class Env:
    """All ports of one node."""

    clock: Clock
    entropy: Entropy
    datagrams: Datagrams
    streams: Streams
    disk: Disk
    exec: Exec
    discovery: Discovery
    actions: Actions
    control: Control
    readings: Readings
    serial: Serial
