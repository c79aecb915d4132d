"""What a lying member can say on a control link, and what comes of it: its own counter, and
nothing else. Every test ends with the node up, and with an empty folder `outside`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import attrs
import pytest
import trio
from nodes import (
    IDLE,
    Speaker,
    address_of,
    blobs,
    counted,
    counters,
    entry,
    project,
    run,
    start,
    stolen,
    until,
    world,
)
from strangers import Pretender

from mesh.action.model import (
    SYMLINK,
    Action,
    OutputSpec,
    Tool,
    Toolchain,
    Tree,
    TreeEntry,
)
from mesh.action.platform import this_platform
from mesh.identity.roles import Role
from mesh.limits import FRAME_BYTES_MAX, GRANT_SHARDS_MAX
from mesh.ports import Arrived, StreamBroken
from mesh.ports.real.streams import RealStreams
from mesh.scheduler.model import Mode
from mesh.types import Digest, digest_of
from mesh.wire import cbor
from mesh.wire.frame import frame
from mesh.wire.messages import (
    Decline,
    Done,
    Grant,
    GrantedShard,
    Renew,
    RosterRecords,
    Steal,
)
from mesh.wire.schema import encode_struct

MOUNT = "/vitte/project"


# -- who may talk at all ---------------------------------------------------------------------------
async def test_a_stranger_does_not_get_through_the_door(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        alice = mesh.alice
        stream = await RealStreams().dial(address_of(alice), alice.key.node_id, Pretender(mesh))
        speaker = Speaker(stream)  # in TLS 1.3 being refused shows at the first read
        with contextlib.suppress(StreamBroken):
            await speaker.send(mesh.intruder.hello())
        await speaker.ended()
        await stream.aclose()
        await counted(alice, "streams.handshake-failed")


async def test_a_member_of_this_mesh_that_speaks_for_another_is_turned_away(tmp_path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        for changes, name in (
            ({"mesh_id": bytes(32)}, "accept.other-mesh"),
            ({"version": 99}, "accept.version"),
        ):
            speaker = await mesh.intruder.knock(mesh.alice)
            await speaker.send(mesh.intruder.hello(**changes))
            await speaker.ended()
            await counted(mesh.alice, name)
        assert not mesh.alice.runtime.links.by_node


async def test_bytes_that_are_no_message_end_the_link_and_nothing_else(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        for data, name in (
            ((FRAME_BYTES_MAX + 1).to_bytes(4, "big"), "link.bad-input.oversized"),
            (frame(b"\xff\xff"), "link.bad-input.type"),
            (frame(b""), "link.bad-input.truncated"),
            (frame(cbor.encode([9999])), "link.bad-input.unknown-kind"),
            (frame(cbor.encode([21, "no", "grant"])), "link.bad-input.field"),
            (frame(b"\x9f" * 64), "link.bad-input.type"),
            (frame(b"\x81" * 64 + b"\x00"), "link.bad-input.too-deep"),
        ):
            speaker = await mesh.intruder.connect(mesh.alice)
            await speaker.send_raw(data)
            await speaker.ended()
            await counted(mesh.alice, name)
            await until(lambda: not mesh.alice.runtime.links.by_node)
        assert (await run(mesh.alice, project(tmp_path / "project")))["ok"]


async def test_a_replayed_datagram_is_dropped(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        taken: list[bytes] = []
        bob_gossip = mesh.bob.runtime.gossip
        port = bob_gossip._port
        assert port is not None
        original, wanted = port.take_waiting, 5

        def listening() -> object:
            got = original()
            new = [each.data for each in got if isinstance(each, Arrived)]
            taken.extend(new[: wanted - len(taken)])
            return got

        port.take_waiting = listening  # type: ignore[method-assign, assignment]
        await until(lambda: len(taken) == wanted, "datagrams")
        sender = await mesh.alice.env.datagrams.open(("127.0.0.1", 0))
        for data in taken:
            sender.send(data, bob_gossip.address)
            sender.send(data[:-1] + bytes([data[-1] ^ 1]), bob_gossip.address)
        # (the first few may be of a time before the two had shown each other their epochs)
        await counted(mesh.bob, "gossip.seal-replay", wanted - 2)
        await counted(mesh.bob, "gossip.seal-bad-box", wanted - 2)
        sender.close()


# -- grants ----------------------------------------------------------------------------------------
def empty_tree() -> Tree:
    return Tree(())


def toolchain(*tools: Tool) -> Toolchain:
    return Toolchain(this_platform(), tools)


@attrs.define
class Offer:
    """What an intruder would have a node run."""

    argv: tuple[str, ...] = ("/bin/true",)
    cwd: str = MOUNT
    mounts: tuple[str, ...] = (MOUNT,)
    tree: Tree = attrs.field(factory=empty_tree)
    outputs: tuple[OutputSpec, ...] = ()
    tools: Toolchain = attrs.field(factory=toolchain)
    lease: int = 7

    def grant(self) -> Grant:
        tree, tools = encode_struct(self.tree), encode_struct(self.tools)
        action = Action(
            argv=self.argv,
            env=(),
            cwd=self.cwd,
            mounts=self.mounts,
            inputs=digest_of(tree),
            outputs=self.outputs,
            toolchain=digest_of(tools),
        )
        return Grant((self.shard(encode_struct(action)),), 2000, blobs(tree, tools))

    def shard(self, action: bytes) -> GrantedShard:
        return GrantedShard(self.lease, bytes(8), "evil", action, 5000, 0, 0)


ESCAPES = [
    Offer(outputs=(OutputSpec(f"{MOUNT}/../../outside/x"),)),
    Offer(outputs=(OutputSpec("/etc/cron.d/x"),)),
    Offer(outputs=(OutputSpec("relative"),)),
    Offer(cwd="/root"),
    Offer(mounts=("/",)),
    Offer(mounts=(f"{MOUNT}/..",)),
    Offer(tree=Tree((entry(f"{MOUNT}/../x"),))),
    Offer(tree=Tree((entry("/etc/passwd"),))),
    Offer(tree=Tree((entry(f"{MOUNT}/a"), entry(f"{MOUNT}/a")))),
    Offer(tree=Tree((entry(f"{MOUNT}/a"), entry(f"{MOUNT}/a/b")))),
    Offer(tree=Tree((TreeEntry(f"{MOUNT}/l", SYMLINK, link="/etc"),))),
    Offer(tree=Tree((TreeEntry(f"{MOUNT}/l", SYMLINK, link="../../../etc"),))),
    Offer(
        tree=Tree((TreeEntry(f"{MOUNT}/l", SYMLINK, link="sub"), entry(f"{MOUNT}/l/through"))),
    ),
    Offer(argv=()),
]


async def test_grants_with_paths_that_escape_are_refused_and_counted(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        for number, offer in enumerate(ESCAPES, 1):
            await speaker.send(attrs.evolve(offer, lease=number).grant())
            declined = await speaker.next(Decline)
            assert declined.leases == (number,)
            await counted(mesh.alice, "grant.", number)
        await counted(mesh.alice, f"lied.{mesh.intruder.node_id.hex()[:16]}", len(ESCAPES))
        assert mesh.alice.runtime.stolen.counters.snapshot()["grant.path-escapes"] >= 3


async def test_a_grant_that_is_no_action_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        await speaker.send(Grant((Offer().shard(b"\x00"),), 2000, ()))
        assert (await speaker.next(Decline)).leases == (7,)
        await counted(mesh.alice, "grant.field")


async def test_a_tool_that_never_ends_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        for lease, path in enumerate((str(tmp_path / "pipe"), "/dev/zero", "/dev/urandom"), 1):
            tools = toolchain(Tool(path, Digest(bytes(32))))
            await speaker.send(Offer(tools=tools, lease=lease).grant())
            assert (await speaker.next(Decline)).unfit
        assert (await run(mesh.alice, project(tmp_path / "project")))["ok"]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.LEAF])
async def test_who_may_not_submit_runs_cannot_have_anything_run(tmp_path: Path, role: Role) -> None:
    async with world(tmp_path, honest=1, intruder_role=role) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        await speaker.send(Offer().grant())
        await counted(mesh.alice, "grant.not-allowed")
        assert mesh.alice.runtime.work.core.stolen == 0


async def test_a_flood_of_grants_is_declined_beyond_a_bound(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        slow = Offer(argv=("/bin/sleep", "60")).grant()
        offered = [attrs.evolve(slow.shards[0], lease=n) for n in range(1, 6 * 64 + 1)]
        for start_at in range(0, len(offered), GRANT_SHARDS_MAX):
            batch = tuple(offered[start_at : start_at + GRANT_SHARDS_MAX])
            await speaker.send(Grant(batch, 2000, slow.blobs))
        await counted(mesh.alice, "grant.not-asked-for", 4 * 64)
        assert mesh.alice.runtime.work.core._thief.backlog <= 2 * GRANT_SHARDS_MAX
        await speaker.stream.aclose()
        await until(lambda: mesh.alice.workshop.runner.busy == 0, "the slot to be free again")


async def test_one_lease_granted_twice_runs_once(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        grant = Offer().grant()
        await speaker.send(attrs.evolve(grant, shards=grant.shards * 3), grant)
        done = await speaker.next(Done)
        assert [each.lease for each in done.finished] == [7]
        await until(lambda: mesh.alice.workshop.runner.busy == 0)


# -- what is asked for -----------------------------------------------------------------------------
async def test_long_commands_are_handed_over_in_several_messages(tmp_path: Path) -> None:
    padding = ": " + "x" * 100_000 + "; "
    root = project(tmp_path / "project", 40, before=padding)
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        await speaker.send(Steal(64, IDLE))
        async with trio.open_nursery() as nursery:
            started = start(nursery, mesh.alice, root, mode=Mode.CLUSTER)
            got = 0
            while got < 40:
                granted = await stolen(speaker)
                got += len(granted)
                await speaker.send(Renew(tuple(each.lease for each in granted)))
            assert mesh.intruder.node_id in mesh.alice.runtime.links.by_node
            started.scope.cancel()
            await started.over.wait()
        assert "work.bug" not in counters(mesh.alice)


async def test_rubbish_for_the_roster_ends_the_link_before_it_costs_much(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        rubbish = tuple(n.to_bytes(4, "big") for n in range(20_000))
        await speaker.send(RosterRecords(rubbish))
        await speaker.ended()
        counts = counters(mesh.alice)
        refused = sum(n for name, n in counts.items() if name.startswith("roster.bad-input"))
        assert 64 < refused <= 512
        assert len(mesh.alice.runtime.identity.members()) == 2
