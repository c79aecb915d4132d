"""Results that are not what they claim to be. Each has its own counter, nothing of it reaches the
project, and the run ends right all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import trio
from nodes import (
    IDLE,
    Intruder,
    Speaker,
    action_of,
    blobs,
    counted,
    counters,
    entry,
    is_built,
    project,
    run,
    start,
    stolen,
    until,
    world,
)

from mesh.action.model import (
    SYMLINK,
    Result,
    SignedResult,
    TreeEntry,
)
from mesh.action.signing import sign_result
from mesh.identity.keys import NodeKey
from mesh.limits import OUTPUT_FILES_BYTES_MAX
from mesh.planners.base import Kind
from mesh.types import Digest, digest_of
from mesh.wire.frame import frame
from mesh.wire.messages import (
    Decline,
    Done,
    Finished,
    GrantedShard,
    Hello,
    LoadChanged,
    Output,
    Progress,
    Renew,
    Settled,
    Steal,
)
from mesh.wire.schema import encode_message, encode_struct

MOUNT = "/vitte/project"
STRANGER = NodeKey(b"s" * 32)


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
