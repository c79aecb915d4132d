"""What a lying or frozen member can do where it is waited for: bulk streams, half-open links,
streams of a member that has been removed. No wait lasts for long, and nobody else is hurt."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from nodes import (
    IDLE,
    Intruder,
    Speaker,
    action_of,
    counted,
    counters,
    is_built,
    project,
    run,
    stolen,
    until,
    world,
)

from mesh.action.model import FILE, TreeEntry
from mesh.action.outcome import outcome_digest
from mesh.limits import BULK_STREAMS_SERVED_MAX
from mesh.node.config import LinkConfig
from mesh.state.events import BUILT, ActionResult
from mesh.types import Digest, digest_of
from mesh.wire.blob_messages import WantChunks
from mesh.wire.frame import frame
from mesh.wire.messages import (
    BULK_LANE,
    BlobChunk,
    BlobHeader,
    Done,
    FetchBlobs,
    Hello,
    Steal,
)
from mesh.wire.schema import encode_message, encode_struct

TRUTH = b"content 1\n" * 5000  # too large to travel with the result


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The product's bounds, shorter."""
    short = functools.partial(
        LinkConfig, hello_timeout_s=0.5, bulk_stall_s=0.5, bulk_message_s=1.0, dial_timeout_s=1.0
    )
    monkeypatch.setattr("mesh.node.runtime.LinkConfig", short)
    return iter((None,))


# -- holders ---------------------------------------------------------------------------------------
async def wrong_bytes(evil: Intruder, speaker: Speaker) -> None:
    while True:
        for digest in (await speaker.next(FetchBlobs)).digests:
            await speaker.send(BlobHeader(digest, len(TRUTH)), BlobChunk(bytes(len(TRUTH))))


async def another_size(evil: Intruder, speaker: Speaker) -> None:
    for digest in (await speaker.next(FetchBlobs)).digests:
        await speaker.send(BlobHeader(digest, 2**36))
    await trio.sleep_forever()


async def crumbs(evil: Intruder, speaker: Speaker) -> None:
    for digest in (await speaker.next(FetchBlobs)).digests:
        await speaker.send(BlobHeader(digest, len(TRUTH)), BlobChunk(b"c"))
    await trio.sleep_forever()


async def another_blob(evil: Intruder, speaker: Speaker) -> None:
    await speaker.next(FetchBlobs)
    await speaker.send(BlobHeader(Digest(bytes(32)), 1))
    await trio.sleep_forever()


async def silence(evil: Intruder, speaker: Speaker) -> None:
    """Frozen in the middle: the request is never even read."""
    await trio.sleep_forever()


