"""Whole nodes in a virtual world: blobs from several holders, holders that lie or die, copies that
are kept at their number, and builds that do not mind."""

from __future__ import annotations

import functools
from pathlib import Path
from random import Random

import attrs
import trio

from mesh.cas.chunks import ChunkWriter
from mesh.cas.serving import ChunkReader
from mesh.limits import BLOB_CHUNK_BYTES, KIB, MIB
from mesh.node.blob_server import BlobServer
from mesh.node.blobs import BlobExchange, Expected
from mesh.node.config import LinkConfig
from mesh.types import Digest
from sim.kernel.run import Outcome
from sim.machine.life import running_life
from sim.mesh_world import MeshNode, MeshWorld, MeshWorldConfig, simulate
from sim.net import Link

SLOW = Link(bandwidth_bytes_per_s=4 * MIB)
CHUNKS = 24


def play(story, nodes: int, link: Link | None = None, seed: int = 1) -> Outcome[None]:
    config = MeshWorldConfig(seed=seed, nodes=nodes)
    if link is not None:
        config = attrs.evolve(config, link=link)
    done = simulate(story, config)
    assert not done.findings, done.findings[0].detail
    return done


async def linked(mesh: MeshWorld) -> None:
    mesh.start_all()
    assert await mesh.until(mesh.linked, within_s=60)


def store(node: MeshNode):
    return node.node.workshop.store


def exchange(node: MeshNode) -> BlobExchange:
    return node.node.runtime.blobs


def given(mesh: MeshWorld, holders: list[int], size_bytes: int) -> tuple[Digest, bytes]:
    """A blob that these have."""
    data = Random(size_bytes).randbytes(size_bytes)
    for holder in holders:
        blob = store(mesh[holder]).put(data)
    return blob, data


async def fetch(mesh: MeshWorld, to: int, blob: Digest, holders: list[int], size: int) -> bool:
    sources = [mesh[holder].node_id for holder in holders]
    return not await exchange(mesh[to]).fetch([blob], sources, None, Expected({blob: size}))


def gathered_chunks(mesh: MeshWorld, node: int) -> int:
    gathers = exchange(mesh[node])._gathers.values()
    return sum(source.useful for each in gathers for source in each.given.values())


# -- several holders -------------------------------------------------------------------------------
def test_one_blob_comes_from_all_its_holders_at_once() -> None:
    size = 8 * MIB + 5

    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        blob, data = given(mesh, [1, 2, 3], size)
        assert await fetch(mesh, 0, blob, [1, 2, 3], size)
        assert store(mesh[0]).read(blob) == data
        served = [exchange(mesh[holder]).served_bytes for holder in (1, 2, 3)]
        assert min(served) > size / 5
        assert sum(served) <= size + 3 * BLOB_CHUNK_BYTES

    play(story, 4)


def test_four_holders_that_limit_themselves_give_nearly_their_sum(monkeypatch) -> None:
    rate, size = 12_500_000, 12 * MIB
    limited = functools.partial(LinkConfig, serve_bytes_per_s=rate)
    monkeypatch.setattr("mesh.node.runtime.LinkConfig", limited)

    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        blob, _ = given(mesh, [1, 2, 3, 4], size)
        begun_s = mesh.world.now_s
        assert await fetch(mesh, 0, blob, [1, 2, 3, 4], size)
        share = size / (mesh.world.now_s - begun_s) / (4 * rate)
        assert 0.9 <= share <= 1.1, share

    play(story, 5)


def test_a_size_that_nobody_knew_is_learnt_on_the_way() -> None:
    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        blob, data = given(mesh, [1], 3 * MIB)
        assert not await exchange(mesh[0]).fetch([blob], [mesh[1].node_id])
        assert store(mesh[0]).read(blob) == data

    play(story, 2)


