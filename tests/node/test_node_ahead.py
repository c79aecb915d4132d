"""What waits for a slot here has its files fetched while another shard runs."""

from __future__ import annotations

from pathlib import Path

import attrs
from nodes import Intruder, blobs, entry, until, world

from mesh.action.model import Action, Toolchain, Tree
from mesh.action.platform import this_platform
from mesh.types import digest_of
from mesh.wire.messages import Done, Grant, GrantedShard, Progress, Settled
from mesh.wire.schema import encode_struct

MOUNT = "/vitte/src"
CONTENT = b"x" * 100_000
"""Too large to come with the grant."""


def grant(lease: int, argv: tuple[str, ...], tree: Tree) -> Grant:
    tools = encode_struct(Toolchain(this_platform(), ()))
    inputs = encode_struct(tree)
    action = Action(
        argv=argv,
        env=(),
        cwd=MOUNT,
        mounts=(MOUNT,),
        inputs=digest_of(inputs),
        outputs=(),
        toolchain=digest_of(tools),
    )
    shard = GrantedShard(lease, bytes(8), "shard", encode_struct(action), 60_000, 0, 0)
    return Grant((shard,), 60_000, blobs(tools, inputs))


def needing(intruder: Intruder, lease: int) -> Grant:
    intruder.blobs[digest_of(CONTENT)] = CONTENT
    return grant(lease, ("/usr/bin/test", "-s", "a"), Tree((entry(f"{MOUNT}/a", CONTENT),)))


async def test_files_come_while_another_shard_runs(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        await mesh.know_intruder(mesh.alice)
        await speaker.send(grant(1, ("/bin/sleep", "60"), Tree(())))
        assert (await speaker.next(Progress)).lease == 1
        await speaker.send(needing(mesh.intruder, 2))
        await until(lambda: mesh.alice.workshop.store.has(digest_of(CONTENT)), "the file")
        assert mesh.alice.workshop.runner.busy == 1
        await speaker.send(Settled((1,)))
        (done,) = (await speaker.next(Done)).finished
        assert (done.lease, done.error_code) == (2, "")
        assert mesh.intruder.asked.count(digest_of(CONTENT)) == 1


async def test_what_cannot_be_fetched_ahead_is_reported_at_its_turn(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        await mesh.know_intruder(mesh.alice)
        await speaker.send(grant(1, ("/bin/sleep", "60"), Tree(())))
        assert (await speaker.next(Progress)).lease == 1
        wanted = needing(mesh.intruder, 2)
        lacking = mesh.intruder.blobs.pop(digest_of(CONTENT))
        await speaker.send(wanted)
        await until(lambda: "ahead.failed" in mesh.alice.runtime.stolen.counters.snapshot())
        mesh.intruder.blobs[digest_of(lacking)] = lacking
        await speaker.send(Settled((1,)))
        (done,) = (await speaker.next(Done)).finished
        assert (done.lease, done.error_code) == (2, "")


async def test_a_victim_that_hands_over_rubbish_ahead_is_told_so(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice)
        await speaker.send(grant(1, ("/bin/sleep", "60"), Tree(())))
        assert (await speaker.next(Progress)).lease == 1
        bad = grant(2, ("/bin/true",), Tree((entry("/etc/passwd"),)))
        await speaker.send(bad, *[attrs.evolve(bad, blobs=())] * 3)
        await until(lambda: "ahead.failed" in mesh.alice.runtime.stolen.counters.snapshot())
        await speaker.send(Settled((1,)))
        await until(lambda: "grant.path-escapes" in mesh.alice.runtime.stolen.counters.snapshot())
