"""Real nodes in this process, and members that do not play by the rules.

    async with world(tmp_path) as mesh:
        alice, bob = mesh.nodes
        mallory = mesh.intruder

Nodes are complete (`mesh.node.node.Node`): real TLS, UDP, stores and sandboxes, on 127.0.0.1 and
below `tmp_path`. An `Intruder` holds an admitted identity and speaks the protocol by hand, over the
same TLS; what it says is up to the test.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import trio

from mesh.action.model import FILE, Action, LogBlob, Result, SignedResult, TreeEntry
from mesh.action.signing import sign_result
from mesh.identity import trust
from mesh.identity.keys import load_or_create_key
from mesh.identity.messages import PeerAddress
from mesh.identity.records import ref_of
from mesh.identity.roles import Role
from mesh.identity.trust import MeshIdentity
from mesh.log.frame import Frame
from mesh.log.store import MemoryStore
from mesh.log.sync.messages import Push
from mesh.log.sync.pushing import pushes
from mesh.node.config import NodeConfig
from mesh.node.link import read_hello
from mesh.node.node import Node
from mesh.node.real_env import real_env
from mesh.node.runs.parts import RunOptions
from mesh.node.runs.record import RunHead, RunRecord
from mesh.node.runs.run import Run
from mesh.node.state.replica import Replica, ReplicaConfig
from mesh.planners.base import Kind, PlanRequest
from mesh.ports import Accepted, ByteStream, Env
from mesh.ports.real.discovery import StaticDiscovery
from mesh.ports.real.streams import RealStreams
from mesh.scheduler.model import Mode, RunPolicy
from mesh.state.events import Event
from mesh.types import Address, Digest, NodeId, RunId, digest_of
from mesh.wire.frame import FrameReader, frame
from mesh.wire.messages import (
    BULK_LANE,
    CONTROL_LANE,
    PROTOCOL_VERSION,
    BlobChunk,
    BlobHeader,
    FetchBlobs,
    Finished,
    Grant,
    GrantedShard,
    Hello,
    InlineBlob,
    Load,
)
from mesh.wire.schema import decode_message, decode_struct, encode_message

T = TypeVar("T")
PATIENCE_S = 20.0
IDLE = Load(slots=64, busy=0, queued=0, cpu_percent=0, memory_free_mib=0)


async def until(true: Callable[[], bool], what: str = "") -> None:
    """Let other tasks run until something holds."""
    with trio.move_on_after(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - counters tell nobody
            await trio.sleep(0.005)
    assert true(), f"waited {PATIENCE_S} s for {what}"


# -- honest nodes ----------------------------------------------------------------------------------
def env_in(folder: Path) -> Env:
    return real_env(folder, StaticDiscovery())


def counters(node: Node) -> dict[str, int]:
    """Everything that a node has counted so far."""
    runtime = node.runtime
    counts: dict[str, int] = {}
    parts = (runtime, runtime.links, runtime.work, runtime.stolen, runtime.blobs)
    for part in (*parts, runtime.state, runtime.results):
        counts.update(part.counters.snapshot())
    counts.update({f"gossip.{name}": n for name, n in runtime.gossip.counters.items()})
    counts.update({f"streams.{name}": n for name, n in node.env.streams.counters.items()})
    return counts


async def counted(node: Node, name: str, times: int = 1) -> None:
    """Wait for a counter whose name starts so."""

    def total() -> int:
        return sum(n for each, n in counters(node).items() if each.startswith(name))

    await until(lambda: total() >= times, f"{name} in {counters(node)}")


def address_of(node: Node) -> Address:
    return ("127.0.0.1", node.runtime.doors.port)


def peer_address(node: Node) -> PeerAddress:
    port = node.runtime.doors.port
    return PeerAddress(node.key.node_id, "127.0.0.1", port, port, port + 1)


@attrs.define
class Started:
    """One run of a node of ours, under way or over."""

    record: RunRecord
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    over: trio.Event = attrs.field(factory=trio.Event)


async def run(node: Node, project: Path, kind: Kind = Kind.BUILD, **options: Any) -> dict[str, Any]:
    """Run a project to its end; the final view."""
    async with trio.open_nursery() as nursery:
        started = start(nursery, node, project, kind, **options)
        with trio.fail_after(60):
            await started.over.wait()
    assert started.record.view is not None
    return dict(started.record.view)


def start(
    nursery: trio.Nursery,
    node: Node,
    project: Path,
    kind: Kind = Kind.BUILD,
    mode: Mode = Mode.HYBRID,
    **options: Any,
) -> Started:
    """Begin a run; cancel `scope` as Ctrl-C would."""
    run_id = RunId(os.urandom(8))
    clock = node.env.clock
    head = RunHead(run_id.hex(), kind.value, str(project), clock.wall(), clock.monotonic())
    request = PlanRequest(kind=kind, cwd=project, env=dict(os.environ))
    asked = RunOptions(policy=RunPolicy(mode=mode), **options)
    started = Started(RunRecord(head))

    async def execute() -> None:
        with started.scope:
            parts = node.runtime.run_parts()
            await Run(parts, run_id, request, asked, started.record).execute()
        started.over.set()

    nursery.start_soon(execute)
    return started


# -- members that lie ------------------------------------------------------------------------------
@attrs.define
class Speaker:
    """One stream, message by message."""

    stream: ByteStream
    reader: FrameReader = attrs.field(factory=FrameReader)
    ready: list[Any] = attrs.field(factory=list)

    async def send(self, *messages: object) -> None:
        await self.send_raw(b"".join(frame(encode_message(each)) for each in messages))

    async def send_raw(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def next(self, kind: type[T]) -> T:
        """The next message of this kind; others are dropped."""
        with trio.fail_after(PATIENCE_S):
            while True:
                while self.ready:
                    message = self.ready.pop(0)
                    if isinstance(message, kind):
                        return message
                data = await self.stream.receive_some()
                assert data, f"the node hung up while we waited for {kind.__name__}"
                self.ready += [decode_message(each) for each in self.reader.feed(data)]

    async def ended(self) -> None:
        """Wait until the node hangs up."""
        with trio.fail_after(PATIENCE_S):
            try:
                while await self.stream.receive_some():
                    pass
            except Exception:
                return


Bulk = Callable[["Intruder", Speaker], Awaitable[None]]


class Intruder:
    """An admitted member under the control of a test. `blobs` is what it can serve honestly."""

    def __init__(self, identity: MeshIdentity) -> None:
        self.identity = identity
        self.streams = RealStreams()
        self.blobs: dict[Digest, bytes] = {}
        self.address: Address = ("127.0.0.1", 0)
        self.on_bulk: Bulk = serve_honestly
        self.asked: list[Digest] = []
        self.opened: list[ByteStream] = []

    @property
    def node_id(self) -> NodeId:
        return self.identity.node_id

    def hello(self, lane: int = CONTROL_LANE, **changes: Any) -> Hello:
        honest = Hello(
            version=PROTOCOL_VERSION,
            mesh_id=self.identity.mesh_id,
            epoch=1,
            lane=lane,
            name="mallory",
            platform="linux-x86_64",
            roster=self.identity.roster.digest(),
            load=IDLE,
        )
        return attrs.evolve(honest, **changes)

    async def connect(self, node: Node, lane: int = CONTROL_LANE) -> Speaker:
        """A stream with the Hellos exchanged."""
        speaker = await self.knock(node)
        await speaker.send(self.hello(lane))
        await speaker.next(Hello)
        if lane == CONTROL_LANE:
            await until(lambda: self.node_id in node.runtime.links.by_node, "the link")
        return speaker

    async def knock(self, node: Node) -> Speaker:
        """A TLS stream on which nothing has been said."""
        stream = await self.streams.dial(address_of(node), node.key.node_id, self.identity)
        self.opened.append(stream)
        return Speaker(stream)

    async def hang_up(self) -> None:
        """Close everything we have opened."""
        for stream in self.opened:
            await stream.aclose()

    async def listen(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Answer whoever dials us: control links stay silent, bulk streams go to `on_bulk`."""
        listener = await self.streams.listen(("127.0.0.1", 0), self.identity)
        self.address = listener.address
        task_status.started()
        await listener.serve(self._answer)

    async def _answer(self, accepted: Accepted) -> None:
        hello, reader = await read_hello(accepted.stream, self.identity.mesh_id)
        speaker = Speaker(accepted.stream, reader)
        await speaker.send(self.hello(hello.lane))
        if hello.lane == BULK_LANE:
            await self.on_bulk(self, speaker)
        await trio.sleep_forever()

    def result(self, granted: GrantedShard, *entries: TreeEntry, **changes: Any) -> Result:
        return self.result_of(digest_of(granted.action), *entries, **changes)

    def result_of(self, digest: Digest, *entries: TreeEntry, **changes: Any) -> Result:
        honest = Result(
            action=digest,
            builder=self.node_id,
            exit_status=0,
            outputs=entries,
            stdout=LogBlob(),
            stderr=LogBlob(),
            duration_ms=1,
            sandbox="bwrap",
        )
        return attrs.evolve(honest, **changes)

    def sign(self, result: Result) -> SignedResult:
        return sign_result(result, self.identity.key.sign)

    def pushes(self, *events: Event, epoch: int = 1) -> list[Push]:
        """These events, sealed and signed as an honest member would, in an epoch of that number."""
        replica = Replica(
            ReplicaConfig(
                mesh=self.identity.mesh_id,
                me=self.node_id,
                sign=self.identity.key.sign,
                admission=ref_of(self.identity.me().admission),  # type: ignore[union-attr]
                wall_ms=lambda: 0,
                token=lambda size: epoch.to_bytes(size, "big"),
                draw=lambda: 0.5,
                standing=self.identity.roster.standing(),
            ),
            MemoryStore(),
            0.0,
        )
        frames: list[Frame] = []
        replica.on_sealed.append(frames.append)
        for event in events:
            replica.write(event, 0.0)
        replica.flush(0.0)
        return list(pushes(frames))

    def finished(
        self, granted: GrantedShard, result: Result, signed: SignedResult | None = None
    ) -> Finished:
        return Finished(granted.lease, result=signed or self.sign(result))