def test_a_holder_that_dies_half_way_costs_its_window() -> None:
    size = CHUNKS * BLOB_CHUNK_BYTES

    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        blob, data = given(mesh, [1, 2], size)

        async def die() -> None:
            assert await mesh.until(lambda: gathered_chunks(mesh, 0) >= CHUNKS // 2, 60)
            mesh[1].machine.crash()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(die)
            assert await fetch(mesh, 0, blob, [1, 2], size)
        assert store(mesh[0]).read(blob) == data
        assert exchange(mesh[0]).counters.snapshot()["fetch.broken"] == 1

    play(story, 3, SLOW)


def test_a_holder_that_lies_is_named_and_nothing_else_is_lost(monkeypatch) -> None:
    """Node 1 gives good chunks at first, then others than it should."""
    size = CHUNKS * BLOB_CHUNK_BYTES
    honest = BlobServer._fill
    good = dict.fromkeys(range(5))

    def lie(server: BlobServer, chunks: ChunkReader, index: int, room: memoryview) -> int | None:
        size_bytes = honest(server, chunks, index, room)
        life = running_life.get()
        assert life is not None
        if life.machine.name == "machine1" and size_bytes is not None:
            if not good:
                room[:size_bytes] = bytes(size_bytes)
            else:
                good.popitem()
        return size_bytes

    monkeypatch.setattr(BlobServer, "_fill", lie)

    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        blob, data = given(mesh, [1, 2], size)
        assert await fetch(mesh, 0, blob, [1, 2], size)
        assert store(mesh[0]).read(blob) == data
        counts = exchange(mesh[0]).counters.snapshot()
        assert counts["fetch.bad-input.wrong-digest"] == 1
        assert counts[f"lied.{mesh[1].node_id.hex()[:16]}"] == 1
        # What the liar gave before was right and was not fetched again, and it is asked no more.
        assert exchange(mesh[2]).served_bytes <= size - 5 * BLOB_CHUNK_BYTES
        other, _ = given(mesh, [1], 300 * KIB)
        assert not await fetch(mesh, 0, other, [1], 300 * KIB)

    play(story, 3, SLOW)


def test_receivers_of_one_blob_give_each_other_what_they_have() -> None:
    """One holder, three receivers: it sends far less than three copies."""
    size = CHUNKS * BLOB_CHUNK_BYTES

    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        blob, data = given(mesh, [0], size)
        async with trio.open_nursery() as nursery:
            for receiver in (1, 2, 3):
                nursery.start_soon(fetch, mesh, receiver, blob, [0], size)
        for receiver in (1, 2, 3):
            assert store(mesh[receiver]).read(blob) == data
        # The last chunks are asked of two: seeds give 2.4 to 2.65 for a blob as small as this.
        assert exchange(mesh[0]).served_bytes < 2.75 * size
        between = sum(exchange(mesh[receiver]).served_bytes for receiver in (1, 2, 3))
        assert between > size / 2

    play(story, 4, SLOW)


def test_a_receiver_that_was_killed_goes_on_where_it_was(monkeypatch) -> None:
    size = CHUNKS * BLOB_CHUNK_BYTES
    kept: list[int] = []
    put = ChunkWriter.put_chunk

    def noted(writer: ChunkWriter, index: int, data: bytes) -> bool:
        fresh = put(writer, index, data)
        kept.append(index)
        return fresh

    monkeypatch.setattr(ChunkWriter, "put_chunk", noted)

    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        blob, data = given(mesh, [1, 2], size)
        with trio.CancelScope() as scope:

            async def die() -> None:
                assert await mesh.until(lambda: len(kept) >= CHUNKS // 2, 60)
                mesh[0].machine.crash()
                scope.cancel()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(die)
                await fetch(mesh, 0, blob, [1, 2], size)
        before = len(kept)
        assert CHUNKS // 2 <= before < CHUNKS
        mesh[0].start()
        assert await mesh.until(mesh.linked, within_s=60)
        assert await fetch(mesh, 0, blob, [1, 2], size)
        assert store(mesh[0]).read(blob) == data
        assert len(kept) - CHUNKS <= 2, "at most one per stream"

    play(story, 3, SLOW)


# -- copies ----------------------------------------------------------------------------------------
SIZES = (3, 40 * KIB, 600 * KIB + 7)


def on_disk(mesh: MeshWorld, blob: Digest) -> list[int]:
    return [
        node.index
        for node in mesh.running()
        if node.node is not None and store(node).is_on_disk(blob)
    ]


def copied_bytes(nodes: list[MeshNode]) -> int:
    return sum(node.node.runtime.copies.copied_bytes for node in nodes)


def test_three_copies_of_eight_nodes_outlive_any_two() -> None:
    """Nothing is lost, all is restored within the time that the constants promise, and what goes
    over the network for it is what was lost."""

    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        rng = Random(7)
        blobs: dict[Digest, int] = {}
        for node in mesh.nodes:
            for size in SIZES:
                blob = store(node).put(rng.randbytes(size))
                store(node).keep.pin(blob, "kept")
                blobs[blob] = size

        def whole() -> bool:
            return all(len(on_disk(mesh, blob)) >= 3 for blob in blobs)

        assert await mesh.until(whole, within_s=60)
        await mesh.sleep(40)
        assert all(len(on_disk(mesh, blob)) == 3 for blob in blobs), "and no more than that"
        assert copied_bytes(mesh.nodes) == 2 * sum(blobs.values())
        for first, second in ((2, 5), (0, 7)):
            gone = {first, second}
            lost = sum(size * len(gone & set(on_disk(mesh, b))) for b, size in blobs.items())
            mesh[first].machine.crash()
            mesh[second].machine.crash()
            survivors = mesh.running()
            before = copied_bytes(survivors)
            assert all(on_disk(mesh, blob) for blob in blobs), "0 lost"
            assert await mesh.until(whole, within_s=90)
            await mesh.sleep(10)
            assert copied_bytes(survivors) - before <= 1.1 * lost
        await mesh.sleep(30)
        for node in mesh.running():
            assert node.node.runtime.copies.care.next_look_s(0.0) is None, "silent when all is well"

    play(story, 8)


def test_a_restart_is_no_reason_to_make_copies() -> None:
    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        blob, _ = given(mesh, [0], 300 * KIB)
        store(mesh[0]).keep.pin(blob, "kept")
        assert await mesh.until(lambda: len(on_disk(mesh, blob)) == 3, within_s=60)
        other = next(index for index in on_disk(mesh, blob) if index)
        mesh[other].restart()
        await mesh.sleep(60)
        assert len(on_disk(mesh, blob)) == 3

    play(story, 5)


def test_two_that_make_room_at_once_do_not_rely_on_each_other() -> None:
    """Everybody throws away what it may: as many copies stay as there should be."""

    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        blobs = [given(mesh, list(range(5)), 70 * KIB + n)[0] for n in range(8)]
        for node in mesh.nodes:
            for blob in blobs:
                node.node.runtime.copies.care.needs.ask(blob, 70 * KIB, 2)
            node.node.runtime.copies._pins_are_others()
        await mesh.sleep(10)
        for node in mesh.nodes:
            store(node).trim(0)
        counts = [len(on_disk(mesh, blob)) for blob in blobs]
        assert counts == [2] * 8

    play(story, 5)


def test_what_turned_out_damaged_is_fetched_again() -> None:
    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        small, _ = given(mesh, [0, 1], 2000)
        large, data = given(mesh, [0, 1], MIB)
        name = store(mesh[0]).name(large)
        disk = mesh[0].node.env.disk
        flipped = bytearray(disk.read(name))
        flipped[777] ^= 1
        disk.write(name, bytes(flipped))
        assert store(mesh[0]).verify(large) is False
        assert not store(mesh[0]).is_on_disk(large)
        assert await mesh.until(lambda: store(mesh[0]).is_on_disk(large), within_s=10)
        assert store(mesh[0]).read(large) == data
        assert store(mesh[0]).verify(small)

    play(story, 2)


# -- builds ----------------------------------------------------------------------------------------
def project(folder: Path, steps: int, size_bytes: int) -> Path:
    """Steps that make large files and need some time for it."""
    folder.mkdir(parents=True, exist_ok=True)
    steps_text = "\n".join(
        f'[[step]]\nname = "make-{number}"\nkind = "build"\n'
        f'run = "sim seconds=3 bytes={size_bytes} {number}"\nout = ["out/{number}"]\n'
        for number in range(steps)
    )
    (folder / "vitte-dist.toml").write_text(f'[project]\nname = "large"\n{steps_text}')
    return folder


def test_a_build_whose_holders_are_killed_while_it_fetches_does_not_fail(tmp_path: Path) -> None:
    root = project(tmp_path / "p", 6, 2 * MIB)

    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        killed: list[int] = []

        async def kill_holders() -> None:
            while len(killed) < 2:
                await mesh.sleep(0.05)
                for gather in list(exchange(mesh[0])._gathers.values()):
                    for holder in gather.given:
                        if (index := mesh.index_of(holder)) not in killed:
                            killed.append(index)
                            mesh[index].machine.crash()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill_holders)
            outcome = await mesh[0].run_project(root)
            nursery.cancel_scope.cancel()
        assert outcome.ok, outcome.view
        assert killed, "it was to be interrupted"
        assert all((root / f"out/{n}").stat().st_size == 2 * MIB for n in range(6))
        again = await mesh[0].run_project(root)
        assert again.ok
        assert again.view["cached"] == 6

    play(story, 4, SLOW)


def test_a_hit_whose_files_are_gone_everywhere_is_a_miss(tmp_path: Path) -> None:
    root = project(tmp_path / "p", 4, 300 * KIB)

    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        assert (await mesh[0].run_project(root)).ok
        for node in mesh.nodes:
            store(node).last_copy = lambda _blob: False
            store(node).trim(0)
        outcome = await mesh[0].run_project(root)
        assert outcome.ok
        assert outcome.view["cached"] == 0

    play(story, 2)


def test_a_hit_whose_files_are_on_a_third_machine_only_is_a_hit(tmp_path: Path) -> None:
    """Neither the one that asks nor the builder has them: a copy that was made has."""
    root = project(tmp_path / "p", 3, 300 * KIB)

    async def story(mesh: MeshWorld) -> None:
        await linked(mesh)
        outcome = await mesh[0].run_project(root, options={"mode": "local"})
        assert outcome.ok
        results = mesh[0].node.runtime.results
        await mesh.sleep(60)
        blobs = mesh[0].node.runtime.copies.care.needs.all()
        assert len(results) == 3
        assert len(blobs) == 6, "three files, and the records of three results"
        assert all(len(on_disk(mesh, blob)) == 2 for blob in blobs), "the default"
        mesh[0].node.workshop.store.last_copy = lambda _blob: False
        store(mesh[0]).trim(0)
        assert not any(store(mesh[0]).is_on_disk(blob) for blob in blobs)
        again = await mesh[0].run_project(root)
        assert again.ok
        assert again.view["cached"] == 3

    play(story, 3)
