"""The membership driver on real sockets, on loopback only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import attrs
import trio

from mesh.limits import PEERS_FILE_MAX
from mesh.node.epoch import EPOCH_FILE, GAP_BITS, next_epoch
from mesh.node.gossip import Gossip, GossipSetup
from mesh.node.peers_file import PEERS_FILE, load_peers, save_peers
from mesh.ports import Env
from mesh.ports.real.clock import RealClock
from mesh.ports.real.datagrams import RealDatagrams
from mesh.ports.real.disk import RealDisk
from mesh.ports.real.entropy import RealEntropy
from mesh.ports.real.exec import RealExec
from mesh.swim.config import LOOPBACK
from mesh.swim.effects import MemberView, State
from mesh.types import MeshId, NodeId
from mesh.wire.messages import Load
from sim.signatures import MESH_ID, CheapSignatures
from sim.swim_world import node_key

FAST = attrs.evolve(
    LOOPBACK,
    probe_interval_s=0.1,  # these tests wait for real time; nothing here is judged by it
    probe_timeout_s=0.05,
    probe_timeout_min_s=0.05,
    patience_s=0.3,
    suspicion_max_s=0.3,
    gossip_interval_s=0.02,
    reconnect_interval_s=0.1,
    reconnect_backoff_max_s=0.3,
)


@attrs.define
class SimpleIdentity:
    index: int
    members: set[int]

    @property
    def node_id(self) -> NodeId:
        return node_key(self.index)[0]

    def curve_private(self) -> bytes:
        return node_key(self.index)[1]

    @property
    def mesh_id(self) -> MeshId:
        return MESH_ID

    def sign_statement(self, data: bytes) -> bytes:
        return CheapSignatures(self.node_id).sign_statement(data)

    def verify_statement(self, author: NodeId, data: bytes, signature: bytes) -> bool:
        return CheapSignatures(self.node_id).verify_statement(author, data, signature)

    def member_ids(self) -> list[NodeId]:
        return [node_key(index)[0] for index in self.members]


def an_env(home: Path) -> Env:
    """The ports that membership uses; touching another one fails."""
    ports = SimpleNamespace(
        clock=RealClock(),
        entropy=RealEntropy(),
        datagrams=RealDatagrams(),
        disk=RealDisk(home),
        exec=RealExec(),
    )
    return cast("Env", cast("Any", ports))


class Seen:
    """Collects changes and lets a test wait for a condition."""

    def __init__(self) -> None:
        self.views: list[MemberView] = []
        self._event = trio.Event()

    def __call__(self, view: MemberView) -> None:
        self.views.append(view)
        self._event.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        with trio.fail_after(20):
            while not reached():
                self._event = trio.Event()
                await self._event.wait()


@attrs.define
class Running:
    gossip: Gossip
    seen: Seen
    scope: trio.CancelScope
    identity: SimpleIdentity

    @property
    def node_id(self) -> NodeId:
        return self.identity.node_id

    def state_of(self, other: Running) -> State | None:
        view = self.gossip.member(other.node_id)
        return view.state if view is not None else None

    async def until_sees(self, other: Running, state: State) -> None:
        await self.seen.until(lambda: self.state_of(other) == state)


@asynccontextmanager
async def running(
    home: Path, index: int, members: set[int], epoch: int | None = None
) -> AsyncIterator[Running]:
    env = an_env(home)
    seen, identity = Seen(), SimpleIdentity(index, set(members))
    epoch = epoch or next_epoch(env.disk, env.clock, env.entropy)
    setup = GossipSetup(("127.0.0.1", 0), 1, 2, epoch)
    gossip = Gossip(env, FAST, identity, setup, seen)
    async with trio.open_nursery() as nursery:
        await nursery.start(gossip.run)
        yield Running(gossip, seen, nursery.cancel_scope, identity)
        nursery.cancel_scope.cancel()


def seed_of(node: Running) -> list[tuple[NodeId, tuple[str, int]]]:
    return [(node.node_id, node.gossip.address)]


async def test_nodes_find_each_other_and_share_load_and_addresses(tmp_path: Path) -> None:
    everyone = {0, 1, 2}
    async with (
        running(tmp_path / "0", 0, everyone) as zero,
        running(tmp_path / "1", 1, everyone) as one,
        running(tmp_path / "2", 2, everyone) as two,
    ):
        one.gossip.join(seed_of(zero))
        two.gossip.join(seed_of(zero))
        for node in (zero, one, two):
            for other in (zero, one, two):
                if node is not other:
                    await node.until_sees(other, State.ALIVE)
        view = two.gossip.member(one.node_id)
        assert view is not None
        assert view.address == one.gossip.address, "learnt without any advertised host"
        assert (view.peer_port, view.join_port) == (1, 2)
        load = Load(slots=4, busy=1, queued=2, cpu_percent=3, memory_free_mib=4)
        zero.gossip.set_load(load)

        def known() -> bool:
            seen = two.gossip.member(zero.node_id)
            return seen is not None and seen.load == load

        await two.seen.until(known)
        assert zero.gossip.members()[0].node_id == zero.node_id
        assert len(zero.gossip.members()) == 3


async def test_leaving_is_seen_as_leaving_and_killing_as_death(tmp_path: Path) -> None:
    everyone = {0, 1, 2}
    async with running(tmp_path / "0", 0, everyone) as zero:
        async with running(tmp_path / "1", 1, everyone) as one:
            one.gossip.join(seed_of(zero))
            await zero.until_sees(one, State.ALIVE)
            await one.gossip.leave()
        await zero.until_sees(one, State.LEFT)
        async with running(tmp_path / "2", 2, everyone) as two:
            two.gossip.join(seed_of(zero))
            await zero.until_sees(two, State.ALIVE)
        await zero.until_sees(two, State.UNREACHABLE)  # one accuser is no quorum
        assert State.DEAD not in [v.state for v in zero.seen.views if v.node_id == one.node_id]


async def test_a_restarted_node_remembers_where_the_others_are(tmp_path: Path) -> None:
    everyone = {0, 1}
    async with running(tmp_path / "0", 0, everyone) as zero:
        async with running(tmp_path / "1", 1, everyone) as one:
            one.gossip.join(seed_of(zero))
            await one.until_sees(zero, State.ALIVE)
            await zero.until_sees(one, State.ALIVE)
            first = zero.gossip.member(one.node_id)
        async with running(tmp_path / "1", 1, everyone) as again:
            await again.until_sees(zero, State.ALIVE)
            await zero.seen.until(lambda: zero.gossip.member(again.node_id) != first)
            second = zero.gossip.member(again.node_id)
            assert first is not None
            assert second is not None
            assert second.epoch > first.epoch


async def test_a_node_admitted_later_is_let_in(tmp_path: Path) -> None:
    async with (
        running(tmp_path / "0", 0, {0}) as zero,
        running(tmp_path / "1", 1, {0, 1}) as one,
    ):
        one.gossip.join(seed_of(zero))
        assert zero.state_of(one) is None
        zero.identity.members.add(1)
        zero.gossip.roster_changed()
        await zero.until_sees(one, State.ALIVE)


async def test_seeds_given_before_the_start_are_used(tmp_path: Path) -> None:
    async with running(tmp_path / "0", 0, {0, 1}) as zero:
        env, seen = an_env(tmp_path / "1"), Seen()
        setup = GossipSetup(("127.0.0.1", 0), 1, 2, epoch=5, advertise_host="127.0.0.1")
        gossip = Gossip(env, FAST, SimpleIdentity(1, {0, 1}), setup, seen)
        gossip.join(seed_of(zero))
        assert gossip.members() == ()
        async with trio.open_nursery() as nursery:
            await nursery.start(gossip.run)
            await seen.until(lambda: gossip.member(zero.node_id) is not None)
            nursery.cancel_scope.cancel()


async def test_a_start_below_an_earlier_one_is_told_goes_above_it_and_stores_that(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "0", 0, {0, 1}) as zero:
        async with running(tmp_path / "1", 1, {0, 1}) as one:
            one.gossip.join(seed_of(zero))
            await zero.until_sees(one, State.ALIVE)
            await one.until_sees(zero, State.ALIVE)
            before = one.gossip.members()[0].epoch
        home = tmp_path / "empty disk"
        async with running(home, 1, {0, 1}, epoch=5) as one:
            one.gossip.join(seed_of(zero))
            await zero.seen.until(lambda: _epoch_of(one, zero) == before + 1)
            await one.until_sees(zero, State.ALIVE)
            assert zero.state_of(one) == State.ALIVE
    clock = SimpleNamespace(wall=lambda: 10.0)
    again = next_epoch(RealDisk(home), cast("Any", clock), RealEntropy())
    assert before + 1 < again <= before + 1 + (1 << GAP_BITS)


def _epoch_of(subject: Running, observer: Running) -> int | None:
    view = observer.gossip.member(subject.node_id)
    return view.epoch if view is not None else None


def test_epochs_grow_although_the_clock_goes_back(tmp_path: Path) -> None:
    disk, clock, entropy = RealDisk(tmp_path), SimpleNamespace(wall=lambda: 1000.0), RealEntropy()
    assert next_epoch(disk, cast("Any", clock), entropy) == 1_000_000
    clock.wall = lambda: 10.0
    second = next_epoch(disk, cast("Any", clock), entropy)
    assert 1_000_000 < second <= 1_000_000 + (1 << GAP_BITS)
    clock.wall = lambda: 4000.0
    assert next_epoch(disk, cast("Any", clock), entropy) == 4_000_000
    disk.write(EPOCH_FILE, b"damaged")
    assert next_epoch(disk, cast("Any", clock), entropy) == 4_000_000


def test_an_old_copy_of_the_disk_does_not_bring_an_epoch_again(tmp_path: Path) -> None:
    disk, clock, entropy = RealDisk(tmp_path), SimpleNamespace(wall=lambda: 10.0), RealEntropy()
    disk.write(EPOCH_FILE, b"1000000")
    starts = set()
    for _ in range(3):
        starts.add(next_epoch(disk, cast("Any", clock), entropy))
        disk.write(EPOCH_FILE, b"1000000")
    assert len(starts) == 3


def test_remembered_peers_survive_and_damage_is_forgotten(tmp_path: Path) -> None:
    def view(index: int, state: State) -> MemberView:
        load = Load(0, 0, 0, 0, 0)
        host = f"10.0.0.{index}"
        return MemberView(node_key(index)[0], state, 0.0, 1, 0, (host, 7), 1, 2, load, None)

    disk = RealDisk(tmp_path)
    assert load_peers(disk) == []
    views = [view(0, State.ALIVE), view(1, State.DEAD), view(2, State.ALIVE), view(3, State.LEFT)]
    save_peers(disk, views, own=node_key(0)[0], earlier={})
    assert load_peers(disk) == [
        (node_key(2)[0], ("10.0.0.2", 7)),
        (node_key(1)[0], ("10.0.0.1", 7)),
    ]
    disk.write(PEERS_FILE, b"\xff damaged")
    assert load_peers(disk) == []


def test_members_not_heard_in_this_life_stay_remembered_while_there_is_room(
    tmp_path: Path,
) -> None:
    disk = RealDisk(tmp_path)
    silent = {node_key(index)[0]: ("192.0.2.9", index) for index in range(2, 5)}
    save_peers(disk, [], own=node_key(0)[0], earlier=silent)
    assert dict(load_peers(disk)) == silent
    many = {NodeId(index.to_bytes(32, "big")): ("192.0.2.9", 1) for index in range(3000)}
    save_peers(disk, [], own=node_key(0)[0], earlier=many)
    assert len(load_peers(disk)) == PEERS_FILE_MAX