async def serve_honestly(intruder: Intruder, speaker: Speaker) -> None:
    while True:
        for digest in (await speaker.next(FetchBlobs)).digests:
            intruder.asked.append(digest)
            data = intruder.blobs.get(digest)
            if data is None:
                await speaker.send(BlobHeader(digest, None))
            else:
                await speaker.send(BlobHeader(digest, len(data)), BlobChunk(data))


def blobs(*contents: bytes) -> tuple[InlineBlob, ...]:
    return tuple(InlineBlob(each) for each in contents)


def entry(path: str, content: bytes = b"x", **fields: object) -> TreeEntry:
    return TreeEntry(path, FILE, digest_of(content), len(content), **fields)


def action_of(granted: GrantedShard) -> Action:
    return decode_struct(Action, granted.action)


async def stolen(speaker: Speaker) -> list[GrantedShard]:
    return list((await speaker.next(Grant)).shards)


# -- the world -------------------------------------------------------------------------------------
@attrs.define
class World:
    """Two honest nodes that are linked, and an intruder that they know as a member."""

    nodes: list[Node]
    intruder: Intruder
    outside: Path
    """A folder next to everything, in which nothing may ever appear."""
    nursery: trio.Nursery

    @property
    def alice(self) -> Node:
        return self.nodes[0]

    @property
    def bob(self) -> Node:
        return self.nodes[1]

    async def know_intruder(self, node: Node) -> None:
        """Have a node know where the intruder listens; it dials when there is no link yet."""
        node.runtime.links.want(self.intruder.node_id, self.intruder.address, proven=True)


