"""A small world for identity tests: real disk in a folder, real TLS on 127.0.0.1, a clock that can
be moved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import attrs
import trio

from mesh.identity import trust
from mesh.identity.certificates import make_certificate
from mesh.identity.keys import NodeKey, load_or_create_key
from mesh.identity.records import (
    Admit,
    Authorship,
    Genesis,
    Invite,
    Leave,
    invite_proof,
    ref_of,
    sign_record,
)
from mesh.identity.roles import Role
from mesh.identity.tokens import invite_key
from mesh.identity.trust import MeshIdentity
from mesh.node.joining import DoorAddresses, JoinDoor
from mesh.ports import Env
from mesh.ports.real.clock import RealClock
from mesh.ports.real.disk import RealDisk
from mesh.ports.real.entropy import RealEntropy
from mesh.ports.real.streams import RealStreams
from mesh.types import Address, MeshId, digest_of

LOCALHOST = ("127.0.0.1", 0)


def key_of(label: str) -> NodeKey:
    return NodeKey(sha256(label.encode()).digest())


# -- records, without any node ---------------------------------------------------------------------
@attrs.frozen
class Author:
    """Somebody who writes records under one admission."""

    key: NodeKey
    mesh_id: MeshId
    admission: bytes

    def _sign(self) -> Authorship:
        return Authorship(self.mesh_id, self.key.node_id, digest_of(self.admission))

    def admits(
        self, label: str, role: Role = Role.BUILDER, name: str = "", order: int = 1
    ) -> Author:
        key = key_of(label)
        certificate = make_certificate(key, label)
        fact = Admit(self._sign(), key.node_id, name or label, int(role), certificate, order)
        return Author(key, self.mesh_id, sign_record(self.key, fact))

    def invites(self, label: str, uses: int = 1, role: Role = Role.BUILDER) -> bytes:
        one_time = invite_key(label.encode()).node_id
        return sign_record(self.key, Invite(self._sign(), one_time, int(role), uses, 2**40))

    def admits_invited(
        self, label: str, invite: bytes, secret: str, role: Role = Role.BUILDER
    ) -> Author:
        key, digest = key_of(label), digest_of(invite)
        proof = invite_proof(invite_key(secret.encode()), self.mesh_id, key.node_id, digest)
        certificate = make_certificate(key, label)
        node = key.node_id
        fact = Admit(self._sign(), node, label, int(role), certificate, 1, digest, proof)
        return Author(key, self.mesh_id, sign_record(self.key, fact))

    def removes(self, other: Author, keeps: tuple[bytes, ...] = ()) -> bytes:
        ends = (ref_of(digest_of(other.admission)),)
        kept = tuple(ref_of(digest_of(record)) for record in keeps)
        return sign_record(self.key, Leave(self._sign(), other.key.node_id, ends, kept))


def founder(label: str = "alice", mesh_name: str = "home") -> Author:
    key = key_of(label)
    certificate = make_certificate(key, label)
    genesis = sign_record(
        key,
        Genesis(1, mesh_name, sha256(mesh_name.encode()).digest(), key.node_id, label, certificate),
    )
    return Author(key, MeshId(digest_of(genesis)), genesis)


# -- nodes -----------------------------------------------------------------------------------------
class MovableClock:
    """The real clock, whose wall can be moved and whose sleepers can be woken."""

    def __init__(self) -> None:
        self._real = RealClock()
        self.wall_offset_s = 0.0
        self.offset_s = 0.0
        self._moved = trio.Event()

    def monotonic(self) -> float:
        return self._real.monotonic() + self.offset_s

    def wall(self) -> float:
        return self._real.wall() + self.wall_offset_s

    def advance(self, seconds: float) -> None:
        self.offset_s += seconds
        self.wall_offset_s += seconds
        moved, self._moved = self._moved, trio.Event()
        moved.set()

    async def sleep_until(self, deadline_s: float) -> None:
        while self.monotonic() < deadline_s:
            with trio.move_on_after(deadline_s - self.monotonic()):
                await self._moved.wait()


def env_in(folder: Path) -> Env:
    folder.mkdir(parents=True, exist_ok=True)
    unused = cast("Any", None)
    return Env(
        clock=MovableClock(),
        entropy=RealEntropy(),
        datagrams=unused,
        streams=RealStreams(),
        disk=RealDisk(folder),
        exec=unused,
        discovery=unused,
        actions=unused,
        control=unused,
        readings=unused,
        serial=unused,
    )


def clock_of(env: Env) -> MovableClock:
    assert isinstance(env.clock, MovableClock)
    return env.clock


def new_node(folder: Path) -> tuple[Env, NodeKey]:
    env = env_in(folder)
    return env, load_or_create_key(env.disk, env.entropy)


def new_mesh(
    folder: Path, mesh_name: str = "home", node_name: str = "alice"
) -> tuple[Env, MeshIdentity]:
    env, key = new_node(folder)
    return env, trust.create(env, key, mesh_name, node_name)


@attrs.define
class OpenDoor:
    """A member whose join door is open."""

    door: JoinDoor
    address: Address
    changes: int = 0


@asynccontextmanager
async def open_door(env: Env, identity: MeshIdentity) -> AsyncIterator[OpenDoor]:
    listener = await env.streams.listen_join(LOCALHOST, identity)

    def addresses() -> DoorAddresses:
        return DoorAddresses(("127.0.0.1",), 1001, 1002, listener.address[1])

    def on_change() -> None:
        opened.changes += 1

    opened = OpenDoor(JoinDoor(env, identity, addresses, on_change), listener.address)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(opened.door.serve, listener)
        yield opened
        nursery.cancel_scope.cancel()
    await listener.aclose()


class Reports:
    """Collects what joining tells, and lets a test wait for it."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []
        self._waiters: list[tuple[str, trio.Event]] = []

    def __call__(self, event_name: str, **details: object) -> None:
        self.events.append((event_name, details))
        for wanted, event in self._waiters:
            if wanted == event_name:
                event.set()

    def details(self, event_name: str) -> dict[str, object]:
        return next(details for name, details in self.events if name == event_name)

    async def wait(self, event_name: str) -> dict[str, object]:
        if event_name not in [name for name, _ in self.events]:
            event = trio.Event()
            self._waiters.append((event_name, event))
            with trio.fail_after(10):
                await event.wait()
        return self.details(event_name)


async def until(true: Callable[[], bool]) -> None:
    """Let other tasks run until something holds; fails after 10 s."""
    with trio.fail_after(10):
        while not true():  # noqa: ASYNC110 - nothing would tell us
            await trio.sleep(0.002)
