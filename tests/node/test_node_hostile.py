"""What a lying member can say on a control link, and what comes of it: its own counter, and
nothing else. Every test ends with the node up, and with an empty folder `outside`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import trio
from nodes import (
    IDLE,
    Intruder,
    Speaker,
    World,
    action_of,
    address_of,
    counted,
    counters,
    is_built,
    peer_address,
    project,
    run,
    start,
    stolen,
    until,
    world,
)

from mesh.action.model import (
    FILE,
    SYMLINK,
    Action,
    OutputSpec,
    Result,
    SignedResult,
    Tool,
    Toolchain,
    Tree,
    TreeEntry,
)
from mesh.action.platform import this_platform
from mesh.action.signing import sign_result
from mesh.executor.executor import Executor
from mesh.identity.certificates import certificate_pem, make_certificate, private_key_pem
from mesh.identity.keys import NodeKey
from mesh.identity.roles import Role
from mesh.limits import FRAME_BYTES_MAX, GRANT_SHARDS_MAX, OUTPUT_FILES_BYTES_MAX
from mesh.node.node import Node
from mesh.planners.base import Kind
from mesh.ports import StreamBroken
from mesh.ports.real.streams import RealStreams
from mesh.scheduler.model import Mode
from mesh.types import Digest, NodeId, digest_of
from mesh.wire import cbor
from mesh.wire.frame import frame
from mesh.wire.messages import (
    AskResults,
    Decline,
    Done,
    Finished,
    Grant,
    GrantedShard,
    Hello,
    InlineBlob,
    KnownResults,
    LoadChanged,
    Output,
    Progress,
    Renew,
    RosterRecords,
    Settled,
    Steal,
)
from mesh.wire.schema import encode_message, encode_struct

MOUNT = "/vitte/project"
STRANGER = NodeKey(b"s" * 32)


# -- who may talk at all ---------------------------------------------------------------------------
@attrs.frozen
class Pretender:
    """Believes in the mesh, which does not believe in it."""

    world: World

    def own_certificate(self) -> tuple[bytes, bytes]:
        certificate = make_certificate(STRANGER, "stranger")
        return certificate_pem(certificate), private_key_pem(STRANGER)

    def anchors(self) -> tuple[bytes, ...]:
        return self.world.alice.runtime.identity.anchors()

    def is_member(self, node: NodeId) -> bool:
        return True

    def generation(self) -> int:
        return 1


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
        original, wanted = port.receive_nowait, 5

        def listening() -> object:
            got = original()
            if got is not None and len(taken) < wanted:
                taken.append(got[0])
            return got

        port.receive_nowait = listening  # type: ignore[method-assign, assignment]
        await until(lambda: len(taken) == wanted, "datagrams")
        sender = await mesh.alice.env.datagrams.open(("127.0.0.1", 0))
        for data in taken:
            await sender.send(data, bob_gossip.address)
            await sender.send(data[:-1] + bytes([data[-1] ^ 1]), bob_gossip.address)
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


def blobs(*contents: bytes) -> tuple[InlineBlob, ...]:
    return tuple(InlineBlob(each) for each in contents)


def entry(path: str, content: bytes = b"x", **fields: object) -> TreeEntry:
    return TreeEntry(path, FILE, digest_of(content), len(content), **fields)


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
        await until(lambda: mesh.alice.workshop.executor.busy == 0, "the slot to be free again")


async def test_one_lease_granted_twice_runs_once(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        grant = Offer().grant()
        await speaker.send(attrs.evolve(grant, shards=grant.shards * 3), grant)
        done = await speaker.next(Done)
        assert [each.lease for each in done.finished] == [7]
        await until(lambda: mesh.alice.workshop.executor.busy == 0)


# -- results ---------------------------------------------------------------------------------------
Lie = Callable[[Intruder, GrantedShard], Finished]


def output_of(granted: GrantedShard) -> str:
    return action_of(granted).outputs[0].path


def honest_entry(granted: GrantedShard) -> TreeEntry:
    return entry(output_of(granted), b"evil")


def undeclared(evil: Intruder, granted: GrantedShard) -> Finished:
    source = entry(output_of(granted).replace("out/", "").replace(".txt", ".in"), b"evil")
    return evil.finished(granted, evil.result(granted, honest_entry(granted), source))


def outside(evil: Intruder, granted: GrantedShard) -> Finished:
    escape = entry(f"{MOUNT}/../../../outside/x", b"evil")
    return evil.finished(granted, evil.result(granted, honest_entry(granted), escape))


def link_out(evil: Intruder, granted: GrantedShard) -> Finished:
    link = TreeEntry(output_of(granted), SYMLINK, link="../../../../etc/passwd")
    return evil.finished(granted, evil.result(granted, link))


def link_down_and_up(evil: Intruder, granted: GrantedShard) -> Finished:
    link = TreeEntry(output_of(granted), SYMLINK, link="sub/../x")
    return evil.finished(granted, evil.result(granted, link))


def nothing_made(evil: Intruder, granted: GrantedShard) -> Finished:
    return evil.finished(granted, evil.result(granted))


def too_large(evil: Intruder, granted: GrantedShard) -> Finished:
    huge = attrs.evolve(honest_entry(granted), size_bytes=OUTPUT_FILES_BYTES_MAX + 1)
    return evil.finished(granted, evil.result(granted, huge))


def other_action(evil: Intruder, granted: GrantedShard) -> Finished:
    result = evil.result(granted, honest_entry(granted), action=Digest(bytes(32)))
    return evil.finished(granted, result)


def forged(evil: Intruder, granted: GrantedShard) -> Finished:
    result = evil.result(granted, honest_entry(granted))
    return evil.finished(granted, result, SignedResult(encode_struct(result), bytes(64)))


def by_a_stranger(evil: Intruder, granted: GrantedShard) -> Finished:
    result = evil.result(granted, honest_entry(granted), builder=STRANGER.node_id)
    return evil.finished(granted, result, sign_result(result, STRANGER.sign))


def in_the_name_of_another(evil: Intruder, granted: GrantedShard) -> Finished:
    other = evil.identity.roster.genesis.node
    result = evil.result(granted, honest_entry(granted), builder=other)
    return evil.finished(granted, result)


def no_result_at_all(evil: Intruder, granted: GrantedShard) -> Finished:
    return Finished(granted.lease, result=SignedResult(b"\x80", bytes(64)))


def failure_with_outputs(evil: Intruder, granted: GrantedShard) -> Finished:
    result: Result = evil.result(granted, honest_entry(granted), exit_status=1)
    return evil.finished(granted, result)


LIES = [
    (undeclared, "undeclared-output"),
    (outside, "path"),
    (link_out, "link-escapes"),
    (link_down_and_up, "link-escapes"),
    (nothing_made, "output-missing"),
    (too_large, "outputs-too-large"),
    (other_action, "other-action"),
    (forged, "bad-signature"),
    (by_a_stranger, "not-a-builder"),
    (in_the_name_of_another, "bad-signature"),
    (no_result_at_all, "field"),
    (failure_with_outputs, "outputs-of-failure"),
]


async def answer_with(lie: Lie, evil: Intruder, speaker: Speaker) -> None:
    """Steal, and lie about everything that is granted, for ever."""
    while True:
        await speaker.send(Steal(8, IDLE))
        for granted in await stolen(speaker):
            await speaker.send(Done((lie(evil, granted),), blobs(b"evil", b"rubbish")))


async def test_every_lie_about_a_result_is_found_out_and_the_run_ends_right(tmp_path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        for number, (lie, reason) in enumerate(LIES):
            root = project(tmp_path / f"project-{number}", 3, before="sleep 0.1; ")
            speaker = await mesh.intruder.connect(mesh.alice)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer_with, lie, mesh.intruder, speaker)
                view = await run(mesh.alice, root, use_cache=False)
                nursery.cancel_scope.cancel()
            assert view["ok"], (reason, view)
            assert is_built(root, 3)
            await counted(mesh.alice, f"result.{reason}")
            assert (root / "0.in").read_text() == "content 0\n"
            await speaker.stream.aclose()
            await until(lambda: not mesh.alice.runtime.links.by_node)
        assert not mesh.alice.workshop.store.has(digest_of(b"rubbish"))


async def test_a_directory_is_not_answered_with_a_link_in_its_place(tmp_path: Path) -> None:
    def link_for_folder(evil: Intruder, granted: GrantedShard) -> Finished:
        assert output_of(granted).endswith("/tree")
        link = TreeEntry(output_of(granted), SYMLINK, link="../..")
        return evil.finished(granted, evil.result(granted, link))

    root = tmp_path / "project"
    root.mkdir()
    steps = "".join(
        f'[[step]]\nname = "s{n}"\nkind = "build"\nrun = "sleep 0.2; mkdir -p o/{n}/tree; '
        f'echo > o/{n}/tree/a"\ninputs = []\nout = ["o/{n}/tree/"]\n'
        for n in range(3)
    )
    (root / "vitte-dist.toml").write_text(f'[project]\nname = "folders"\n{steps}')
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_with, link_for_folder, mesh.intruder, speaker)
            assert (await run(mesh.alice, root))["ok"]
            nursery.cancel_scope.cancel()
        assert counters(mesh.alice).keys() & {"result.output-kind", "result.link-escapes"}
        assert (root / "o/0/tree").is_dir()
        assert not (root / "o/0/tree").is_symlink()


async def test_a_false_duration_does_not_spoil_the_history(tmp_path: Path) -> None:
    root = project(tmp_path / "project", 3, before="sleep 0.2; ")

    async def in_no_time(evil: Intruder, speaker: Speaker) -> None:
        await speaker.send(Steal(8, IDLE))
        while True:
            for granted in await stolen(speaker):
                content = f"content {output_of(granted)[-5]}\n".encode()
                result = evil.result(granted, entry(output_of(granted), content), duration_ms=2**62)
                finished = attrs.evolve(evil.finished(granted, result), duration_ms=2**62)
                await speaker.send(Done((finished,), blobs(content)))

    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_no_time, mesh.intruder, speaker)
            view = await run(mesh.alice, root)
            nursery.cancel_scope.cancel()
        assert view["ok"]
        assert view["remote"] >= 1
        history = mesh.alice.workshop.history
        assert all(history.weight_s(str(root), f"copy-{n}") < 60 for n in range(3))


async def test_a_thief_that_renews_for_ever_loses_the_shard(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("mesh.node.runs.jobs.HELD_SLACK_S", 0.5)
    root = project(tmp_path / "project", 2, before="sleep 0.1; ", timeout="1s", kind="bench")

    async def hoard(speaker: Speaker) -> None:
        await speaker.send(Steal(8, IDLE))
        leases = tuple(granted.lease for granted in await stolen(speaker))
        while True:
            await speaker.send(Renew(leases))
            await trio.sleep(0.2)

    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hoard, speaker)
            view = await run(mesh.alice, root, Kind.BENCH)
            nursery.cancel_scope.cancel()
        assert view["ok"], view
        assert is_built(root, 2)


async def test_messages_about_nothing_change_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        lease = 2**63
        await speaker.send(
            Done((Finished(lease, error_text="no"),), blobs(b"junk")),
            Decline((lease,), "no", unfit=True),
            Progress(lease, 1, 5, 0),
            Output(lease, 1, b"spam"),
            Output(lease, 0, b"spam"),
            Settled((lease,)),
            Renew((lease, lease)),
            KnownResults(99, ()),
            LoadChanged(attrs.evolve(IDLE, queued=2**32)),
            Hello(**attrs.asdict(mesh.intruder.hello(), recurse=False)),
        )
        await speaker.next(Settled)  # the answer to Renew
        await counted(mesh.alice, "unexpected.Hello")
        await counted(mesh.alice, "output.stream")
        await counted(mesh.alice, "done.not-waited-for")
        assert not mesh.alice.workshop.store.has(digest_of(b"junk"))
        assert (await run(mesh.alice, project(tmp_path / "project")))["ok"]


async def test_output_byte_by_byte_is_bounded(tmp_path: Path) -> None:
    root = project(tmp_path / "project", 2, before="sleep 2; ")

    async def chatter(speaker: Speaker) -> None:
        await speaker.send(Steal(8, IDLE))
        (granted,) = await stolen(speaker)
        spam = frame(encode_message(Output(granted.lease, 1, b"!")))
        for _ in range(50):
            await speaker.send_raw(spam * 1000)
        await speaker.send(Decline((granted.lease,), "enough"))

    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        async with trio.open_nursery() as nursery:
            started = start(nursery, mesh.alice, root)
            await chatter(speaker)
            await started.over.wait()
        assert started.record.view is not None
        assert started.record.view["ok"]
        assert 0 < len(started.record.outputs) <= 16 * 1024 * 1024 // 512
        assert "not kept" in started.record.view["warnings"][-1]


# -- what is asked for -----------------------------------------------------------------------------
async def test_an_answer_never_grows_beyond_a_message(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        results = mesh.alice.workshop.results
        actions = [digest_of(bytes([n])) for n in range(4)]
        for action in actions:
            results.put(SignedResult(bytes(1_500_000), bytes(64)), action)
        speaker = await mesh.intruder.connect(mesh.alice)
        await speaker.send(AskResults(5, tuple(actions)))
        answer = await speaker.next(KnownResults)
        assert answer.request == 5
        assert len(answer.results) == 1
        assert mesh.intruder.node_id in mesh.alice.runtime.links.by_node


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


# -- steps that are hostile or careless ------------------------------------------------------------
async def test_a_name_that_is_not_utf8_fails_its_step_and_not_the_node(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "vitte-dist.toml").write_text(
        '[project]\nname = "odd"\n[[step]]\nname = "odd"\nkind = "build"\ninputs = []\n'
        "run = '''mkdir -p o; echo > \"o/$(printf '\\377')\"'''\nout = [\"o/\"]\n"
    )
    async with world(tmp_path, honest=1) as mesh:
        view = await run(mesh.alice, root)
        assert not view["ok"]
        assert view["failures"][0]["error"]["code"] == "VM414"
        assert (await run(mesh.alice, project(tmp_path / "good")))["ok"]


async def test_a_bug_in_one_shard_fails_its_run_and_no_other(tmp_path: Path, monkeypatch) -> None:
    async def broken(*_: object) -> None:
        raise AssertionError("a bug")

    async with world(tmp_path, honest=1) as mesh:
        with monkeypatch.context() as patch:
            patch.setattr(Executor, "execute", broken)
            view = await run(mesh.alice, project(tmp_path / "project"))
            assert not view["ok"]
            assert view["exit_code"] == 70
        with monkeypatch.context() as patch:
            patch.setattr(type(mesh.alice.runtime.performer), "perform", broken)
            view = await run(mesh.alice, project(tmp_path / "project-2"))
            assert view["error"]["code"] == "VM999"
        await counted(mesh.alice, "work.bug")
        assert (await run(mesh.alice, project(tmp_path / "good")))["ok"]


async def test_a_cancelled_run_leaves_nothing_anywhere(tmp_path: Path) -> None:
    root = project(tmp_path / "project", 4, before="(setsid sleep 600 &) ; sleep 600; ")

    def is_idle(node: Node) -> bool:
        work = node.runtime.work
        thief = work.core._thief
        busy = node.workshop.executor.busy or work._jobs or work._scopes
        return not (busy or thief.running or thief.backlog or work.core._victim._leases)

    async with world(tmp_path) as mesh:
        async with trio.open_nursery() as nursery:
            started = start(nursery, mesh.alice, root)
            await until(
                lambda: all(node.workshop.executor.busy for node in mesh.nodes), "both at work"
            )
            started.scope.cancel()
            with trio.fail_after(15):
                await started.over.wait()
        await until(lambda: all(is_idle(node) for node in mesh.nodes), "everything to be over")
        assert started.record.view is not None
        assert started.record.view["cancelled"]
        assert not list(root.glob("out/*"))


async def test_a_spoofed_announcement_does_not_move_a_member(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        links = mesh.alice.runtime.links
        real = peer_address(mesh.bob)
        await until(lambda: links._targets[real.node_id].proven, "gossip to prove the address")
        mesh.alice.runtime.meet([attrs.evolve(real, peer_port=9)])
        assert links._targets[real.node_id].address == (real.host, real.peer_port)
        await counted(mesh.alice, "address.unproven")