@asynccontextmanager
async def world(
    tmp_path: Path, *, intruder_role: Role = Role.BUILDER, honest: int = 2
) -> AsyncIterator[World]:
    names = ["alice", "bob"][:honest]
    envs = [env_in(tmp_path / name) for name in names]
    keys = [load_or_create_key(env.disk, env.entropy) for env in envs]
    founder = trust.create(envs[0], keys[0], "home", "alice")
    for env, key, name in list(zip(envs, keys, names, strict=True))[1:]:
        certificate = trust.own_certificate(env.disk, key, name)
        founder.write_admit(key.node_id, name, Role.BUILDER, certificate)
    evil_env = env_in(tmp_path / "mallory")
    evil_key = load_or_create_key(evil_env.disk, evil_env.entropy)
    evil_certificate = trust.own_certificate(evil_env.disk, evil_key, "mallory")
    founder.write_admit(evil_key.node_id, "mallory", intruder_role, evil_certificate)
    records = founder.roster.records()
    for env, key, name in list(zip(envs, keys, names, strict=True))[1:]:
        trust.adopt(env, key, name, records)
    intruder = Intruder(trust.adopt(evil_env, evil_key, "mallory", records))
    outside = tmp_path / "outside"
    outside.mkdir()
    nodes = [
        Node(env, NodeConfig(tmp_path / name, name, ("127.0.0.1", 0), slots=1, discovery="none"))
        for env, name in zip(envs, names, strict=True)
    ]
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
        await nursery.start(intruder.listen)
        await until(lambda: all(node.in_mesh for node in nodes), "the nodes")
        for node in nodes[1:]:
            node.runtime.meet([peer_address(nodes[0])])
        await until(lambda: all(len(n.runtime.links.by_node) == honest - 1 for n in nodes), "links")
        yield World(nodes, intruder, outside, nursery)
        assert not list(outside.iterdir()), "something was written outside"
        for node in nodes:
            assert node.in_mesh, "a node went down"
            node.stop()
        await intruder.hang_up()
        await until(lambda: not any(n.in_mesh for n in nodes), "the end")
        nursery.cancel_scope.cancel()
    for env in envs:
        env.disk.close()  # type: ignore[attr-defined]


def project(root: Path, steps: int = 1, before: str = "", **fields: Any) -> Path:
    """A project of copies: `out/N.txt` is made of `N.in`. `before` is run first in every step,
    `fields` go into its table."""
    root.mkdir(parents=True, exist_ok=True)
    lines = ['[project]\nname = "copies"\n']
    for number in range(steps):
        (root / f"{number}.in").write_text(f"content {number}\n")
        step = {
            "name": f"copy-{number}",
            "kind": "build",
            "run": f"{before}cat {number}.in > out/{number}.txt",
            "inputs": [f"{number}.in"],
            "out": [f"out/{number}.txt"],
        }
        lines.append("[[step]]\n" + "".join(_line(*item) for item in {**step, **fields}.items()))
    (root / "vitte-dist.toml").write_text("\n".join(lines))
    return root


def _line(name: str, value: Any) -> str:
    return f"{name} = {json.dumps(value)}\n"


def is_built(root: Path, steps: int = 1) -> bool:
    return all((root / f"out/{n}.txt").read_text() == f"content {n}\n" for n in range(steps))