async def frozen_half_way(evil: Intruder, speaker: Speaker) -> None:
    (digest,) = (await speaker.next(FetchBlobs)).digests
    whole = frame(encode_message(BlobChunk(TRUTH)))
    await speaker.send(BlobHeader(digest, len(TRUTH)))
    await speaker.send_raw(whole[: len(whole) // 2])
    await trio.sleep_forever()


async def drips(evil: Intruder, speaker: Speaker) -> None:
    (digest,) = (await speaker.next(FetchBlobs)).digests
    whole = frame(encode_message(BlobHeader(digest, len(TRUTH))))
    whole += frame(encode_message(BlobChunk(TRUTH)))
    for at in range(len(whole)):
        await speaker.send_raw(whole[at : at + 1])
        await trio.sleep(0.1)


async def hangs_up(evil: Intruder, speaker: Speaker) -> None:
    await speaker.next(FetchBlobs)
    await speaker.stream.aclose()


HOLDERS = [
    (wrong_bytes, "fetch.bad-input.wrong-digest"),
    (another_size, "fetch.bad-input.bulk-size"),
    (crumbs, "fetch.bad-input.bulk-chunk"),
    (another_blob, "fetch.bad-input.bulk-order"),
    (silence, "fetch.broken"),
    (frozen_half_way, "fetch.broken"),
    (drips, "fetch.broken"),
    (hangs_up, "fetch.broken"),
]


async def claim_outputs(evil: Intruder, speaker: Speaker) -> None:
    """Steal, and report outputs that only we can deliver."""
    while True:
        await speaker.send(Steal(8, IDLE))
        for granted in await stolen(speaker):
            path = action_of(granted).outputs[0].path
            output = TreeEntry(path, FILE, digest_of(TRUTH), len(TRUTH))
            await speaker.send(Done((evil.finished(granted, evil.result(granted, output)),), ()))


@pytest.mark.parametrize(
    ("holder", "counter"), HOLDERS, ids=lambda each: getattr(each, "__name__", "")
)
async def test_a_holder_that_does_not_deliver_costs_a_moment(tmp_path, holder, counter) -> None:
    root = project(tmp_path / "project", 3, before="sleep 0.2; ")
    async with world(tmp_path, honest=1) as mesh:
        mesh.intruder.on_bulk = holder
        speaker = await mesh.intruder.connect(mesh.alice)
        await mesh.know_intruder(mesh.alice)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(claim_outputs, mesh.intruder, speaker)
            with trio.fail_after(15):
                view = await run(mesh.alice, root)
            nursery.cancel_scope.cancel()
        assert view["ok"], view
        assert is_built(root, 3)
        await counted(mesh.alice, counter)
        assert not mesh.alice.workshop.store.has(digest_of(TRUTH))
        if "bad-input" in counter:
            await counted(mesh.alice, f"lied.{mesh.intruder.node_id.hex()[:16]}")


async def records_only(evil: Intruder, speaker: Speaker) -> None:
    """Serve what proves results, and fall silent when files are asked for."""
    while True:
        for digest in (await speaker.next(FetchBlobs)).digests:
            if (data := evil.blobs.get(digest)) is None:
                await trio.sleep_forever()
            else:
                await speaker.send(BlobHeader(digest, len(data)), BlobChunk(data))


async def test_a_builder_that_knows_everything_and_has_nothing_slows_nobody(tmp_path) -> None:
    root = project(tmp_path / "project", 12)
    async with world(tmp_path / "first", honest=1) as mesh:
        assert (await run(mesh.alice, root))["ok"]
        results = mesh.alice.runtime.results
        opened = [results.here(action) for action in results.rows()]
        paths = {each.result.action: each.result.outputs[0].path for each in opened if each}
    assert len(paths) == 12

    def event(evil: Intruder, action: Digest) -> ActionResult:
        result = evil.result_of(
            action, TreeEntry(paths[action], FILE, digest_of(TRUTH), len(TRUTH))
        )
        record = encode_struct(evil.sign(result))
        evil.blobs[digest_of(record)] = record
        return ActionResult(action, outcome_digest(result), digest_of(record), BUILT, 1)

    async with world(tmp_path / "second", honest=1) as mesh:
        evil = mesh.intruder
        evil.on_bulk = records_only
        speaker = await evil.connect(mesh.alice)
        await mesh.know_intruder(mesh.alice)
        await speaker.send(*evil.pushes(*[event(evil, action) for action in paths]))
        view = mesh.alice.runtime.results
        await until(lambda: all(view.lookup(action) for action in paths), "the claims")
        with trio.fail_after(10):
            done = await run(mesh.alice, root)
        assert done["ok"]
        assert is_built(root, 12)
        assert done["local"] == 12
        counts = counters(mesh.alice)
        assert counts["hit.outputs-gone"] >= 1
        assert counts["fetch.shunned"] >= 2, "one stall is paid for, not twelve"
        divergent = mesh.alice.runtime.state.replica.state.actions
        await until(lambda: len(divergent.divergences()) == 12, "the alarms")
        assert divergent.divergences()[0].builders == tuple(
            sorted((mesh.alice.key.node_id, evil.node_id))
        )


# -- askers ----------------------------------------------------------------------------------------
async def test_a_request_in_one_packet_with_the_hello_is_answered(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        digest = mesh.alice.workshop.store.put(b"wanted")
        speaker = await mesh.intruder.knock(mesh.alice)
        await speaker.send(mesh.intruder.hello(BULK_LANE), FetchBlobs((digest,)))
        assert (await speaker.next(BlobHeader)).size_bytes == 6
        assert (await speaker.next(BlobChunk)).data == b"wanted"


async def test_who_opens_streams_without_end_is_cut_off(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        for _ in range(BULK_STREAMS_SERVED_MAX + 3):
            await mesh.intruder.connect(mesh.alice, BULK_LANE)
        await counted(mesh.alice, "serve.too-many", 3)
        assert (await run(mesh.alice, project(tmp_path / "project")))["ok"]


async def test_who_asks_and_does_not_read_is_cut_off(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        digest = mesh.alice.workshop.store.put(bytes(8 * 1024 * 1024))
        speaker = await mesh.intruder.connect(mesh.alice, BULK_LANE)
        await speaker.send(*[WantChunks(digest, tuple(range(32)))] * 8)
        await counted(mesh.alice, "serve.broken")
        assert not mesh.alice.runtime.blobs.server._open


async def test_nonsense_on_a_bulk_stream_ends_it(tmp_path: Path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.connect(mesh.alice, BULK_LANE)
        await speaker.send(Steal(1, IDLE))
        await speaker.ended()
        await counted(mesh.alice, "serve.bad-input.bulk-request")
        speaker = await mesh.intruder.connect(mesh.alice, BULK_LANE)
        await speaker.send_raw(b"\xff" * 8)
        await speaker.ended()
        await counted(mesh.alice, "serve.bad-input.oversized")


# -- half-open links and removed members -----------------------------------------------------------
async def test_a_member_that_says_nothing_after_the_handshake_is_hung_up_on(tmp_path) -> None:
    async with world(tmp_path, honest=1) as mesh:
        speaker = await mesh.intruder.knock(mesh.alice)
        with trio.fail_after(5):
            await speaker.next(Hello)
            await speaker.ended()
        await counted(mesh.alice, "accept.timeout")


async def test_all_streams_of_a_removed_member_end_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        evil = mesh.intruder
        link = await evil.connect(mesh.bob)
        idle = await evil.connect(mesh.bob, BULK_LANE)
        late = await evil.knock(mesh.bob)
        await late.next(Hello)
        # Alice removes mallory; bob hears of it on his link with her.
        record = mesh.alice.runtime.identity.write_leave(evil.node_id)
        mesh.alice.runtime.roster_changed()
        await until(lambda: not mesh.bob.runtime.identity.is_member(evil.node_id), "the news")
        assert record in mesh.bob.runtime.identity.roster.records()
        await link.ended()
        await idle.ended()
        await late.send(evil.hello())
        await late.ended()
        await counted(mesh.bob, "accept.not-a-member")
        assert set(mesh.bob.runtime.links.by_node) == {mesh.alice.key.node_id}
        again = await evil.knock(mesh.bob)  # to us TLS 1.3 looks fine until the first answer
        await again.ended()
        await counted(mesh.bob, "streams.")


async def test_results_of_a_removed_member_count_no_more(tmp_path: Path) -> None:
    root = project(tmp_path / "project", 2, before="sleep 0.3; ")
    async with world(tmp_path) as mesh:
        view = await run(mesh.alice, root)
        assert view["ok"]
        assert view["remote"] == 1
        bob = mesh.bob.key.node_id
        assert (await run(mesh.alice, root))["cached"] == 2
        mesh.alice.runtime._take_records(bob, (mesh.alice.runtime.identity.write_leave(bob),))
        view = await run(mesh.alice, root)
        assert view["ok"]
        assert (view["cached"], view["local"]) == (1, 1)
